"""Calls whose path breaks: repaired by ICE restarts, else by another connection; offers that nobody answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from peer import events, negotiating
from peer.errors import CallLost
from peer.recording import manifestfile
from peer.recording.group import Recorder
from peer.recording.writer import Options
from peer.rtc.connection import PeerConnection
from peer.rtc.ice.bases import HostBase
from peer.rtc.ice.servers import IceSettings
from signaling.messages import DescriptionFrom, DescriptionTo
from tests.rooms import SMALL, connect, rooms, soon, until

if TYPE_CHECKING:
    from pathlib import Path

    from peer.call import Call
    from peer.room import Room
    from signaling.messages import ClientMessage

QUICK = IceSettings(disconnected_after=1.3, lost_after=8.0)
"""Above the interval of consent checks, so that an idle call is not taken for a silent one."""


class Wire:
    """The network of this process: what is cut drops every packet that an old socket sends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._dead: set[int] = set()
        self._bases: list[HostBase] = []
        send = HostBase.send_all
        wire = self

        def through(base: HostBase, packets: list[bytes], address: tuple[str, int]) -> None:
            if base not in wire._bases:
                wire._bases.append(base)
            if id(base) not in wire._dead:
                send(base, packets, address)

        monkeypatch.setattr(HostBase, "send_all", through)

    def cut(self) -> None:
        """Every socket that there is now goes deaf and dumb for good; new ones work."""
        self._dead.update(map(id, self._bases))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(negotiating, "REPAIR_DELAYS", (0.05, 0.3, 0.6))
    return Wire(monkeypatch)


async def told(call: Call, count: int) -> list[str]:
    taker = call.messages()
    return [await soon(anext(taker)) for _ in range(count)]


async def test_a_dead_path_is_replaced_by_an_ice_restart(wire: Wire) -> None:
    async with rooms("alice", "bob", network=QUICK) as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)
        takers = calling.events(), answered.events()
        await calling.write("before")
        assert await told(answered, 1) == ["before"]
        wire.cut()
        waiting = [asyncio.ensure_future(until(taker, events.Reconnected)) for taker in takers]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)  # who notices first repairs it for both
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await calling.write("still here")
        assert await told(answered, 1) == ["still here"]
        assert calling.open and answered.open
        assert calling._connection.restarts >= 1


async def test_both_restarting_at_once_converges(wire: Wire) -> None:
    async with rooms("alice", "bob", network=QUICK) as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)
        calling.addresses_changed()
        answered.addresses_changed()
        for _ in range(3):
            await calling.write("a")
            await answered.write("b")
            calling.addresses_changed()
            answered.addresses_changed()
        assert await told(answered, 3) == ["a"] * 3
        assert await told(calling, 3) == ["b"] * 3
        await soon(_restarted(calling))
        assert calling.open and answered.open


async def _restarted(call: Call) -> None:
    while not call._connection.restarts:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


async def _recorded(recorder: Recorder) -> None:
    while not any(file.video_frames for file in recorder.files):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


async def test_where_restarts_do_not_help_another_connection_is_made(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(negotiating, "RENEW_AFTER", 1.5)
    async with rooms("alice", "bob", network=QUICK) as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)
        recorder = answered.record(Recorder(tmp_path, options=Options(patience=0.2)))  # there is no sound
        await soon(_recorded(recorder))
        await calling.write("first")
        first = calling.session, answered.session
        heard = calling.events(), answered.events()
        for call in (calling, answered):  # whatever path ICE finds within this connection, nothing goes over it
            monkeypatch.setattr(call._connection._pc.ice, "add_remote_candidate", lambda candidate: None)
        wire.cut()
        for number in range(20):
            await calling.write(f"{number}")
        for taker in heard:
            await until(taker, events.Reconnected)
        assert calling.session == answered.session not in first
        await calling.write("last")
        assert await told(answered, 22) == ["first", *map(str, range(20)), "last"]
        await soon(anext(answered.pictures()))
        await calling.hang_up()
        await answered.hang_up()
        await soon(recorder.close())
        (file,) = recorder.files
        assert {(gap.kind, gap.cause) for gap in file.gaps if gap.cause != "lost"} == {("video", "disconnected")}
        (path,) = recorder.manifests
        manifest = await asyncio.to_thread(manifestfile.read, path)
        outages = [gap for gap in manifest.gaps if gap.cause == "disconnected"]
        assert len(outages) == 1 and outages[0].end - outages[0].start > 0.3


