"""`peer bot`, in a process of its own where signals matter: its lines, its events, its end, its exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import peer
from peer import events
from peer.cli.bot import to_json
from signaling.app import Server
from signaling.settings import Settings
from tests.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cli.conftest import Run

in_this_process = pytest.mark.may_block("the command loads what it needs on its loop, and the script")

GREETER = """
import sys
async def on_call(call):
    print("hello", call.name, *sys.argv[1:])
    if call.name == "eve":
        raise ValueError("not you\\x1b[2J")
    await call.ended()
"""
CHECK = """
import sys
async def main(room):
    assert not sys.argv[1:], sys.argv[1:]
"""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0)) as served:
        yield served


@pytest.mark.slow
async def test_events_are_lines_and_what_the_script_prints_is_none(server: Server, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(GREETER)
    with Command("bot", "greeter.py", server.url, "--json", "--", "--loud", cwd=tmp_path) as bot:
        await asyncio.to_thread(bot.wait_for, '"ScriptStarted"')
        async with peer.join(server.url, room="lab", name="alice") as room, asyncio.timeout(20):
            async with room.call("bot"):
                await asyncio.to_thread(bot.wait_for, "hello alice --loud")
        async with peer.join(server.url, room="lab", name="eve") as room, asyncio.timeout(20):
            call = await room.call("bot")
            assert (await call.ended()).reason == "error"
        await asyncio.to_thread(bot.wait_for, '"MemberLeft", "name": "eve"')
        bot.signal(signal.SIGINT)
        assert await asyncio.to_thread(bot.end) == 0
    told = [json.loads(line) for line in bot.out.splitlines()]
    assert [one["event"] for one in told if one.get("name") != "eve" and one.get("call") != "eve"] == [
        "ScriptStarted",
        "MemberJoined",
        "CallStarted",
        "CallFinished",
        "MemberLeft",
        "ScriptEnded",
    ]
    (failed,) = (one for one in told if one["event"] == "ScriptFailed")
    assert failed["call"] == "eve" and "greeter.py" in failed["traceback"]
    assert told[-1] | {"time": ""} == {"time": "", "event": "ScriptEnded", "exitCode": 0, "error": None}
    assert "alice came" in bot.err and "hello alice" in bot.err


@pytest.mark.slow
async def test_on_a_terminal_it_tells_where_a_script_failed_and_steers_no_terminal(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "greeter.py").write_text(GREETER)
    with Command("bot", "greeter.py", cwd=tmp_path, environment={"PEER_URL": server.url}, terminal=True) as bot:
        await asyncio.to_thread(bot.wait_for, "in room lab as bot; others: nobody yet")
        async with peer.join(server.url, room="lab", name="eve") as room, asyncio.timeout(20):
            call = await room.call("bot")
            await call.ended()
        await asyncio.to_thread(bot.wait_for, "in the call with eve:\r\nTraceback")
        await asyncio.to_thread(bot.wait_for, "ValueError: not you")
        bot.signal(signal.SIGTERM)
        assert await asyncio.to_thread(bot.end) == 0
    assert "\x1b[2J" not in bot.out


@in_this_process
@pytest.mark.parametrize(("words", "code"), [((), 0), (("--", "--strict"), 8)])
def test_a_check_is_an_exit_code(
    run: Run, url_elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    (tmp_path / "check.py").write_text(CHECK)
    monkeypatch.setenv("PEER_URL", url_elsewhere)
    found, _, err = run("bot", str(tmp_path / "check.py"), *words)
    assert found == code
    assert ("a check failed: ['--strict']" in err) is (code == 8)
    assert "Traceback" not in err


@in_this_process
def test_what_cannot_be_run_is_a_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = "nowhere.py cannot be read (No such file or directory); name the file of a script\n"
    assert run("bot", "nowhere.py", "http://localhost:1") == (2, "", sentence)
    code, out, err = run("bot", "x.py", "http://localhost:1", "--restart", "maybe", "--json")
    assert code == json.loads(out)["exitCode"] == 2 and "use never, on-failure, always" in err


def test_an_event_as_json() -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
    assert to_json(events.CallFinished("eve", events.Ended("eve", "hung up", 3.5)), at) == {
        "time": "2030-01-02T03:04:05.678+00:00",
        "event": "CallFinished",
        "name": "eve",
        "ended": {"by": "eve", "reason": "hung up", "seconds": 3.5, "text": ""},
    }
    assert to_json(events.ScriptEnded(8, "no"), at)["exitCode"] == 8
