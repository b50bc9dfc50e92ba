"""Common ticks for what all connections of a process do now and then: they wake it once, not each by itself. Pure.

A process that slept for a moment finds its caches cold, and pays for that ten times what the work itself takes. One
with dozens of connections does not sleep: there they take turns, as nothing else is done during a tick.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

TICK: Final = 0.1
"""Seconds from one to the next."""
TOGETHER: Final = 8
"""Connections that share a tick; of many more, one after the other would hold up everything else for too long."""
PHASES: Final = (0, 5, 2, 7, 4, 9, 1, 6, 3, 8)
"""Of further ones, in tenths of a tick."""


def tick_after(time: float, number: int = 0) -> float:
    """The first tick later than `time`, in seconds of the loop's clock, of the connection with that number."""
    phase = PHASES[number // TOGETHER % len(PHASES)] * TICK / len(PHASES)
    return (math.floor((time - phase) / TICK) + 1) * TICK + phase


class Numbers:
    """Gives each connection the least number that none has: those that are left share their ticks again."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._given = 0

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self._given += 1
        return self._given - 1

    def give_back(self, number: int) -> None:
        """One that was taken; once."""
        heapq.heappush(self._free, number)
