"""Packets that left over a path, by their transport-wide numbers, and what is told of them afterwards. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from peer.rtc.arrivalreport import REFERENCE_TICKS, TICK
from peer.rtc.rtp import Unwrapper

if TYPE_CHECKING:
    from peer.rtc.arrivalreport import ArrivalReport

KEPT: Final = 5.0
"""Seconds for which it is of interest what became of a packet."""
MAX_KEPT: Final = 8192
"""Packets; beyond, the oldest go."""


class Arrived(NamedTuple):
    """A packet that did. Times in seconds."""

    sent: float
    at: float
    """On the receiver's clock."""
    size: int
    """Bytes."""
    cluster: int
    """Of the probe that it was part of, 0 for none."""


class SentPackets:
    """Gives the numbers, remembers the packets."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, int, int]] = {}
        """By number without its wrap-around, oldest first: when it left, its bytes, its probe."""
        self._next = 1 << 16
        self._references = Unwrapper(24)
        self.in_flight = 0
        """Bytes of which nothing is known yet."""

    def add(self, size: int, now: float, cluster: int = 0) -> int:
        """A packet leaves; the 16-bit number that it gets."""
        number = self._next
        self._next = number + 1
        sent = self._sent
        sent[number] = (now, size, cluster)
        self.in_flight += size
        if len(sent) > MAX_KEPT:
            self._drop(next(iter(sent)))
        return number & 0xFFFF

    def take(self, report: ArrivalReport, now: float) -> tuple[list[Arrived], int]:
        """Those that arrived by what it says, in the order of sending, and how many did not.

        Each packet is told of once; what was never sent is passed over. Of packets before those that it tells of
        another report told, which got lost: they count as if they had come with the first of these.
        """
        number = self._next - 1 - ((self._next - 1 - report.base) & 0xFFFF)
        base = self._references.unwrap(report.reference) * REFERENCE_TICKS
        untold = self._before(number)
        arrived: list[Arrived] = []
        lost, pop = 0, self._sent.pop
        for ticks in report.arrivals:
            packet = pop(number, None)
            number += 1
            if packet is None:
                continue
            sent, size, cluster = packet
            self.in_flight -= size
            if ticks is None:
                lost += 1
            else:
                arrived.append(Arrived(sent, (base + ticks) * TICK, size + untold, cluster))
                untold = 0
        while self._sent and next(iter(self._sent.values()))[0] < now - KEPT:
            self._drop(next(iter(self._sent)))
        return arrived, lost

    def _before(self, number: int) -> int:
        """Forgets those; returns their bytes."""
        size = 0
        while self._sent and (first := next(iter(self._sent))) < number:
            size += self._sent[first][1]
            self._drop(first)
        return size

    @property
    def oldest(self) -> float | None:
        """When the first packet left of which nothing is known; None where there is none."""
        return next(iter(self._sent.values()))[0] if self._sent else None

    def _drop(self, number: int) -> None:
        self.in_flight -= self._sent.pop(number)[1]
