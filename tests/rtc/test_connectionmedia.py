"""Tracks and channels as the application has them: which m-line a track goes to, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import MediaStreamTrack
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError

from peer.rtc.configuration import Configuration
from peer.rtc.jsep import MAX_SLOTS
from tests.dropin.kit import Colour, Tone, answer, coming, connect, negotiate, offer, sound, until, within
from tests.rtc.connections import LOCAL, connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.rtc.connection import PeerConnection


@pytest.fixture
async def pair() -> AsyncIterator[list[PeerConnection]]:
    async with connections(None, None) as made:
        yield made


async def test_each_track_has_its_transceiver(pair: list[PeerConnection]) -> None:
    one, _ = pair
    tracks = [Tone(), Colour(), Tone()]
    senders = [one.addTrack(track) for track in tracks]
    assert one.getSenders() == senders and [each.track for each in senders] == tracks
    assert [each.kind for each in one.getTransceivers()] == ["audio", "video", "audio"]
    assert [each.track.kind for each in one.getReceivers()] == ["audio", "video", "audio"]
    assert {each.direction for each in one.getTransceivers()} == {"sendrecv"}


@pytest.mark.parametrize(("before", "after"), [("recvonly", "sendrecv"), ("inactive", "sendonly")])
async def test_a_track_goes_to_a_transceiver_that_is_free(pair: list[PeerConnection], before: str, after: str) -> None:
    one, _ = pair
    transceiver = one.addTransceiver("audio", before)
    sender = one.addTrack(Tone(), "stream")
    assert transceiver.sender is sender and transceiver.direction == after
    assert transceiver.record.streams == ("stream",)


async def test_a_track_goes_to_the_m_line_that_was_offered(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    await two.setRemoteDescription(await offer(one))
    sender = two.addTrack(Tone())
    (transceiver,) = two.getTransceivers()
    assert transceiver.sender is sender and transceiver.direction == "sendrecv"


async def test_whoever_only_receives_can_be_sent_something(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTransceiver("audio", "recvonly")
    await two.setRemoteDescription(await offer(one))
    (transceiver,) = two.getTransceivers()
    assert transceiver.direction == "recvonly", "webrtc-pc section 4.4.1.5: as soon as the offer is set"
    sender = two.addTrack(Tone())
    assert two.getTransceivers() == [transceiver] and transceiver.sender is sender
    await two.setLocalDescription(await two.createAnswer())
    assert transceiver.currentDirection == "sendonly"


async def test_an_offered_m_line_takes_the_track_that_waits_for_one(pair: list[PeerConnection]) -> None:
    one, two = pair
    track = Tone()
    one.addTrack(Tone())
    two.addTrack(track)
    await connect(one, two)
    (transceiver,) = two.getTransceivers()
    assert transceiver.sender.track is track and transceiver.currentDirection == "sendrecv"


async def test_tracks_that_cannot_be_added(pair: list[PeerConnection]) -> None:
    one, _ = pair
    track, strange = Tone(), Tone()
    strange.kind = "smell"
    one.addTrack(track)
    with pytest.raises(InvalidAccessError, match="already has a sender"):
        one.addTrack(track)
    with pytest.raises(InvalidAccessError, match="already has a sender"):
        one.addTransceiver(track)
    for add in (one.addTrack, one.addTransceiver):
        with pytest.raises(InternalError, match="smell"):
            add(strange)
    with pytest.raises(InternalError, match="smell"):
        one.addTransceiver("smell")
    with pytest.raises(InternalError, match="both"):
        one.addTransceiver("audio", "both")
    assert len(one.getTransceivers()) == 1


async def test_transceivers_are_bounded(pair: list[PeerConnection]) -> None:
    one, _ = pair
    with pytest.raises(InvalidStateError, match="at most"):
        for _ in range(MAX_SLOTS + 1):
            one.addTransceiver("audio", "recvonly")
    one.getTransceivers()[0].stop()
    one.addTransceiver("audio", "recvonly")


async def test_a_removed_track_leaves_its_transceiver(pair: list[PeerConnection]) -> None:
    one, two = pair
    track = Tone()
    sender = one.addTrack(track)
    one.removeTrack(sender)
    (transceiver,) = one.getTransceivers()
    assert sender.track is None and track.readyState == "live" and transceiver.direction == "recvonly"
    one.removeTrack(sender)
    transceiver.direction = "sendrecv"
    one.removeTrack(sender)
    assert transceiver.direction == "sendrecv", "there was nothing to remove"
    other = two.addTrack(Tone())
    with pytest.raises(InvalidAccessError, match="not of this connection"):
        one.removeTrack(other)


async def test_the_sender_of_a_stopped_transceiver_has_nothing_to_remove(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    one.addTrack(Colour())
    sender = one.addTrack(Tone())
    await connect(one, two)
    one.getTransceivers()[1].stop()
    one.removeTrack(sender)
    await negotiate(one, two)
    assert sender not in one.getSenders()
    one.removeTrack(sender)


async def test_a_transceiver_that_was_never_offered_is_stopped_at_once(pair: list[PeerConnection]) -> None:
    one, _ = pair
    track = Tone()
    one.addTrack(track)
    (transceiver,) = one.getTransceivers()
    transceiver.stop()
    assert one.getTransceivers() == [] and transceiver.receiver.track.readyState == "ended"
    one.addTrack(track)
    assert len(one.getTransceivers()) == 1
    assert (await one.createOffer()).sdp.count("m=audio") == 1


async def test_tracks_have_the_ids_of_the_description(pair: list[PeerConnection]) -> None:
    one, two = pair
    track = Tone()
    one.addTrack(track, "stream")
    arriving = coming(two, "track")
    await connect(one, two)
    received = await within(arriving)
    assert isinstance(received, MediaStreamTrack) and received.id == track.id
    assert two.getReceivers()[0].track is received
    await sound(received)
    assert not received.muted
    (source,) = two.getReceivers()[0].getSynchronizationSources()
    assert one.localDescription is not None and f"a=ssrc:{source.source} " in one.localDescription.sdp


async def test_a_track_of_a_call_without_one_is_silent(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTransceiver("audio", "recvonly")
    told: list[Any] = []
    two.on("track", told.append)
    await connect(one, two)
    assert told == [] and two.getReceivers()[0].track.muted
    assert two.getReceivers()[0].getSynchronizationSources() == []


# Data channels


async def test_channels_of_both_sides(pair: list[PeerConnection]) -> None:
    one, two = pair
    assert one.sctp is None
    first, second = one.createDataChannel("first"), two.createDataChannel("second")
    there, back = coming(two, "datachannel"), coming(one, "datachannel")
    await connect(one, two)
    assert [(await within(each)).label for each in (there, back)] == ["first", "second"]
    assert one.sctp is not None and one.sctp.transport is one.path.dtls
    for channel in (first, second):
        await until(channel, "open", lambda channel=channel: channel.readyState == "open")
    assert first.id != second.id


async def test_channels_that_cannot_be(pair: list[PeerConnection]) -> None:
    one, _ = pair
    with pytest.raises(ValueError, match="Cannot specify both"):
        one.createDataChannel("any", maxPacketLifeTime=1, maxRetransmits=1)
    with pytest.raises(ValueError, match="."):
        one.createDataChannel("any", negotiated=True)
    assert not [line for line in (await one.createOffer()).sdp.splitlines() if line.startswith("m=")]


async def test_channels_that_the_other_side_does_not_take_are_closed(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    channel = one.createDataChannel("any")
    closed = coming(channel, "close")
    there = await offer(one)
    back = await answer(two, there)
    head, data = back.sdp.split("m=application 9")
    back.sdp = head.replace("BUNDLE 0 1", "BUNDLE 0") + "m=application 0" + data
    await one.setRemoteDescription(back)
    await within(closed)
    assert channel.readyState == "closed" and one.sctp is None


async def test_a_handler_of_messages_that_raises_loses_none(
    pair: list[PeerConnection], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    got: asyncio.Queue[Any] = asyncio.Queue()

    def broken(text: str) -> None:
        got.put_nowait(text)
        raise RuntimeError("handler")

    two.on("datachannel", lambda channel: channel.on("message", broken))
    channel = one.createDataChannel("any")
    await connect(one, two)
    await until(channel, "open", lambda: channel.readyState == "open")
    for number in range(20):
        channel.send(str(number))
    assert [await within(got.get()) for _ in range(20)] == [str(number) for number in range(20)]
    assert "RuntimeError: handler" in caplog.text


async def test_data_channels_before_any_is_created() -> None:
    async with connections(Configuration(LOCAL, data_channels=True), None) as (one, two):
        one.addTrack(Tone())
        await connect(one, two)
        assert one.localDescription is not None
        assert one.localDescription.sdp.index("m=application") < one.localDescription.sdp.index("m=audio")
        there = coming(two, "datachannel")
        one.createDataChannel("any")
        await within(there)


# Statistics


async def test_statistics_of_a_call(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    arriving = coming(two, "track")
    await connect(one, two)
    await sound(await within(arriving))
    types = {each.type for each in (await two.getStats()).values()}
    assert types >= {"inbound-rtp", "transport", "candidate-pair", "local-candidate", "remote-candidate"}
    found = await one.getStats()
    assert {"outbound-rtp", "transport", "candidate-pair"} <= {each.type for each in found.values()}
    (chosen,) = [each for each in found.values() if each.type == "candidate-pair" and each.selected]
    (path,) = [each for each in found.values() if each.type == "transport"]
    assert path.selectedCandidatePairId == chosen.id
    assert chosen.localCandidateId in found and chosen.remoteCandidateId in found
    assert chosen.state == "succeeded" and chosen.bytesSent > 0


async def test_what_arrives_is_told_to_who_sends_it(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    arriving = coming(two, "track")
    await connect(one, two)
    await sound(await within(arriving))

    async def estimate() -> int | None:
        found = (await one.getStats()).values()
        return next(each.availableOutgoingBitrate for each in found if each.type == "candidate-pair" and each.selected)

    async with asyncio.timeout(10):
        while await estimate() is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    assert len(one.getSenders()[0].transport.outgoing.congestion.sent) < 10


async def test_statistics_before_and_after(pair: list[PeerConnection]) -> None:
    one, _ = pair
    one.addTrack(Tone())
    assert [each.type for each in (await one.getStats()).values()] == ["outbound-rtp", "transport"]
    await one.close()
    assert "transport" in {each.type for each in (await one.getStats()).values()}
