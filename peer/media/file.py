"""A file as a source: its pictures and its sound, played in real time, in sync, once or over and over."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import av

from peer.media.base import PictureReader, PictureSourceBase, Reader, SoundSourceBase
from peer.media.container import Address
from peer.media.encodedstream import EncodedPacket, EncodedReader, examine
from peer.media.picture import upright
from peer.media.playing import READ_AHEAD, AsItIs, Decoded, Playing, Wanted, open_for_play
from peer.media.sound import SoundReader
from peer.media.work import CLOCK, Clock, Readers, Worker, close_off_loop, off_loop

if TYPE_CHECKING:
    from av.container import InputContainer


R = TypeVar("R", bound=Reader)

# Sound is handed out this much before it is due, so that a busy moment does not tear it.
SOUND_LEAD = 0.15
# Reading is bounded in seconds, and in items.
_AHEAD_ITEMS = 64
# Decoding that is later than this starts the clock anew instead of hurrying after it.
_LATE = 1.0


class FileSource:
    """One file played in real time. `pictures` and `sound` are its two sides: open either or both.

    Playing starts with the first reader of either side and ends with the last; then the next reader hears and sees it
    from the start. Make one with `await FileSource.opened(path)`, which raises `DeviceError` if it cannot be played.
    """

    def __init__(self, address: Address, *, loop: bool = False, channels: int = 1, clock: Clock = CLOCK) -> None:
        self.address = address
        self.loop = loop
        self.label = address.what
        self.pictures = FilePictures(self)
        self.sound = FileSound(self, channels)
        self._clock = clock
        self._lock = threading.RLock()
        self._ready: InputContainer | None = None
        self._wanted = Wanted()
        self._needs: tuple[str, ...] = ()
        self._worker = Worker(address.what, self._work, self._over, self._lock)

    @classmethod
    async def opened(
        cls, address: Address | str, *needs: str, loop: bool = False, channels: int = 1, clock: Clock = CLOCK
    ) -> FileSource:
        """A source whose file could be opened and has what `needs` names: "video", "audio".

        What is named is decoded from the start on, even if its reader opens a little after the other.

        `address` may be a path. Opening happens off the event loop. Raises `DeviceError`.
        """
        if isinstance(address, str):
            address = Address(address, f"file {address}")
        source = cls(address, loop=loop, channels=channels, clock=clock)
        await source.prepare(*needs)
        return source

    async def prepare(self, *needs: str) -> None:
        """Open the file now, off the event loop; the first reader finds it open. Raises `DeviceError`."""
        address = self.address
        container, encoded = await off_loop(
            lambda: (open_for_play(address, *needs), examine(address)),
            name=f"opening {address.what}",
            undo=lambda late: late[0].close(),
        )
        self._needs = needs
        self.pictures.learn(container)
        self.pictures.encoded, self.sound.encoded = encoded.get("video"), encoded.get("audio")
        with self._lock:
            unused, self._ready = self._ready, container
        if unused is not None:
            await close_off_loop(unused, address)

    @property
    def has(self) -> frozenset[str]:
        """Which of "video" and "audio" the opened file holds; empty before it was opened."""
        with self._lock:
            streams = self._ready.streams if self._ready is not None else None
        return frozenset() if streams is None else frozenset(one.type for one in (*streams.video, *streams.audio))

    async def close(self) -> None:
        """End both sides and the thread."""
        await self.pictures.close()
        await self.sound.close()

    def joined(self) -> None:
        """For the sides: a reader came."""
        self._want()
        self._worker.start()

    def left(self) -> None:
        """For the sides: a reader went."""
        self._want()
        if not self.used:
            self._worker.stop()

    async def released(self) -> None:
        """For the sides: one was closed. The last one to be closed waits for the thread."""
        with self._lock:
            self.left()
            used = self.used
            ready = None if used else self._ready
            if not used:
                self._ready = None
        if ready is not None:
            await close_off_loop(ready, self.address)
        if not used:
            await self._worker.join()

    @property
    def lock(self) -> threading.RLock:
        """For the sides: guards who reads."""
        return self._lock

    @property
    def used(self) -> bool:
        """Whether anybody reads."""
        return self.pictures.used or self.sound.used

    def _want(self) -> None:
        # A side that was asked for is read, and decoded, before its first reader comes: reading runs ahead of what is
        # given out, and what was left out cannot be made up for.
        wanted, pictures, sound = self._wanted, self.pictures, self.sound
        early = {kind for kind, side in (("video", pictures), ("audio", sound)) if kind in self._needs and side.unread}
        wanted.video = bool(pictures.readers.all) or "video" in early
        wanted.audio = bool(sound.readers.all) or "audio" in early
        wanted.video_packets = bool(pictures.encoded_readers.all) or ("video" in early and pictures.encoded is not None)
        wanted.audio_packets = bool(sound.encoded_readers.all) or ("audio" in early and sound.encoded is not None)

    def _over(self, failure: Exception | None) -> None:
        for reader in (*self.pictures.take(), *self.sound.take()):
            reader.end(failure)

    def _work(self, stop: threading.Event) -> None:
        with self._lock:
            ready, self._ready = self._ready, None
        playing = Playing(self.address, self._wanted, loop=self.loop, channels=self.sound.channels, stopped=stop.is_set)
        items = playing.decode(ready)
        try:
            pace = _Pace(self._clock, stop)
            for item, origin in pace.paced(items):
                self._give(item, origin)
            # The end is when the last picture has been shown, not when it is given.
            if not stop.is_set() and pace.origin is not None:
                self._clock.wait(stop, pace.origin + playing.length)
        finally:
            items.close()  # type: ignore[attr-defined]

    def _give(self, item: Decoded, origin: float) -> None:
        content, due = item.content, origin + item.due
        if isinstance(content, AsItIs):
            side = self.pictures if content.kind == "video" else self.sound
            packet = EncodedPacket(content.data, item.due, origin, content.keyframe)
            for taker in side.encoded_readers.all:
                taker.offer(packet)
        elif isinstance(content, av.VideoFrame):
            picture = upright(content, due)
            for viewer in self.pictures.readers.all:
                viewer.offer(picture)
        else:
            now = self._clock.now()
            for listener in self.sound.readers.all:
                listener.write_due(content, due, now)


class _Side(Generic[R]):
    """What the pictures and the sound of a `FileSource` have in common: their readers."""

    def __init__(self, file: FileSource) -> None:
        self._file = file
        self.label = file.label
        self.readers: Readers[R] = Readers()
        self.encoded_readers: Readers[EncodedReader] = Readers()
        self.unread = True
        """Whether nobody has read of it so far."""

    @property
    def file(self) -> FileSource:
        """The file it is of."""
        return self._file

    @property
    def used(self) -> bool:
        """Whether anybody reads."""
        return bool(self.readers.all or self.encoded_readers.all)

    def open_encoded(self) -> EncodedReader:
        reader = EncodedReader(self._left)
        self._joined(self.encoded_readers, reader)
        return reader

    def take(self) -> tuple[Reader, ...]:
        """Remove and return all readers."""
        return (*self.readers.take(), *self.encoded_readers.take())

    async def close(self) -> None:
        with self._file.lock:
            readers = self.take()
        for reader in readers:
            reader.end()
        await self._file.released()

    def _joined(self, readers: Readers[Any], reader: Reader) -> None:
        with self._file.lock:
            readers.add(reader)
            self.unread = False
            self._file.joined()

    def _left(self, reader: Reader) -> None:
        with self._file.lock:
            self.readers.remove(reader)
            self.encoded_readers.remove(reader)
            self._file.left()


class FilePictures(_Side[PictureReader], PictureSourceBase):
    """The pictures of a `FileSource`."""

    def learn(self, container: InputContainer) -> None:
        """Take size and rate from the opened file."""
        for stream in container.streams.video[:1]:
            self.width, self.height = stream.width & ~1, stream.height & ~1
            self.fps = float(stream.average_rate) if stream.average_rate else None

    def open(self) -> PictureReader:
        reader = PictureReader(self._left)
        self._joined(self.readers, reader)
        return reader


class FileSound(_Side[SoundReader], SoundSourceBase):
    """The sound of a `FileSource`."""

    def __init__(self, file: FileSource, channels: int) -> None:
        super().__init__(file)
        self.channels = channels

    def open(self) -> SoundReader:
        reader = SoundReader(self._left, channels=self.channels)
        self._joined(self.readers, reader)
        return reader


class _Pace:
    """Holds items back until they are due."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._waiting: list[tuple[float, int, Decoded]] = []
        self._order = itertools.count()
        self.origin: float | None = None
        """Clock time of the file's start; None before the first item."""

    def paced(self, items: Any) -> Any:
        """Yield (item, clock time of the file's start), each at its time, until `items` or `stop` ends it."""
        latest = 0.0
        for item in items:
            latest = max(latest, item.due)
            heapq.heappush(self._waiting, (_hand_out(item), next(self._order), item))
            while latest - self._waiting[0][0] > READ_AHEAD or len(self._waiting) > _AHEAD_ITEMS:
                yield from self._next()
                if not self._waiting:
                    break
            if self._stop.is_set():
                return
        while self._waiting and not self._stop.is_set():
            yield from self._next()

    def _next(self) -> Any:
        at, _, item = heapq.heappop(self._waiting)
        now = self._clock.now()
        if self.origin is None:
            self.origin = now + SOUND_LEAD
        elif now - (self.origin + at) > _LATE:
            self.origin = now - at
        if not self._clock.wait(self._stop, self.origin + at):
            yield item, self.origin


def _hand_out(item: Decoded) -> float:
    """When: decoded sound a little before, it is buffered where it is read."""
    return item.due if isinstance(item.content, av.VideoFrame | AsItIs) else item.due - SOUND_LEAD
