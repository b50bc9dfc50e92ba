"""What writes one participant's files, on the thread that its directory has, and the queue to it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from peer.errors import UsageError
from peer.recording.account import Account
from peer.recording.containers import Containers, create
from peer.recording.disk import disk_sentence, open_exclusive
from peer.recording.files import RecordedFile, Tally
from peer.recording.formats import FLUSH_INTERVAL, FORMATS, Format
from peer.recording.manifestwriter import ManifestWriter
from peer.recording.names import file_name
from peer.recording.part import Part
from peer.recording.strand import PATIENCE, Strand
from peer.recording.wallclock import WallClock, iso, utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import RawIOBase
    from pathlib import Path

    from peer.recording.formats import Layout
    from peer.recording.thread import WritingThread
    from peer.rtc.frames import EncodedFrame, Kind

logger = logging.getLogger(__name__)

MIN_SEGMENT = 1.0
"""Seconds that a file lasts at least where its length is chosen."""
_MAX_FILES = 1000
"""Files of one participant that were not asked for; who makes us cut more often than that does it on purpose."""
_MAX_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """How to record; the defaults are meant to be right. Raises UsageError for what cannot be."""

    format: Format = "mkv"
    """Container of the files; what it cannot hold is written as `mkv`."""
    segment: float | None = None
    """Seconds after which a file ends, at the next keyframe, and another goes on."""
    flush_interval: float = FLUSH_INTERVAL
    """Seconds of media that a killed process may lose."""
    patience: float = PATIENCE
    """Seconds of media that wait for a second track before a file begins without it."""
    behind: float = 10.0
    """Seconds that writing may lag behind before the recording ends with an error."""
    max_queued: int = 64 << 20
    """Bytes that may wait to be written before the recording ends with an error."""
    keyframe_interval: float = 1.0
    """Seconds between requests for a keyframe."""
    now: Callable[[], float] = time.monotonic
    opener: Callable[[Path], RawIOBase] = open_exclusive

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"{self.format!r} is no format of recordings; use one of {', '.join(FORMATS)}")
        if self.segment is not None and not MIN_SEGMENT <= self.segment < float("inf"):
            text = f"segments cannot be {self.segment} s long; use {MIN_SEGMENT:g} s or more"
            raise UsageError(f"{text}, or None for files without a limit")


class Change(Enum):
    """What can happen besides frames: to a track, or to the connection and with it to all of them."""

    ADDED = "added"
    REMOVED = "removed"
    DISCONNECTED = "disconnected"
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Happened:
    """In the queue, between the frames; `at` is on the clock of `Options.now`."""

    change: Change
    at: float


@dataclass(frozen=True, slots=True)
class Slot:
    """A recorded track's place: which strand, as its audio or its video."""

    strand: int
    kind: Kind
    track_id: str


MAIN: Final = 0
"""The strand of a participant's main audio and video; others (screen shares) end with their track."""


