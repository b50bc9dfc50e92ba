"""What a connection says of itself, and tells: once, in time, and candidates never before their description."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from peer.rtc.configuration import Configuration
from peer.rtc.connectionstate import MAX_GIVEN
from peer.rtc.ice.servers import IceSettings
from signaling.messages import IceServer
from tests.dropin.kit import Tone, answer, connect, in_state, offer, sent, until, within
from tests.rtc.connections import LOCAL, connections, told, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from peer.rtc.connection import PeerConnection

ROLLBACK = RTCSessionDescription("", "rollback")


@pytest.fixture
async def pair() -> AsyncIterator[list[PeerConnection]]:
    async with connections(None, None) as made:
        yield made


@pytest.fixture
async def trickling() -> AsyncIterator[list[PeerConnection]]:
    async with connections(*[Configuration(LOCAL, trickle=True)] * 2) as made:
        yield made


def kinds(pc: PeerConnection) -> list[str | None]:
    descriptions = (
        *(pc.currentLocalDescription, pc.pendingLocalDescription, pc.currentRemoteDescription),
        pc.pendingRemoteDescription,
    )
    return [each and each.type for each in descriptions]


async def test_descriptions_are_pending_and_then_current(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    assert kinds(one) == [None] * 4 and one.localDescription is one.remoteDescription is None
    there = await offer(one)
    assert kinds(one) == [None, "offer", None, None]
    await two.setRemoteDescription(there)
    assert kinds(two) == [None, None, None, "offer"]
    await two.setLocalDescription()
    assert kinds(two) == ["answer", None, "offer", None]
    await one.setRemoteDescription(await sent(two.localDescription))
    assert kinds(one) == ["offer", None, "answer", None]
    await offer(two)
    assert kinds(two) == ["answer", "offer", "offer", None]
    assert two.localDescription is not None and two.localDescription.type == "offer"


async def test_whether_the_other_side_takes_candidates_later(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    assert one.canTrickleIceCandidates is None
    there = await offer(one)
    await two.setRemoteDescription(there)
    assert two.canTrickleIceCandidates is True
    there.sdp = there.sdp.replace("a=ice-options:trickle\r\n", "")
    await two.setRemoteDescription(there)
    assert two.canTrickleIceCandidates is False


async def test_states_at_first_and_at_last(pair: list[PeerConnection]) -> None:
    one, _ = pair
    states = lambda: (one.connectionState, one.iceConnectionState, one.iceGatheringState, one.signalingState)  # noqa: E731
    assert states() == ("new", "new", "new", "stable")
    await one.close()
    assert states() == ("closed", "closed", "new", "closed")


async def test_each_state_is_told_once(pair: list[PeerConnection]) -> None:
    one, two = pair
    seen: list[tuple[str, str]] = []
    for name in ("connection", "iceConnection", "iceGathering", "signaling"):
        one.on(f"{name.lower()}statechange", lambda name=name: seen.append((name, getattr(one, f"{name}State"))))
    one.createDataChannel("any")
    await connect(one, two)
    await until(one, "iceconnectionstatechange", lambda: one.iceConnectionState == "completed")
    await one.close()
    assert [state for name, state in seen if name == "connection"] == ["connecting", "connected", "closed"]
    assert [state for name, state in seen if name == "iceGathering"] == ["gathering", "complete"]
    assert [state for name, state in seen if name == "signaling"] == ["have-local-offer", "stable", "closed"]
    ice = [state for name, state in seen if name == "iceConnection"]
    assert [each for each in ice if each != "connected"] == ["checking", "completed", "closed"]


# Candidates of ours


async def in_a_task(work: Any) -> None:
    await asyncio.create_task(work)


async def awaited(work: Any) -> None:
    await work


async def with_a_deadline(work: Any) -> None:
    await asyncio.wait_for(work, 10)


async def gathered(work: Any) -> None:
    await asyncio.gather(work, asyncio.sleep(0))


@pytest.mark.parametrize("how", [awaited, in_a_task, with_a_deadline, gathered])
async def test_candidates_do_not_overtake_their_description(
    trickling: list[PeerConnection], how: Callable[[Any], Any]
) -> None:
    one, two = trickling
    for pc in trickling:
        pc.addTrack(Tone())
    events = told(one, "icecandidate")
    await how(one.setLocalDescription())
    assert events == []
    await until(one, "icegatheringstatechange", lambda: one.iceGatheringState == "complete")
    await turns()
    (*found, (_, last)) = events
    assert found and last is None
    for _, candidate in found:
        assert (candidate.sdpMid, candidate.sdpMLineIndex) == ("0", 0)
        assert one.localDescription is not None
        assert f"a=ice-ufrag:{candidate.usernameFragment}\r\n" in one.localDescription.sdp
        assert f"a={candidate.candidate}\r\n" in one.localDescription.sdp
    assert one.localDescription is not None and "a=end-of-candidates\r\n" in one.localDescription.sdp
    back = told(two, "icecandidate")
    await two.setRemoteDescription(await sent(one.localDescription))
    await turns()
    assert two.iceGatheringState == "new"
    await how(two.setLocalDescription())
    assert back == []
    await until(two, "icegatheringstatechange", lambda: two.iceGatheringState == "complete")


async def test_the_last_candidate_is_told_before_the_end_of_gathering(trickling: list[PeerConnection]) -> None:
    one, _ = trickling
    one.createDataChannel("any")
    order: list[str] = []
    one.on("icecandidate", lambda each: order.append("null" if each is None else "candidate"))
    one.on("icegatheringstatechange", lambda: order.append(one.iceGatheringState))
    await one.setLocalDescription()
    await until(one, "icegatheringstatechange", lambda: one.iceGatheringState == "complete")
    await turns()
    assert order[0] == "gathering" and order[-2:] == ["complete", "null"] and set(order[1:-2]) == {"candidate"}


async def test_candidates_name_the_m_line_that_stands_for_the_path(trickling: list[PeerConnection]) -> None:
    """Of three, the first of which was stopped before it was ever agreed."""
    one, two = trickling
    two.createDataChannel("any")
    two.addTransceiver("audio")
    there = await offer(two)
    there.sdp = there.sdp.replace("m=audio 9", "m=audio 0")
    await one.setRemoteDescription(there)
    events = told(one, "icecandidate")
    await one.setLocalDescription()
    await until(one, "icegatheringstatechange", lambda: one.iceGatheringState == "complete")
    assert {(each.sdpMid, each.sdpMLineIndex) for _, each in events if each is not None} == {("1", 1)}


async def test_candidates_of_a_restart_belong_to_its_description(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    await connect(one, two)
    events = told(one, "icecandidate")
    one.restartIce()
    before = one.localDescription
    made = await one.createOffer()
    assert before is not None and one.localDescription is not None
    fragment = re.search(r"a=ice-ufrag:(\S+)", made.sdp)[1]  # type: ignore[index]
    assert fragment not in one.localDescription.sdp and events == []
    await one.setLocalDescription(made)
    await until(one, "icegatheringstatechange", lambda: one.iceGatheringState == "complete")
    await turns()
    assert {each.usernameFragment for _, each in events if each is not None} == {fragment}
    assert events[-1][1] is None


async def test_a_server_that_gives_nothing_is_told() -> None:
    settings = IceSettings(servers=(IceServer(["turn:127.0.0.1:9"]),), ipv6=False)  # no user name
    async with connections(Configuration(settings, trickle=True)) as (one,):
        errors: asyncio.Queue[Any] = asyncio.Queue()
        one.on("icecandidateerror", errors.put_nowait)
        one.createDataChannel("any")
        await one.setLocalDescription()
        error = await within(errors.get())
        assert error.url == "turn:127.0.0.1:9" and error.error_code and error.error_text


# Candidates of the other side


async def test_the_description_has_the_candidates_that_were_added(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    there = await offer(one)
    await two.setRemoteDescription(there)
    line = "candidate:1 1 udp 5 192.0.2.{} 9 typ host"
    for number in (*range(MAX_GIVEN + 5), 3):
        await two.addIceCandidate({"candidate": line.format(number), "sdpMid": "0"})
    await two.addIceCandidate({"candidate": line.format(250), "sdpMid": "0", "usernameFragment": "another1"})
    assert two.remoteDescription is not None
    added = re.findall(r"a=candidate:1 1 udp 5 192\.0\.2\.(\d+) 9", two.remoteDescription.sdp)
    assert len(added) == len(set(added)) == MAX_GIVEN - 1 and "250" not in added
    await two.setLocalDescription()
    assert "192.0.2.104 9" in two.remoteDescription.sdp, "it is the current one now"


# Negotiation needed


async def needs(pc: PeerConnection, change: Callable[[], Any]) -> int:
    """How often a change makes it tell that negotiation is needed."""
    events = told(pc, "negotiationneeded")
    change()
    await turns()
    await pc.createOffer()
    await turns()
    return len(events)


CHANGES: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "addTrack": (1, lambda pc: pc.addTrack(Tone())),
    "two tracks": (1, lambda pc: (pc.addTrack(Tone()), pc.addTrack(Tone()))),
    "addTransceiver": (1, lambda pc: pc.addTransceiver("audio")),
    "createDataChannel": (1, lambda pc: pc.createDataChannel("any")),
    "direction": (1, lambda pc: setattr(pc.getTransceivers()[0], "direction", "recvonly")),
    "the same direction": (0, lambda pc: setattr(pc.getTransceivers()[0], "direction", "sendrecv")),
    "removeTrack": (1, lambda pc: pc.removeTrack(pc.getSenders()[0])),
    "stop": (1, lambda pc: pc.getTransceivers()[0].stop()),
    "restartIce": (1, lambda pc: (pc.restartIce(), pc.restartIce())),
    "replaceTrack": (0, lambda pc: pc.getSenders()[0].replaceTrack(Tone())),
    "nothing": (0, lambda pc: None),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_negotiation_is_needed_once(pair: list[PeerConnection], name: str) -> None:
    one, two = pair
    one.addTrack(Tone())
    two.addTrack(Tone())
    await connect(one, two)
    times, change = CHANGES[name]
    assert await needs(one, lambda: change(one)) == times
    assert await needs(one, lambda: None) == 0, "nothing new: it was told"
    await one.setRemoteDescription(await answer(two, await offer(one)))
    events = told(one, "negotiationneeded")
    await turns()
    assert events == []


@pytest.mark.parametrize("name", ["addTrack", "addTransceiver", "createDataChannel"])
async def test_negotiation_is_needed_at_first(pair: list[PeerConnection], name: str) -> None:
    assert await needs(pair[0], lambda: CHANGES[name][1](pair[0])) == 1


async def test_another_data_channel_needs_no_negotiation(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("first")
    await connect(one, two)
    assert await needs(one, lambda: one.createDataChannel("second")) == 0
    assert await needs(two, lambda: two.createDataChannel("third")) == 0


async def test_what_becomes_needed_meanwhile_is_told_when_it_is_stable(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    there = await offer(one)
    events = told(one, "negotiationneeded")
    one.createDataChannel("any")
    await turns()
    assert events == []
    await one.setRemoteDescription(await answer(two, there))
    await turns()
    assert len(events) == 1
    await one.setRemoteDescription(await answer(two, await offer(one)))
    await turns()
    assert len(events) == 1


async def test_after_a_rollback_it_is_needed_again(pair: list[PeerConnection]) -> None:
    one, _ = pair
    events = told(one, "negotiationneeded")
    one.addTrack(Tone())
    await turns()
    await offer(one)
    await one.setLocalDescription(ROLLBACK)
    await turns()
    assert len(events) == 2


async def test_what_is_taken_back_in_time_is_not_needed(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    await connect(one, two)

    def change() -> None:
        one.getTransceivers()[0].direction = "inactive"
        one.getTransceivers()[0].direction = "sendrecv"

    assert await needs(one, change) == 0


async def test_what_is_needed_while_an_operation_fails_is_told_after_it(pair: list[PeerConnection]) -> None:
    one, _ = pair
    events = told(one, "negotiationneeded")
    failing = asyncio.create_task(one.createAnswer())
    one.addTrack(Tone())
    with pytest.raises(InvalidStateError):
        await failing
    await turns()
    assert len(events) == 1


async def test_an_answerer_that_takes_less_needs_nothing(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.addTrack(Tone())
    events = told(two, "negotiationneeded")
    await connect(one, two)
    await turns()
    assert events == []


async def test_a_closed_connection_needs_nothing(pair: list[PeerConnection]) -> None:
    one, _ = pair
    events = told(one, "negotiationneeded")
    one.addTrack(Tone())
    await one.close()
    one.restartIce()
    await turns()
    assert events == []


async def test_the_other_side_s_end_is_told_in_all_states_at_once(pair: list[PeerConnection]) -> None:
    one, two = pair
    one.createDataChannel("any")
    await connect(one, two)
    seen: list[tuple[str, str, str]] = []
    two.on(
        "connectionstatechange",
        lambda: seen.append((two.connectionState, two.iceConnectionState, two.signalingState)),
    )
    await one.close()
    await in_state("closed", two)
    assert seen == [("closed", "closed", "closed")]
