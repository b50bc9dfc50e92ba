"""Sound for one reader: a bounded ring that producers fill from any thread and the call empties every 20 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from peer.media.base import SAMPLE_RATE, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

Samples = npt.NDArray[np.int16]

# Times in a file are rounded (WebM: to whole milliseconds): only more than this is a gap or an overlap.
GAP = 0.03
# How far a reader may run before or behind the source's clock before it is put right, which can be heard.
DRIFT = 0.1


class Ring:
    """int16 samples, oldest first, never more than `capacity`. Not thread-safe: its owner locks."""

    def __init__(self, capacity: int, channels: int) -> None:
        self.capacity = capacity
        self._buffer: Samples = np.zeros((capacity, channels), np.int16)
        self._start = 0
        self.filled = 0

    def write(self, pcm: Samples) -> int:
        """Append `pcm`; returns how many of the oldest samples had to go to make room."""
        capacity = self.capacity
        lost = max(0, self.filled + len(pcm) - capacity)
        skipped = max(0, len(pcm) - capacity)
        pcm = pcm[skipped:]
        self.drop(lost - skipped)
        at = (self._start + self.filled) % capacity
        first = min(len(pcm), capacity - at)
        self._buffer[at : at + first] = pcm[:first]
        self._buffer[: len(pcm) - first] = pcm[first:]
        self.filled += len(pcm)
        return lost

    def read(self, samples: int) -> Samples:
        """Take `samples` samples; what is missing at the end is silence."""
        out: Samples = np.zeros((samples, self._buffer.shape[1]), np.int16)
        taken = min(samples, self.filled)
        first = min(taken, len(self._buffer) - self._start)
        out[:first] = self._buffer[self._start : self._start + first]
        out[first:taken] = self._buffer[: taken - first]
        self.drop(taken)
        return out

    def drop(self, samples: int) -> None:
        """Forget the oldest `samples` samples."""
        samples = min(samples, self.filled)
        self._start = (self._start + samples) % len(self._buffer)
        self.filled -= samples


class SoundReader(Reader):
    """One call's view of a source of sound.

    `underruns` counts reads that had to be filled up with silence after the sound had begun, `dropped` the samples
    that were thrown away because nobody read in time (the oldest go first).
    """

    def __init__(
        self,
        leave: Callable[[Reader], None] | None = None,
        *,
        channels: int = 1,
        seconds: float = 1.0,
        keep: float | None = None,
    ) -> None:
        """A ring of `seconds`; when it overflows it shrinks to `keep` seconds (None: just enough goes)."""
        super().__init__(leave)
        self._ring = Ring(max(1, round(seconds * SAMPLE_RATE)), channels)
        self._keep = None if keep is None else round(keep * SAMPLE_RATE)
        self._due_end: float | None = None
        self._begun = False
        self.channels = channels
        self.underruns = 0
        self.on_read: Callable[[], None] | None = None
        """For the source: called after each read, on the reader's event loop."""

    @property
    def ended(self) -> bool:
        """Whether the source is over and its last sample has been read."""
        return self._over and not self._ring.filled

    @property
    def buffered(self) -> float:
        """Seconds of sound waiting to be read."""
        return self._ring.filled / SAMPLE_RATE

    def read(self, samples: int) -> Samples:
        """The next `samples` samples, shape (samples, channels), int16; silence where there is none. Never blocks."""
        with self._lock:
            if self._ring.filled < samples and self._begun and not self._over:
                self.underruns += 1
            pcm = self._ring.read(samples)
        if self.ended:
            self._notify()
        if self.on_read is not None:
            self.on_read()
        return pcm

    def write(self, pcm: Samples) -> None:
        """For the source: append `pcm`, to be read as soon as it can be. From any thread."""
        with self._lock:
            if not self._over:
                self._append(pcm)

    def write_due(self, pcm: Samples, due: float, now: float) -> None:
        """For the source: append `pcm` whose first sample is to be read at `due` (both seconds of its clock).

        Waiting time becomes silence, lateness is cut off: so the sound stays beside the pictures of the same source.
        """
        with self._lock:
            if self._over:
                return
            expected = now if not self._ring.filled or self._due_end is None else self._due_end
            tolerance = GAP if expected is self._due_end else 0.0
            ahead = now + self._ring.filled / SAMPLE_RATE - due
            if expected is self._due_end and ahead > DRIFT:
                # The call did not read for a while: what it missed is over.
                stale = round(ahead * SAMPLE_RATE)
                self.dropped += min(stale, self._ring.filled)
                self._ring.drop(stale)
            gap = due - expected
            if gap > tolerance:
                silence = min(round(gap * SAMPLE_RATE), self._ring.capacity // 2)
                self._append(np.zeros((silence, self.channels), np.int16))
                expected += silence / SAMPLE_RATE
            elif gap < -tolerance:
                pcm = pcm[round(-gap * SAMPLE_RATE) :]
                expected = due + round(-gap * SAMPLE_RATE) / SAMPLE_RATE
            self._append(pcm)
            self._due_end = expected + len(pcm) / SAMPLE_RATE

    def clear(self) -> None:
        """For the source: forget what has not been read yet."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._ring.drop(self._ring.filled)
        self._begun = False

    def _append(self, pcm: Samples) -> None:
        self._begun = self._begun or len(pcm) > 0
        lost = self._ring.write(pcm)
        if lost and self._keep is not None and self._ring.filled > self._keep:
            lost += self._ring.filled - self._keep
            self._ring.drop(self._ring.filled - self._keep)
        self.dropped += lost


def mixed(pcm: Samples, channels: int) -> Samples:
    """`pcm` (samples, any channels) as (samples, `channels`): down by averaging, up by repeating."""
    have = pcm.shape[1]
    if have == channels:
        return pcm
    mono = pcm[:, 0] if have == 1 else (pcm.astype(np.int32).sum(axis=1) // have).astype(np.int16)
    return np.repeat(mono[:, None], channels, axis=1)
