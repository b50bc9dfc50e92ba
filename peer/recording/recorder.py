"""One participant's recording, seen from the event loop: tracks in, files out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from peer.recording.thread import WritingThread
from peer.recording.writer import MAIN, Change, Options, Slot, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    from peer.recording.files import RecordedFile
    from peer.recording.wallclock import WallClock
    from peer.rtc.frames import EncodedFrame, Kind

logger = logging.getLogger(__name__)

CLOSE_DEADLINE = 5.0
"""Seconds that closing may take; a disk that hangs longer keeps its thread, the caller goes on."""
_MAX_TRACKS = 16
_LAST_YIELDS = 100_000
"""Turns of the loop that a thread gets to end after its last call; it needs microseconds."""


class EncodedTrack(Protocol):
    """What a remote track looks like to the recorder."""

    @property
    def kind(self) -> Kind:
        """`audio` or `video`."""

    @property
    def id(self) -> str:
        """Stable and unique within the call."""

    def subscribe(self, taker: Callable[[EncodedFrame], None]) -> Callable[[], None]:
        """Call `taker` on the event loop with each frame from now on; what is returned ends that."""

    def request_keyframe(self) -> None:
        """Ask the sender for a keyframe."""


@dataclass(slots=True)
class _Recorded:
    """One track under recording."""

    track: EncodedTrack
    slot: Slot
    unsubscribe: Callable[[], None] | None = None
    waiting: bool = False
    """A keyframe is wanted and has not come."""
    timer: asyncio.TimerHandle | None = field(default=None)


class ParticipantRecorder:
    """Records one participant: its first audio and video track to one file, any further track to one of its own.

    Lives on the event loop and never blocks it. `directory` is created where missing. `expect` names the kinds of
    tracks that are sure to be added, so that the first file waits for them. `on_error` is called once, with a
    sentence, when the recording had to end (disk full, too slow, gone); the call is not affected. `clock` is shared by
    recordings that are to be laid side by side, `thread` by those in one directory.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        name: str,
        *,
        room: str = "",
        options: Options | None = None,
        clock: WallClock | None = None,
        thread: WritingThread | None = None,
        expect: Iterable[Kind] = (),
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        self.name: Final = name
        self._options: Final = options or Options()
        self._expect: Final[tuple[Kind, ...]] = tuple(expect)
        self._on_error: Final = on_error
        self._loop: Final = asyncio.get_running_loop()
        self._done: Final[asyncio.Future[None]] = self._loop.create_future()
        self._tracks: dict[str, _Recorded] = {}
        self._next_strand = MAIN + 1
        self._started = False
        self._sealed = False
        self._closing: asyncio.Task[None] | None = None
        self._told = False
        self._late: str | None = None
        self._writer: Final = Writer(
            Path(directory),
            name,
            self._options,
            thread or WritingThread(f"recording {name[:40]!r}"),
            on_want=self._post_want,
            on_done=self._post_done,
            room=room,
            clock=clock,
        )

    @property
    def files(self) -> list[RecordedFile]:
        """The files so far, with the seconds and bytes written up to now."""
        return self._writer.recorded()

    @property
    def manifest(self) -> Path | None:
        """The manifest of these files (docs/recording-manifest.md); None before there is one."""
        return self._writer.manifest

    @property
    def error(self) -> str | None:
        """Why the recording ended before it was closed, in one sentence."""
        return self._writer.error or self._late

    @property
    def closed(self) -> bool:
        """Whether nothing is recorded any more."""
        return self._sealed or self._closing is not None or self._writer.error is not None

    def add(self, track: EncodedTrack) -> None:
        """Record `track` from now on; does nothing when it is being recorded, or after the end."""
        if self.closed or track.id in self._tracks:
            return
        if len(self._tracks) >= _MAX_TRACKS:
            logger.warning("recording %r: track %s is left out, there are %d", self.name, track.id, _MAX_TRACKS)
            return
        if not self._started:
            self._started = True
            self._writer.start(self._expect)
        recorded = _Recorded(track, Slot(self._free_strand(track.kind), track.kind, track.id))
        self._tracks[track.id] = recorded
        self._writer.change(recorded.slot, Change.ADDED)
        recorded.unsubscribe = track.subscribe(self._taker(recorded))
        if track.kind == "video":
            self._want_keyframe(recorded)

    def remove(self, track: EncodedTrack) -> None:
        """`track` is over or not wanted any more; the others go on. Added again, it was held meanwhile."""
        recorded = self._tracks.pop(track.id, None)
        if recorded is not None:
            self._release(recorded)
            self._writer.change(recorded.slot, Change.REMOVED)

    def disconnected(self, silence: float) -> None:
        """Nothing was heard of the participant for `silence` seconds, and is not until `reconnected()`."""
        self._writer.change(None, Change.DISCONNECTED, ago=silence)

    def reconnected(self) -> None:
        """The participant is heard again."""
        self._writer.change(None, Change.CONNECTED)

    def seal(self) -> None:
        """Record nothing: `add` does nothing from now on."""
        self._sealed = True

    async def close(self) -> list[RecordedFile]:
        """Finish the files and return them. Idempotent; takes `CLOSE_DEADLINE` at most; goes on when cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"close recording {self.name[:40]!r}")
        await asyncio.shield(self._closing)
        return self.files

    async def _close(self) -> None:
        for recorded in self._tracks.values():
            self._release(recorded)
        self._tracks.clear()
        if not self._started:
            return
        self._writer.end()
        try:
            await asyncio.wait_for(asyncio.shield(self._done), CLOSE_DEADLINE)
        except TimeoutError:
            self._late = f"The recording of {self.name!r} could not be finished in time; check the disk."
            self._tell(self._late)
            return
        for _ in range(_LAST_YIELDS):
            if self._writer.over:
                break
            await asyncio.sleep(0)

    def _taker(self, recorded: _Recorded) -> Callable[[EncodedFrame], None]:
        """What is called with each frame of a track: the only work that recording puts on the event loop."""
        put, slot, video = self._writer.put, recorded.slot, recorded.slot.kind == "video"

        def take(frame: EncodedFrame) -> None:
            if video:
                if frame.keyframe:
                    recorded.waiting = False
                elif not frame.complete_before and not recorded.waiting:
                    self._want_keyframe(recorded)
            if not put(slot, frame):
                self._end_early()

        return take

    def _free_strand(self, kind: Kind) -> int:
        """The main strand where it has no track of this kind, else a new one."""
        if all(other.slot.strand != MAIN or other.slot.kind != kind for other in self._tracks.values()):
            return MAIN
        strand = self._next_strand
        self._next_strand += 1
        return strand

    def _want_keyframe(self, recorded: _Recorded) -> None:
        """Ask for a keyframe now, or a second after the last request, and again each second until one comes."""
        recorded.waiting = True
        if recorded.timer is None:
            self._ask(recorded)

    def _ask(self, recorded: _Recorded) -> None:
        recorded.timer = None
        if not recorded.waiting:
            return
        recorded.timer = self._loop.call_later(self._options.keyframe_interval, self._ask, recorded)
        try:
            recorded.track.request_keyframe()
        except Exception:
            logger.exception("recording %r: no keyframe could be asked for", self.name)

    def _release(self, recorded: _Recorded) -> None:
        if recorded.timer is not None:
            recorded.timer.cancel()
            recorded.timer = None
        recorded.waiting = False
        if recorded.unsubscribe is not None:
            recorded.unsubscribe()
            recorded.unsubscribe = None

    def _end_early(self) -> None:
        """The recording ended by an error: let go of the tracks and tell it once."""
        for recorded in self._tracks.values():
            self._release(recorded)
        self._tracks.clear()
        if self._writer.error is not None:
            self._tell(self._writer.error)

    def _tell(self, sentence: str) -> None:
        if self._told:
            return
        self._told = True
        logger.warning("%s", sentence)
        if self._on_error is not None:
            try:
                self._on_error(sentence)
            except Exception:
                logger.exception("an error handler of the recording of %r failed", self.name)

    def _on_want(self, strand: int) -> None:
        for recorded in self._tracks.values():
            if recorded.slot.strand == strand and recorded.slot.kind == "video":
                self._want_keyframe(recorded)

    def _on_done(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
        if self._writer.error is not None:
            self._end_early()

    def _post_want(self, strand: int) -> None:
        self._post(self._on_want, strand)

    def _post_done(self) -> None:
        self._post(self._on_done)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Carry a call from the writer's thread to the event loop, which may be closed by now."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)
