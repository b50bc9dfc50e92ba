"""espeak-ng as a voice: sound while it is being made, its failures as sentences, no process left behind."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from peer.errors import DeviceError, UsageError
from peer.voices import LONGEST, Espeak
from tests.harness.tools import require
from tests.rooms import soon


@pytest.fixture
def voice() -> Espeak:
    require("espeak-ng")
    return Espeak()


async def _all(voice: Espeak, text: str) -> tuple[list[int], int]:
    rates, samples = [], 0
    async for pcm, rate in voice(text):
        assert pcm.dtype == np.int16 and pcm.ndim == 1
        rates.append(rate)
        samples += len(pcm)
    return rates, samples


async def test_it_speaks(voice: Espeak) -> None:
    rates, samples = await soon(_all(voice, "Hello, I am a bot."))
    assert set(rates) == {22050} and 0.5 < samples / 22050 < 5
    _, slower = await soon(_all(Espeak(words_per_minute=80), "Hello, I am a bot."))
    assert slower > samples


async def test_what_looks_like_a_flag_is_text(voice: Espeak) -> None:
    _, samples = await soon(_all(voice, "--help"))
    assert samples > 2000


async def test_who_leaves_in_the_middle_ends_the_program(voice: Espeak) -> None:
    async with contextlib.aclosing(voice("hello " * 2000)) as speech:
        pcm, _ = await soon(anext(speech))
    assert len(pcm)  # that no process is left is seen to by the guards


async def test_a_cancelled_voice_ends_the_program(voice: Espeak) -> None:
    speaking = asyncio.ensure_future(_all(voice, "hello " * 2000))
    await asyncio.sleep(0.01)
    speaking.cancel()
    await asyncio.wait([speaking])
    assert speaking.cancelled()


async def test_a_language_that_is_none(voice: Espeak) -> None:
    with pytest.raises(DeviceError, match="espeak-ng said nothing: .*; try it in a terminal"):
        await soon(_all(Espeak("nowhere"), "hello"))


async def test_too_long_a_text(voice: Espeak) -> None:
    with pytest.raises(UsageError, match=f"at most {LONGEST}"):
        await soon(_all(voice, "a" * (LONGEST + 1)))


def test_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UsageError, match="sudo apt-get install espeak-ng, or give say"):
        Espeak()
