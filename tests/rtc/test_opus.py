"""Audio: one packet is one frame. And which codecs have a payload format at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.frames import Codec
from peer.rtc.payload import Chunk, FrameData, depacketiser_for
from peer.rtc.payload.av1 import Av1Depacketiser
from peer.rtc.payload.h264 import H264Depacketiser
from peer.rtc.payload.opus import MAX_SAMPLES, AudioDepacketiser, duration, samples
from peer.rtc.payload.vp8 import Vp8Depacketiser
from peer.rtc.payload.vp9 import Vp9Depacketiser


@pytest.mark.parametrize("name", ["opus", "PCMU", "PCMA", "G722"])
def test_one_packet_is_one_frame(name: str) -> None:
    depacketiser = depacketiser_for(Codec(name, 8000))
    assert isinstance(depacketiser, AudioDepacketiser)
    chunk = depacketiser.parse(b"sound")
    assert chunk == Chunk(b"sound", True, True)
    assert depacketiser.assemble([chunk]) == FrameData(b"sound", True, 0, 0)


def test_an_empty_payload_raises() -> None:
    with pytest.raises(ValueError, match="without a byte"):
        AudioDepacketiser().parse(b"")


@pytest.mark.parametrize("count", [0, 2])
def test_a_frame_of_no_or_many_packets_raises(count: int) -> None:
    with pytest.raises(ValueError, match="one packet"):
        AudioDepacketiser().assemble([Chunk(b"a", True, True)] * count)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("VP8", Vp8Depacketiser),
        ("vp8", Vp8Depacketiser),
        ("VP9", Vp9Depacketiser),
        ("AV1", Av1Depacketiser),
        ("h264", H264Depacketiser),
        ("OPUS", AudioDepacketiser),
    ],
)
def test_names_of_codecs_are_taken_in_any_case(name: str, kind: type) -> None:
    assert isinstance(depacketiser_for(Codec(name, 90000)), kind)


@pytest.mark.parametrize("name", ["H265", "rtx", "telephone-event", ""])
def test_other_codecs_have_none(name: str) -> None:
    assert depacketiser_for(Codec(name, 90000)) is None


@pytest.mark.parametrize(
    ("configuration", "milliseconds"),
    [(0, 10), (3, 60), (6, 40), (9, 20), (12, 10), (15, 20), (16, 2.5), (21, 5), (26, 10), (31, 20)],
)
@pytest.mark.parametrize(("rest", "frames"), [((0,), 1), ((1,), 2), ((2, 9), 2), ((3, 1), 1), ((3, 0x82), 2)])
def test_an_opus_packet_says_how_long_it_is(
    configuration: int, milliseconds: float, rest: tuple[int, ...], frames: int
) -> None:
    """RFC 6716 section 3.1, table 2."""
    data = bytes([configuration << 3 | rest[0], *rest[1:]])
    assert samples(Codec("opus", 48000, 2), data) == min(milliseconds * 48 * frames, MAX_SAMPLES)


def test_an_opus_packet_that_is_cut_off_has_no_samples() -> None:
    assert samples(Codec("opus", 48000, 2), b"\xff") == 0


@pytest.mark.parametrize(("name", "count"), [("PCMU", 160), ("PCMA", 160), ("G722", 320)])
def test_a_byte_of_telephone_sound_is_a_sample_or_two(name: str, count: int) -> None:
    assert samples(Codec(name, 8000), bytes(160)) == count


@pytest.mark.parametrize(("name", "units"), [("PCMU", 160), ("G722", 160), ("opus", 960)])
def test_how_long_a_packet_is_on_the_clock_of_its_stream(name: str, units: int) -> None:
    assert duration(name, bytes([0x08]) + bytes(159)) == units
    assert duration(name, b"") == 0


@given(st.binary(min_size=1, max_size=4))
def test_no_bytes_are_longer_than_120_ms(data: bytes) -> None:
    assert 0 <= samples(Codec("opus", 48000, 2), data) <= MAX_SAMPLES
