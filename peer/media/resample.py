"""Any PCM and any decoded audio frame into int16 at 48000 Hz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

from peer.media.base import SAMPLE_RATE

if TYPE_CHECKING:
    from peer.media.sound import Samples

LAYOUTS = {1: "mono", 2: "stereo"}


class Resampler:
    """A stream of sound, converted; keeps the few samples that straddle two pieces. Not thread-safe."""

    def __init__(self, channels: int = 1) -> None:
        self._channels = channels
        self._converter: Any = None
        self._input: tuple[str, str, int] | None = None

    def frame(self, frame: av.AudioFrame) -> Samples:
        """A decoded frame of any format as (samples, channels)."""
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._input:
            # A stream may change its format; the converter cannot.
            self._input = given
            self._converter = av.AudioResampler(format="s16", layout=LAYOUTS[self._channels], rate=SAMPLE_RATE)
        frame.pts = None  # the caller keeps the times; broken ones would stop the converter
        return self._joined(self._converter.resample(frame))

    def feed(self, samples: Samples, rate: int) -> Samples:
        """PCM of (samples, channels) at `rate`, as (samples, channels) at 48000 Hz."""
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=LAYOUTS[self._channels]
        )
        frame.sample_rate = rate
        return self.frame(frame)

    def flush(self) -> Samples:
        """What the converter still held; it starts anew afterwards."""
        converter, self._converter, self._input = self._converter, None, None
        return self._joined(converter.resample(None) if converter is not None else [])

    def _joined(self, frames: list[av.AudioFrame]) -> Samples:
        parts = [frame.to_ndarray().reshape(-1, self._channels) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros((0, self._channels), np.int16)
