"""Programs that follow what state a connection is in, and close it at any time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import InvalidStateError

from tests.dropin.kit import Colour, Tone, answer, connect, in_state, negotiate, offer, sent, until, within

if TYPE_CHECKING:
    from tests.dropin.kit import Make

ATTRIBUTES = {
    "connectionstatechange": "connectionState",
    "iceconnectionstatechange": "iceConnectionState",
    "icegatheringstatechange": "iceGatheringState",
    "signalingstatechange": "signalingState",
}


def followed(pc: Any) -> dict[str, list[str]]:
    """Every state that an event told of, in order."""
    seen: dict[str, list[str]] = {attribute: [getattr(pc, attribute)] for attribute in ATTRIBUTES.values()}
    for event, attribute in ATTRIBUTES.items():

        @pc.on(event)
        def on_change(attribute: str = attribute) -> None:
            seen[attribute].append(getattr(pc, attribute))

    return seen


async def test_states_come_in_their_order(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    seen = {pc: followed(pc) for pc in (caller, callee)}
    caller.createDataChannel("any")
    await caller.setLocalDescription()
    assert caller.signalingState == "have-local-offer"
    await callee.setRemoteDescription(await sent(caller.localDescription))
    assert callee.signalingState == "have-remote-offer"
    await callee.setLocalDescription()
    await caller.setRemoteDescription(await sent(callee.localDescription))
    assert (caller.signalingState, callee.signalingState) == ("stable", "stable")
    await in_state("connected", caller, callee)
    for pc in (caller, callee):
        await until(pc, "icegatheringstatechange", lambda pc=pc: pc.iceGatheringState == "complete")
        assert pc.iceConnectionState in ("connected", "completed")
    await caller.close()
    await in_state("closed", callee)

    middle = {caller: "have-local-offer", callee: "have-remote-offer"}
    for pc, states in seen.items():
        assert states["signalingState"] == ["stable", middle[pc], "stable", "closed"]
        assert states["iceGatheringState"] == ["new", "gathering", "complete"]
        assert states["connectionState"] == ["new", "connecting", "connected", "closed"]
        # aiortc says "completed" at once where W3C has "connected" before it.
        assert [each for each in states["iceConnectionState"] if each != "connected"] == [
            *("new", "checking", "completed", "closed")
        ]
        assert [getattr(pc, each) for each in ("connectionState", "iceConnectionState", "signalingState")] == [
            "closed"
        ] * 3


async def test_closing_twice_and_at_once(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    for pc in (caller, callee):
        pc.addTrack(Tone())
        pc.createDataChannel("any")
    await connect(caller, callee)
    await within(asyncio.gather(caller.close(), callee.close(), caller.close()))
    await within(caller.close())
    assert {pc.connectionState for pc in (caller, callee)} == {"closed"}
    assert {pc.iceConnectionState for pc in (caller, callee)} == {"closed"}


@pytest.mark.parametrize("moment", ["offered", "answered"])
async def test_closing_before_it_is_connected(make_caller: Make, make_callee: Make, moment: str) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    caller.createDataChannel("any")
    there = await offer(caller)
    if moment == "answered":
        await answer(callee, there)
    for pc in (caller, callee):
        await within(pc.close())
        assert (pc.connectionState, pc.iceConnectionState) == ("closed", "closed")


async def test_closing_while_it_connects(make: Make) -> None:
    caller, callee = make(), make()
    caller.addTrack(Colour())
    caller.createDataChannel("any")
    await negotiate(caller, callee)
    assert "connected" not in (caller.connectionState, callee.connectionState)
    await within(asyncio.gather(caller.close(), callee.close()))
    assert (caller.connectionState, callee.connectionState) == ("closed", "closed")


async def test_an_unused_connection_closes(make: Make) -> None:
    pc = make()
    seen = followed(pc)
    await within(pc.close())
    await within(pc.close())
    assert (pc.connectionState, pc.iceConnectionState, pc.signalingState) == ("closed", "closed", "closed")
    assert pc.iceGatheringState == "new"
    assert seen["connectionState"] == ["new", "closed"]
    assert seen["signalingState"] == ["stable", "closed"]


async def test_nothing_is_done_with_a_closed_connection(make: Make) -> None:
    pc = make()
    pc.addTrack(Tone())
    description = await pc.createOffer()
    await pc.close()
    with pytest.raises(InvalidStateError):
        await pc.createOffer()
    with pytest.raises(InvalidStateError):
        await pc.createAnswer()
    with pytest.raises(InvalidStateError):
        await pc.setLocalDescription(description)
    with pytest.raises(InvalidStateError):
        await pc.setLocalDescription()
    with pytest.raises(InvalidStateError):
        await pc.setRemoteDescription(description)
    with pytest.raises(InvalidStateError):
        pc.addTrack(Colour())
    with pytest.raises(InvalidStateError):
        pc.addTransceiver("video")


async def test_a_program_cleans_up_when_the_other_side_is_gone(make_caller: Make, make_callee: Make) -> None:
    """The usual handler: a coroutine that closes the connection once it has failed or is closed."""
    caller, callee = make_caller(), make_callee()
    told: list[str] = []
    gone = asyncio.Event()

    @callee.on("connectionstatechange")
    async def on_connectionstatechange() -> None:
        told.append(callee.connectionState)
        if callee.connectionState in ("failed", "closed"):
            await callee.close()
            gone.set()

    caller.createDataChannel("any")
    await negotiate(caller, callee)
    await in_state("connected", caller, callee)
    await caller.close()
    await within(gone.wait())
    assert told[-1] == "closed"
