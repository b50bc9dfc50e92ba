"""Limits shared by many connections of one kind (an address, a token, a room). No I/O, no clock: `now` is in seconds.

Both tables are bounded, so that whoever invents keys cannot fill the memory.
"""

from __future__ import annotations

from collections import OrderedDict


class Throttle:
    """`per_second` events for each key on average, and `burst` at once; keeps at most `size` keys.

    A full table forgets the key that was used longest ago: whoever has so many addresses is not stopped by a limit per
    address anyway, and everybody else is let in rather than locked out.
    """

    def __init__(self, per_second: float, burst: int, *, size: int = 16384) -> None:
        self._interval = 1 / per_second
        self._tolerance = (max(burst, 1) - 1) * self._interval
        self._size = size
        # The generic cell rate algorithm (ITU-T I.371): one number for a token bucket, when it will be full again.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """Takes an event and returns 0, or refuses it and returns after how many seconds one more is let through."""
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - self._tolerance
        if wait > 1e-9:
            return wait
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        while len(self._full_at) > self._size or next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        return 0.0


class Tally:
    """How many are there of each key at the same time; it has as many keys as there are takers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, key: str) -> bool:
        """Counts one in, or says False: there are as many as there may be."""
        count = self._counts.get(key, 0)
        if count >= self._most:
            return False
        self._counts[key] = count + 1
        return True

    def give_back(self, key: str) -> None:
        """Counts one out that `take` counted in."""
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
