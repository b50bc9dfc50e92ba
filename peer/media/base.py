"""What every source of pictures or sound is, and how its readers are fed.

A source outlives calls and serves many at once: each call opens its own reader. The work (a thread, a device) starts
with the first reader and ends with the last one, or when the owner closes the source. Readers belong to the event loop
that opened them; producers may be on any thread.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from peer.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.media.encodedstream import EncodedReader, EncodedStream
    from peer.media.picture import Picture
    from peer.media.sound import SoundReader

SAMPLE_RATE = 48_000
"""Every sound inside the peer has this many samples per second."""

# One picture being taken and one waiting: more would only be older pictures.
PICTURES_WAITING = 2


class SourceEnded(Error):
    """The source came to its end or was closed: a clean end, not a failure."""


class Reader(ABC):
    """What the readers of pictures and of sound have in common: an end, and a way to leave the source."""

    def __init__(self, leave: Callable[[Reader], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._leave = leave
        self._over = False
        self._failure: Exception | None = None
        self._wake = asyncio.Event()
        self._waiting = False
        self.dropped = 0

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the source is over and everything it gave has been read."""

    @abstractmethod
    def _forget(self) -> None:
        """Throw away what has not been read."""

    async def finished(self) -> None:
        """Wait until `ended`; a source that broke raises its `DeviceError` here."""
        while not self.ended:
            await self._wait()
        if self._failure is not None:
            raise self._failure

    def end(self, failure: Exception | None = None) -> None:
        """For the source: nothing more will come, because of `failure` if given. From any thread."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._failure = failure
        self._notify()

    def close(self) -> None:
        """Leave the source; the last reader's leaving ends its work. May be called twice."""
        leave, self._leave = self._leave, None
        with self._lock:
            self._forget()
        self.end()
        if leave is not None:
            leave(self)

    async def _wait(self) -> None:
        """Wait for the next `_notify`, unless one came since the caller last looked."""
        self._wake.clear()
        self._waiting = True
        if self.ended:
            return
        await self._wake.wait()

    def _notify(self) -> None:
        """Wake whoever waits. A wake-up costs a thread hop, so it is only sent when somebody does."""
        if self._waiting:
            self._waiting = False
            try:
                self._loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:
                self._over = True  # the reader's event loop is closed: nobody will read again


class PictureReader(Reader):
    """One call's view of a source of pictures: the newest wins, `dropped` counts those nobody took in time."""

    def __init__(self, leave: Callable[[Reader], None] | None = None) -> None:
        super().__init__(leave)
        self._pictures: deque[Picture] = deque()
        self.on_read: Callable[[], None] | None = None
        """For the source: called when a picture was taken, on the reader's event loop."""

    @property
    def ended(self) -> bool:
        """Whether the source is over and its last picture has been taken."""
        return self._over and not self._pictures

    @property
    def waiting(self) -> int:
        """Pictures that have not been taken yet."""
        return len(self._pictures)

    def _forget(self) -> None:
        self._pictures.clear()

    def offer(self, picture: Picture) -> None:
        """For the source: here is a newer picture. From any thread, never blocks."""
        with self._lock:
            if self._over:
                return
            self._pictures.append(picture)
            if len(self._pictures) > PICTURES_WAITING:
                self._pictures.popleft()
                self.dropped += 1
        self._notify()

    async def next(self) -> Picture:
        """Wait for a picture not given before.

        Raises `SourceEnded` after the last one, `DeviceError` when the source broke.
        """
        while True:
            with self._lock:
                if self._pictures:
                    picture = self._pictures.popleft()
                    # The last picture was taken: whoever waits in `finished` can go on.
                    last = self._over and not self._pictures
                    break
                if self._over:
                    raise self._failure or SourceEnded("the source has ended; open a new one to go on")
                self._wake.clear()
                self._waiting = True
            await self._wake.wait()
        if last:
            self._wake.set()
        if self.on_read is not None:
            self.on_read()
        return picture

    def __aiter__(self) -> PictureReader:
        return self

    async def __anext__(self) -> Picture:
        try:
            return await self.next()
        except SourceEnded:
            raise StopAsyncIteration from None


class PictureSourceBase(ABC):
    """Where pictures come from. `width`, `height` and `fps` are hints: None when not known beforehand."""

    label: str = ""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    encoded: EncodedStream | None = None
    """What `open_encoded` gives; None where pictures come only decoded."""

    @abstractmethod
    def open(self) -> PictureReader:
        """A new reader, fed from now on. Called on the event loop that will read; never blocks."""

    def open_encoded(self) -> EncodedReader:
        """The same, of the pictures as they are encoded in the source."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """End every reader and the work behind them; waits for threads off the event loop, with a deadline."""


class SoundSourceBase(ABC):
    """Where sound comes from: int16 at 48000 Hz with `channels` channels (1 unless the source says otherwise)."""

    label: str = ""
    channels: int = 1
    encoded: EncodedStream | None = None
    """What `open_encoded` gives; None where sound comes only as PCM."""

    @abstractmethod
    def open(self) -> SoundReader:
        """A new reader, fed from now on. Called on the event loop that will read; never blocks."""

    def open_encoded(self) -> EncodedReader:
        """The same, of the sound as it is encoded in the source."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """End every reader and the work behind them; waits for threads off the event loop, with a deadline."""
