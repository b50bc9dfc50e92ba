"""Packets that left over a path, by their transport-wide numbers, and what is told of them afterwards. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from peer.rtc.arrivalreport import REFERENCE_TICKS, TICK
from peer.rtc.rtp import Unwrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.arrivalreport import ArrivalReport

MAX_KEPT: Final = 4096
"""Packets, two seconds of 20 Mbit/s; beyond, the oldest go: the other side tells of none."""


Arrived = tuple[float, float, int, int]
"""A packet that did: when it was sent, when it came (on the receiver's clock, both in seconds), its bytes, and the
probe that it was part of, 0 for none. Plain, as one is made for each packet."""


class SentPackets:
    """Gives the numbers, remembers the packets of which nothing was told yet."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int, int]] = deque()
        """When each left, its bytes, its probe ..."""
        self._first = 1 << 16
        """... and the number of the first, without its wrap-around."""
        self._references = Unwrapper(24)

    def __len__(self) -> int:
        """Packets of which nothing was told yet."""
        return len(self._sent)

    def add(self, sizes: Sequence[int], now: float, cluster: int = 0) -> int:
        """Packets leave; the 16-bit number that the first of them gets, the others get those that follow."""
        sent = self._sent
        number = self._first + len(sent)
        sent.extend([(now, size, cluster) for size in sizes])
        if len(sent) > MAX_KEPT:
            self._forget(len(sent) - MAX_KEPT)
        return number & 0xFFFF

    def take(self, report: ArrivalReport) -> tuple[list[Arrived], int]:
        """Those that arrived by what it says, in the order of sending, and how many did not.

        Each packet is told of once; what was never sent is passed over. Of packets before those that it tells of
        another report told, which got lost: they count as if they had come with the first of these.
        """
        newest = self._first + len(self._sent) - 1
        ahead = newest - (newest - report.base & 0xFFFF) - self._first
        base = self._references.unwrap(report.reference) * REFERENCE_TICKS
        untold = self._forget(ahead)
        told = report.arrivals[max(-ahead, 0) :][: len(self._sent)]
        self._first += len(told)
        arrived: list[Arrived] = []
        take, lost = self._sent.popleft, 0
        for ticks in told:
            sent, size, cluster = take()
            if ticks is None:
                lost += 1
            else:
                arrived.append((sent, (base + ticks) * TICK, size + untold, cluster))
                untold = 0
        return arrived, lost

    @property
    def times(self) -> tuple[float, float] | None:
        """When the first and the last packet left of which nothing is known; None where there is none."""
        return (self._sent[0][0], self._sent[-1][0]) if self._sent else None

    def _forget(self, count: int) -> int:
        """So many of the oldest, none if it is negative; returns their bytes."""
        size = 0
        for _ in range(count):
            size += self._sent.popleft()[1]
        self._first += max(count, 0)
        return size
