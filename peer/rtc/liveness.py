"""Whether the other side is still there: the deadline to connect, and what silence means. Pure.

What counts as being heard of: an answer to a consent check (RFC 7675), and any media.
"""

from __future__ import annotations

from enum import Enum, auto


class Turn(Enum):
    """What changed since the last look."""

    NONE = auto()
    TOO_LATE = auto()
    """No media path within the deadline."""
    DISCONNECTED = auto()
    """Silent for a while; may come back."""
    RECONNECTED = auto()
    LOST = auto()
    """Silent for so long that it is over."""


class Liveness:
    """The watch over one connection; all times are seconds on one clock."""

    def __init__(self, *, connect_timeout: float, disconnected_after: float, lost_after: float) -> None:
        self.connect_timeout = connect_timeout
        self._disconnected_after = disconnected_after
        self._lost_after = lost_after
        self._deadline: float | None = None
        self._last_heard: float | None = None
        self._silent_since: float | None = None
        self._over = False
        self.round_trip_time: float | None = None
        """Seconds, of the last consent check that was answered."""
        self.outage = 0.0
        """Seconds of the silence that ended with the last RECONNECTED."""

    def start(self, now: float) -> None:
        """Both descriptions are in place: the time to connect runs."""
        if self._deadline is None:
            self._deadline = now + self.connect_timeout

    def connected(self, now: float) -> None:
        """Media can flow: from now on silence counts."""
        self._deadline = None
        self._last_heard = now

    def heard(self, now: float) -> None:
        """Something of the other side arrived."""
        if self._last_heard is not None:
            self._last_heard = now

    def give_up(self) -> None:
        """It is over for another reason: nothing is told any more."""
        self._over = True

    def silence(self, now: float) -> float:
        """Seconds since the other side was heard of last, 0 before media can flow."""
        return 0.0 if self._last_heard is None else now - self._last_heard

    def look(self, now: float) -> Turn:
        """What changed; each change is told once, TOO_LATE and LOST are the last."""
        if self._over:
            return Turn.NONE
        if self._last_heard is None:
            self._over = self._deadline is not None and now > self._deadline
            return Turn.TOO_LATE if self._over else Turn.NONE
        silence = now - self._last_heard
        if silence > self._lost_after:
            self._over = True
            return Turn.LOST
        if silence > self._disconnected_after:
            if self._silent_since is None:
                self._silent_since = self._last_heard
                return Turn.DISCONNECTED
        elif self._silent_since is not None:
            self.outage = self._last_heard - self._silent_since
            self._silent_since = None
            return Turn.RECONNECTED
        return Turn.NONE