async def test_another_connection_may_take_as_long_as_silence_may() -> None:
    network = IceSettings(connect_timeout=15, lost_after=100)
    async with rooms("alice", "bob", network=network) as (alice, bob):
        calling, _ = await connect(alice, bob)
        assert replace(calling._replacing().ice, servers=()) == network
        calling._broken_since = time.monotonic() - 40
        assert calling._replacing().ice.connect_timeout == pytest.approx(60, abs=1)
        calling._broken_since = time.monotonic() - 99
        assert replace(calling._replacing().ice, servers=()) == network


async def test_a_path_that_cannot_be_repaired_ends_the_call(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostBase, "send_all", lambda base, packets, address: None)  # before anything is sent at all
    quick = IceSettings(connect_timeout=0.3)
    async with rooms("alice", "bob", network=quick) as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice, "bob"))
        ring = await soon(anext(rings))
        for side in (ring.accept(), dialling):
            with pytest.raises(Exception, match="path|candidate|answer"):
                await soon(side)


async def _dial(room: Room, name: str) -> Any:
    return await room.call(name)


@pytest.mark.slow
async def test_silence_for_good_is_the_end_with_a_reason(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    short = IceSettings(disconnected_after=1.3, lost_after=1.8, connect_timeout=2)  # a restart's, too
    async with rooms("alice", "bob", network=short) as (alice, bob):
        calling, answered = await connect(alice, bob)
        monkeypatch.setattr(HostBase, "send_all", lambda base, packets, address: None)
        for call in (calling, answered):
            ended = await soon(call.ended())
            assert ended.reason == "lost"
        with pytest.raises(Exception, match="over"):
            await calling.write("x")
        assert issubclass(CallLost, Exception)


async def test_an_offer_that_was_lost_is_made_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiating, "ANSWER_TIMEOUT", 0.3)
    async with rooms("alice", "bob", network=QUICK) as (alice, bob):
        calling, answered = await connect(alice, bob, video=SMALL)
        send, lost = alice.send, []

        async def lossy(message: ClientMessage) -> None:
            if isinstance(message, DescriptionTo) and not lost:
                lost.append(message)
            else:
                await send(message)

        monkeypatch.setattr(alice, "send", lossy)
        calling.addresses_changed()
        await soon(_restarted(calling))
        assert lost
        await calling.write("on")
        assert await told(answered, 1) == ["on"]


async def test_an_offer_that_comes_while_ours_is_still_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The polite side's connection is closed under its dialling. That is how the other's call stands: no failure."""
    making, crossed = asyncio.Event(), asyncio.Event()
    describe, adopt = PeerConnection.setLocalDescription, negotiating.Negotiating.adopt

    async def slow(pc: PeerConnection) -> None:
        if not making.is_set():  # bob's, the first
            making.set()
            await crossed.wait()
        await describe(pc)

    def adopted(call: negotiating.Negotiating, offer: DescriptionFrom) -> None:
        adopt(call, offer)
        crossed.set()

    monkeypatch.setattr(PeerConnection, "setLocalDescription", slow)
    monkeypatch.setattr(negotiating.Negotiating, "adopt", adopted)
    async with rooms("alice", "bob") as (alice, bob):
        dialling = asyncio.ensure_future(bob.call("alice"))
        await soon(making.wait())
        one = await soon(alice.call("bob"))
        two = await soon(dialling)
        assert one.open and two.open
        assert one.session == two.session
