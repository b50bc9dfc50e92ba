"""What was handed on of one stream: how often, how long it was held, and when it stood still (webrtc-stats). Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from peer.rtc.freezes import Freezes

MAX_RATE: Final = 240
"""Frames of the last second that are remembered."""


class Playout:
    """Of one stream. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.freezes = Freezes()
        self.delay = 0.0
        """`jitterBufferDelay`: seconds from the first packet to the handing on, of each frame or sample, in all."""
        self.emitted = 0
        """`jitterBufferEmittedCount`: frames of video, samples of sound."""
        self._times: deque[float] = deque(maxlen=MAX_RATE)

    def picture(self, arrival: float, now: float) -> None:
        """A frame of video, whose first packet came at `arrival`, is handed on."""
        self.freezes.frame(now)
        self._times.append(now)
        self.delay += now - arrival
        self.emitted += 1

    def sound(self, samples: int, arrival: float, now: float) -> None:
        """A frame of sound is handed on."""
        self.delay += (now - arrival) * samples
        self.emitted += samples

    def frames_per_second(self, now: float) -> int:
        """`framesPerSecond`: frames of video in the last second."""
        return sum(now - time < 1.0 for time in self._times)
