"""The examples, each run as it stands, in an empty folder, against a peer that plays the caller."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import peer
from signaling.app import Server
from signaling.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

EXAMPLES = Path(__file__).parents[1] / "examples"
WAIT = 30.0
SMALL = "test:160x120@15"


class Example:
    """A process that runs one example; its output line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self, pattern: str) -> re.Match[str]:
        """The next line of its output in which `pattern` is found."""
        assert self._process.stdout is not None
        seen = []
        async with asyncio.timeout(WAIT):
            while raw := await self._process.stdout.readline():
                seen.append(raw.decode())
                if match := re.search(pattern, seen[-1]):
                    return match
        raise AssertionError(f"{pattern!r} is not in its output:\n{''.join(seen)}")

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT):
            return await self._process.wait()


@asynccontextmanager
async def running(name: str, folder: Path, *arguments: str) -> AsyncIterator[Example]:
    """The example, as a user starts it; ended by Ctrl-C if it does not end by itself, and then well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / f"{name}.py"),
        *arguments,
        cwd=folder,
        env=os.environ | {"PORT": "0", "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Example(process)
    finally:
        if process.returncode is None:
            process.send_signal(2)
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
                raise
        process._transport.close()  # type: ignore[attr-defined]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0)) as served:
        yield served


def test_every_example_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'running("{path.stem}"' not in source] == []


async def test_call_a_browser(server: Server, tmp_path: Path) -> None:
    async with peer.join(server.url, room="lab", name="alice", video=SMALL, audio="test") as room:
        async with running("call_a_browser", tmp_path, server.url, "lab", "alice") as example:
            async with asyncio.timeout(WAIT):
                ring = await anext(room.rings())
            assert ring.caller == "bot"
            async with asyncio.timeout(WAIT), ring.accept() as call:
                assert await anext(call.messages()) == "Hello from Python"
                picture = await anext(call.pictures())
                assert picture.array.shape == (480, 640, 3)
            await example.line(r"Ended\(by='alice', reason='hung up'")
            assert await example.ended() == 0


async def test_answer_calls(server: Server, tmp_path: Path) -> None:
    async with running("answer_calls", tmp_path, server.url) as example:
        await example.line("answering calls")
        async with peer.join(server.url, room="lab", name="spam") as room:
            await room.wait_for("desk")
            with pytest.raises(peer.Rejected, match="does not take your calls") as refused:
                await room.call("desk")
            assert refused.value.reason == "busy"
        async with peer.join(server.url, room="lab", name="alice") as room:
            async with asyncio.timeout(WAIT), room.call("desk") as call:
                assert await anext(call.messages()) == "Hello alice, you are through to the desk"
                loud = 0
                async for sound in call.sound():
                    loud += int(np.abs(sound.array).max() > 1000)
                    if loud >= 5:
                        break


async def test_record_everyone(server: Server, tmp_path: Path) -> None:
    async with running("record_everyone", tmp_path, server.url, "lab", "kept", "0.2") as example:
        async with peer.join(server.url, room="lab", name="alice", video=SMALL, audio="test") as room:
            async with asyncio.timeout(WAIT):
                ring = await anext(room.rings())
            async with asyncio.timeout(WAIT), ring.accept():
                await example.line("recording everyone in room lab")
                recorded = tmp_path / "kept"
                while sum(path.stat().st_size for path in recorded.glob("*")) < 20_000:  # noqa: ASYNC110 nothing tells
                    await asyncio.sleep(0.02)
        await example.line(r"alice.*mkv: \d+\.\d s, whole")
        assert await example.ended() == 0
    assert sorted(path.suffix for path in (tmp_path / "kept").iterdir()) == [".json", ".mkv"]


async def test_echo(tmp_path: Path) -> None:
    async with running("echo", tmp_path) as example:
        url = (await example.line(r"Call the echo: (http://\S+)/\?room=lab"))[1]
        async with (
            peer.join(url, room="lab", name="alice", video=SMALL, audio="test") as room,
            asyncio.timeout(WAIT),
            room.call("echo") as call,
        ):
            await call.write("hello")
            assert await anext(call.messages()) == "you said: hello"
            picture = await anext(call.pictures())
            assert (picture.width, picture.height) == (160, 120)
            async for sound in call.sound():
                if np.abs(sound.array).max() > 1000:
                    break


async def test_draw(tmp_path: Path) -> None:
    async with running("draw", tmp_path) as example:
        url = (await example.line(r"Call the painter: (http://\S+)/\?room=lab"))[1]
        async with (
            peer.join(url, room="lab", name="alice", video="test:320x240@15") as room,
            asyncio.timeout(WAIT),
            room.call("painter") as call,
        ):
            async for picture in call.pictures():
                red, green, blue = np.moveaxis(picture.array.astype(int), 2, 0)
                if ((red > 200) & (green < 130) & (blue < 60)).sum() > 50:  # a frame was drawn
                    break


async def test_keypad(tmp_path: Path) -> None:
    async with running("keypad", tmp_path) as example:
        url = (await example.line(r"Call the keypad: (http://\S+)/\?room=lab"))[1]
        async with (
            peer.join(url, room="lab", name="alice", audio="test") as room,
            asyncio.timeout(WAIT),
            room.call("keypad") as call,
        ):
            texts = call.messages()
            assert (await anext(texts)).startswith("1: a melody")
            await call.press("1")
            async for sound in call.sound():
                if np.abs(sound.array).max() > 1000:
                    break
            await call.press("2,#")
            await example.line(r"alice left a message of \d s: messages/alice-.*\.mkv")
            assert await anext(texts) == "Thank you"
            await call.press("9")
            assert (await call.ended()).by == "keypad"


async def test_chat(server: Server, tmp_path: Path) -> None:
    async with peer.join(server.url, room="lab", name="alice") as room:
        async with running("chat", tmp_path, server.url) as example:
            async with asyncio.timeout(WAIT):
                ring = await anext(room.rings())
            async with asyncio.timeout(WAIT), ring.accept() as call:
                await example.line("alice is here")
                example.type("good morning\n")
                assert await anext(call.messages()) == "good morning"
                await call.write("good evening")
                await example.line("alice: good evening")
            await example.line("alice is gone")


async def test_the_w3c_interface(tmp_path: Path) -> None:
    async with running("w3c_connection", tmp_path) as example:
        await example.line("you said 'hello'")
        await example.line("over host udp")
        await example.line("you said 'still here'")
        assert await example.ended() == 0
