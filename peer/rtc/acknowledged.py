"""What arrived lately of what was sent: how much, how late, and whether ever later. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from peer.rtc.bandwidth import Trend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.bandwidth import Usage
    from peer.rtc.sentpackets import Arrived

BURST: Final = 0.005
"""Seconds: packets that left within that time of one another are one group (draft-ietf-rmcat-gcc-02 section 5.2)."""
RATE_WINDOW: Final = 0.5
"""Seconds over which the rate is measured that arrives ..."""
SHORT_WINDOW: Final = 0.15
"""... and while the queue on the way is never empty, which that time is enough for."""
BASE_WINDOW: Final = 10
"""Seconds for which the shortest delay seen is that of the path without a queue."""


class Acknowledged:
    """Of one path. Times are seconds, on the sender's clock or on the receiver's."""

    def __init__(self) -> None:
        self.queue = 0.0
        """Seconds that the newest packets took longer than the quickest ones."""
        self._packets: deque[Arrived] = deque()
        self._bytes = 0
        """Of these."""
        self._bases: deque[tuple[int, float]] = deque()
        """The shortest delay of each second, of late."""
        self._trend = Trend()
        self._overused = 0
        self._group: tuple[float, float, float] | None = None
        """When the first and the last packet of the present group left, and when the last one came."""
        self._before: tuple[float, float] | None = None
        """Of the group before: when its last packet left, and when it came."""

    def take(self, arrived: Sequence[Arrived]) -> Usage:
        """What one report tells of, in the order of sending, at least one packet; what that says of the path."""
        shortest = self._place(arrived)
        (sent, at, _, _), packets = arrived[-1], self._packets
        packets.extend(arrived)
        second = int(sent)
        # A receiver may say what it likes of its clock, but not when we sent.
        sent, at = sent - 3 * RATE_WINDOW, at - RATE_WINDOW
        while packets[0][1] <= at or packets[0][0] <= sent:
            self._bytes -= packets.popleft()[2]
        if self._bases and self._bases[-1][0] == second:
            self._bases[-1] = (second, min(self._bases[-1][1], shortest))
        else:
            self._bases.append((second, shortest))
            while self._bases[0][0] < second - BASE_WINDOW:
                self._bases.popleft()
        self.queue = shortest - min([base for _, base in self._bases])
        before, self._overused = self._overused, self._trend.overused
        return "over" if self._overused > before else self._trend.usage

    def rate(self) -> float | None:
        """Bits per second that arrive; None before there is enough to tell."""
        span = self._packets[-1][1] - self._packets[0][1] if self._packets else 0.0
        return 8 * self._bytes / max(span, 0.9 * RATE_WINDOW) if span >= RATE_WINDOW / 2 else None

    def newest_rate(self, window: float = SHORT_WINDOW) -> float:
        """Of the last `window` seconds: what a path takes whose queue is not empty. There is a `rate` already."""
        since, total = self._packets[-1][1] - window, 0
        for _, at, size, _ in reversed(self._packets):
            if at <= since:
                break
            total += size
        return 8 * total / window

    def _place(self, arrived: Sequence[Arrived]) -> float:
        """Put packets into groups (section 5.2), and these on the trend; returns the shortest delay."""
        left, at, _, _ = arrived[0]
        shortest, total = at - left, 0
        first, last, came = self._group or (left, left, at)
        for sent, at, size, _ in arrived:
            total += size
            if at - sent < shortest:
                shortest = at - sent
            # What was held up on the way and came in one burst belongs together, whenever it left.
            if sent - first <= BURST or (0 <= at - came <= BURST and at - came < sent - last):
                last = sent
                if at > came:
                    came = at
                continue
            if self._before is not None:
                interval = last - self._before[0]
                self._trend.add(came - self._before[1] - interval, interval, came)
            self._before = (last, came)
            first, last, came = sent, sent, at
        self._group = first, last, came
        self._bytes += total
        return shortest
