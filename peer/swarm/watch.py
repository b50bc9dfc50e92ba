"""What a process of the swarm can tell of itself: how late its event loop is, what it takes of the machine."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from peer.rtc.feed import feeds
from peer.rtc.picturefeed import PictureFeed

INTERVAL: Final = 0.05
"""Seconds between two looks at the clock."""
MAX_LAGS: Final = 1000
"""Readings that may wait to be told."""


def readings(late: float) -> list[float]:
    """What every look would have found while the loop was late: a loop that stands still is looked at seldom, and would
    seem the better the worse it is."""
    return [max(0.0, late - missed * INTERVAL) for missed in range(1 + max(0, int(late / INTERVAL)))]


class LoopWatch:
    """Measures by how much the event loop is late."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self._cpu, self._at = time.process_time(), time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.lags += readings(time.monotonic() - due)
            del self.lags[MAX_LAGS:]

    def take(self) -> tuple[tuple[float, ...], float, float]:
        """Since the last time: by how much the loop was late, seconds of processor time, seconds that passed."""
        lags, self.lags = tuple(self.lags), []
        cpu, at = time.process_time(), time.monotonic()
        spent, passed = cpu - self._cpu, at - self._at
        self._cpu, self._at = cpu, at
        return lags, spent, passed


class EncoderWatch:
    """Counts pictures that were encoded, and those that were left out because there was no time."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[PictureFeed, int, int]] = {}

    def take(self) -> tuple[int, int]:
        """Since the last time: pictures that came to be encoded, and those of them that were left out."""
        wanted = left_out = 0
        now: dict[int, tuple[PictureFeed, int, int]] = {}
        for feed in feeds():
            if not isinstance(feed, PictureFeed):
                continue
            encodes, dropped = feed.encodes, feed.dropped
            _, before, dropped_before = self._before.get(id(feed), (feed, 0, 0))
            late = dropped - dropped_before
            wanted += encodes - before + late
            left_out += late
            now[id(feed)] = feed, encodes, dropped
        self._before = now
        return wanted, left_out


def resident() -> int:
    """Bytes of memory that this process holds; 0 where nobody tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0
