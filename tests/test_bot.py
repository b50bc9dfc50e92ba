"""A script as a bot: what it is given, how it ends and with which exit code, begins again, and is read anew."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import peer.link  # noqa: F401 loaded here, as a room does on a thread
from peer import events
from peer.bot import Bot, Plan
from peer.channel import MemoryHub
from peer.errors import UsageError
from peer.joining import join
from tests.rooms import PATIENCE, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from peer.room import Room


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("peer.botfile.LOOK", 0.01)
    path, arguments, modules = list(sys.path), list(sys.argv), set(sys.modules)
    yield
    sys.path[:], sys.argv[:] = path, arguments
    for name in set(sys.modules) - modules:
        if name.startswith("bot."):
            del sys.modules[name]


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


class Running:
    """A bot at work, and all it told."""

    def __init__(self, hub: MemoryHub, script: Path, **changes: Any) -> None:
        self.told: list[events.Event] = []
        self._came = asyncio.Event()
        plan = {"url": hub.connect, "room": "lab", "name": "bot", "script": script} | changes
        self.bot = Bot(Plan(**plan), self._tell)
        self.task = asyncio.ensure_future(self.bot.run())

    def _tell(self, event: events.Event) -> None:
        self.told.append(event)
        self._came.set()

    async def until(self, kind: type, count: int = 1) -> Any:
        """The event of a kind, or the one after so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [one for one in self.told if isinstance(one, kind)]) < count:
                self._came.clear()
                await self._came.wait()
        return found[count - 1]

    async def ended(self) -> events.ScriptEnded:
        ended: events.ScriptEnded = await soon(self.task)
        assert self.told[-1] is ended
        return ended


@contextlib.asynccontextmanager
async def running(hub: MemoryHub, script: Path, text: str, **changes: Any) -> AsyncIterator[Running]:
    await asyncio.to_thread(script.write_text, text)
    one = Running(hub, script, **changes)
    try:
        yield one
    finally:
        one.task.cancel()
        await asyncio.wait([one.task])


@contextlib.asynccontextmanager
async def member(hub: MemoryHub, name: str = "alice") -> AsyncIterator[Room]:
    async with join(hub.connect, room="lab", name=name) as room:
        yield room


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "greeter.py"


GREET = """
import sys
async def on_call(call):
    await call.write(" ".join(sys.argv[1:]))
    async for text in call.messages():
        if text == "raise":
            raise ValueError("as you wish")
        if text == "exit":
            sys.exit(3)
        await call.write("old " + text)
"""


async def test_a_script_for_each_call(hub: MemoryHub, script: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "peer.bot")
    async with running(hub, script, GREET, arguments=["good", "day"]) as one:
        await one.until(events.ScriptStarted)
        async with member(hub) as alice, alice.call("bot") as call:
            assert await soon(anext(call.messages())) == "good day"
            await call.write("raise")
            ended = await soon(call.ended())
            assert (ended.reason, ended.text) == ("error", "ValueError: as you wish")
        failed = await one.until(events.ScriptFailed)
        assert failed.call == "alice" and failed.error == "ValueError: as you wish"
        assert 'raise ValueError("as you wish")' in failed.traceback and "bot.py" not in failed.traceback
        async with member(hub, "bob") as bob, bob.call("bot") as call:  # the bot goes on
            assert await soon(anext(call.messages())) == "good day"
            await call.write("exit")
            assert (await soon(call.ended())).by == "bot"
        assert (await one.ended()).exit_code == 3
    kinds = [type(event).__name__ for event in one.told]
    assert kinds[:4] == ["ScriptStarted", "MemberJoined", "CallStarted", "ScriptFailed"]
    assert kinds.count("CallFinished") == 2
    assert "alice came" in caplog.messages and "bob calls" in caplog.messages
    assert any(message.startswith("we ended the call with alice on an error") for message in caplog.messages)


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ("return", 0, None),
        ("assert room.members, 'nobody is here'", 8, "a check failed: nobody is here"),
        ("assert room.members", 8, "a check failed: line 3: assert room.members"),
        ("sys.exit()", 0, None),
        ("sys.exit(0)", 0, None),
        ("sys.exit(42)", 42, "the script left with exit code 42"),
        ("sys.exit('I do not like it')", 1, "I do not like it"),
        ("await room.wait_for('eve', timeout=0.01)", 5, "eve did not come to room lab within 0.01 s; check the name"),
        ("{}['x']", 1, "the script raised KeyError: 'x'"),
    ],
)
async def test_how_a_script_ends(hub: MemoryHub, script: Path, body: str, code: int, sentence: str | None) -> None:
    async with running(hub, script, f"import sys\nasync def main(room):\n    {body}\n") as one:
        ended = await one.ended()
    assert (ended.exit_code, ended.error) == (code, sentence)
    failed = [event for event in one.told if isinstance(event, events.ScriptFailed)]
    assert [event.error for event in failed] == (["KeyError: 'x'"] if "KeyError" in str(sentence) else [])
    assert hub.connect  # the hub is free again: the name can be taken
    async with join(hub.connect, room="lab", name="bot"):
        pass


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("x = 1", 2, "has neither of"),
        ("import nowhere_at_all", 1, "the script raised ModuleNotFoundError"),
        ("import sys; sys.exit('usage: greeter.py COUNT')", 1, "usage: greeter.py COUNT"),
        ("raise SystemExit(2)", 2, "exit code 2"),
    ],
)
async def test_a_script_that_cannot_even_be_loaded(
    hub: MemoryHub, script: Path, text: str, code: int, sentence: str
) -> None:
    async with running(hub, script, text, restart="always", reload=True) as one:
        ended = await one.ended()
    assert ended.exit_code == code and sentence in str(ended.error)
    assert not any(isinstance(event, events.ScriptStarted) for event in one.told)


