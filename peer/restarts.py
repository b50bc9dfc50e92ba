"""Whether a bot that ended begins again, and after how long. Pure."""

from __future__ import annotations

from typing import Final, Literal, get_args

from peer.errors import UsageError

Policy = Literal["never", "on-failure", "always"]

FIRST: Final = 1.0
"""Seconds before the first restart; doubled with each."""
LAST: Final = 60.0
"""Seconds that no pause is longer than; and who ran that long begins with a short one again."""


class Restarts:
    """Counts the restarts of one bot."""

    def __init__(self, policy: str) -> None:
        """Raises UsageError when that is no policy."""
        if policy not in get_args(Policy):
            raise UsageError(f"restart={policy} is unknown; use {', '.join(get_args(Policy))}")
        self._policy = policy
        self._pause = FIRST

    def after(self, *, failed: bool, ran: float) -> float | None:
        """The pause in seconds before it begins again, after it `ran` so many seconds; None: it does not."""
        if self._policy == "never" or (self._policy == "on-failure" and not failed):
            return None
        pause = FIRST if ran >= LAST else self._pause
        self._pause = min(pause * 2, LAST)
        return pause
