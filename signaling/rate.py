"""The rate limit of one sender, a token bucket. No I/O, no clock: `now` is an argument, in seconds."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

_FORGET_AFTER: Final = 1.0  # seconds without a dropped message after which the excess counts as over
_WARN_EVERY: Final = 1.0  # seconds between two error messages to the same sender


class Verdict(Enum):
    """What to do with a message: take it, drop it (and say so), or close the connection because it goes on."""

    TAKE = auto()
    DROP_AND_SAY = auto()
    DROP = auto()
    CLOSE = auto()


_TAKE: Final = Verdict.TAKE  # members of an enumeration are slow to look up in Python 3.11


class RateLimit:
    """`per_second` messages on average and `burst` at once; closes after more dropped ones than a second may have."""

    __slots__ = ("_at", "_burst", "_dropped", "_dropped_at", "_per_second", "_said_at", "_tokens")

    def __init__(self, per_second: int, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = max(burst, 1)
        self._tokens = float(self._burst)
        self._at = now
        self._dropped = 0
        self._dropped_at = now
        self._said_at: float | None = None

    def judge(self, now: float) -> Verdict:
        """The verdict on a message that came at `now`."""
        tokens = self._tokens
        if now != self._at:
            tokens += (now - self._at) * self._per_second
            self._at = now
            if tokens > self._burst:
                tokens = self._burst
        if tokens >= 1:
            self._tokens = tokens - 1
            return _TAKE
        self._tokens = tokens
        if now - self._dropped_at >= _FORGET_AFTER:
            self._dropped = 0
        self._dropped += 1
        self._dropped_at = now
        if self._dropped > self._per_second:
            return Verdict.CLOSE
        if self._said_at is None or now - self._said_at >= _WARN_EVERY:
            self._said_at = now
            return Verdict.DROP_AND_SAY
        return Verdict.DROP
