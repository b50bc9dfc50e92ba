"""One bot in a room in memory: it goes in, calls, answers, tries again, runs scripts, and counts."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from peer.channel import MemoryHub
from peer.media.pattern import TestPictures
from peer.swarm import bot as module
from peer.swarm.bot import Bot
from peer.swarm.entry import RoomEntry
from peer.swarm.plan import Seat
from tests.rooms import PATIENCE, SMALL, rooms, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from peer.room import Room


def seat(number: int, **changes: Any) -> Seat:
    fields: dict[str, Any] = {"number": number, "name": f"bot-{number}", "room": "lab", "process": 0, "at": 0.0}
    return Seat(**fields | {"expects": 1} | changes)


@asynccontextmanager
async def running(*bots: Bot) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(bot.run()) for bot in bots]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def when(true: Callable[[], object], *bots: Bot) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)
            for bot in bots:
                await bot.look()


async def test_two_call_each_other_and_count() -> None:
    hub = MemoryHub()
    pictures = TestPictures(160, 120, 15)
    entry = RoomEntry(hub.connect, pictures)
    caller = Bot(seat(0, calls=("bot-1",)), entry, timeout=PATIENCE)
    callee = Bot(seat(1, decodes=True), entry, timeout=PATIENCE)
    async with running(caller, callee):
        await when(lambda: callee.latencies and callee.figures.frames > 5 and caller.figures.frames > 5, caller, callee)
    for one in (caller.figures, callee.figures):
        assert one.error == "" and one.bytes_in > 0 and one.bytes_out > 0 and one.packets > 5
        assert one.join is not None and one.connect is not None and one.first_frame is not None
        assert one.first_frame >= one.connect > 0 and one.lost_calls == one.tries == 0
    assert all(0 <= latency < PATIENCE for latency in callee.latencies) and callee.figures.latency is not None
    assert caller.latencies == [] and caller.figures.latency is None
    await pictures.close()


async def test_the_state_says_how_far_it_is() -> None:
    hub = MemoryHub()
    entry = RoomEntry(hub.connect)
    caller, callee = Bot(seat(0, calls=("bot-1",)), entry, timeout=PATIENCE), Bot(seat(1), entry, timeout=PATIENCE)
    assert caller.add_up().state == "waiting"
    async with running(caller):
        await when(lambda: caller.figures.state == "calling", caller)
        async with running(callee):
            await when(lambda: caller.figures.state == callee.figures.state == "in call", caller, callee)
            assert caller.figures.calls == 1
        await when(lambda: caller.figures.state != "in call", caller)


async def test_a_room_that_does_not_let_it_in() -> None:
    hub = MemoryHub()
    async with rooms("bot-0", hub=hub):
        one = Bot(seat(0), RoomEntry(hub.connect), timeout=PATIENCE)
        await soon(one.run())
    assert one.figures.state == "failed" and "bot-0" in one.figures.error and one.figures.join is None


async def test_who_declines_is_not_called_again() -> None:
    hub = MemoryHub()
    async with rooms("alice", hub=hub) as (alice,):
        one = Bot(seat(0, calls=("alice",)), RoomEntry(hub.connect), timeout=PATIENCE)
        async with running(one):
            await (await soon(anext(alice.rings()))).reject("declined", "no bots")
            await when(lambda: one.figures.error, one)
            await when(lambda: one.figures.state == "joined", one)
    assert "no bots" in one.figures.error and one.figures.tries == 0


async def test_a_call_that_breaks_is_made_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN", 0.0)
    hub = MemoryHub()
    one = Bot(seat(0, calls=("alice",)), RoomEntry(hub.connect, silent=True), timeout=PATIENCE)
    async with running(one):
        async with rooms("alice", hub=hub) as (alice,):
            call = await soon((await soon(anext(alice.rings()))).accept())
            await when(lambda: one.figures.calls == 1, one)
            await call.hang_up(reason="error")
            await when(lambda: one.figures.lost_calls == 1, one)
            again = await soon((await soon(anext(alice.rings()))).accept())
            await when(lambda: one.figures.state == "in call", one)
            await again.hang_up()
            await when(lambda: "hung up" in one.figures.error, one)
            assert (one.figures.lost_calls, one.figures.tries) == (1, 1), (
                "who hangs up does not want to be called again"
            )


async def test_who_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN", 0.0)
    one = Bot(seat(0, calls=("alice",)), RoomEntry(MemoryHub().connect), timeout=0.02)
    async with running(one):
        await when(lambda: one.figures.tries == module.TRIES and one.figures.state == "joined", one)
    assert "alice did not come to room lab within 0.02 s" in one.figures.error


async def test_a_script_has_the_room_and_its_calls_are_counted() -> None:
    hub = MemoryHub()
    done = asyncio.Event()

    async def main(room: Room) -> None:
        async with room.call("alice", video=SMALL):
            await done.wait()

    async with rooms("alice", hub=hub, video=SMALL) as (alice,):
        one = Bot(seat(0, expects=0), RoomEntry(hub.connect), timeout=PATIENCE, script=main)
        async with running(one):
            await soon((await soon(anext(alice.rings()))).accept())
            await when(lambda: one.figures.frames > 3 and one.figures.state == "in call", one)
            done.set()
            await when(lambda: one.figures.state == "done", one)
    assert one.figures.connect is None, "nobody knows when it began to call"


async def test_a_script_that_fails() -> None:
    async def main(room: Room) -> None:
        raise KeyError("mood")

    one = Bot(seat(0), RoomEntry(MemoryHub().connect), timeout=PATIENCE, script=main)
    await soon(one.run())
    assert (one.figures.state, one.figures.error) == ("failed", "KeyError: 'mood'")


@pytest.mark.parametrize(("code", "state"), [(0, "done"), (None, "done"), (3, "failed"), ("no luck", "failed")])
async def test_a_script_that_leaves(code: int | str | None, state: str) -> None:
    async def main(room: Room) -> None:
        sys.exit(code)

    one = Bot(seat(0, expects=0), RoomEntry(MemoryHub().connect), timeout=PATIENCE, script=main)
    await soon(one.run())
    assert one.figures.state == state
    assert (one.figures.error == "") == (state == "done")
