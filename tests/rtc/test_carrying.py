"""What was decided is carried out: streams reach the tracks of their m-lines, feedback its senders, all of it ends."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCSessionDescription

from peer.rtc import codecs
from peer.rtc.transceiver import RtpSender
from tests.dropin.kit import (
    BLUE,
    GREEN,
    RED,
    Colour,
    Tone,
    answer,
    collected,
    coming,
    connect,
    in_state,
    negotiate,
    offer,
    picture,
    sound,
    within,
)
from tests.rtc.connections import connections, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.rtc.connection import PeerConnection


@pytest.fixture
async def pair() -> AsyncIterator[list[PeerConnection]]:
    async with connections(None, None) as made:
        yield made


def without(description: RTCSessionDescription, pattern: str) -> RTCSessionDescription:
    return RTCSessionDescription(re.sub(rf"{pattern}.*\r\n", "", description.sdp), description.type)


async def test_two_videos_whose_ssrcs_nobody_announced(pair: list[PeerConnection]) -> None:
    """They are told apart by the MID in their packets, before and after another negotiation."""
    one, two = pair
    for colour in (RED, GREEN):
        one.addTrack(Colour(colour))
    arriving = collected(two, "track")
    for _ in range(2):
        there = without(await offer(one), "a=ssrc")
        await one.setRemoteDescription(await answer(two, there))
    await in_state("connected", one, two)
    tracks = [arriving.get_nowait() for _ in range(2)]
    await asyncio.gather(picture(tracks[0], RED), picture(tracks[1], GREEN))
    assert [each.remote.mid for each in tracks] == ["0", "1"]
    assert all(len(each.remote.sources()) == 1 for each in tracks)


async def test_sound_and_pictures_whose_ssrcs_and_mids_nobody_says(pair: list[PeerConnection]) -> None:
    """By their payload types."""
    one, two = pair
    for track in (Tone(), Colour(BLUE)):
        one.addTrack(track)
    arriving = collected(two, "track")
    there = without(await offer(one), f"(a=ssrc|a=extmap:[0-9]+ {codecs.MID})")
    await one.setRemoteDescription(await answer(two, there))
    tracks = [arriving.get_nowait() for _ in range(2)]
    await asyncio.gather(sound(tracks[0]), picture(tracks[1], BLUE))


async def test_a_track_is_muted_until_something_comes(pair: list[PeerConnection]) -> None:
    one, two = pair
    source = Colour()
    sender = one.addTransceiver("video").sender
    muted: list[bool] = []
    two.on("track", lambda track: muted.append(track.muted))
    arriving = coming(two, "track")
    await connect(one, two)
    track = await within(arriving)
    assert muted == [True] and track.muted
    unmuted = coming(track, "unmute")
    sender.replaceTrack(source)
    await within(unmuted)
    assert not track.muted


async def test_candidates_that_cannot_be_used_are_passed_over(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    there = await offer(one)
    bad = "a=candidate:nonsense\r\na=candidate:1 1 sctp 5 192.0.2.1 9 typ host\r\na=candidate:\r\n"
    there.sdp = there.sdp.replace("a=candidate:", bad + "a=candidate:", 1)
    await one.setRemoteDescription(await answer(two, there))
    await in_state("connected", one, two)


async def test_a_keyframe_is_asked_for_and_comes(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Colour())
    arriving = coming(two, "track")
    await connect(one, two)
    remote = (await within(arriving)).remote
    frames = remote.encoded()
    async with asyncio.timeout(10):
        for _ in range(2):
            while not (await anext(frames)).keyframe:
                pass
            while (await anext(frames)).keyframe:  # those that come by themselves at the beginning
                pass
            remote.request_keyframe()
    frames.close()
    assert remote.stats().pli_count >= 1


async def test_what_the_network_loses_is_repaired(pair: list[PeerConnection], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    one.addTrack(Tone())
    one.addTrack(Colour(RED, 640, 480))
    arriving = collected(two, "track")
    await connect(one, two)
    remote = {each.kind: each for each in (arriving.get_nowait(), arriving.get_nowait())}["video"].remote
    frames, send, count = remote.encoded(), one.ice.send_all, 0

    def lossy(packets: list[bytes]) -> None:
        nonlocal count
        for data in packets:
            count += 1
            if count % 5:
                send([data])

    monkeypatch.setattr(one.ice, "send_all", lossy)
    async with asyncio.timeout(20):
        before = await anext(frames)
        while remote.stats().nack_count < 2:
            frame = await anext(frames)
            assert frame.complete_before or frame.keyframe
            assert frame.timestamp > before.timestamp
            before = frame
    frames.close()


async def test_nothing_is_received_that_was_not_agreed(pair: list[PeerConnection]) -> None:
    one, two = pair
    sender = one.addTrack(Colour())
    arriving = coming(two, "track")
    await connect(one, two)
    track = await within(arriving)
    await picture(track)
    two.getTransceivers()[0].direction = "inactive"
    await negotiate(two, one)
    assert one.getTransceivers()[0].currentDirection == "inactive"
    before = track.remote.stats().packets_received
    sender.media.enabled = True  # a sender that does not care
    taken = two.path.dtls.packets_received
    async with asyncio.timeout(10):
        while two.path.dtls.packets_received < taken + 5:  # noqa: ASYNC110 (that nothing tells it is the point)
            await asyncio.sleep(0.01)
    assert track.remote.stats().packets_received == before and track.muted


async def test_a_stopped_transceiver_is_begun_by_nobody(pair: list[PeerConnection]) -> None:
    """The other side begins to send on it before it has learned that it was stopped."""
    one, two = pair
    one.addTrack(Colour())
    one.addTransceiver("audio")
    two.addTransceiver("audio", "recvonly")
    await connect(one, two)
    told: list[Any] = []
    one.on("track", told.append)
    one.getTransceivers()[1].stop()
    two.addTrack(Tone())
    await negotiate(two, one)
    assert told == [] and "1" not in vars(one.path.dtls.router)["_lines"]
    assert [len(each.getTransceivers()) for each in pair] == [1, 1]


async def test_extension_ids_of_all_m_lines_are_known(pair: list[PeerConnection]) -> None:
    one, two = pair
    for track in (Tone(), Colour()):
        one.addTrack(track)
    await connect(one, two)
    for pc in pair:
        assert pc.path.dtls.extension_ids.keys() >= {codecs.MID, codecs.ABS_SEND_TIME, codecs.AUDIO_LEVEL}


async def test_a_rolled_back_offer_leaves_nothing_of_its_tracks(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    await two.setRemoteDescription(await offer(one))
    receiver = two.getReceivers()[0]
    await two.setRemoteDescription(RTCSessionDescription("", "rollback"))
    await turns()
    assert receiver.remote.ended and receiver.track.readyState == "ended"
    assert vars(vars(two)["_carrier"])["_made"] == []


@pytest.mark.virtual_time
async def test_a_sender_that_does_not_end_does_not_hold_the_end_up(
    pair: list[PeerConnection], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = pair

    async def hang(self: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(RtpSender, "stop", hang)
    one.addTrack(Tone())
    await one.close()
    assert "did not close within 2 s" in caplog.text and one.getReceivers()[0].track.readyState == "ended"


async def test_a_sender_that_breaks_at_its_end_does_not_keep_the_rest(
    pair: list[PeerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair

    async def broken(self: Any) -> None:
        raise RuntimeError("sender")

    monkeypatch.setattr(RtpSender, "stop", broken)
    one.addTrack(Tone())
    await one.close()
    assert one.connectionState == "closed" and one.getReceivers()[0].track.readyState == "ended"
