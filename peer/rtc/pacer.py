"""When packets leave: a large picture not in one burst, which would fill the queues on the way. Pure.

What is small leaves at once, in the call that brings it; what waits leaves on ticks, and nothing wakes while nothing
waits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTOR: Final = 2.5
"""Times the target that packets leave at: a picture of usual size has left before the next one is there."""
BURST: Final = 0.016
"""Seconds of that pace that may leave at once: 40 ms of the target, a picture of usual size at 30 a second."""
MOST_DELAY: Final = 0.25
"""Seconds within which what waits is gone: where there is more, it leaves faster."""
MAX_WAITING: Final = 4096
"""Packets that wait at most; beyond, the oldest leave at once."""
TICK: Final = 0.005
"""Seconds from one look at what waits to the next."""

SOUND, AGAIN, PICTURE = 0, 1, 2
"""Urgencies: what never waits, what goes first of what waits, the rest."""


class Pacer:
    """Of one path. Sizes are bytes, times seconds on one clock."""

    def __init__(self, target: float) -> None:
        """`target`: bits per second."""
        self._again: deque[bytes] = deque()
        self._pictures: deque[bytes] = deque()
        self._bytes = 0
        self._paid = float("-inf")
        """When what has left is paid for at the pace; may lie ahead by BURST."""
        self._per_byte = 0.0
        self.target(target)

    def target(self, bitrate: float, *, factor: float = FACTOR) -> None:
        """Pace by that from now on, bits per second; `factor`: times that."""
        self._per_byte = 8 / (factor * bitrate)

    @property
    def waiting(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def admit(self, sizes: Sequence[int], urgency: int, now: float) -> int:
        """How many packets of these sizes, from the first on, may leave at once; they then count as gone.

        The others are to be put in `wait`.
        """
        paid, per_byte = self._paid, self._per_byte
        if paid < now:
            paid = now
        if not urgency:
            self._paid = paid + sum(sizes) * per_byte
            return len(sizes)
        if self._bytes:
            return 0
        count = 0
        for size in sizes:
            if paid > now + BURST:
                break
            paid += size * per_byte
            count += 1
        self._paid = paid
        return count

    def wait(self, data: bytes, urgency: int) -> None:
        """A packet that was not admitted."""
        (self._again if urgency == AGAIN else self._pictures).append(data)
        self._bytes += len(data)

    def release(self, now: float) -> list[tuple[bytes, int]]:
        """Those that leave now, with their urgency."""
        leaving: list[tuple[bytes, int]] = []
        # All that waits is to be gone within MOST_DELAY.
        per_byte = min(self._per_byte, MOST_DELAY / self._bytes) if self._bytes else self._per_byte
        paid = max(self._paid, now - TICK)
        while self._bytes and (paid <= now + BURST or len(self._pictures) + len(self._again) > MAX_WAITING):
            urgency = AGAIN if self._again else PICTURE
            data = (self._again or self._pictures).popleft()
            self._bytes -= len(data)
            paid += len(data) * per_byte
            leaving.append((data, urgency))
        self._paid = paid
        return leaving

    def clear(self) -> None:
        """There is no path any more: what waits is dropped."""
        self._again.clear()
        self._pictures.clear()
        self._bytes = 0

    def due(self, now: float) -> float | None:
        """When to release next; None while nothing waits."""
        return max(self._paid - BURST, now + TICK) if self._bytes else None
