"""One picture, in whatever form it came, turned into what its user needs only when asked, and only once."""

from __future__ import annotations

import fractions
from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# RTP's video clock; encoders want a time base that divides it.
TIME_BASE = fractions.Fraction(1, 90_000)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture and when it was taken.

    `image` is HxWx3 uint8 RGB, or (H*3/2)xW uint8 planar YUV 4:2:0 (I420, video range), or an `av.VideoFrame`.
    `time` is when it was captured, or is due, in seconds of `time.monotonic()`. Of odd sizes the last row or column
    is left out.
    """

    image: Pixels | av.VideoFrame
    time: float
    _made: dict[str, Pixels] = field(default_factory=dict, repr=False)

    @property
    def width(self) -> int:
        """Width in pixels, even."""
        return (self.image.width if isinstance(self.image, av.VideoFrame) else self.image.shape[1]) & ~1

    @property
    def height(self) -> int:
        """Height in pixels, even."""
        if isinstance(self.image, av.VideoFrame):
            return self.image.height & ~1
        rows: int = self.image.shape[0]
        return rows * 2 // 3 if self.image.ndim == 2 else rows & ~1

    @property
    def array(self) -> Pixels:
        """HxWx3 uint8 RGB. Made once and shared by all who hold this picture: copy it before drawing on it."""
        made = self._made.get("rgb")
        if made is None:
            made = self._rgb()
            self._made["rgb"] = made
        return made

    @property
    def planes(self) -> Pixels:
        """(H*3/2)xW uint8: the planes Y, U and V of 4:2:0 one after the other, video range. Shared like `array`."""
        made = self._made.get("yuv")
        if made is None:
            made = self._yuv()
            self._made["yuv"] = made
        return made

    def frame(self) -> av.VideoFrame:
        """A new yuv420p frame for one encoder, which may set its times and picture type.

        The pixels behind it are shared: an encoder only reads them, and so must everybody else.
        """
        frame = av.VideoFrame.from_numpy_buffer(self.planes, format="yuv420p")
        frame.time_base = TIME_BASE
        frame.pts = round(self.time / TIME_BASE)
        return frame

    def _rgb(self) -> Pixels:
        if isinstance(self.image, av.VideoFrame) and (self.image.width | self.image.height) & 1:
            return _even(_pixels(self.image.to_ndarray(format="rgb24")))
        if isinstance(self.image, np.ndarray) and self.image.ndim == 3:
            return _even(self.image)
        return _pixels(cv2.cvtColor(self.planes, cv2.COLOR_YUV2RGB_I420))

    def _yuv(self) -> Pixels:
        if isinstance(self.image, np.ndarray):
            # A tenth of what swscale takes for the same.
            planes = self.image if self.image.ndim == 2 else cv2.cvtColor(_even(self.image), cv2.COLOR_RGB2YUV_I420)
            return _pixels(planes)
        if (self.image.width | self.image.height) & 1:
            return _pixels(cv2.cvtColor(self.array, cv2.COLOR_RGB2YUV_I420))
        return _pixels(self.image.to_ndarray(format="yuv420p"))


def upright(frame: av.VideoFrame, time: float) -> Picture:
    """The picture of a decoded `frame`, turned as the file says: telephones film sideways and note it."""
    turns = round(frame.rotation / 90) % 4
    if not turns:
        return Picture(frame, time)
    return Picture(_pixels(np.rot90(Picture(frame, time).array, turns)), time)


def _even(array: Pixels) -> Pixels:
    """`array` without an odd last row or column, contiguous."""
    return np.ascontiguousarray(array[: array.shape[0] & ~1, : array.shape[1] & ~1])


def _pixels(array: Any) -> Pixels:
    return np.ascontiguousarray(array, dtype=np.uint8)
