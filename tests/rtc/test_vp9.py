"""VP9 payloads (RFC 9628) become frames; bytes that are none raise ValueError."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.concealment import SoundCounts
from peer.rtc.decoders import open_decoder
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.payload import FrameData, depacketiser_for
from peer.rtc.payload.vp9 import Descriptor, Vp9Depacketiser, descriptor, picture_size
from tests.harness.encoders import video_encoder

KEY = bytes.fromhex("824983420013f00ef0") + b"rest"
DELTA = b"\x86\x00delta"


@lru_cache
def frames() -> tuple[bytes, ...]:
    """Three pictures of 72x64, the first a keyframe."""
    encoder = video_encoder("libvpx-vp9", (72, 64), Fraction(1, 30))
    made: list[bytes] = []
    for number in range(3):
        frame = av.VideoFrame.from_ndarray(np.full((64, 72, 3), 40 + 50 * number, np.uint8)).reformat(format="yuv420p")
        frame.pts = number
        made += [bytes(each) for each in encoder.encode(frame)]
    return tuple(made)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("08", Descriptor(1, True, False, 0)),
        ("40", Descriptor(1, False, True, 0)),
        ("8811", Descriptor(2, True, False, 0)),
        ("889122", Descriptor(3, True, False, 0)),
        ("284455", Descriptor(3, True, False, 2)),  # L without F: TL0PICIDX
        ("3842", Descriptor(2, True, False, 1)),  # L with F: none
        ("580302", Descriptor(3, True, True, 0)),  # two reference indices
        ("58030301", Descriptor(4, True, True, 0)),  # never more than three
        ("0a00", Descriptor(2, True, False, 0)),  # V: one layer, nothing said
        ("0a1002800168", Descriptor(6, True, False, 0)),  # with its size
        ("0a38" + "02800168" * 2 + "02" + "04aa" + "08aabb", Descriptor(16, True, False, 0)),  # and a group of pictures
        ("aaaa22420700", Descriptor(6, True, False, 1)),
    ],
)
def test_descriptors_of_every_shape(head: str, said: Descriptor) -> None:
    data = bytes.fromhex(head)
    assert descriptor(data + KEY) == said
    for cut in range(len(data)):
        with pytest.raises(ValueError, match="cut short"):
            descriptor(data[:cut])


def test_a_frame_of_several_packets_is_joined() -> None:
    depacketiser = Vp9Depacketiser()
    whole = frames()[0]
    payloads = [b"\x88\x01" + whole[:10], b"\x80\x01" + whole[10:20], b"\x84\x01" + whole[20:]]
    chunks = [depacketiser.parse(each) for each in payloads]
    assert [(each.starts_frame, each.keyframe) for each in chunks] == [(True, True), (False, False), (False, False)]
    assert depacketiser.assemble(chunks) == FrameData(whole, True, 72, 64)


def test_what_is_predicted_is_no_keyframe() -> None:
    depacketiser = Vp9Depacketiser()
    for head in (b"\xc8\x01", b"\x88\x01"):  # also where only the frame itself says so: intra-only pictures
        chunk = depacketiser.parse(head + DELTA)
        assert (chunk.starts_frame, chunk.keyframe) == (True, False)
        assert depacketiser.assemble([chunk]) == FrameData(DELTA, False)


def test_of_spatial_layers_the_lowest_is_taken() -> None:
    depacketiser = Vp9Depacketiser()
    payloads = [b"\x28\x00\x07" + KEY, b"\x20\x00\x07more", b"\x28\x02\x07" + b"above", b"\x20\x02\x07and more"]
    chunks = [depacketiser.parse(each) for each in payloads]
    assert [each.starts_frame for each in chunks] == [True, False, False, False]
    assert depacketiser.assemble(chunks) == FrameData(KEY + b"more", True, 320, 240)
    with pytest.raises(ValueError, match="first packet"):
        depacketiser.assemble(chunks[2:])


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (KEY[:1] + b"abc" + KEY[4:], "sync code"),
        (KEY[:4] + b"\xe0" + KEY[5:], "RGB"),
        (KEY[:7], "cut short"),
    ],
)
def test_bad_keyframe_headers_raise(data: bytes, complaint: str) -> None:
    depacketiser = Vp9Depacketiser()
    with pytest.raises(ValueError, match=complaint):
        depacketiser.assemble([depacketiser.parse(b"\x08" + data)])


def test_the_size_is_that_of_the_picture() -> None:
    assert picture_size(KEY) == (320, 240)


def test_a_descriptor_by_itself_is_no_payload() -> None:
    with pytest.raises(ValueError, match="without VP9"):
        Vp9Depacketiser().parse(b"\x88\x01")


def test_what_comes_out_can_be_decoded() -> None:
    codec = Codec("VP9", 90000, 1, 98)
    depacketiser, decoder = Vp9Depacketiser(), open_decoder(codec, SoundCounts())
    for number, data in enumerate(frames()):
        frame = depacketiser.assemble([depacketiser.parse(b"\x08" + data)])
        assert frame.keyframe == (number == 0)
        (decoded,) = decoder.decode(EncodedFrame(codec, frame.data, number * 3000, 0.0, frame.keyframe))
        assert (decoded.frame.width, decoded.frame.height) == (72, 64)  # type: ignore[union-attr]


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_raise_nothing_but_value_error(payloads: list[bytes]) -> None:
    depacketiser = depacketiser_for(Codec("vp9", 90000))
    assert isinstance(depacketiser, Vp9Depacketiser)
    try:
        frame = depacketiser.assemble([depacketiser.parse(payload) for payload in payloads])
    except ValueError:
        return
    assert frame.data
    assert (frame.width > 0 and frame.height > 0) == frame.keyframe
