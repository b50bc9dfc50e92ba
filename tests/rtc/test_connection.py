"""Two connections negotiate whatever the application wants, in any order and from either side, and media goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCCertificate, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from peer.errors import UsageError
from peer.rtc import sdp
from peer.rtc.configuration import Configuration
from peer.rtc.connection import PeerConnection
from peer.rtc.ice.servers import IceSettings
from signaling.messages import IceServer
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
    flows,
    in_state,
    local_only,
    negotiate,
    offer,
    picture,
    sent,
    sound,
    until,
    within,
)
from tests.harness.certificates import another_fingerprint
from tests.rtc.connections import LOCAL, Party, connections, meeting, settled, told, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROLLBACK = RTCSessionDescription("", "rollback")


class Call:
    """A call in which both sides send a picture, and have a data channel."""

    def __init__(self, one: Party, two: Party) -> None:
        self.parties = (one, two)
        self.tracks = {one: coming(one.pc, "track"), two: coming(two.pc, "track")}
        one.pc.addTrack(Colour(RED))
        two.pc.addTrack(Colour(BLUE))
        self.channel = one.pc.createDataChannel("chat")
        self.texts: asyncio.Queue[Any] = asyncio.Queue()
        two.pc.on("datachannel", lambda channel: channel.on("message", self.texts.put_nowait))

    async def check(self) -> None:
        """Pictures and texts still go through."""
        one, two = self.parties
        await asyncio.gather(
            picture(await within(self.tracks[one]), BLUE), picture(await within(self.tracks[two]), RED)
        )
        await until(self.channel, "open", lambda: self.channel.readyState == "open")
        self.channel.send("still there")
        assert await within(self.texts.get()) == "still there"
        assert {each.pc.connectionState for each in self.parties} == {"connected"}


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    made: list[Call] = []
    async with meeting(prepare=lambda one, two: made.append(Call(one, two))):
        yield made[0]


@pytest.fixture(params=["by who called", "by who was called"])
def sides(request: pytest.FixtureRequest, call: Call) -> tuple[Party, Party]:
    """Who does something, and the other."""
    one, two = call.parties
    return (one, two) if request.param == "by who called" else (two, one)


@pytest.fixture
async def pair() -> AsyncIterator[list[PeerConnection]]:
    """Two by hand."""
    async with connections(None, None) as made:
        yield made


# Trickle, or not


async def test_descriptions_go_out_before_any_candidate_is_known() -> None:
    """`meeting` sends descriptions and candidates as they come; neither side ever waits for the other's."""

    def check(one: Party, two: Party) -> None:
        one.pc.createDataChannel("any")

    async with meeting(prepare=check) as (one, two):
        assert one.pc.ice.selected_pair is not None and two.pc.ice.selected_pair is not None


async def test_without_trickle_the_description_has_all_candidates() -> None:
    configuration = Configuration(LOCAL, trickle=False)
    async with connections(configuration, configuration) as (one, two):
        events = told(one, "icecandidate")
        one.createDataChannel("any")
        await one.setLocalDescription()
        assert one.iceGatheringState == "complete"
        assert one.localDescription is not None and "a=end-of-candidates" in one.localDescription.sdp
        assert "a=candidate:" in one.localDescription.sdp
        await one.setRemoteDescription(await answer(two, await sent(one.localDescription)))
        await in_state("connected", one, two)
        assert events, "who listens is told all the same"


async def test_without_trickle_there_is_one_deadline_for_dead_servers() -> None:
    servers = tuple(IceServer([f"stun:192.0.2.{number}:9"]) for number in (77, 78))
    settings = IceSettings(servers=servers, ipv6=False)
    async with connections(Configuration(settings, trickle=False, gather_timeout=0.05)) as (one,):
        one.createDataChannel("any")
        await within(one.setLocalDescription())
        assert one.iceGatheringState == "gathering"
        assert one.localDescription is not None and "a=candidate:" in one.localDescription.sdp
        assert "a=end-of-candidates" not in one.localDescription.sdp


async def test_the_end_of_a_connection_ends_the_waiting_for_candidates() -> None:
    settings = IceSettings(servers=(IceServer(["stun:192.0.2.77:9"]),), ipv6=False)
    async with connections(Configuration(settings, trickle=False, gather_timeout=60)) as (one,):
        one.createDataChannel("any")
        describing = asyncio.create_task(one.setLocalDescription())
        await until(one, "signalingstatechange", lambda: one.signalingState == "have-local-offer")
        await one.close()
        with contextlib.suppress(InvalidStateError):
            await within(describing)


