"""Barge-in: what was being said leaves for 60 ms more at most, counted in packets on their way out."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from peer.media import SoundSource
from peer.playback import Playback
from peer.rtc.encoding import sound_codec
from peer.rtc.sender import OutboundSound
from peer.rtc.sending import MediaSender
from tests.rooms import PATIENCE
from tests.rtc.test_sending import PCMU, Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LATEST = 3
"""Packets of 20 ms in 60 ms."""


class Ear(Line):
    """The way out of a sender; hears which packets are loud."""

    @property
    def loud(self) -> int:
        return sum(len(set(packet.payload)) > 20 for packet in self.rtp)


@pytest.fixture(autouse=True)
async def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound leaves by the clock of the loop, which jumps."""
    clock = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    monkeypatch.setattr("peer.rtc.soundfeed.time", clock)


@contextlib.asynccontextmanager
async def sending() -> AsyncIterator[tuple[OutboundSound, Ear]]:
    ear, sound = Ear(), OutboundSound()
    sender = MediaSender("audio", ear, 5, 6)
    sender.replace_track(sound)
    sender.configure(PCMU._replace(formats=((sound_codec("PCMU"), PCMU.sent_as),)))
    try:
        yield sound, ear
    finally:
        await sender.stop()


def speech(seconds: float) -> Any:
    return np.random.default_rng(1).normal(scale=5000, size=round(48000 * seconds)).astype(np.int16)


async def endless() -> AsyncIterator[Any]:
    while True:
        yield speech(0.5)


@pytest.mark.virtual_time
@pytest.mark.parametrize("what", [lambda: speech(20), endless], ids=["array", "iterator"])
@pytest.mark.parametrize("carried", [False, True])
async def test_a_playback_that_is_stopped_is_silent_within_60_ms(what: Any, carried: bool) -> None:
    async with sending() as (sound, ear):
        own = SoundSource()
        if carried:  # silence, whose packets show that it goes on
            sound.carry(own)
        playback = Playback(sound, what(), 48000, asyncio.get_running_loop().create_task)
        await ear.until(lambda: ear.loud >= 20)
        playback.stop()
        before, packets = ear.loud, len(ear.rtp)
        if carried:
            await ear.until(lambda: len(ear.rtp) >= packets + 20)
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(1)
        assert 0 <= ear.loud - before <= LATEST
        if not carried:
            assert len(ear.rtp) - packets <= LATEST, "nothing to say is nothing to send"
        await own.close()


@pytest.mark.virtual_time
async def test_a_source_that_is_cleared_is_silent_within_60_ms() -> None:
    async with sending() as (sound, ear):
        source = SoundSource(seconds=30)
        source.push(speech(20))
        sound.carry(source)
        await ear.until(lambda: ear.loud >= 20)
        source.clear()
        before, packets = ear.loud, len(ear.rtp)
        await ear.until(lambda: len(ear.rtp) >= packets + 20)
        assert 0 <= ear.loud - before <= LATEST and source.buffered == 0
        await source.close()
