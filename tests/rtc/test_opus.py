"""Audio: one packet is one frame. And which codecs have a payload format at all."""

from __future__ import annotations

import pytest

from peer.rtc.frames import Codec
from peer.rtc.payload import Chunk, FrameData, depacketiser_for
from peer.rtc.payload.h264 import H264Depacketiser
from peer.rtc.payload.opus import AudioDepacketiser
from peer.rtc.payload.vp8 import Vp8Depacketiser


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
    [("VP8", Vp8Depacketiser), ("vp8", Vp8Depacketiser), ("h264", H264Depacketiser), ("OPUS", AudioDepacketiser)],
)
def test_names_of_codecs_are_taken_in_any_case(name: str, kind: type) -> None:
    assert isinstance(depacketiser_for(Codec(name, 90000)), kind)


@pytest.mark.parametrize("name", ["VP9", "AV1", "rtx", "telephone-event", ""])
def test_other_codecs_have_none(name: str) -> None:
    assert depacketiser_for(Codec(name, 90000)) is None
