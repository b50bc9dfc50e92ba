"""Holes in decoded sound: how long they are, whether something was lost in them, and what fills them. Pure.

After a loss the sound goes on as it was for 60 ms, fades out over another 60 ms, and is silent then. How it goes on
the codec may know better (Opus does); else the last 20 ms are played backwards and forwards, which joins without a
click. Where the sender sent nothing (Opus DTX) the decoder makes its background noise, and no loss is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peer.rtc.frames import Codec, EncodedFrame

    Samples = NDArray[np.int16]

FADED: Final = 0.120
"""Seconds after which a concealed hole is silent."""
LOUD: Final = 0.060
"""Seconds of that in which it is as loud as what came before."""
MAX_HOLE: Final = 1.0
"""Seconds of a hole that is filled. After a longer one the timeline goes on where the sender is: what fills it comes
all at once with what follows, and who plays it as it comes would be late by that much from then on."""
REPEATED: Final = 0.020
"""Seconds that are played again."""
RETURN: Final = 0.005
"""Seconds in which the sound comes back after it was faded."""


class Hole(NamedTuple):
    """What is missing before a frame."""

    samples: int
    lost: bool
    """Whether packets were lost; else the sender sent nothing."""


@dataclass(slots=True)
class SoundCounts:
    """Samples handed on, of each channel, by the definitions of webrtc-stats section 8.5."""

    total: int = 0
    """`totalSamplesReceived`, concealed ones included."""
    concealed: int = 0
    """`concealedSamples`: made here in the place of lost ones."""
    silent: int = 0
    """`silentConcealedSamples`: those of them that are silence."""
    events: int = 0
    """`concealmentEvents`: how often samples had to be concealed after some that had not."""


class SoundTimeline:
    """Follows the RTP timestamps of one stream of decoded sound."""

    def __init__(self, codec: Codec, sample_rate: int) -> None:
        self._clock_rate, self._sample_rate = codec.clock_rate, sample_rate
        self._next: int | None = None
        self._broken = False

    def hole(self, frame: EncodedFrame) -> Hole | None:
        """What is missing between the frame before and this one."""
        expected, broken = self._next, self._broken or not frame.complete_before
        self._broken = False
        if expected is None:
            return None
        samples = (frame.timestamp - expected) * self._sample_rate // self._clock_rate
        # Else it overlaps the one before, or another stream, whose clock says nothing about this one, took over.
        if not 0 < samples <= MAX_HOLE * self._sample_rate:
            return None
        return Hole(samples, broken)

    def heard(self, frame: EncodedFrame, samples: int) -> None:
        """The frame was decoded to so many samples."""
        self._next = frame.timestamp + samples * self._clock_rate // self._sample_rate

    def damaged(self) -> None:
        """A frame could not be decoded: the hole it leaves counts as lost."""
        self._broken = True


def loudness(start: int, count: int, rate: int) -> NDArray[np.float32]:
    """The gain, 1 to 0, of `count` concealed samples from the `start`th of a hole on, as a column."""
    at = np.arange(start, start + count, dtype=np.float32) / rate
    gain: NDArray[np.float32] = np.clip((FADED - at) / (FADED - LOUD), 0, 1).astype(np.float32)
    return gain[:, np.newaxis]


def repeated(before: Samples, start: int, count: int) -> Samples:
    """`count` samples that go on after `before` (samples x channels), from the `start`th of the hole on."""
    if not len(before):
        return np.zeros((count, before.shape[1]), np.int16)
    both_ways = np.concatenate((before[::-1], before))
    return np.take(both_ways, np.arange(start, start + count), axis=0, mode="wrap")


def returning(sound: Samples, gain: float, rate: int) -> Samples:
    """`sound`, which grows from `gain` to its full loudness."""
    ramp = np.ones((len(sound), 1), np.float32)
    count = min(round(RETURN * rate), len(sound))
    ramp[:count, 0] = np.linspace(gain, 1, count, dtype=np.float32)
    return (sound * ramp).astype(np.int16)
