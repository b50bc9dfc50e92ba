"""What a server counts while it works: plain integers, so that counting costs next to nothing. No I/O, no clock.

`metrics.py` puts them into the words of Prometheus when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from signaling.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.messages import Message

LATENCY_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram of latencies, in seconds; longer ones are in a last bucket."""


class Histogram:
    """How many values were at most as large as each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[str, float]]:
        """The upper bound of each bucket as text, `+Inf` last, and how many values are not above it."""
        found, total = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Counters:
    """Counts since the server began. The keys are names in our own code, never what a client sent."""

    def __init__(self) -> None:
        self.received: defaultdict[type[Message], int] = defaultdict(int)  # from clients
        self.sent: defaultdict[type[Message], int] = defaultdict(int)  # to clients
        self.refused = dict.fromkeys(Code, 0)
        self.relayed = Histogram()  # seconds from a message's arrival until it is handed to the receiver's socket
        self.dropped = 0  # messages for which there was no room: their client does not read
        self.states: dict[str, tuple[str, Callable[[], float]]] = {}

    def state(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Adds a figure that is read when asked for, such as `redis_up`: a plain function that only looks."""
        self.states[name] = (meaning, read)
