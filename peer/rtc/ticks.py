"""Common ticks for what all connections of a process do now and then: they wake it once, not each by itself. Pure.

A process that slept for a moment finds its caches cold, and pays for that ten times what the work itself takes.
"""

from __future__ import annotations

import math
from typing import Final

TICK: Final = 0.1
"""Seconds from one to the next."""


def tick_after(time: float) -> float:
    """The first tick later than `time`, in seconds of the loop's clock."""
    return (math.floor(time / TICK) + 1) * TICK
