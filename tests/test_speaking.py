"""Whatever a voice gives is played: arrays, pairs, files, iterators; from coroutines, generators, plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import peer.media  # noqa: F401 loaded here, as a room does, and not on the event loop
from peer.errors import UsageError
from peer.speaking import on_thread, spoken
from tests.media.clips import webm
from tests.rooms import PATIENCE, soon
from tests.test_playback import Far, tone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from peer.playback import Playback


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    one = Far()
    yield one
    await one.close()


def say(far: Far, voice: Any, rate: int = 48000) -> Playback:
    return far.play(partial(spoken, voice, "hello"), rate)


def plain(text: str) -> Any:
    assert text == "hello" and threading.current_thread() is not threading.main_thread()
    return tone(0.2, 16000)


async def coroutine(text: str) -> Any:
    return tone(0.2, 16000)


async def generator(text: str) -> Any:
    for _ in range(2):
        yield tone(0.1, 16000)


class Engine:
    """A voice with a state."""

    async def __call__(self, text: str) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return tone(0.2, 16000), 16000


@pytest.mark.parametrize(
    "voice", [plain, coroutine, generator, lambda text: coroutine(text), lambda text: generator(text), partial(plain)]
)
async def test_voices_of_every_kind(far: Far, voice: Any) -> None:
    playback = say(far, voice, rate=16000)
    await soon(playback)
    assert playback.position == pytest.approx(0.2, abs=0.05) and max(far.heard) > 7000


async def test_a_rate_that_comes_with_the_sound_counts(far: Far) -> None:
    async def pieces(text: str) -> Any:
        for _ in range(2):
            yield tone(0.1, 24000), 24000

    for voice in (Engine(), pieces, lambda text: (tone(0.2, 8000), 8000)):
        playback = say(far, voice)
        await soon(playback)
        assert playback.position == pytest.approx(0.2, abs=0.05)


async def test_a_file(far: Far, tmp_path: Path) -> None:
    path = await asyncio.to_thread(webm, tmp_path / "clip.webm", 5, video=False)
    playback = say(far, lambda text: path)
    await soon(playback)
    assert playback.position > 0.15


async def test_a_voice_with_nothing_to_say(far: Far) -> None:
    async def silent(text: str) -> Any:
        for pcm in ():
            yield pcm

    playback = say(far, silent)
    await soon(playback)
    assert playback.position == 0


async def test_what_a_voice_raises_is_raised_when_awaited(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    def broken(text: str) -> Any:
        raise ZeroDivisionError("tts")

    def exhausted(text: str) -> Any:
        return next(iter(()))

    async def two_rates(text: str) -> Any:
        yield tone(0.1), 48000
        yield tone(0.1), 16000

    def a_file_in_memory(text: str) -> Any:
        return b"RIFF"

    for voice, error, sentence in (
        (broken, ZeroDivisionError, "tts"),
        (exhausted, RuntimeError, "StopIteration"),
        (two_rates, UsageError, "sound of 48000 Hz went on with 16000 Hz"),
        (a_file_in_memory, UsageError, "bytes is no sound to play; give a file's path, PCM"),
    ):
        with pytest.raises(error, match=sentence):
            await soon(say(far, voice))
    assert caplog.text.count("nothing is played") == 4


async def test_stopped_while_the_speech_is_being_made(far: Far) -> None:
    begun, go_on, cancelled = asyncio.Event(), threading.Event(), asyncio.Event()

    async def slow(text: str) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    playback = say(far, slow)
    await soon(begun.wait())
    playback.stop()
    await soon(playback)
    assert cancelled.is_set() and playback.stopped and far.heard == []

    def blocking(text: str) -> Any:
        go_on.wait(PATIENCE)
        return tone(0.2)

    playback = say(far, blocking)
    await asyncio.sleep(0)
    playback.stop()
    await soon(playback)
    go_on.set()
    assert playback.stopped and far.heard == []


async def test_nothing_is_kept_of_a_voice_that_nothing_can_end(far: Far) -> None:
    """A plain function goes on until it returns; what it made then is dropped, however often that happens."""
    go_on, ended, made = threading.Event(), [threading.Event() for _ in range(3)], []

    def blocking(number: int, text: str) -> Any:
        try:
            assert go_on.wait(PATIENCE)
            pcm = tone(0.2)
            made.append(weakref.ref(pcm))
            return pcm
        finally:
            ended[number].set()

    playbacks = [far.play(partial(spoken, partial(blocking, number), "hello"), 48000) for number in range(3)]
    await asyncio.sleep(0)
    for each in playbacks:
        each.stop()
        await soon(each)
    assert not any(each.is_set() for each in ended), "nobody waited for them"
    go_on.set()
    for each in ended:
        assert await asyncio.to_thread(each.wait, PATIENCE)
    for thread in [one for one in threading.enumerate() if one.name == "voice"]:
        await asyncio.to_thread(thread.join, PATIENCE)
    await asyncio.sleep(0)
    gc.collect()
    assert [each() for each in made] == [None] * 3 and far.heard == []


async def test_nothing_is_kept_of_what_was_being_said(far: Far) -> None:
    made = []

    def plain(text: str) -> Any:
        pcm = tone(5.0)
        made.append(weakref.ref(pcm))
        return pcm

    playback = say(far, plain)
    async with asyncio.timeout(PATIENCE):
        await far.loud.wait()
    playback.stop()
    await soon(playback)
    await asyncio.sleep(0)
    gc.collect()
    assert made[0]() is None and playback.stopped


async def test_a_coroutine_that_comes_too_late_is_closed(far: Far) -> None:
    go_on = threading.Event()

    def late(text: str) -> Any:
        assert go_on.wait(PATIENCE)
        return coroutine(text)

    playback = say(far, late)
    await asyncio.sleep(0)
    playback.stop()
    await soon(playback)
    go_on.set()
    for thread in [one for one in threading.enumerate() if one.name == "voice"]:
        await asyncio.to_thread(thread.join, PATIENCE)
    await asyncio.sleep(0)  # a coroutine that was not awaited would be an error here


async def test_stopped_before_it_even_began(far: Far) -> None:
    playback = say(far, coroutine)
    playback.stop()
    await soon(playback)
    assert far.heard == []


async def test_a_generator_that_is_stopped_is_closed(far: Far) -> None:
    closed = asyncio.Event()

    async def endless(text: str) -> Any:
        with contextlib.ExitStack() as stack:
            stack.callback(closed.set)
            while True:
                yield tone(0.5)

    playback = say(far, endless)
    async with asyncio.timeout(PATIENCE):
        await far.loud.wait()
    playback.stop()
    await soon(playback)
    assert closed.is_set()


async def test_a_thread_whose_result_nobody_wants_any_more() -> None:
    go_on = threading.Event()
    waiting = asyncio.ensure_future(on_thread(lambda: go_on.wait(PATIENCE), "test voice"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    go_on.set()
    for thread in [one for one in threading.enumerate() if one.name == "test voice"]:
        await asyncio.to_thread(thread.join)
    assert waiting.cancelled()