class Writer:
    """Owns the strands and the files of one participant; a `peer.recording.thread.Job`.

    `work` belongs to the thread, which calls `on_want` and `on_done` too: strand `n` needs a keyframe; the recording is
    over. The rest belongs to the event loop.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        options: Options,
        thread: WritingThread,
        on_want: Callable[[int], None],
        on_done: Callable[[], None],
        *,
        room: str = "",
        clock: WallClock | None = None,
    ) -> None:
        """`clock` is shared by all recordings that are to be laid side by side."""
        self.error: str | None = None
        self._directory: Final = directory
        self._name: Final = name
        self._options: Final = options
        self._thread: Final = thread
        self._ending = False
        self._on_want: Final = on_want
        self._on_done: Final = on_done
        self._queue: deque[tuple[Slot | None, EncodedFrame | Happened]] = deque()
        self._bytes_in = 0
        self._bytes_out = 0
        self._caught_up = options.now()
        self._began: Final = options.now()
        self._started: Final = (clock or WallClock(self._began, time.time())).at(self._began)
        self._account: Final = Account(room, name, iso(self._started), self._began)
        self._manifest: Final = ManifestWriter(self._account)
        self._containers: Final = Containers(options.format, name)
        self._number = 0
        self._strands: dict[int, Strand] = {}
        self._ids: dict[tuple[int, Kind], str] = {}
        self._expect: tuple[Kind, ...] = ()
        self._wanted: dict[int, float] = {}
        self._parts: list[Part] = []

    def start(self, expect: tuple[Kind, ...] = ()) -> None:
        """Begin to write; `expect` are the kinds of tracks that are sure to come."""
        self._expect = expect
        self._caught_up = self._options.now()
        self._thread.add(self)

    @property
    def over(self) -> bool:
        """Whether the thread is through with it."""
        return self._thread.over(self)

    @property
    def manifest(self) -> Path | None:
        """Where the manifest is; None before the first file."""
        return self._manifest.path

    def change(self, slot: Slot | None, change: Change, *, ago: float = 0.0) -> None:
        """Queue a change, which came about `ago` seconds ago."""
        if self.error is None:
            self._queue.append((slot, Happened(change, self._options.now() - ago)))

    def put(self, slot: Slot, item: EncodedFrame) -> bool:
        """Queue a frame. False once the recording has ended, or has to because the disk is too slow."""
        if self.error is not None:
            return False
        self._bytes_in += len(item.data)
        behind = self._options.now() - self._caught_up
        if behind > self._options.behind or self._bytes_in - self._bytes_out > self._options.max_queued:
            self.error = (
                f"Recording {self._name!r} ended because {self._directory} takes data too slowly "
                f"({behind:.0f} s behind); record to a faster disk."
            )
            self._queue.clear()
            self._thread.wake()
            return False
        self._queue.append((slot, item))
        return True

    def end(self) -> None:
        """Write what is queued and close the files. Does not wait."""
        self._ending = True
        self._thread.wake()

    def recorded(self) -> list[RecordedFile]:
        """The files, also those that are still being written."""
        return [part.recorded(self.error) for part in self._parts]

    def work(self, until: float) -> bool:
        """Write what came; False when the recording is over, whose digests may take until then (monotonic seconds)."""
        try:
            ending = self._ending  # nothing is queued after it
            self._drain()
            if self.error is None:
                self._tick()
                if not ending:
                    return True
                for strand in self._strands.values():
                    strand.end()
        except OSError as error:
            self._fail(disk_sentence(f"Recording {self._name!r} ended", self._directory, error))
        except Exception as error:  # the boundary of the thread: the call goes on whatever happens here
            logger.exception("recording %r failed", self._name)
            self._fail(f"Recording {self._name!r} ended because of a mistake of ours ({error!r}); please report it.")
        self._finish(until)
        return False

    def _finish(self, until: float) -> None:
        try:
            for part in self._parts:
                part.abandon(self.error)
            self._manifest.finish(self._options.now(), self._parts, self.error, until)
        except Exception:
            logger.exception("the recording of %r could not be finished", self._name)
        finally:
            self._on_done()

    def _drain(self) -> None:
        while self.error is None:
            try:
                slot, item = self._queue.popleft()
            except IndexError:
                break
            if isinstance(item, Happened):
                self._change(slot, item)
            elif slot is not None:
                self._bytes_out += len(item.data)
                self._account.first(item.time, self._options.now())
                if (strand := self._strands.get(slot.strand)) is not None:
                    strand.take(slot.kind, item)
        self._caught_up = self._options.now()

    def _change(self, slot: Slot | None, happened: Happened) -> None:
        if slot is not None:
            self._change_track(slot, happened)
        elif happened.change is Change.DISCONNECTED:
            self._account.disconnected(happened.at)
        else:
            self._account.connected(happened.at)

    def _change_track(self, slot: Slot, happened: Happened) -> None:
        if happened.change is Change.ADDED:
            self._account.added(slot.strand, slot.kind, slot.track_id, happened.at)
            if slot.strand not in self._strands:
                self._strands[slot.strand] = self._strand(slot.strand)
            self._ids[slot.strand, slot.kind] = slot.track_id
            self._strands[slot.strand].add(slot.kind)
            self._note_track(slot)
            return
        self._account.removed(slot.strand, slot.kind, happened.at)
        if slot.strand == MAIN:
            self._strands[MAIN].remove(slot.kind)
            self._ids.pop((MAIN, slot.kind), None)
        elif (strand := self._strands.pop(slot.strand, None)) is not None:
            strand.end()
            self._ids.pop((slot.strand, slot.kind), None)

    def _note_track(self, slot: Slot) -> None:
        for part in self._parts:
            if part.open and part.strand == slot.strand and slot.track_id not in part.tally.tracks:
                part.tally.tracks.append(slot.track_id)

    def _strand(self, number: int) -> Strand:
        def open_file(layout: Layout) -> Part:
            return self._open(number, layout)

        expect = self._expect if number == MAIN else ()
        options = self._options
        return Strand(
            open_file, expect=expect, patience=options.patience, wanted=options.format, segment=options.segment
        )

    def _open(self, strand: int, layout: Layout) -> Part:
        if len(self._parts) >= self._most_files():
            raise OSError(f"more than {_MAX_FILES} changes that need a new file")
        self._directory.mkdir(parents=True, exist_ok=True)
        form = self._containers.choose(layout)
        path, file = self._create(form)
        tracks = [track_id for (owner, _), track_id in self._ids.items() if owner == strand]
        started = self._started + self._account.time(layout.origin)
        try:
            muxer = create(form, file, layout, started=started, flush_interval=self._options.flush_interval)
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            raise
        part = Part(path, self._name, strand, layout, muxer, Tally(tracks=tracks), self._account)
        self._parts.append(part)
        self._manifest.opened(self._options.now(), self._parts)
        logger.info("recording %r to %s", self._name, path)
        return part

    def _most_files(self) -> float:
        asked = 0.0
        if self._options.segment is not None:
            asked = (self._options.now() - self._began) / self._options.segment * len(self._strands)
        return _MAX_FILES + asked

    def _create(self, form: Format) -> tuple[Path, RawIOBase]:
        for _ in range(_MAX_TRIES):
            self._number += 1
            path = self._directory / file_name(self._name, utc(self._started), self._number, form)
            if self._manifest.is_free(path):
                with contextlib.suppress(FileExistsError):
                    return path, self._options.opener(path)
        raise FileExistsError("too many recordings of that name")

    def _tick(self) -> None:
        now = self._options.now()
        for part in self._parts:
            if part.open:
                part.tick(now, self._options.flush_interval)
        self._manifest.tick(now, self._parts)
        for number, strand in self._strands.items():
            if not strand.wants_keyframe:
                self._wanted.pop(number, None)
            elif now - self._wanted.get(number, float("-inf")) >= self._options.keyframe_interval:
                self._wanted[number] = now
                self._on_want(number)

    def _fail(self, sentence: str) -> None:
        self.error = self.error or sentence
        self._queue.clear()
