"""`peer.run`: a page that people call; how it starts, what it says, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from peer import running
from peer.errors import UsageError
from peer.hosting import serve
from peer.joining import join
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[1]
SCRIPT = """
import peer

async def greet(call):
    if call.name == "trouble":
        raise RuntimeError("no " + call.name)
    await call.write("hello " + call.name)
    async for text in call.messages():
        await call.write(text[::-1])

peer.run(greet, room="lab", name="bot")
"""


@pytest.fixture
async def bot() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The script above in a process of its own, and the address that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", SCRIPT),
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "HOST": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await soon(process.stdout.readline())).decode()
    found = re.fullmatch(r"Call the bot: (http://localhost:\d+)/\?room=lab\n", line)
    assert found, line
    yield process, found[1]
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_script_is_a_page_until_it_is_told_to_end(
    bot: tuple[asyncio.subprocess.Process, str], number: signal.Signals
) -> None:
    process, url = bot
    async with (
        join(url, room="lab", name="alice") as alice,
        join(url, room="lab", name="trouble") as trouble,
    ):
        call = await soon(_call(alice))
        messages = call.messages()
        assert await soon(anext(messages)) == "hello alice"
        await call.write("abc")
        assert await soon(anext(messages)) == "cba"
        bad = await soon(_call(trouble))
        ended = await soon(bad.ended())
        assert (ended.by, ended.reason, ended.text) == ("bot", "error", "RuntimeError: no trouble")
        assert call.open
        process.send_signal(number)
        ended = await soon(call.ended())
        assert (ended.by, ended.reason) == ("bot", "left")
        out, err = await soon(process.communicate())
        assert process.returncode == 0
        assert out.splitlines() == [b"alice calls", b"trouble calls"]
        assert b"RuntimeError: no trouble" in err and b"never retrieved" not in err


async def _call(room):  # type: ignore[no-untyped-def]
    return await room.call("bot")


@pytest.mark.may_block("it runs a loop of its own")
def test_a_port_that_is_taken_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    async def occupied() -> None:
        async with serve(port=0) as hosted:
            await asyncio.to_thread(attempt, hosted.port)

    def attempt(port: int) -> None:
        with pytest.raises(SystemExit) as caught:
            running.run(_nothing, port=port)
        assert caught.value.code == 2

    asyncio.run(occupied())
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"port \d+ is taken by [^\n]+; use port=\d+\n", err), err


async def _nothing(call: object) -> None: ...


@pytest.mark.may_block("it runs a loop of its own")
@pytest.mark.parametrize(
    "options", [{"ice_servers": ["nonsense"]}, {"host": "not a host", "open": True}, {"port": 99999}]
)
def test_what_cannot_be_is_one_sentence(options: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        running.run(_nothing, **{"port": 0} | options)  # type: ignore[arg-type]
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.may_block("it runs a loop of its own")
def test_everybody_may_call_only_where_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        running.run(_nothing, host="0.0.0.0", port=0)
    assert caught.value.code == 2
    assert "open=True" in capsys.readouterr().err


def test_the_port_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert running._port(None) == 9000 and running._port(1) == 1
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(UsageError, match="PORT='http'"):
        running._port(None)
    for unset in (monkeypatch.delenv, lambda name: monkeypatch.setenv(name, "")):
        unset("PORT")
        assert running._port(None) == 8080


@pytest.mark.may_block("it runs a loop of its own")
def test_an_empty_host_in_the_environment_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    @asynccontextmanager
    async def listen(*, host: str, **rest: object) -> AsyncIterator[None]:
        asked.append(host)
        raise UsageError("not here")
        yield

    monkeypatch.setattr(running, "serve", listen)
    for text in ("", "192.0.2.1"):
        monkeypatch.setenv("HOST", text)
        with pytest.raises(SystemExit):
            running.run(_nothing, port=0)
    assert asked == ["127.0.0.1", "192.0.2.1"]


async def test_the_page_has_an_address_for_people() -> None:
    async with serve(port=0) as hosted:
        assert hosted.page("my lab", "bob") == f"http://localhost:{hosted.port}/?room=my+lab&name=bob"
        assert hosted.urls[0].startswith("http://localhost:")
