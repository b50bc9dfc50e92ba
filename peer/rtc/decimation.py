"""Which pictures of a source are left out where fewer in a second are wanted than it gives. Pure."""

from __future__ import annotations

from typing import Final

EARLY: Final = 0.003
"""Seconds by which a picture may come before it is due: no source is exact ..."""
EARLY_PART: Final = 0.1
"""... but no more than this part of the distance between two."""


class Decimation:
    """Lets `fps` pictures of a second through on average, as evenly as those that come allow: 20 of 30 are 1, 1, 0.

    When the next one is due is counted from when the one before was due, not from when it came. After a pause, or
    where too few come, no more than one is made up for.
    """

    def __init__(self, fps: float) -> None:
        self._step: Final = 1 / fps
        self._early: Final = min(EARLY, self._step * EARLY_PART)
        self._due: float | None = None

    def takes(self, at: float) -> bool:
        """Whether the picture of that time, in seconds, is one of them."""
        due = self._due
        if due is None or at < due - 2 * self._step:  # the first one, or time ran backwards
            due = at
        if at < due - self._early:
            return False
        self._due = max(due + self._step, at)
        return True