async def test_ctrl_c_and_time_that_is_over_end_it_well(hub: MemoryHub, script: Path) -> None:
    text = "async def main(room):\n    await room.wait_for('nobody')\n"
    async with running(hub, script, text) as one:
        await one.until(events.ScriptStarted)
        one.task.cancel()
        assert await one.ended() == events.ScriptEnded(0)
    async with running(hub, script, text, seconds=0.1) as one:
        assert await one.ended() == events.ScriptEnded(0)


async def test_it_begins_again_with_longer_pauses(
    hub: MemoryHub, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.restarts.FIRST", 0.01)
    async with running(hub, script, "async def main(room): {}['x']\n", restart="on-failure") as one:
        await one.until(events.ScriptRestarting, 4)
    pauses = [event.seconds for event in one.told if isinstance(event, events.ScriptRestarting)]
    assert pauses == [0.01, 0.02, 0.04, 0.08]
    assert sum(isinstance(event, events.ScriptStarted) for event in one.told) == 4
    async with running(hub, script, "async def main(room): pass\n", restart="on-failure") as one:
        assert (await one.ended()).exit_code == 0


async def test_what_can_never_be_is_not_tried_again(hub: MemoryHub, script: Path) -> None:
    text = "import peer\nasync def main(room): raise peer.UsageError('no such voice; use another')\n"
    async with running(hub, script, text, restart="always") as one:
        assert await one.ended() == events.ScriptEnded(2, "no such voice; use another")
    with pytest.raises(UsageError, match="restart=maybe is unknown"):
        Bot(Plan(url="", room="", name="", script=script, restart="maybe"), one.told.append)


async def test_calls_go_on_with_the_old_script_and_new_ones_get_the_new(hub: MemoryHub, script: Path) -> None:
    async with running(hub, script, GREET, reload=True) as one:
        await one.until(events.ScriptStarted)
        async with member(hub) as alice, alice.call("bot") as call:
            messages = call.messages()
            await soon(anext(messages))
            await asyncio.to_thread(script.write_text, "this is no Python")
            failed = await one.until(events.ScriptFailed)
            assert "is no Python" in failed.error
            await asyncio.to_thread(script.write_text, GREET.replace("old ", "a new "))
            await one.until(events.ScriptReloaded)
            await call.write("one")
            assert await soon(anext(messages)) == "old one"
            async with member(hub, "bob") as bob, bob.call("bot") as other:
                answers = other.messages()
                await soon(anext(answers))
                await other.write("two")
                assert await soon(anext(answers)) == "a new two"
            assert call.open


async def test_main_begins_again_in_the_same_room(hub: MemoryHub, script: Path) -> None:
    text = """
async def quiet(call):
    async for text in call.messages():
        await call.write("{word} " + text)
async def main(room):
    {more}
    async for ring in room.rings():
        room.start(quiet, ring.accept())
"""
    async with running(hub, script, text.format(word="old", more="pass"), reload=True) as one:
        await one.until(events.ScriptStarted)
        async with member(hub) as alice, alice.call("bot") as call:
            await asyncio.to_thread(script.write_text, text.format(word="new", more="raise ValueError"))
            await one.until(events.ScriptReloaded)
            await one.until(events.ScriptFailed)  # which waits for the next edit
            await asyncio.to_thread(script.write_text, text.format(word="newest", more="pass"))
            await one.until(events.ScriptReloaded, 2)
            await call.write("one")
            assert await soon(anext(call.messages())) == "old one"
            async with member(hub, "bob") as bob, bob.call("bot") as other:
                await other.write("two")
                assert await soon(anext(other.messages())) == "newest two"
    assert sum(isinstance(event, events.ScriptStarted) for event in one.told) == 1


async def test_a_file_that_is_being_replaced_is_waited_for(hub: MemoryHub, script: Path) -> None:
    async with running(hub, script, GREET, reload=True) as one:
        await one.until(events.ScriptStarted)
        away = script.with_suffix(".away")
        await asyncio.to_thread(os.replace, script, away)
        await asyncio.to_thread(away.write_text, GREET + "\n")
        await asyncio.to_thread(os.replace, away, script)
        await one.until(events.ScriptReloaded)
    assert not any(isinstance(event, events.ScriptFailed) for event in one.told)


async def test_the_events_of_the_room_are_the_scripts_too(hub: MemoryHub, script: Path) -> None:
    text = """
import peer
async def main(room):
    await room.wait_for("alice")
    async for event in room.events():
        raise SystemExit(repr(event))
"""
    async with running(hub, script, text) as one:
        await one.until(events.ScriptStarted)
        async with member(hub):
            assert "MemberJoined(name='alice'" in str((await one.ended()).error)
    assert any(isinstance(event, events.MemberJoined) for event in one.told)