async def test_candidates_may_come_before_their_description(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    there = await offer(one)
    for line in re.findall(r"a=(candidate:.*)\r\n", there.sdp):
        await two.addIceCandidate({"candidate": line, "sdpMid": "0"})
    there.sdp = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", there.sdp)
    back = await answer(two, there)
    back.sdp = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", back.sdp)
    await one.setRemoteDescription(back)
    await in_state("connected", one, two)


async def test_candidates_of_another_m_line_are_passed_over(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTransceiver("audio")
    one.createDataChannel("any")
    await two.setRemoteDescription(await offer(one))
    line = "candidate:1 1 udp 5 192.0.2.55 9 typ host"
    for where in ({"sdpMid": "1"}, {"sdpMid": "nine"}, {"sdpMLineIndex": 1}, {"sdpMLineIndex": 99}):
        await two.addIceCandidate({"candidate": line, **where})
    assert two.remoteDescription is not None and "192.0.2.55" not in two.remoteDescription.sdp
    for where in ({"sdpMid": "0"}, {"sdpMLineIndex": 0}):
        await two.addIceCandidate({"candidate": line, **where})
    assert "192.0.2.55" in two.remoteDescription.sdp


# Glare and rollback


@pytest.mark.parametrize("first", [0, 1], ids=["impolite first", "polite first"])
async def test_glare_on_the_very_first_offer(first: int) -> None:
    async with meeting() as parties:
        one, two = parties
        tracks = {each: coming(each.pc, "track") for each in parties}
        for each in (parties[first], parties[1 - first]):
            each.pc.addTrack(Colour(RED))
        await settled(*parties)
        await in_state("connected", one.pc, two.pc)
        assert one.ignored == 1 and one.offers == 1, "they did cross"
        for each in parties:
            await picture(await within(tracks[each]), RED)
        assert [len(each.pc.getTransceivers()) for each in parties] == [1, 1]
        assert {one.pc.ice.role, two.pc.ice.role} == {"controlling", "controlled"}


async def test_glare_in_mid_call(call: Call) -> None:
    one, two = call.parties
    arriving = [collected(each.pc, "track") for each in call.parties]
    for each in call.parties:
        each.pc.addTrack(Tone())
    await settled(one, two)
    assert one.ignored > 0
    for queue in arriving:
        await flows(await within(queue.get()))
    await call.check()
    assert [len(each.pc.getTransceivers()) for each in call.parties] == [2, 2]


async def test_an_offer_that_crosses_ours_rolls_ours_back(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    two.addTrack(Colour())
    tracks = coming(one, "track"), coming(two, "track")
    there, back = await offer(one), await offer(two)
    events = told(two, "signalingstatechange")
    await two.setRemoteDescription(there)
    assert [two.signalingState, len(events)] == ["have-remote-offer", 2]
    del back
    await two.setLocalDescription()
    await one.setRemoteDescription(await sent(two.localDescription))
    await negotiate(two, one)
    await in_state("connected", one, two)
    await asyncio.gather(picture(await within(tracks[0])), sound(await within(tracks[1])))


async def test_an_offer_that_cannot_be_read_rolls_nothing_back(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    await offer(one)
    with pytest.raises(ValueError, match="."):
        await one.setRemoteDescription(RTCSessionDescription("nonsense", "offer"))
    assert one.signalingState == "have-local-offer"


@pytest.mark.parametrize("local", [True, False], ids=["ours", "theirs"])
async def test_a_rollback_gives_up_an_offer(pair: list[PeerConnection], *, local: bool) -> None:
    one, two = pair
    one.addTrack(Tone())
    there = await offer(one)
    await two.setRemoteDescription(there)
    assert len(two.getTransceivers()) == 1
    held = two.getReceivers()[0].track
    pc = one if local else two
    await (pc.setLocalDescription(ROLLBACK) if local else pc.setRemoteDescription(ROLLBACK))
    assert pc.signalingState == "stable" and pc.localDescription is pc.remoteDescription is None
    if not local:
        assert two.getTransceivers() == [] and held.readyState == "ended"
        with pytest.raises(InvalidStateError):
            await two.createAnswer()
    await (two if local else one).setLocalDescription(ROLLBACK)
    await connect(one, two)
    await sound(two.getReceivers()[0].track)


async def test_there_is_nothing_to_roll_back(pair: list[PeerConnection]) -> None:
    for kind in ("setLocalDescription", "setRemoteDescription"):
        with pytest.raises(InvalidStateError):
            await getattr(pair[0], kind)(ROLLBACK)


async def test_a_rollback_in_mid_call_changes_nothing(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    actor.pc.remove_all_listeners("negotiationneeded")
    actor.pc.addTransceiver("audio")
    await actor.pc.setLocalDescription()
    before = actor.pc.currentLocalDescription
    await actor.pc.setLocalDescription(ROLLBACK)
    assert before is not None and actor.pc.localDescription is not None
    assert actor.pc.localDescription.sdp == before.sdp
    await call.check()


# ICE restarts


def fragments(pc: PeerConnection) -> tuple[str, str]:
    """Of the descriptions that hold."""
    assert pc.currentLocalDescription is not None and pc.currentRemoteDescription is not None
    found = [
        re.search(r"a=ice-ufrag:(\S+)", each.sdp) for each in (pc.currentLocalDescription, pc.currentRemoteDescription)
    ]
    return tuple(match[1] for match in found if match)  # type: ignore[return-value]


async def restarted(call: Call, before: tuple[str, str]) -> None:
    one, two = call.parties
    await settled(one, two)
    assert not set(fragments(one.pc)) & set(before)
    assert fragments(one.pc) == fragments(two.pc)[::-1]
    await until_moved(one, two)
    await call.check()


async def until_moved(*parties: Party) -> None:
    """Until the new path is the one in use."""
    async with asyncio.timeout(10):
        while any(each.pc.ice.restarting for each in parties):  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(0.005)


async def test_restart_by_one_side(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    before, offers = fragments(call.parties[0].pc), actor.offers
    states = told(actor.pc, "connectionstatechange")
    actor.pc.restartIce()
    actor.pc.restartIce()
    await restarted(call, before)
    assert actor.offers == offers + 1 and [each for each in states if each[1] in ("failed", "closed")] == []
    assert (actor.pc.path.restarts, other.pc.path.restarts) == (1, 1)


async def test_restart_by_both_at_once(call: Call) -> None:
    before = fragments(call.parties[0].pc)
    for each in call.parties:
        each.pc.restartIce()
    await restarted(call, before)
    assert call.parties[0].ignored > 0


async def test_restart_with_the_option_of_create_offer(call: Call) -> None:
    one, two = call.parties
    before, needed = fragments(one.pc), told(one.pc, "negotiationneeded")
    one.pc.remove_all_listeners("negotiationneeded")
    needed = told(one.pc, "negotiationneeded")
    made = await one.pc.createOffer(iceRestart=True)
    assert re.search(r"a=ice-ufrag:(\S+)", made.sdp)[1] not in before  # type: ignore[index]
    await one.pc.setLocalDescription(made)
    one.say(type="offer", sdp=made.sdp)
    await restarted(call, before)
    assert needed == []


async def test_an_offer_of_a_restart_that_is_not_set_changes_nothing(call: Call) -> None:
    one, two = call.parties
    one.pc.remove_all_listeners("negotiationneeded")
    before = fragments(one.pc)
    stale = await one.pc.createOffer(iceRestart=True)
    assert one.pc.localDescription is not None and "a=candidate:" not in one.pc.localDescription.sdp
    again = await one.pc.createOffer()
    assert re.search(r"a=ice-ufrag:(\S+)", again.sdp)[1] == before[0]  # type: ignore[index]
    with pytest.raises(ValueError, match="out of date"):
        await one.pc.setLocalDescription(stale)
    assert one.pc.signalingState == "stable" and fragments(one.pc) == before
    await call.check()


async def test_an_offer_of_the_other_side_ends_a_restart_that_is_not_set(call: Call) -> None:
    one, two = call.parties
    before = fragments(one.pc)
    await one.pc.createOffer(iceRestart=True)
    two.pc.addTransceiver("audio")
    await settled(one, two)
    assert fragments(one.pc) == before and not one.pc.ice.restarting
    await call.check()


async def test_a_restart_that_is_rolled_back_leaves_the_one_before_it(pair: list[PeerConnection]) -> None:
    """That one was agreed and has found no path yet; it still does."""
    one, two = pair
    one.addTrack(Colour())
    arriving = coming(two, "track")
    await connect(one, two)
    await picture(await within(arriving))
    one.restartIce()
    there = await offer(one)
    back = await answer(two, without_candidates(there))
    await one.setRemoteDescription(without_candidates(back))
    agreed = fragments(one)
    for _ in range(2):
        one.restartIce()
        await one.setLocalDescription()
        await one.setLocalDescription(ROLLBACK)
        assert fragments(one) == agreed and one.path.local.username_fragment == agreed[0]
    assert one.ice.restarting and one.connectionState == "connected"
    for pc, description in ((one, back), (two, there)):
        for line in re.findall(r"a=(candidate:.*)\r\n", description.sdp):
            await pc.addIceCandidate({"candidate": line, "sdpMid": "0"})
    async with asyncio.timeout(10):
        while one.ice.restarting or two.ice.restarting:  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(0.005)
    await picture(await within(arriving))


def without_candidates(description: RTCSessionDescription) -> RTCSessionDescription:
    text = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", description.sdp)
    return RTCSessionDescription(text, description.type)


async def test_a_restart_that_is_rolled_back_leaves_the_path(call: Call) -> None:
    one, two = call.parties
    one.pc.remove_all_listeners("negotiationneeded")
    before = fragments(one.pc)
    one.pc.restartIce()
    await one.pc.setLocalDescription()
    assert one.pc.ice.restarting
    await one.pc.setLocalDescription(ROLLBACK)
    assert not one.pc.ice.restarting and fragments(one.pc) == before
    await call.check()
    await one.pc.setLocalDescription()  # it is wanted still
    assert (
        one.pc.pendingLocalDescription is not None
        and f"a=ice-ufrag:{before[0]}" not in one.pc.pendingLocalDescription.sdp
    )


async def test_who_does_not_take_part_in_a_restart_keeps_the_path(pair: list[PeerConnection]) -> None:
    """As stock aiortc answers."""
    one = pair[0]
    other = RTCPeerConnection(local_only())
    one.addTrack(Colour())
    track = coming(other, "track")
    await connect(one, other)
    one.restartIce()
    await negotiate(one, other)
    assert not one.ice.restarting and one.path.restarts == 1
    await picture(await within(track))
    await other.close()


async def test_a_restart_before_the_first_negotiation_is_none(pair: list[PeerConnection]) -> None:
    needed = told(pair[0], "negotiationneeded")
    pair[0].restartIce()
    await turns()
    assert needed == []


# Tracks in mid-call


async def test_a_second_video_comes_and_goes(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    arriving = collected(other.pc, "track")
    sender = actor.pc.addTrack(Colour(GREEN))
    await settled(*call.parties)
    track = await within(arriving.get())
    await picture(track, GREEN)
    muted = coming(track, "mute")
    actor.pc.removeTrack(sender)
    await settled(*call.parties)
    await within(muted)
    assert track.readyState == "live" and not track.remote.active
    await call.check()


async def test_hold_and_unhold(call: Call, sides: tuple[Party, Party]) -> None:
    """The other side stops sending and begins again: the same track is muted and comes back."""
    actor, other = sides
    track = await within(call.tracks[other])
    await picture(track)
    again = collected(other.pc, "track")
    for _ in range(2):
        muted = coming(track, "mute")
        actor.pc.getTransceivers()[0].direction = "inactive"
        await settled(*call.parties)
        await within(muted)
        assert track.muted and track.readyState == "live"
        assert actor.pc.getTransceivers()[0].currentDirection == "inactive"
        unmuted = coming(track, "unmute")
        actor.pc.getTransceivers()[0].direction = "sendrecv"
        await settled(*call.parties)
        await within(unmuted)
        assert again.get_nowait() is track and not track.muted
        await call.check()


async def second_video(call: Call, actor: Party, other: Party) -> tuple[Any, Any]:
    """Another m-line with a picture in both directions; returns what each side receives."""
    arriving = [collected(each.pc, "track") for each in (actor, other)]
    actor.pc.addTrack(Colour(GREEN))
    await settled(*call.parties)
    other.pc.addTrack(Colour(GREEN))
    await settled(*call.parties)
    tracks = [await within(queue.get()) for queue in arriving]
    for track in tracks:
        await picture(track, GREEN)
    return tracks[0], tracks[1]


async def test_stop_by_either_side(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    tracks = await second_video(call, actor, other)
    mine, theirs = actor.pc.getTransceivers()[1], other.pc.getTransceivers()[1]
    source = mine.sender.track
    assert source is not None
    gone = [coming(each, "ended") for each in tracks]
    mine.stop()
    assert mine.sender.track is None and tracks[0].readyState == "ended", "at once"
    await settled(*call.parties)
    for each in gone:
        await within(each)
    assert theirs.stopped and theirs.currentDirection == "stopped"
    assert [len(each.pc.getTransceivers()) for each in call.parties] == [1, 1]
    assert source.readyState == "live"
    arriving = coming(other.pc, "track")
    actor.pc.addTrack(source)
    await settled(*call.parties)
    await picture(await within(arriving))
    for each in call.parties:
        assert len(m_lines(each.pc)) == 3, "the place is used again"
    await call.check()


def m_lines(pc: PeerConnection) -> list[str]:
    assert pc.localDescription is not None
    return re.findall(r"^m=(\w+)", pc.localDescription.sdp, re.MULTILINE)


async def test_the_m_line_that_stands_for_the_path_is_stopped(call: Call, sides: tuple[Party, Party]) -> None:
    """It is not rejected, as browsers would make another path then: the other side is on hold, and the rest goes on."""
    actor, other = sides
    tracks = [await within(call.tracks[each]) for each in (actor, other)]
    await picture(tracks[1])
    muted = coming(tracks[1], "mute")
    actor.pc.getTransceivers()[0].stop()
    await settled(*call.parties)
    await within(muted)
    assert tracks[0].readyState == "ended"
    await until(call.channel, "open", lambda: call.channel.readyState == "open")
    call.channel.send("still there")
    assert await within(call.texts.get()) == "still there"


async def test_stop_by_both_at_once(call: Call) -> None:
    one, two = call.parties
    tracks = await second_video(call, one, two)
    for each in call.parties:
        each.pc.getTransceivers()[1].stop()
    await settled(*call.parties)
    assert [len(each.pc.getTransceivers()) for each in call.parties] == [1, 1]
    assert [each.readyState for each in tracks] == ["ended", "ended"]
    await call.check()


async def test_the_place_of_a_stopped_m_line_is_used_again_and_again(call: Call) -> None:
    one, two = call.parties
    await second_video(call, one, two)
    for number in range(3):
        (one, two)[number % 2].pc.getTransceivers()[1].stop()
        await settled(one, two)
        arriving = coming(one.pc, "track")
        two.pc.addTrack(Colour(GREEN))
        await settled(one, two)
        await picture(await within(arriving), GREEN)
    assert m_lines(one.pc) == ["video", "application", "video"]


async def test_a_transceiver_stopped_before_its_answer_came(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    one.addTrack(Colour())
    there = await offer(one)
    tasks = asyncio.all_tasks()
    one.getTransceivers()[1].stop()
    await one.setRemoteDescription(await answer(two, there))
    await in_state("connected", one, two)
    await sound(two.getReceivers()[0].track)
    assert len([each for each in asyncio.all_tasks() - tasks if "MediaSender._carry" in repr(each)]) == 1
    await negotiate(one, two)
    assert [len(each.getTransceivers()) for each in pair] == [1, 1]


async def test_another_track_without_a_negotiation(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    offers = actor.offers
    track = await within(call.tracks[other])
    actor.pc.getSenders()[0].replaceTrack(Colour(GREEN))
    await picture(track, GREEN)
    actor.pc.getSenders()[0].replaceTrack(None)
    actor.pc.getSenders()[0].replaceTrack(Colour(RED, 96, 64))
    assert (await picture(track, RED)).width in (64, 96)
    assert actor.offers == offers


async def test_a_track_that_ended_is_followed_by_another(call: Call) -> None:
    one, two = call.parties
    sender = one.pc.getSenders()[0]
    track, first = await within(call.tracks[two]), sender.track
    await picture(track)
    assert first is not None
    first.stop()
    async with asyncio.timeout(10):
        while sender.media.track is not None:
            await picture(track)
    sender.replaceTrack(Colour(GREEN))
    await picture(track, GREEN)


async def test_codecs_may_change_in_mid_call(call: Call) -> None:
    one, two = call.parties
    track = await within(call.tracks[two])
    await picture(track)
    known = one.pc.getSenders()[0].getCapabilities("video").codecs
    h264 = [each for each in known if each.mimeType == "video/H264"]
    two.pc.getTransceivers()[0].setCodecPreferences(h264)
    one.pc.getTransceivers()[0].setCodecPreferences(h264)
    one.pc.restartIce()
    await settled(one, two)
    async with asyncio.timeout(10):
        while track.remote.codec.name != "H264":
            await picture(track)
    assert one.pc.getSenders()[0].codec == "H264"
    await call.check()


# Against stock aiortc


@pytest.mark.parametrize("ours_first", [True, False], ids=["we call", "we are called"])
async def test_a_call_with_stock_aiortc(*, ours_first: bool) -> None:
    ours, stock = PeerConnection(Configuration(LOCAL)), RTCPeerConnection(local_only())
    caller, callee = (ours, stock) if ours_first else (stock, ours)
    try:
        tracks = collected(ours, "track"), collected(stock, "track")
        for pc in (caller, callee):
            pc.addTrack(Tone())
        channel = caller.createDataChannel("chat")
        there = coming(callee, "datachannel")
        await connect(caller, callee)
        for queue in tracks:
            await sound(await within(queue.get()))
        await until(channel, "open", lambda: channel.readyState == "open")
        text = coming(await within(there), "message")
        channel.send("hello")
        assert await within(text) == "hello"
        callee.addTrack(Colour())  # an offer into a call that the other side began
        caller.addTransceiver("video", direction="recvonly")
        await negotiate(caller, callee)
        await picture(await within(tracks[0 if caller is ours else 1].get()))
    finally:
        await asyncio.gather(ours.close(), stock.close())


async def test_stock_aiortc_holds() -> None:
    ours, stock = PeerConnection(Configuration(LOCAL)), RTCPeerConnection(local_only())
    try:
        stock.addTrack(Colour())
        arriving = coming(ours, "track")
        await connect(stock, ours)
        track = await within(arriving)
        await picture(track)
        for direction, event in (("inactive", "mute"), ("sendrecv", "unmute")):
            happens = coming(track, event)
            stock.getTransceivers()[0].direction = direction
            await negotiate(stock, ours)
            await within(happens)
        await picture(track)
    finally:
        await asyncio.gather(ours.close(), stock.close())


# What is refused


async def test_a_certificate_that_changes_in_mid_call_is_refused(call: Call) -> None:
    one, two = call.parties
    one.pc.remove_all_listeners("negotiationneeded")
    made = await one.pc.createOffer()
    digits = another_fingerprint(made.sdp)
    assert digits != made.sdp
    with pytest.raises(ValueError, match="fingerprint"):
        await two.pc.setRemoteDescription(RTCSessionDescription(digits, "offer"))
    assert two.pc.signalingState == "stable"
    await call.check()


async def test_a_certificate_that_was_not_named_fails_the_connection(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    there = await offer(one)
    there.sdp = another_fingerprint(there.sdp)
    await one.setRemoteDescription(await answer(two, there))
    await in_state("failed", two)


@pytest.mark.parametrize("kind", ["pranswer", "answer"])
async def test_descriptions_that_cannot_be_set_now(pair: list[PeerConnection], kind: str) -> None:
    one, two = pair
    one.createDataChannel("any")
    text = (await one.createOffer()).sdp
    for method in (one.setLocalDescription, one.setRemoteDescription):
        with pytest.raises((InvalidStateError, ValueError)):
            await method(RTCSessionDescription(text, kind))
    assert (one.signalingState, one.iceGatheringState) == ("stable", "new")


async def test_settings_that_cannot_be_leave_everything_as_it_was(pair: list[PeerConnection]) -> None:
    other, settings = pair[0], IceSettings(ipv6=False, udp_ports=(2000, 1000))
    async with connections(Configuration(settings)) as (one,):
        one.createDataChannel("any")
        with pytest.raises(UsageError):
            await one.setLocalDescription()
        assert (one.signalingState, one.localDescription) == ("stable", None)
        other.createDataChannel("any")
        await one.setRemoteDescription(await offer(other))
        with pytest.raises(UsageError):
            await one.setLocalDescription()
        assert (one.signalingState, one.localDescription) == ("have-remote-offer", None)


# Handlers, and operations that overlap


async def test_a_handler_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("handler")

    def prepare(one: Party, two: Party) -> None:
        for each in (one, two):
            for event in (
                *("track", "datachannel", "negotiationneeded", "icecandidate", "signalingstatechange"),
                *("connectionstatechange", "iceconnectionstatechange", "icegatheringstatechange"),
            ):
                each.pc.on(event, broken)
        made.append(Call(one, two))
        made[0].channel.on("open", broken)
        two.pc.on("datachannel", lambda channel: channel.on("message", broken))

    made: list[Call] = []
    async with meeting(prepare=prepare):
        await made[0].check()
        await made[0].check()
    assert "RuntimeError: handler" in caplog.text


async def test_operations_that_overlap_are_done_in_their_order(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    there = await offer(one)
    order: list[str] = []

    async def noted(name: str, work: Any) -> Any:
        result = await work
        order.append(name)
        return result

    line = {"candidate": "candidate:1 1 udp 5 192.0.2.55 9 typ host", "sdpMid": "0"}
    await asyncio.gather(
        noted("remote", two.setRemoteDescription(there)),
        noted("candidate", two.addIceCandidate(line)),
        noted("answer", two.createAnswer()),
        noted("local", two.setLocalDescription()),
        noted("offer", two.createOffer()),
    )
    assert order == ["remote", "candidate", "answer", "local", "offer"]
    await one.setRemoteDescription(await sent(two.localDescription))
    await in_state("connected", one, two)


async def test_an_operation_that_fails_does_not_stop_the_next(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    results = await asyncio.gather(
        one.createAnswer(),
        one.setRemoteDescription(RTCSessionDescription("nonsense", "offer")),
        one.addIceCandidate({"candidate": "nonsense", "sdpMid": "0"}),
        one.createOffer(),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in results[:1]] == ["InvalidStateError"]
    assert isinstance(results[1], ValueError) and isinstance(results[2], ValueError)
    assert isinstance(results[3], RTCSessionDescription)


# The bundle moves


async def moved_offer(first: PeerConnection, second: PeerConnection) -> RTCSessionDescription:
    """An offer of another connection, with the m-lines of the first: its bundle stands on the other m-line."""
    for kind in ("audio", "video"):
        second.addTrack(Tone(880) if kind == "audio" else Colour(GREEN))
    made = await offer(second)
    return RTCSessionDescription(made.sdp.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0"), "offer")


async def sounding(track: Any, pitch: int) -> None:
    await sound(track, pitch)


@pytest.fixture
def _one_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all connections, as those of one browser page may have."""
    certificate = RTCCertificate.generateCertificate()
    monkeypatch.setattr(RTCCertificate, "generateCertificate", lambda: certificate)


@pytest.mark.usefixtures("_one_certificate")
@pytest.mark.parametrize("taken", [True, False], ids=["agreed", "rolled back"])
async def test_a_bundle_that_moves_to_another_path(*, taken: bool) -> None:
    async with connections(None, None, None) as (one, two, three):
        one.addTrack(Tone())
        one.addTrack(Colour(RED))
        two.addTrack(Tone(660))
        arriving = collected(two, "track")
        here, there = coming(one, "track"), coming(three, "track")
        await connect(one, two)
        tracks = {track.kind: track for track in (await within(arriving.get()), await within(arriving.get()))}
        await sounding(tracks["audio"], 440)
        made = await moved_offer(one, three)
        await two.setRemoteDescription(made)
        if not taken:
            await two.setRemoteDescription(ROLLBACK)
            await sounding(tracks["audio"], 440)
            await sounding(await within(here), 660)
            assert two.connectionState == "connected"
            return
        await two.setLocalDescription()
        await three.setRemoteDescription(await sent(two.localDescription))
        await in_state("connected", two, three)
        await sounding(tracks["audio"], 880)
        await picture(tracks["video"], GREEN)
        await sounding(await within(there), 660)


@pytest.mark.usefixtures("_one_certificate")
async def test_a_move_that_is_not_agreed_is_closed_with_the_rest() -> None:
    async with connections(None, None, None) as (one, two, three):
        one.addTrack(Tone())
        one.addTrack(Colour(RED))
        await connect(one, two)
        await two.setRemoteDescription(await moved_offer(one, three))


# The end


async def test_close_is_idempotent_and_the_other_side_learns_it(call: Call, sides: tuple[Party, Party]) -> None:
    actor, other = sides
    tracks = [await within(call.tracks[each]) for each in (actor, other)]
    states = told(other.pc, "connectionstatechange")
    await asyncio.gather(actor.pc.close(), actor.pc.close())
    await actor.pc.close()
    for pc in (actor.pc, other.pc):
        await until(pc, "connectionstatechange", lambda pc=pc: pc.connectionState == "closed")
        assert (pc.iceConnectionState, pc.signalingState) == ("closed", "closed")
    await other.pc.close()
    assert len(states) == 1 and [each.readyState for each in tracks] == ["ended", "ended"]
    assert call.channel.readyState == "closed"
    for work in (actor.pc.createOffer(), actor.pc.setLocalDescription(), actor.pc.addIceCandidate(None)):
        with pytest.raises(InvalidStateError):
            await work
    for make in (lambda: actor.pc.addTrack(Tone()), lambda: actor.pc.createDataChannel("any")):
        with pytest.raises(InvalidStateError):
            make()


@pytest.mark.parametrize("state", ["new", "have-local-offer", "have-remote-offer", "connecting", "describing"])
async def test_close_in_every_state(pair: list[PeerConnection], state: str) -> None:
    one, two = pair
    one.addTrack(Colour())
    channel = one.createDataChannel("any")
    describing = asyncio.create_task(one.setLocalDescription()) if state == "describing" else None
    await asyncio.sleep(0)
    if state in ("have-local-offer", "have-remote-offer", "connecting"):
        there = await offer(one)
        if state != "have-local-offer":
            await two.setRemoteDescription(there)
        if state == "connecting":
            await two.setLocalDescription()
            await one.setRemoteDescription(await sent(two.localDescription))
    for pc in (one, two):
        await within(pc.close())
        assert (pc.connectionState, pc.signalingState) == ("closed", "closed")
    assert channel.readyState == "closed"
    if describing is not None:
        await asyncio.wait([describing])
        describing.exception()


async def test_close_from_a_handler(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")

    @one.on("connectionstatechange")
    async def changed() -> None:
        if one.connectionState == "connected":
            await one.close()

    await negotiate(one, two)
    await in_state("closed", one, two)


async def test_who_waits_for_its_turn_learns_the_end(pair: list[PeerConnection]) -> None:
    one, _ = pair
    one.createDataChannel("any")
    waiting = [asyncio.create_task(each) for each in (one.setLocalDescription(), one.createOffer(), one.createOffer())]
    await asyncio.sleep(0)
    await one.close()
    results = await within(asyncio.gather(*waiting, return_exceptions=True))
    assert all(each is None or isinstance(each, InvalidStateError) for each in results)
    assert isinstance(results[-1], InvalidStateError)


async def test_a_peer_that_vanishes() -> None:
    settings = IceSettings(ipv6=False, disconnected_after=0.2, lost_after=1.2)
    made: list[Call] = []
    async with meeting(settings, settings, lambda one, two: made.append(Call(one, two))) as (one, two):
        await made[0].check()
        states = told(one.pc, "connectionstatechange", "iceconnectionstatechange")
        seen: list[str] = []
        one.pc.on("connectionstatechange", lambda: seen.append(one.pc.connectionState))
        two.pc.ice.send = lambda data: None  # type: ignore[method-assign]
        vars(two.pc.ice)["_current"].stop()
        await in_state("failed", one.pc)
        assert seen == ["disconnected", "failed"] and len(states) >= 4


async def test_nobody_answers() -> None:
    """`failed` after the time that was given, not before, though there is not one candidate."""
    settings = IceSettings(ipv6=False, connect_timeout=0.2)
    async with connections(Configuration(settings), None) as (one, two):
        one.createDataChannel("any")
        back = await answer(two, await offer(one))
        back.sdp = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", back.sdp)
        await two.close()
        await one.setRemoteDescription(back)
        await in_state("failed", one)
        assert one.iceConnectionState == "failed" and one.ice.explain()


async def test_many_calls_leave_nothing() -> None:
    async def once() -> None:
        async with connections(None, None) as (one, two):
            one.addTrack(Tone())
            one.createDataChannel("any")
            await connect(one, two)

    for _ in range(3):
        await once()
    gc.collect()
    alive = sum(isinstance(each, PeerConnection) for each in gc.get_objects())
    for _ in range(10):
        await once()
    gc.collect()
    assert sum(isinstance(each, PeerConnection) for each in gc.get_objects()) <= alive


# Anything, in any order


def change(chance: random.Random, pc: PeerConnection) -> None:
    """One thing that an application may do in mid-call, to an m-line other than the first or to the whole."""
    some = [each for each in pc.getTransceivers()[1:] if not each.stopped]
    one = chance.choice(some) if some else None
    match chance.randrange(8):
        case 0 | 1 if len(some) < 6:
            pc.addTrack(chance.choice([Tone, Colour])())
        case 2:
            pc.addTransceiver("audio", chance.choice(["sendrecv", "recvonly"]))
        case 3:
            pc.restartIce()
        case 4 if one is not None:
            one.direction = chance.choice(["sendrecv", "sendonly", "recvonly", "inactive"])
        case 5 if one is not None:
            one.stop()
        case 6 if one is not None:
            pc.removeTrack(one.sender)
        case 7 if one is not None:
            one.sender.replaceTrack(chance.choice([None, Tone() if one.kind == "audio" else Colour()]))


# Like the examples of properties: few of them in the quick suite.
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_both_sides_do_they_agree_in_the_end(call: Call, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(12):
        for each in call.parties:
            change(chance, each.pc)
        if chance.random() < 0.5:
            await settled(*call.parties)
        else:
            await turns(chance.randrange(40))
    await settled(*call.parties)
    one, two = (
        {each.mid: (each.kind, each.currentDirection) for each in party.pc.getTransceivers()} for party in call.parties
    )
    assert one == {mid: (kind, sdp.reverse(direction or "")) for mid, (kind, direction) in two.items()}
    assert fragments(call.parties[0].pc) == fragments(call.parties[1].pc)[::-1]
    for party in call.parties:
        assert party.pc.path.local.username_fragment == fragments(party.pc)[0]
    await call.check()
