"""VP8 payloads (RFC 7741) become frames; bytes that are none raise ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.frames import Codec
from peer.rtc.payload import Chunk, FrameData, depacketiser_for
from peer.rtc.payload.vp8 import Vp8Depacketiser, descriptor_size

KEY = b"\x10\x02\x00\x9d\x01\x2a" + (1280).to_bytes(2, "little") + (720 | 0x4000).to_bytes(2, "little") + b"key"
DELTA = b"\x11\x02\x00delta"


@pytest.mark.parametrize(
    ("descriptor", "size"),
    [
        (b"\x10", 1),
        (b"\x90\x00", 2),
        (b"\x90\x80\x11", 3),
        (b"\x90\x80\x81\x11", 4),
        (b"\x90\x40\x11", 3),
        (b"\x90\x20\x11", 3),
        (b"\x90\x10\x11", 3),
        (b"\x90\xf0\x81\x11\x22\x33", 6),
    ],
)
def test_descriptors_of_every_shape(descriptor: bytes, size: int) -> None:
    assert descriptor_size(descriptor) == size
    chunk = Vp8Depacketiser().parse(descriptor + KEY)
    assert chunk == Chunk(KEY, True, True)
    for cut in range(size):
        with pytest.raises(ValueError, match="cut short"):
            descriptor_size(descriptor[:cut])


def test_a_descriptor_by_itself_is_no_payload() -> None:
    with pytest.raises(ValueError, match="without VP8"):
        Vp8Depacketiser().parse(b"\x90\x80\x11")


@pytest.mark.parametrize(("first", "starts"), [(0x10, True), (0x30, True), (0x00, False), (0x11, False), (0x01, False)])
def test_only_the_first_partition_starts_a_frame(first: int, starts: bool) -> None:
    chunk = Vp8Depacketiser().parse(bytes((first,)) + KEY)
    assert chunk.starts_frame is starts
    assert chunk.keyframe is starts


def test_delta_frames_are_no_keyframes() -> None:
    assert Vp8Depacketiser().parse(b"\x10" + DELTA) == Chunk(DELTA, True, False)


def test_a_frame_of_several_packets_is_joined() -> None:
    depacketiser = Vp8Depacketiser()
    chunks = [depacketiser.parse(payload) for payload in (b"\x10" + KEY, b"\x00more", b"\x01and more")]
    assert depacketiser.assemble(chunks) == FrameData(KEY + b"moreand more", True, 1280, 720)


def test_a_keyframe_header_may_span_packets() -> None:
    depacketiser = Vp8Depacketiser()
    chunks = [depacketiser.parse(b"\x10" + KEY[:4]), depacketiser.parse(b"\x00" + KEY[4:])]
    assert depacketiser.assemble(chunks) == FrameData(KEY, True, 1280, 720)


def test_delta_frames_say_no_size() -> None:
    depacketiser = Vp8Depacketiser()
    assert depacketiser.assemble([depacketiser.parse(b"\x10" + DELTA)]) == FrameData(DELTA, False, 0, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (KEY[:9], "start code"),
        (KEY[:3] + b"abc" + KEY[6:], "start code"),
        (KEY[:6] + bytes(2) + KEY[8:], "size"),
        (KEY[:8] + b"\x00\xc0" + KEY[10:], "size"),
    ],
)
def test_bad_keyframe_headers_raise(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vp8Depacketiser().assemble([Chunk(data, True, True)])


@pytest.mark.parametrize("chunks", [[], [Chunk(DELTA, False, False)]])
def test_a_frame_without_its_start_raises(chunks: list[Chunk]) -> None:
    with pytest.raises(ValueError, match="first packet"):
        Vp8Depacketiser().assemble(chunks)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_raise_nothing_but_value_error(payloads: list[bytes]) -> None:
    depacketiser = depacketiser_for(Codec("vp8", 90000))
    assert isinstance(depacketiser, Vp8Depacketiser)
    try:
        frame = depacketiser.assemble([depacketiser.parse(payload) for payload in payloads])
    except ValueError:
        return
    assert frame.data
    assert (frame.width > 0 and frame.height > 0) == frame.keyframe
