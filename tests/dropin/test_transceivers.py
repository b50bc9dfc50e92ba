"""Programs about tracks, senders, receivers and transceivers before there is a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiortc import (
    InvalidAccessError,
    MediaStreamTrack,
    RTCRtpReceiver,
    RTCRtpSender,
)
from aiortc.exceptions import InternalError

from tests.dropin.kit import Colour, Tone

if TYPE_CHECKING:
    from tests.dropin.kit import Make


class Smell(MediaStreamTrack):
    kind = "smell"

    async def recv(self) -> None:  # type: ignore[override]
        raise AssertionError("nobody reads it")


async def test_adding_tracks(make: Make) -> None:
    pc = make()
    assert (pc.getSenders(), pc.getReceivers(), pc.getTransceivers()) == ([], [], [])
    tone, colour = Tone(), Colour()
    senders = [pc.addTrack(tone), pc.addTrack(colour)]
    assert pc.getSenders() == senders
    assert [sender.track for sender in senders] == [tone, colour]
    assert [sender.kind for sender in senders] == ["audio", "video"]
    for transceiver in pc.getTransceivers():
        assert (transceiver.direction, transceiver.currentDirection) == ("sendrecv", None)
        assert (transceiver.mid, transceiver.stopped) == (None, False)
    assert [each.kind for each in pc.getTransceivers()] == ["audio", "video"]
    assert [each.sender for each in pc.getTransceivers()] == senders
    assert [each.receiver for each in pc.getTransceivers()] == pc.getReceivers()


async def test_a_track_is_sent_once(make: Make) -> None:
    pc = make()
    tone = Tone()
    pc.addTrack(tone)
    with pytest.raises(InvalidAccessError, match="already has a sender"):
        pc.addTrack(tone)
    with pytest.raises(InvalidAccessError, match="already has a sender"):
        pc.addTransceiver(tone)


async def test_a_track_takes_a_transceiver_that_sends_nothing(make: Make) -> None:
    pc = make()
    transceiver = pc.addTransceiver("video", direction="recvonly")
    assert pc.addTrack(Colour()) is transceiver.sender
    assert transceiver.direction == "sendrecv"
    assert pc.addTrack(Colour()) is not transceiver.sender
    assert len(pc.getTransceivers()) == 2


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
async def test_directions(make: Make, direction: str) -> None:
    pc = make()
    transceiver = pc.addTransceiver("audio", direction=direction)
    assert (transceiver.kind, transceiver.direction, transceiver.sender.track) == ("audio", direction, None)
    await pc.setLocalDescription()
    assert f"a={direction}\r\n" in pc.localDescription.sdp
    transceiver.direction = "inactive"
    assert "a=inactive\r\n" in (await pc.createOffer()).sdp


async def test_kinds_and_directions_that_do_not_exist(make: Make) -> None:
    pc = make()
    with pytest.raises(InternalError, match='Invalid track kind "smell"'):
        pc.addTrack(Smell())
    with pytest.raises(InternalError, match='Invalid track kind "smell"'):
        pc.addTransceiver("smell")
    with pytest.raises(InternalError, match='Invalid direction "sideways"'):
        pc.addTransceiver("audio", direction="sideways")
    transceiver = pc.addTransceiver("audio")
    with pytest.raises((AssertionError, ValueError)):  # aiortc asserts
        transceiver.direction = "sideways"


async def test_codecs_of_another_kind_cannot_be_preferred(make: Make) -> None:
    transceiver = make().addTransceiver("video")
    with pytest.raises(ValueError, match="Codec is not in capabilities"):
        transceiver.setCodecPreferences(RTCRtpSender.getCapabilities("audio").codecs)
    transceiver.setCodecPreferences([])


async def test_preferences_are_the_order_of_the_offer(make: Make) -> None:
    pc = make()
    transceiver = pc.addTransceiver("audio")
    known = [each for each in RTCRtpReceiver.getCapabilities("audio").codecs if each.mimeType != "audio/G722"]
    transceiver.setCodecPreferences(list(reversed(known)))
    offered = [line for line in (await pc.createOffer()).sdp.splitlines() if line.startswith("a=rtpmap")]
    names = [line.split(" ")[1].split("/")[0].lower() for line in offered]
    assert names == [each.mimeType.split("/")[1].lower() for each in reversed(known)]
    transceiver.setCodecPreferences([])
    assert "G722" in (await pc.createOffer()).sdp


async def test_a_transceiver_that_was_stopped_before_is_not_offered(make: Make) -> None:
    pc = make()
    sound, pictures = pc.addTransceiver(Tone()), pc.addTransceiver(Colour())
    await sound.stop()
    assert (sound.stopped, pictures.stopped) == (True, False)
    offer = await pc.createOffer()
    assert "m=video" in offer.sdp
    assert "m=audio" not in offer.sdp
