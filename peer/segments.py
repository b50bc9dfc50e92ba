"""Where somebody speaks: frames with the probability of speech in, beginnings and whole utterances out. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

RATE: Final = 16_000
"""Samples per second of everything here: what speech recognition takes."""
FRAME: Final = 512
"""Samples in one frame, 32 ms."""
SECONDS: Final = FRAME / RATE
BEGINS: Final = 0.5
"""Probability from which a frame is speech while nobody speaks ..."""
GOES_ON: Final = 0.35
"""... and while somebody does: within a word it falls."""


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """What was said between two pauses."""

    pcm: Samples
    """int16, mono, 16 kHz, shape (samples,)."""
    start: float
    """Seconds on the sender's timeline (as `Sound.time` and `Picture.time`) at the first sample."""
    end: float
    """The same after the last sample."""


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody began to speak."""

    start: float
    """Seconds on the sender's timeline; the pre-roll counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """How speech is cut; all in seconds."""

    pause: float = 0.6
    """Silence that ends an utterance."""
    minimum: float = 0.1
    """Speech without a gap that begins one: a click is shorter."""
    maximum: float = 30.0
    """Longest utterance; who speaks on begins another one."""
    padding: float = 0.2
    """What is kept before the first and after the last frame of speech: a soft sound is easily missed."""


class Segmenter:
    """Takes the frames of one speaker in order; holds at most `maximum` seconds."""

    def __init__(self, how: Segmentation | None = None) -> None:
        how = how or Segmentation()
        self._pause, self._padding = _frames(how.pause), round(how.padding / SECONDS)
        self._minimum, self._maximum = _frames(how.minimum), _frames(how.maximum)
        self._frames: deque[tuple[Samples, float]] = deque()
        """With their times: of the utterance, or what may come to belong to one."""
        self._run = 0
        """Frames of speech in a row, while nobody speaks."""
        self._silent = 0
        """Frames of silence in a row, while somebody does."""
        self.speaking = False

    def feed(self, frame: Samples, probability: float, time: float) -> Began | Utterance | None:
        """`frame`: FRAME samples that begin at `time`; `probability` of speech in it. What came about with it."""
        self._frames.append((frame, time))
        if not self.speaking:
            self._run = self._run + 1 if probability >= BEGINS else 0
            if self._run >= self._minimum:
                self.speaking, self._silent, self._run = True, 0, 0
                return Began(self._frames[0][1])
            while len(self._frames) > self._padding + self._run:
                self._frames.popleft()
            return None
        self._silent = 0 if probability >= GOES_ON else self._silent + 1
        if self._silent >= self._pause:
            return self._cut()
        if len(self._frames) >= self._maximum:
            utterance, self._run = self._cut(), self._minimum - 1  # the next frame of speech goes on at once
            self._frames.clear()
            return utterance
        return None

    def break_off(self) -> Utterance | None:
        """Nothing comes any more: the utterance that was begun, if one was."""
        utterance = self._cut() if self.speaking else None
        self._frames.clear()
        self._run = 0
        return utterance

    def _cut(self) -> Utterance:
        """The end: what is silent at its end beyond the padding goes, and may be the pre-roll of the next."""
        frames = list(self._frames)
        kept = frames[: len(frames) - max(0, self._silent - self._padding)]
        self._frames = deque(frames[len(kept) :][-self._padding :] if self._padding else ())
        self.speaking = False
        return Utterance(np.concatenate([frame for frame, _ in kept]), kept[0][1], kept[-1][1] + SECONDS)


def _frames(seconds: float) -> int:
    return max(1, round(seconds / SECONDS))
