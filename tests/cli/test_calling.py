"""What becomes of calls, told by reports and by the one error that decides on the exit code."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from peer.calling import Calling, Plan, broken
from peer.channel import MemoryHub
from peer.demo import Demo, DemoPlan
from peer.errors import CallEnded, NoAnswer, NotHere, Rejected
from peer.events import Ended
from peer.joining import join
from tests.cli.samples import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.call import Call
    from peer.ring import Ring
    from peer.room import Room


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@asynccontextmanager
async def member(hub: MemoryHub, name: str) -> AsyncIterator[Room]:
    async with join(hub.connect, room="lab", name=name, audio="test") as room:
        yield room


def calling(room: Room, **changes: object) -> Calling:
    plan = {"url": "", "room": "lab", "name": room.name, "to": "alice", "timeout": 10.0} | changes
    return Calling(room, Plan(**plan))  # type: ignore[arg-type]


async def test_somebody_who_does_not_come(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot:
        one = calling(bot, timeout=0.05)
        await one.run()
    assert isinstance(one.error, NotHere) and one.error.exit_code == 5
    assert "check the name" in str(one.error) and one.reports == []


async def test_time_that_is_over_before_anybody_came(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot:
        one = calling(bot, seconds=0.05)
        await one.run()
        assert isinstance(one.error, NoAnswer) and one.error.exit_code == 5
        everybody = calling(bot, seconds=0.05, to=None)
        await everybody.run()
        assert everybody.error is None


async def test_somebody_who_declines(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot, member(hub, "alice") as alice:

        async def decline() -> None:
            async for ring in alice.rings():
                await ring.reject("busy", "in a meeting")
                return

        declining = asyncio.create_task(decline())
        one = calling(bot)
        await one.run()
        await declining
    assert isinstance(one.error, Rejected) and one.error.exit_code == 4
    (found,) = one.reports
    assert (found.name, found.state, found.error) == ("alice", "failed", one.error)


async def test_the_other_side_hangs_up(hub: MemoryHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peer.observing")
    async with member(hub, "bot") as bot, member(hub, "alice") as alice:

        async def answer() -> None:
            async for ring in alice.rings():
                call = await ring.accept()
                async for _ in call.sound():
                    await call.hang_up()
                return

        answering = asyncio.create_task(answer())
        one = calling(bot)
        await one.run()
        await answering
    assert one.error is None
    (found,) = one.reports
    assert found.state == "ended" and found.ended is not None
    assert (found.ended.by, found.ended.reason) == ("alice", "hung up")
    assert found.codecs()[-1] == "Opus" and found.pair is not None
    assert any(message.startswith("alice hung up after") for message in caplog.messages)


@asynccontextmanager
async def talking(bot: Room, alice: Room, one: Calling) -> AsyncIterator[Call]:
    """Alice is called by `one`, and hangs up when the block is left."""
    running = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(20):
            call = await (await anext(alice.rings())).accept()
            yield call
            await call.hang_up()
            await running
    finally:
        running.cancel()


async def test_what_the_other_side_writes_is_told_and_not_answered(
    hub: MemoryHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "peer.observing")
    async with member(hub, "bot") as bot, member(hub, "alice") as alice:
        async with talking(bot, alice, calling(bot)) as call:
            answers = call.messages()
            await call.write("hello\nbot")
            await call.write("x" * 1000)
            while not any("xxx" in message for message in caplog.messages):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert [answer async for answer in answers] == []
    assert "alice: hello bot" in caplog.messages
    assert f"alice: {'x' * 199}…" in caplog.messages


async def test_the_bot_of_the_demonstration_answers(hub: MemoryHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peer.observing")
    async with member(hub, "bot") as bot, member(hub, "alice") as alice:
        demo = Demo(DemoPlan(room="lab"))
        watched: list[Calling] = []
        staying = asyncio.create_task(demo.stay(bot, watched.append))
        async with asyncio.timeout(20), alice.call("bot", timeout=10) as call:
            answers = call.messages()
            await call.write("hello bot")
            assert await anext(answers) == "You said: hello bot"
            await call.write("x" * 60_000)
            assert await anext(answers) == f"You said: {'x' * 199}…"
        staying.cancel()
        await asyncio.wait([staying])
    assert "alice: hello bot" in caplog.messages


async def test_a_program_that_answers_too_is_answered_a_bounded_number_of_times(
    hub: MemoryHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("peer.observing.MAX_REPLIES", 2)
    monkeypatch.setattr("peer.observing.TEXT_INTERVAL", 0.001)
    caplog.set_level(logging.INFO, "peer.observing")
    async with member(hub, "bot") as bot, member(hub, "alice") as alice:
        plan = Plan(url="", room="lab", name="bot", to="alice", timeout=10.0)
        async with talking(bot, alice, Calling(bot, plan, reply=str.upper)) as call:
            answers = call.messages()
            for text in ("one", "two", "three"):
                await call.write(text)
            while "alice: three" not in caplog.messages:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            async with asyncio.timeout(10):  # the last answer may still be on its way
                assert [await anext(answers) for _ in range(2)] == ["ONE", "TWO"]
        assert [answer async for answer in answers] == []


async def test_everybody_is_called_who_is_there_or_comes_and_one_failure_ends_nothing(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot, member(hub, "grump") as grump, member(hub, "alice") as alice:
        everybody = calling(bot, to=None)
        running = asyncio.create_task(everybody.run())
        async for ring in grump.rings():
            await ring.reject()
            break
        async for ring in alice.rings():
            await ring.accept()
            break
        async with member(hub, "late") as late:
            async for ring in late.rings():
                call = await ring.accept()
                await call.hang_up()
                break
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    states = {one.name: one.state for one in everybody.reports}
    assert states == {"grump": "failed", "alice": "ended", "late": "ended"}
    assert everybody.error is None and everybody.observed == {}


async def test_whoever_calls_is_answered(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot:
        everybody = calling(bot, to="nobody else")
        running = asyncio.create_task(everybody.run())
        async with member(hub, "alice") as alice, alice.call("bot", timeout=10) as call:
            async for _ in call.sound():  # hers may be open a moment before the bot's
                break
        running.cancel()
        await asyncio.wait([running])
    (found,) = everybody.reports
    assert (found.name, found.outgoing, found.state) == ("alice", False, "ended")


async def test_a_call_that_comes_about_while_the_others_are_hung_up_is_hung_up_too(hub: MemoryHub) -> None:
    async with member(hub, "bot") as bot, member(hub, "alice") as alice, member(hub, "late") as late:
        rings, late_rings = alice.rings(), late.rings()
        everybody = calling(bot, to=None)
        running = asyncio.create_task(everybody.run())
        async with asyncio.timeout(20):
            first = await (await anext(rings)).accept()
            ring = await anext(late_rings)
            while not everybody.observed:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            call = next(iter(everybody.observed.values())).call
            hang_up, hanging_up, go = call.hang_up, asyncio.Event(), asyncio.Event()

            async def slowly(**how: str) -> None:
                hanging_up.set()
                await go.wait()
                await hang_up(**how)

            call.hang_up = slowly  # type: ignore[method-assign]
            running.cancel()
            await hanging_up.wait()
            second = await ring.accept()
            while len(everybody.observed) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            go.set()
            await asyncio.wait([running])
            assert (await first.ended()).reason == (await second.ended()).reason == "hung up"
    assert {one.name: one.state for one in everybody.reports} == {"alice": "ended", "late": "ended"}


@pytest.mark.parametrize(
    ("by", "reason", "lost", "code"),
    [
        ("alice", "hung up", False, 0),
        ("bot", "hung up", True, 0),
        ("alice", "left", False, 0),
        ("alice", "left", True, 6),
        ("", "lost", False, 6),
        ("", "failed", False, 6),
        ("alice", "error", False, 6),
        ("alice", "no answer", False, 5),
    ],
)
def test_the_end_of_a_call_decides_on_the_exit_code(by: str, reason: str, lost: bool, code: int) -> None:
    error = broken(report(ended=Ended(by, reason, 3.0)), lost=lost)
    assert (error.exit_code if error else 0) == code


async def test_callers_over_http_may_share_a_name(hub: MemoryHub) -> None:
    """Only members call each other at the same time; a second `whep` is a second caller."""
    async with member(hub, "bot") as bot, member(hub, "alice"):
        one = calling(bot, to=None)
        one._connecting |= {"whep", "alice"}
        for name in ("whep", "alice"):
            await one._accept(cast("Ring", SimpleNamespace(caller=name, accept=_gives_up)))
        assert [(each.name, each.state) for each in one.reports] == [("whep", "failed")]


async def _gives_up() -> Call:
    raise CallEnded("gone")
