"""Packets of keys are taken out of the sound; each key is told once, also when its end never comes."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest

from peer.rtc.codecs import EVENTS, RECEIVABLE, Codec
from peer.rtc.dtmf import PATIENCE
from peer.rtc.keypresses import KeyPresses
from tests.rtc.packets import PCMU, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FAST, SLOW = EVENTS


class Pressing:
    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.one = KeyPresses()
        self.one.on_key = lambda key, seconds: self.told.append((key, seconds))
        self.one.configure(RECEIVABLE["audio"])

    def take(self, codec: Codec, event: int, duration: int, *, end: bool = False) -> tuple[int, bytes]:
        now = asyncio.get_running_loop().time()
        payload = struct.pack("!BBH", event, 0x8A if end else 10, duration)
        left = self.one.take(packet(codec, 1, 0, payload), now)
        return left.timestamp, left.payload


@pytest.fixture
async def pressing() -> AsyncIterator[Pressing]:
    made = Pressing()
    yield made
    made.one.close()


async def test_what_is_agreed_of_keys(pressing: Pressing) -> None:
    assert pressing.one.payload_types == {FAST.payload_type, SLOW.payload_type}
    pressing.one.configure([PCMU])
    assert pressing.one.payload_types == set()


@pytest.mark.parametrize("codec", EVENTS)
async def test_keys_are_on_the_clock_of_the_sound_whatever_they_say(pressing: Pressing, codec: Codec) -> None:
    """Both browsers send those of 8000 Hz among Opus."""
    assert pressing.take(codec, 11, 4800, end=True) == (4800, b"")
    assert pressing.told == [("#", 0.1)]


async def test_keys_among_telephone_sound(pressing: Pressing) -> None:
    pressing.one.configure([PCMU, SLOW])
    pressing.take(SLOW, 0, 800, end=True)
    assert pressing.told == [("0", 0.1)]


@pytest.mark.virtual_time
async def test_an_end_that_never_comes_is_not_waited_for(pressing: Pressing) -> None:
    pressing.take(FAST, 1, 960)
    await asyncio.sleep(PATIENCE - 0.01)
    pressing.take(FAST, 1, 1920)
    await asyncio.sleep(PATIENCE - 0.01)
    assert pressing.told == [], "it is pressed still"
    await asyncio.sleep(0.02)
    assert pressing.told == [("1", 0.04)]


@pytest.mark.virtual_time
async def test_nothing_is_told_after_the_end(pressing: Pressing) -> None:
    pressing.take(FAST, 1, 960)
    pressing.one.close()
    await asyncio.sleep(2 * PATIENCE)
    assert pressing.told == []


async def test_who_is_told_may_fail(pressing: Pressing, caplog: pytest.LogCaptureFixture) -> None:
    def fail(key: str, seconds: float) -> None:
        raise OSError(key)

    pressing.one.on_key = fail
    assert pressing.take(FAST, 1, 960, end=True) == (960, b"")
    assert "failed" in caplog.text
