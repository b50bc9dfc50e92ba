"""Pictures that stood still, by the definitions of webrtc-stats section 8.5 (freezeCount, pauseCount). Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

AVERAGED: Final = 30
"""Frames whose time counts for the average."""
LONGER: Final = 0.150
"""Seconds that a frame stands longer than the average, at least, when it is a freeze."""
PAUSE: Final = 5.0
"""Seconds from which on it is a pause."""


class Freezes:
    """Of one stream, whose frames are shown as they are handed on. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.freezes = 0
        self.frozen = 0.0
        """Seconds, in all."""
        self.pauses = 0
        self.paused = 0.0
        self._last: float | None = None
        self._times: deque[float] = deque(maxlen=AVERAGED)

    def frame(self, now: float) -> None:
        """The next frame takes the place of the one before."""
        last, self._last = self._last, now
        if last is None:
            return
        seconds = now - last
        if seconds > PAUSE:
            self.pauses += 1
            self.paused += seconds
            return
        if seconds >= LONGER and self._times:
            average = sum(self._times) / len(self._times)
            if seconds >= max(3 * average, average + LONGER):
                self.freezes += 1
                self.frozen += seconds
        self._times.append(seconds)
