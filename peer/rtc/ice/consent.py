"""Whether there is a path and the other side is still behind it: deadlines, silence, consent (RFC 7675). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEAF: Final = 4.0
"""Media may go on arriving while nothing of ours gets out: after so many times the usual silence without an answer to a
check, the connection counts as disconnected whatever arrives."""

LATELY: Final = 0.5
"""Seconds: who sent media within them is there ..."""
RENEWED: Final = 2.5
"""... and needs no check until consent is so old: RFC 7675 section 5.1 has 5 s for it."""

CUT_GRACE: Final = 0.5
"""Seconds that are left of the usual silence when the socket of the path died: a TCP connection may be made anew."""
NOMINATION_WINDOW: Final = 0.3
"""How long the controlling side waits for something better than a relay or TCP."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds; `servers.IceSettings` explains them."""

    connect_timeout: float = 15.0
    disconnected_after: float = 2.5
    lost_after: float = 30.0
    nomination_window: float = NOMINATION_WINDOW


class Consent:
    """The judge over one generation. All times are seconds on one clock."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._deadline: float | None = None
        self.last_heard: float | None = None
        """When anything authenticated came; None before the first path."""
        self.last_granted: float | None = None
        """When a check of ours over the selected pair was answered."""
        self._media = float("-inf")

    def start(self, now: float) -> None:
        """Both descriptions are there: the time to connect runs."""
        if self._deadline is None:
            self._deadline = now + self._deadlines.connect_timeout

    def granted(self, now: float) -> None:
        """The other side answered a check: it agrees to receive."""
        self.last_granted = max(now, self.last_granted or now)
        self.last_heard = max(now, self.last_heard or now)

    def media(self, now: float) -> None:
        """Authenticated media came."""
        self._media = now
        self.heard(now)

    def heard(self, now: float) -> None:
        """Authenticated media or a check of the other side: it lives, which is not the same as consent."""
        if self.last_heard is not None and now > self.last_heard:
            self.last_heard = now

    def vouched_until(self, now: float) -> float:
        """Until when a check of the path in use would tell nothing new: media comes over it, and consent is fresh.

        That is `now` where it would tell something.
        """
        if self.last_granted is None:
            return now
        return max(now, min(self._media + LATELY, self.last_granted + RENEWED))

    def cut(self, now: float) -> None:
        """The last path is gone for a known reason: only a moment is left for another one to come."""
        if self.last_heard is not None:
            self.last_heard = min(self.last_heard, now - self._deadlines.disconnected_after + CUT_GRACE)

    def give_up(self, now: float) -> None:
        """It cannot work: the time to connect is over."""
        if self.last_heard is None:
            self._deadline = now

    def silence(self, now: float) -> float:
        """Seconds since the other side was heard of; 0 before the first path."""
        return 0.0 if self.last_heard is None else max(0.0, now - self.last_heard)

    def judge(self, now: float) -> str:
        """new, checking, connected, disconnected or failed."""
        if self.last_heard is None or self.last_granted is None:
            if self._deadline is None:
                return "new"
            return "failed" if now >= self._deadline else "checking"
        # RFC 7675 section 5.1: only an answer is consent, media is none.
        if now >= self.last_granted + self._deadlines.lost_after:
            return "failed"
        silent = now >= self.last_heard + self._deadlines.disconnected_after
        deaf = now >= self.last_granted + DEAF * self._deadlines.disconnected_after
        return "disconnected" if silent or deaf else "connected"

    def deadline(self, now: float) -> float | None:
        """When `judge` may say something else than now, if nothing happens until then."""
        if self.last_heard is None or self.last_granted is None:
            times = [self._deadline]
        else:
            times = [
                self.last_heard + self._deadlines.disconnected_after,
                self.last_granted + DEAF * self._deadlines.disconnected_after,
                self.last_granted + self._deadlines.lost_after,
            ]
        return min((time for time in times if time is not None and time > now), default=None)
