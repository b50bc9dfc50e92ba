"""A link that takes so much and no more: what does not fit waits in a queue, and what the queue does not take is lost.

Towards the receiver only; the way back takes everything. Both take their time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from lossylink import LossyLink, Pattern

QUEUE = 0.3
"""Seconds of what it takes now that may wait: about what home routers have."""
IP_UDP = 28
"""Bytes of headers that a packet has on the wire."""


@dataclass
class Carried:
    """What came out of it in one stretch of time. Bytes."""

    video: int = 0
    again: int = 0
    """Of retransmissions, asked for or as probes, that went in."""
    dropped: int = 0
    """Packets."""
    waits: list[float] = field(default_factory=list)
    """Seconds in the queue."""


class NarrowLink(LossyLink):
    """`rate` may be changed at any time, bits per second."""

    def __init__(self, rtt: float, rate: float) -> None:
        super().__init__(Pattern(), rtt)
        self.rate = rate
        self.carried = Carried()
        """Since somebody took the last one away."""
        self._queue: deque[tuple[float, bytes, float]] = deque()
        """When each has been sent by the link, and how long it waited."""
        self._free = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _forth(self, data: bytes) -> None:
        now = time.monotonic()
        if 127 < data[0] < 192 and not 64 <= data[1] & 0x7F < 96:
            self._lost(data, "forth", now)  # it is counted
            kind, again = self._types.get(data[1] & 0x7F, ("", False))
            if again:
                self.carried.again += len(data)
        else:
            kind = ""
        waited = max(self._free - now, 0.0)
        if waited > QUEUE:
            self.carried.dropped += 1
            return
        self._free = max(self._free, now) + 8 * (len(data) + IP_UDP) / self.rate
        if kind == "video":
            self.carried.video += len(data)
            self.carried.waits.append(waited)
        self._queue.append((self._free + self._delay, data, waited))
        self._next()

    def _next(self) -> None:
        if self._timer is None and self._queue:
            delay = max(self._queue[0][0] - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._out)

    def _out(self) -> None:
        self._timer = None
        now = time.monotonic() + 0.0005  # timers come late rather than early
        while self._queue and self._queue[0][0] <= now:
            self._to_receiver.send(self._queue.popleft()[1])
        self._next()
