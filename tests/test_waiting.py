"""Waiting for media, pictures, silence, speech: it comes, or not in time, the call ends, or nobody waits any more."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from peer.errors import CallEnded, NotHere, TimedOut, UsageError
from peer.media import SoundSource
from tests.rooms import SMALL, connect, rooms, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

    from peer.call import Call
    from peer.room import Room


@pytest.fixture
async def pair() -> AsyncIterator[list[Room]]:
    async with rooms("alice", "bob") as both:
        yield both


def loud(frame: NDArray[np.int16]) -> float:
    return float(np.abs(frame).max() > 1000)


def nobody_takes(call: Call) -> bool:
    """Whether nothing of what comes is kept for anybody."""
    gc.collect()
    return not any(
        takers.held for t in call.remote.tracks for takers in (t._streams, t._pictures, t._sounds, t._frames)
    )


async def test_media_that_flows(pair: list[Room]) -> None:
    calling, answered = await connect(*pair, video=SMALL, audio="test")
    await soon(answered.flowing())
    await soon(answered.flowing("video", timeout=20))
    picture = await soon(answered.picture())
    assert (picture.width, picture.height) == (160, 120)
    assert nobody_takes(answered)
    with pytest.raises(UsageError, match="text cannot flow; wait for 'audio', 'video' or both"):
        await calling.flowing("text")


async def test_media_that_does_not_come_in_time(pair: list[Room]) -> None:
    _, answered = await connect(*pair)
    with pytest.raises(TimedOut, match=r"no video came from alice within 0.05 s, .* see whether it is muted") as error:
        await answered.flowing("video", timeout=0.05)
    assert isinstance(error.value, TimeoutError)
    with pytest.raises(TimedOut, match="no video came from alice within 0.05 s"):
        await answered.picture(timeout=0.05)
    assert nobody_takes(answered)


async def test_silence_and_sound(pair: list[Room]) -> None:
    source = SoundSource(seconds=30)
    _, answered = await connect(*pair, audio=source)
    source.push((8000 * np.sin(np.arange(48000 * 20) / 20)).astype(np.int16))
    await soon(answered.flowing("audio"))
    with pytest.raises(TimedOut, match=r"alice was never silent for 10 s within 0.2 s"):
        await answered.silent(10, timeout=0.2)
    await soon(answered.speaking(detector=loud))
    source.clear()
    await soon(answered.silent(0.3))
    with pytest.raises(TimedOut, match=r"alice said nothing within 0.1 s"):
        await answered.speaking(timeout=0.1, detector=loud)
    assert nobody_takes(answered)
    await source.close()


async def test_no_sound_at_all_is_silence(pair: list[Room]) -> None:
    _, answered = await connect(*pair)
    await soon(answered.silent(0.1))


async def test_speech_is_heard_and_can_be_had(pair: list[Room]) -> None:
    source = SoundSource(16000, seconds=5)
    _, answered = await connect(*pair, audio=source)
    utterances = answered.utterances(pause=0.2, detector=loud)
    speaking = asyncio.ensure_future(answered.speaking(detector=loud))
    await soon(answered.flowing("audio"))
    source.push((8000 * np.sin(np.arange(9600) / 5)).astype(np.int16))
    said = await soon(anext(utterances))
    assert len(said.pcm) > 4800 and said.end > said.start  # a busy machine may tear holes into it
    pcm = await soon((await soon(speaking)).pcm())
    assert np.abs(pcm).max() > 5000
    utterances.close()
    await source.close()


WAITS: dict[str, Any] = {
    "flowing": lambda call: call.flowing("video"),
    "picture": lambda call: call.picture(),
    "silent": lambda call: call.silent(60),
    "speaking": lambda call: call.speaking(detector=loud),
    "pictures": lambda call: anext(call.pictures()),
    "sound": lambda call: anext(call.sound(16000)),
    "speech": lambda call: anext(call.speech(detector=loud)),
    "utterances": lambda call: anext(call.utterances(detector=loud)),
    "messages": lambda call: anext(call.messages()),
}


@pytest.mark.parametrize("name", WAITS)
async def test_a_wait_that_is_cancelled_leaves_nothing(pair: list[Room], name: str) -> None:
    _, answered = await connect(*pair)
    before = asyncio.all_tasks()
    for steps in (0, 1, 5):
        waiting = asyncio.ensure_future(WAITS[name](answered))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        del waiting
    assert nobody_takes(answered) and asyncio.all_tasks() <= before
    assert not len(answered._messages._takers)


@pytest.mark.parametrize("name", ["flowing", "picture", "silent", "speaking"])
async def test_a_call_that_ends_ends_the_wait(pair: list[Room], name: str) -> None:
    calling, answered = await connect(*pair)
    waiting = asyncio.ensure_future(WAITS[name](answered))
    await asyncio.sleep(0)
    await calling.hang_up()
    with pytest.raises(CallEnded, match=r"the call with alice ended before .* came; call again"):
        await soon(waiting)


async def test_waiting_for_somebody_has_an_end(pair: list[Room]) -> None:
    alice, _ = pair
    await soon(alice.wait_for("bob", timeout=5))
    with pytest.raises(NotHere, match="eve did not come to room lab within 0.05 s; check the name"):
        await alice.wait_for("eve", timeout=0.05)
