"""The test picture: something that moves, a clock and a number to read, and bars for programs (peer.media.marks)."""

from __future__ import annotations

import math
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from peer.media.base import PictureReader, PictureSourceBase, Reader
from peer.media.marks import MODULUS, stamp
from peer.media.picture import Picture
from peer.media.work import CLOCK, Clock, Readers, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

Pixels = npt.NDArray[np.uint8]

# Seconds for which the disc is white (and the test tone beeps) at the start of each second of the wall clock.
FLASH = 0.1
# Video-range Y, U, V of the colour bars from left to right: 75 % grey, yellow, cyan, green, magenta, red, blue.
_BARS = ((180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212), (35, 212, 114))
_ORANGE = (150, 60, 190)
_BLACK, _WHITE = 16, 235


class Canvas:
    """Draws test pictures of one size straight into planar YUV, which costs a fraction of drawing in RGB."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._background = self._draw_background()
        self._scale = min(height / 480, width / 640)

    def draw(self, number: int, wall: float) -> Pixels:
        """Picture `number`, taken at `wall` (seconds of `time.time()`): (H*3/2)xW uint8, planes Y, U, V."""
        planes = self._background.copy()
        luma, chroma_u, chroma_v = self._split(planes)
        self._disc(luma, chroma_u, chroma_v, wall)
        milliseconds = int(wall * 1000)
        clock = time.strftime("%H:%M:%S", time.localtime(milliseconds // 1000)) + f".{milliseconds % 1000:03}"
        self._text(luma, clock, 0.60, 2.0)
        self._text(luma, f"{number}  {self.width}x{self.height}", 0.75, 1.2)
        stamp(luma, number, milliseconds % MODULUS)
        return planes

    def _split(self, planes: Pixels) -> tuple[Pixels, Pixels, Pixels]:
        area = self.width * self.height
        flat = planes.reshape(-1)
        half = (self.height // 2, self.width // 2)
        return planes[: self.height], flat[area : area * 5 // 4].reshape(half), flat[area * 5 // 4 :].reshape(half)

    def _draw_background(self) -> Pixels:
        planes: Pixels = np.full((self.height * 3 // 2, self.width), 128, np.uint8)
        split = self._split(planes)
        split[0][:] = 48
        for index, colour in enumerate(_BARS):
            for plane, level in zip(split, colour, strict=True):
                rows, columns = plane.shape
                left, right = (round(columns * at / len(_BARS)) for at in (index, index + 1))
                plane[: rows // 2, left:right] = level
        return planes

    def _disc(self, luma: Pixels, chroma_u: Pixels, chroma_v: Pixels, wall: float) -> None:
        """A disc that swings across the bars once in four seconds and is white at each full second."""
        flash = wall % 1 < FLASH
        radius = self.height / 10
        x = self.width / 2 - math.cos(wall * math.tau / 4) * (self.width / 2 - radius)
        colour = (_WHITE, 128, 128) if flash else _ORANGE
        for plane, level, shrink in zip((luma, chroma_u, chroma_v), colour, (1, 2, 2), strict=True):
            cv2.circle(plane, (round(x / shrink), round(self.height / 4 / shrink)), round(radius / shrink), level, -1)

    def _text(self, luma: Pixels, text: str, top: float, size: float) -> None:
        thickness = max(1, round(2 * self._scale * size))
        drawn, baseline = _drawn(size * self._scale, thickness)
        line = np.hstack([drawn[character] for character in text])
        x = round(self.width * 0.03)
        y = max(0, round(self.height * top) + round(20 * self._scale) - baseline)
        place = luma[y : y + line.shape[0], x : x + line.shape[1]]
        np.maximum(place, line[: place.shape[0], : place.shape[1]], out=place)


@lru_cache(maxsize=16)
def _drawn(size: float, thickness: int) -> tuple[dict[str, Pixels], int]:
    """Every character that a test picture shows, white on black and of one height; and the row of their baseline.

    Drawn once for all sources: OpenCV loads its font anew in each thread that writes something.
    """
    font, characters = cv2.FONT_HERSHEY_SIMPLEX, "0123456789:.x "
    (_, above), below = cv2.getTextSize(characters, font, size, thickness)
    baseline = above + thickness
    drawn = {}
    for character in characters:
        (width, _), _ = cv2.getTextSize(character, font, size, thickness)
        drawn[character] = np.zeros((baseline + below + thickness, width), np.uint8)
        cv2.putText(drawn[character], character, (0, baseline), font, size, _WHITE, thickness, cv2.LINE_AA)
    return drawn, baseline


class TestPictures(PictureSourceBase):
    """`test[:WIDTHxHEIGHT@FPS]`: test pictures, numbered without gaps for as long as the source lives."""

    __test__ = False  # not a test case, whatever its name looks like

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        *,
        clock: Clock = CLOCK,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.width: int = width
        self.height: int = height
        self.fps: float = fps
        self.label = f"test picture {width}x{height}@{fps:g}"
        self._clock = clock
        self._wall = wall
        self._canvas = Canvas(width, height)
        self._number = 0
        self._lock = threading.RLock()
        self._readers: Readers[PictureReader] = Readers()
        self._worker = Worker("test picture", self._work, self._over, self._lock)

    def open(self) -> PictureReader:
        reader = PictureReader(self._left)
        with self._lock:
            self._readers.add(reader)
            self._worker.start()
        return reader

    async def close(self) -> None:
        with self._lock:
            readers = self._readers.take()
        for reader in readers:
            reader.end()
        await self._worker.join()

    def _left(self, reader: Reader) -> None:
        with self._lock:
            self._readers.remove(reader)
            if not self._readers.all:
                self._worker.stop()

    def _over(self, failure: Exception | None) -> None:
        for reader in self._readers.take():
            reader.end(failure)

    def _work(self, stop: threading.Event) -> None:
        start = self._clock.now()
        slot = 0
        while not self._clock.wait(stop, due := start + slot / self.fps):
            now = self._clock.now()
            # The wall clock is read now but shows the moment the picture is due.
            picture = Picture(self._canvas.draw(self._number, self._wall() - (now - due)), due)
            self._number += 1
            for reader in self._readers.all:
                reader.offer(picture)
            # A slot that is already over is left out rather than hurried through.
            slot = max(slot + 1, math.floor((self._clock.now() - start) * self.fps))
