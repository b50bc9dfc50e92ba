"""What one who takes decoded media of a track needs: sound in a rate and layout of its own, a track's first frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av import AudioFrame, AudioResampler

from peer.rtc.decode import Sound
from peer.taker import Taker

if TYPE_CHECKING:
    from peer.rtc.decoders import DecodedFrame
    from peer.rtc.frames import EncodedFrame
    from peer.taker import Takers

ENCODED_BYTES = 16 << 20
"""Bytes of encoded frames that may wait for one taker: ten seconds at 13 Mbit/s."""
SOUND_WAITING = 500
"""Stretches of sound that may wait for one taker: ten seconds."""
BEGINNING = 1.0
"""Seconds for which the first encoded frames of a track are kept."""
BEGINNING_FRAMES = 50
"""Frames of that at most, which the decoder takes at once; when there are more none are kept."""
BEGINNING_BYTES = 2 << 20
"""The same, of their bytes."""


class Beginning:
    """The first frames of a track, for who takes it a moment after it began: its sender may send no keyframe again."""

    def __init__(self) -> None:
        self.frames: list[EncodedFrame] = []
        self._bytes = 0
        self._until: float | None = None

    def keep(self, frame: EncodedFrame, now: float) -> bool:
        """False when the track has gone on for too long: it is not kept any more."""
        if self._until is None:
            self._until = now + BEGINNING
        self.frames.append(frame)
        self._bytes += len(frame.data)
        return now < self._until and len(self.frames) <= BEGINNING_FRAMES and self._bytes <= BEGINNING_BYTES


class EncodedTaker(Taker["EncodedFrame"]):
    """Takes encoded frames; bounded by their bytes, too."""

    def put(self, item: EncodedFrame) -> None:
        super().put(item)
        while len(self._items) > 1 and sum(len(each.data) for each in self._items) > ENCODED_BYTES:
            self._items.popleft()
            self.dropped += 1


class SoundTaker(Taker[Sound]):
    """Takes sound at a rate and layout of its own."""

    def __init__(self, registry: Takers[Sound], rate: int, channels: int) -> None:
        super().__init__(SOUND_WAITING, registry)
        self._wanted = ("s16", "stereo" if channels == 2 else "mono", rate)
        self._resampler = AudioResampler(*self._wanted)
        self._given: tuple[str, str, int] | None = None

    def put_decoded(self, decoded: DecodedFrame) -> None:
        frame = decoded.frame
        assert isinstance(frame, AudioFrame)
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._given:  # another codec; a resampler only takes what it took first
            self._given, self._resampler = given, AudioResampler(*self._wanted)
        frame.pts = None  # the resampler would fill gaps of its own; times are ours
        for part in self._resampler.resample(frame):
            array = part.to_ndarray().reshape(-1, len(part.layout.channels)).astype(np.int16, copy=False)
            self.put(Sound(array, part.sample_rate, decoded.time))
