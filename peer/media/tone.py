"""The test tone: 440 Hz with a beep at each full second of the wall clock, when the test picture's disc is white."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from peer.media.base import SAMPLE_RATE, Reader, SoundSourceBase
from peer.media.pattern import FLASH
from peer.media.sound import DRIFT, SoundReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.media.sound import Samples

PITCH, BEEP_PITCH = 440, 1000
# -20 dBFS: peak value of a tenth of full scale.
_PEAK = 3277


def _second() -> Samples:
    """One second of the test tone: both pitches fit a whole number of times, so seconds join without a click."""
    at = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    pitch = np.where(at < FLASH, BEEP_PITCH, PITCH)
    return np.round(_PEAK * np.sin(2 * np.pi * pitch * at)).astype(np.int16)[:, None]


class _ToneReader(SoundReader):
    """Makes what is read while it is read: nothing is buffered, nothing can run dry."""

    def __init__(self, leave: Callable[[Reader], None], second: Samples, wall: Callable[[], float]) -> None:
        super().__init__(leave, seconds=0.0)
        self._second = second
        self._wall = wall
        self._position = round(wall() * SAMPLE_RATE)

    @property
    def ended(self) -> bool:
        return self._over

    def read(self, samples: int) -> Samples:
        if self._over:
            return super().read(samples)
        now = round(self._wall() * SAMPLE_RATE)
        if abs(now - self._position) > DRIFT * SAMPLE_RATE:
            self._position = now  # the reader paused, or the clock was set
        at = np.arange(self._position, self._position + samples) % SAMPLE_RATE
        self._position += samples
        return self._second[at]


class TestTone(SoundSourceBase):
    """`test`: the test tone, -20 dBFS, mono."""

    __test__ = False  # not a test case, whatever its name looks like

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self.label = f"test tone {PITCH} Hz"
        self._wall = wall
        self._second = _second()
        self._readers: set[Reader] = set()

    def open(self) -> SoundReader:
        reader = _ToneReader(self._readers.discard, self._second, self._wall)
        self._readers.add(reader)
        return reader

    async def close(self) -> None:
        while self._readers:
            self._readers.pop().end()
