"""Sources that a program feeds itself: pictures as numpy arrays, sound as PCM. Both may be fed from any thread."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from peer.errors import UsageError
from peer.media.base import SAMPLE_RATE, PictureReader, PictureSourceBase, Reader, SoundSourceBase
from peer.media.picture import Picture
from peer.media.sound import Ring, Samples, SoundReader, mixed
from peer.media.work import Readers, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST = 8192
_RATES = (4_000, 384_000)


class PictureSource(PictureSourceBase):
    """A camera made of numpy arrays: `push` what the calls shall show.

    Size and rate follow what is pushed. For each call two pictures wait at most: a third that comes before the oldest
    was taken drops it, and counts in a reader's `dropped`. A call that joins later first gets the last one. Who makes
    pictures faster than they are sent waits for `tick`, at `fps`, or for `drained`.
    """

    def __init__(self, fps: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if fps is not None and not 0 < fps <= 1000:
            raise UsageError(f"{fps} pictures per second cannot be; give fps between 0 and 1000")
        self.fps = fps
        self.label = "pushed pictures"
        self._clock = clock
        self._readers: Readers[PictureReader] = Readers()
        self._lock = threading.Lock()
        self._last: Picture | None = None
        self._taken = True
        """Whether any call took the last one."""
        self._closed = False
        self._waiting = Waiting()
        self._next_tick: float | None = None

    def push(self, array: Any, *, order: Literal["rgb", "bgr"] = "rgb", time: float | None = None) -> None:
        """Show `array`: HxWx3 uint8, `order` of its channels "rgb", or "bgr" as OpenCV has it.

        `time` is when it was taken, in seconds of `time.monotonic()`; None: now. The far end shows pictures in these
        distances. It is copied: the array may be drawn on again at once. Never blocks; after `close` it does nothing.
        An odd last row or column is left out. Raises `UsageError` for anything that is not such an array.
        """
        pixels = _checked(array)
        if order not in ("rgb", "bgr"):
            raise UsageError(f"order={order!r} is unknown; use 'rgb' or 'bgr'")
        copy = np.array(pixels if order == "rgb" else pixels[:, :, ::-1], order="C")
        picture = Picture(copy, self._clock() if time is None else time)
        with self._lock:
            if self._closed:
                return
            self._last, self._taken = picture, False
            self.width, self.height = picture.width, picture.height
            readers = self._readers.all
        for reader in readers:
            reader.offer(picture)

    async def tick(self) -> float:
        """Wait until the next picture is due at `fps`; returns its time (`time.monotonic()`). Leaves out late ones."""
        if self.fps is None:
            raise UsageError("tick() needs a rate; make the source with PictureSource(fps=30)")
        now = self._clock()
        step = 1 / self.fps
        due = now + step if self._next_tick is None else self._next_tick
        if due < now:
            due += math.ceil((now - due) / step) * step
        self._next_tick = due + step
        await asyncio.sleep(max(0.0, due - now))
        return due

    async def drained(self) -> None:
        """Wait until every call has taken what was pushed, a call at least, or the source is closed."""
        await self._waiting.until(
            lambda: self._closed or (self._taken and not any(r.waiting for r in self._readers.all))
        )

    def open(self) -> PictureReader:
        reader = PictureReader(self._left)
        reader.on_read = self._read
        with self._lock:
            if self._closed:
                reader.end()
                return reader
            self._readers.add(reader)
            last = self._last
        if last is not None:
            reader.offer(Picture(last.image, self._clock(), last._made))
        return reader

    async def close(self) -> None:
        with self._lock:
            self._closed = True
            self._last = None
            readers = self._readers.take()
        for reader in readers:
            reader.end()
        self._waiting.wake()

    def _read(self) -> None:
        self._taken = True
        self._waiting.wake()

    def _left(self, reader: Reader) -> None:
        with self._lock:
            self._readers.remove(reader)
        self._waiting.wake()


class SoundSource(SoundSourceBase):
    """A microphone made of PCM: `push` what the calls shall hear.

    At most `seconds` wait to be heard (before the first call opens it, too); beyond that the oldest go, and count in
    a reader's `dropped`. Who pushes faster than real time waits for room with `drained`.
    """

    def __init__(self, rate: int = SAMPLE_RATE, *, channels: int = 1, seconds: float = 1.0) -> None:
        """`rate`: samples per second of what is pushed. `channels`: 1 or 2, of what the calls hear."""
        if not _RATES[0] <= rate <= _RATES[1]:
            raise UsageError(f"{rate} samples per second cannot be; give a rate between {_RATES[0]} and {_RATES[1]}")
        if channels not in (1, 2):
            raise UsageError(f"{channels} channels cannot be heard; use channels=1 or channels=2")
        if not 0 < seconds <= 600:
            raise UsageError(f"a buffer of {seconds} s cannot be; give seconds between 0 and 600")
        self.rate = rate
        self.channels = channels
        self.label = "pushed sound"
        self._seconds = seconds
        self._readers: Readers[SoundReader] = Readers()
        self._lock = threading.Lock()
        self._resampler: Any = None
        # What was said before anybody listened.
        self._early = Ring(round(seconds * SAMPLE_RATE), channels)
        self._closed = False
        self._waiting = Waiting()

    @property
    def buffered(self) -> float:
        """Seconds of sound that the slowest call has not heard yet."""
        readers = self._readers.all
        return max((one.buffered for one in readers), default=self._early.filled / SAMPLE_RATE)

    def push(self, pcm: Any) -> None:
        """Say `pcm`: int16 or float32 (-1..1), shape (samples,) mono or (samples, channels), at the source's rate.

        Never blocks; after `close` it does nothing. Raises `UsageError` for anything that is not such an array.
        """
        samples = mixed(_as_int16(pcm), self.channels)
        with self._lock:
            if self._closed or not len(samples):
                return
            if self.rate != SAMPLE_RATE:
                samples = self._resampled(samples)
            if not self._readers.all:
                self._early.write(samples)
            for reader in self._readers.all:
                reader.write(samples)

    def clear(self) -> None:
        """Fall silent at once: what was pushed and not yet heard is forgotten."""
        with self._lock:
            self._resampler = None
            self._early.drop(self._early.filled)
            for reader in self._readers.all:
                reader.clear()
        self._waiting.wake()

    async def drained(self, below: float = 0.0) -> None:
        """Wait until at most `below` seconds are left to be heard, or the source is closed."""
        await self._waiting.until(lambda: self._closed or self.buffered <= below)

    def open(self) -> SoundReader:
        reader = SoundReader(self._left, channels=self.channels, seconds=self._seconds)
        reader.on_read = self._waiting.wake
        with self._lock:
            if self._closed:
                reader.end()
                return reader
            if self._early.filled:
                reader.write(self._early.read(self._early.filled))
            self._readers.add(reader)
        return reader

    async def close(self) -> None:
        with self._lock:
            self._closed = True
            readers = self._readers.take()
        for reader in readers:
            reader.end()
        self._waiting.wake()

    def _left(self, reader: Reader) -> None:
        with self._lock:
            self._readers.remove(reader)
        self._waiting.wake()

    def _resampled(self, samples: Samples) -> Samples:
        from peer.media.resample import Resampler

        if self._resampler is None:
            self._resampler = Resampler(self.channels)
        out: Samples = self._resampler.feed(samples, self.rate)
        return out


def _checked(array: Any) -> Any:
    """`array` if it is HxWx3 uint8 and neither empty nor absurd; raises `UsageError` that says what it is instead."""
    if not isinstance(array, np.ndarray):
        raise UsageError(f"a picture is a numpy array, not {type(array).__name__}; push HxWx3 uint8 RGB")
    shape = "x".join(map(str, array.shape))
    if array.ndim != 3 or array.shape[2] != 3:
        raise UsageError(f"a picture has the shape HxWx3, not {shape or 'a single number'}; push RGB without alpha")
    if array.dtype != np.uint8:
        raise UsageError(f"a picture has dtype uint8, not {array.dtype}; convert it, e.g. with .astype('uint8')")
    if not (2 <= array.shape[0] <= _LARGEST and 2 <= array.shape[1] <= _LARGEST):
        raise UsageError(f"a picture of {shape} cannot be sent; use 2 to {_LARGEST} pixels on each side")
    return array


def _as_int16(pcm: Any) -> Samples:
    if not isinstance(pcm, np.ndarray):
        raise UsageError(f"sound is a numpy array, not {type(pcm).__name__}; push int16 or float32 PCM")
    if pcm.ndim not in (1, 2) or (pcm.ndim == 2 and not 1 <= pcm.shape[1] <= 8):
        shape = "x".join(map(str, pcm.shape))
        raise UsageError(f"sound has the shape (samples,) or (samples, channels), not {shape}; transpose it if need be")
    pcm = pcm[:, None] if pcm.ndim == 1 else pcm
    if pcm.dtype == np.int16:
        return np.array(pcm, np.int16)
    if pcm.dtype in (np.float32, np.float64):
        scaled: Samples = np.round(np.clip(np.nan_to_num(pcm), -1.0, 1.0) * 32767).astype(np.int16)
        return scaled
    raise UsageError(f"sound has dtype int16 or float32, not {pcm.dtype}; convert it, e.g. with .astype('int16')")
