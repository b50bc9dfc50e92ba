"""Many durations in little space: how often which came, to a millisecond. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BIN: Final = 0.001
"""Seconds."""
BINS: Final = 20_000
"""What is longer counts as this many."""


class Histogram:
    """Durations in seconds, none below 0."""

    def __init__(self, durations: Iterable[float] = ()) -> None:
        self.count = 0
        self.sum = 0.0
        self.max = 0.0
        self._bins: dict[int, int] = {}
        for duration in durations:
            self.add(duration)

    def add(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        self.count += 1
        self.sum += seconds
        self.max = max(self.max, seconds)
        place = min(BINS, int(seconds / BIN))
        self._bins[place] = self._bins.get(place, 0) + 1

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None

    def percentile(self, share: float) -> float | None:
        """What `share` (0 to 1) of them do not exceed, a millisecond too much at most; None where there are none."""
        if not self.count:
            return None
        rank = rank_of(share, self.count)
        seen = 0
        for place in sorted(self._bins):
            seen += self._bins[place]
            if seen > rank:
                return min(self.max, (place + 1) * BIN)
        return self.max


def percentile(values: Sequence[float], share: float) -> float | None:
    """What `share` (0 to 1) of the values do not exceed, and is one of them (nearest rank); None of none."""
    return sorted(values)[rank_of(share, len(values))] if values else None


def rank_of(share: float, count: int) -> int:
    """The place, from 0, of the nearest rank among `count` values."""
    exact = share * count
    return min(count - 1, max(0, int(exact) - (exact == int(exact))))
