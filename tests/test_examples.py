"""The examples, each run as it stands, in an empty folder, against a peer that plays the caller."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import peer
import peer.link
from signaling.app import Server
from signaling.settings import Settings
from tests.browser.chromium import Chromium
from tests.browser.peerjs import make_page
from tests.harness.tools import require

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


def running(name: str, folder: Path, *arguments: str) -> AbstractAsyncContextManager[Example]:
    """The example, as a user starts it; ended by Ctrl-C if it does not end by itself, and then well."""
    return _running(folder, str(EXAMPLES / f"{name}.py"), *arguments)


def bot(name: str, folder: Path, url: str, *arguments: str) -> AbstractAsyncContextManager[Example]:
    """The example of a bot, run by `peer bot` under its own name."""
    command = "from peer.cli import main; main()"
    return _running(
        folder, "-c", command, "bot", str(EXAMPLES / f"bots/{name}.py"), url, "--name", name, "--", *arguments
    )


@asynccontextmanager
async def _running(folder: Path, *arguments: str) -> AsyncIterator[Example]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
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
    assert [path.stem for path in EXAMPLES.glob("bots/*.py") if f'bot("{path.stem}"' not in source] == []


VERBS = {
    *("call", "rings", "start", "record", "wait_for", "accept", "reject"),
    *("show", "carry", "play", "say", "write", "hang_up"),
    *("pictures", "sound", "speech", "utterances", "messages", "stats", "ended"),
    *("flowing", "picture", "speaking", "silent"),
}


def test_every_verb_is_shown_in_an_example() -> None:
    source = "\n".join(path.read_text() for path in EXAMPLES.glob("**/*.py"))
    assert {verb for verb in VERBS if f".{verb}(" not in source} == set()


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


async def test_publish(server: Server, tmp_path: Path) -> None:
    async with peer.join(server.url, room="lab", name="desk") as room:
        async with running("publish", tmp_path, f"{server.url}/whip/lab/desk", "3") as example:
            async with asyncio.timeout(WAIT):
                ring = await anext(room.rings())
            assert ring.caller == "whip"
            async with asyncio.timeout(WAIT), ring.accept() as call:
                picture = await anext(call.pictures())
                assert picture.array.shape == (240, 320, 3)
                await example.line("publishing to desk")
                assert (await call.ended()).by == "whip"
            await example.line(r"Ended\(by='publisher', reason='hung up'")
            assert await example.ended() == 0


async def test_pull(server: Server, tmp_path: Path) -> None:
    async with peer.join(server.url, room="lab", name="cam", video=SMALL, audio="test") as room:
        async with running("pull", tmp_path, f"{server.url}/whep/lab/cam", "10") as example:
            async with asyncio.timeout(WAIT):
                ring = await anext(room.rings())
            async with asyncio.timeout(WAIT), ring.accept() as call:
                await example.line("160x120, brightness [1-9]")
                assert (await call.ended()).reason == "hung up"
            await example.line(r"recorded recordings/cam-.*\.mkv")
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


@pytest.mark.browser
async def test_peerjs_desk(tmp_path: Path) -> None:
    await make_page(tmp_path)
    async with running("peerjs_desk", tmp_path) as example, Server(Settings(port=0, static=tmp_path)) as pages:
        port = (await example.line(r"Call the desk: http://localhost:(\d+)/\?room=peerjs"))[1]
        async with Chromium() as page:
            await page.open(f"{pages.url}/page.html?name=alice&port={port}")  # of another origin than the desk
            await page.wait_for("page.id === 'alice'")
            assert await page.evaluate("call('desk')")
            await example.line("alice calls")
            await page.wait_for("frames().then((count) => count > 5)", WAIT)
            assert await page.evaluate("connect('desk', { serialization: 'json' })")
            await page.wait_for("page.events.includes('data open')")
            await page.evaluate("(page.data.send(['good', 'morning']), true)")
            answer = {"you": "alice", "said": ["good", "morning"]}
            assert await page.wait_for("page.texts[0]") == answer


async def test_the_w3c_interface(tmp_path: Path) -> None:
    async with running("w3c_connection", tmp_path) as example:
        await example.line("you said 'hello'")
        await example.line("over host udp")
        await example.line("you said 'still here'")
        assert await example.ended() == 0


# Bots


@asynccontextmanager
async def calling(url: str, name: str, **sources: Any) -> AsyncIterator[peer.Call]:
    """Alice, who calls the bot."""
    async with peer.join(url, room="lab", name="alice") as room:
        await room.wait_for(name, timeout=WAIT)
        async with asyncio.timeout(WAIT), room.call(name, **sources) as call:
            yield call


async def spoken(text: str) -> np.ndarray[Any, np.dtype[np.int16]]:
    require("espeak-ng")
    return np.concatenate([pcm async for pcm, _ in peer.voices.Espeak()(text)])


def microphone() -> peer.SoundSource:
    """For what `spoken` gives."""
    return peer.SoundSource(22050, seconds=30)


async def heard(sound: AsyncIterator[Any]) -> None:
    """Until something loud comes."""
    async for some in sound:
        if np.abs(some.array.astype(int)).max() > 1000:
            return
    raise AssertionError("the call ended in silence")


async def test_greeter(server: Server, tmp_path: Path) -> None:
    words, voice = await spoken("Good morning! It is me, Alice."), microphone()
    async with bot("greeter", tmp_path, server.url) as example, calling(server.url, "greeter", audio=voice) as call:
        await heard(call.sound())
        await call.silent(0.5)
        voice.push(words)
        await example.line(r"alice spoke for \d+\.\d s")
        assert (await call.ended()).by == "greeter"


async def test_parrot(server: Server, tmp_path: Path) -> None:
    words, voice = await spoken("Polly wants a cracker."), microphone()
    async with bot("parrot", tmp_path, server.url, "1.5") as _, calling(server.url, "parrot", audio=voice) as call:
        sound = call.sound()
        voice.push(words)
        await heard(sound)


async def test_storyteller(server: Server, tmp_path: Path) -> None:
    words, voice = await spoken("Wait a moment, what is a buffer? I never heard of it."), microphone()
    async with (
        bot("storyteller", tmp_path, server.url) as example,
        calling(server.url, "storyteller", audio=voice) as call,
    ):
        await heard(call.sound())
        voice.push(words)
        await example.line(r"interrupted, at \d+ s of \d+")
        await call.silent(0.3)
        await heard(call.sound())  # it goes on


async def test_motion(server: Server, tmp_path: Path) -> None:
    camera = peer.PictureSource()
    picture = np.zeros((240, 320, 3), np.uint8)
    async with bot("motion", tmp_path, server.url) as _, calling(server.url, "motion", video=camera) as call:
        messages, pictures = call.messages(), call.pictures()
        camera.push(picture)
        assert not (await anext(pictures)).array[:, :, 0].max() > 100
        picture[100:140, 150:190] = 255
        camera.push(picture)
        assert "something moves at 1" in await anext(messages)
        async for seen in pictures:
            red, _, blue = np.moveaxis(seen.array.astype(int), 2, 0)
            if ((red > 180) & (blue < 100)).sum() > 20:  # the frame
                break


async def test_quiz(server: Server, tmp_path: Path) -> None:
    async with bot("quiz", tmp_path, server.url, "0.5") as _, calling(server.url, "quiz") as call:
        messages = call.messages()
        assert "How many milliseconds" in await anext(messages)
        await call.write("20")
        assert await anext(messages) == "Right!"
        await anext(messages)
        await call.write("udp")
        assert await anext(messages) == "You said udp, it is ice."
        await anext(messages)
        assert await anext(messages) == "You said nothing, it is vp8."
        assert await anext(messages) == "alice has 1 points; alice leads with 1."


@pytest.mark.parametrize(
    ("video", "code", "line"),
    [
        (SMALL, 0, "page: 160x120, and sound; 0 packets lost"),
        ("grey", 8, "a check failed: the picture of page is of one colour"),
    ],
)
async def test_check(server: Server, tmp_path: Path, video: str, code: int, line: str) -> None:
    grey = peer.PictureSource()
    grey.push(np.full((120, 160, 3), 128, np.uint8))
    shown = grey if video == "grey" else video
    async with peer.join(server.url, room="lab", name="page", video=shown, audio="test") as page:
        async with bot("check", tmp_path, server.url) as example:
            async with asyncio.timeout(WAIT):
                ring = await anext(page.rings())
            async with ring.accept():
                await example.line(line)
            assert await example.ended() == code
