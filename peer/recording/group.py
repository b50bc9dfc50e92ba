"""A recording of everyone: one directory, a recorder for each participant, all files in one list."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from peer.recording.disk import prepare
from peer.recording.formats import PREFERRED
from peer.recording.recorder import ParticipantRecorder
from peer.recording.thread import WritingThread
from peer.recording.wallclock import WallClock
from peer.recording.writer import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike
    from types import TracebackType

    from peer.recording.files import RecordedFile
    from peer.rtc.frames import Kind

logger = logging.getLogger(__name__)


class Recorder:
    """Records any number of participants to `directory`.

    Made on the event loop, and usually used as an async context manager: entering it checks the directory (DeviceError
    when nothing can be written there), leaving it finishes every file. `on_error` gets (participant, sentence) once
    for each participant whose recording had to end; the others and the calls go on.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        room: str = "",
        options: Options | None = None,
        on_error: Callable[[str, str], None] | None = None,
    ) -> None:
        """`room` is told in the manifests."""
        self.directory: Final = Path(directory)
        self._room: Final = room
        self._clock: Final = WallClock((options or Options()).now(), time.time())
        self._thread: Final = WritingThread(f"recordings in {self.directory}")
        self._options: Final = options
        self._on_error: Final = on_error
        self._running: list[ParticipantRecorder] = []
        self._finished: list[RecordedFile] = []
        self._manifests: list[Path] = []
        self._errors: list[str] = []
        self._closing: asyncio.Task[None] | None = None
        self.closing: Final = asyncio.Event()
        """Set once `close()` has been called."""

    @property
    def video_codecs(self) -> tuple[str, ...]:
        """What the files can hold of what a sender may send, most wanted first; empty where they hold everything."""
        return PREFERRED[self._options.format] if self._options is not None else ()

    @property
    def files(self) -> list[RecordedFile]:
        """Every file, the finished ones first; those being written with the seconds and bytes so far."""
        return self._finished + [file for recorder in self._running for file in recorder.files]

    @property
    def manifests(self) -> list[Path]:
        """The manifest of each participant's files, in the order of `files` (docs/recording-manifest.md)."""
        running = (recorder.manifest for recorder in self._running)
        return self._manifests + [path for path in running if path is not None]

    @property
    def errors(self) -> list[str]:
        """The sentences of all recordings that had to end."""
        return list(self._errors)

    @property
    def closed(self) -> bool:
        """Whether `close()` has been called."""
        return self._closing is not None

    async def check(self) -> None:
        """Create the directory where missing, and raise DeviceError when nothing can be written there."""
        await asyncio.to_thread(prepare, self.directory)

    def participant(self, name: str, *, expect: Iterable[Kind] = ()) -> ParticipantRecorder:
        """A recorder for a participant who is here now; one who comes back gets a new one, and a new file.

        `expect` names the kinds of tracks that are sure to be added. After `close()` nothing is recorded by it.
        """

        def tell(sentence: str) -> None:
            self._errors.append(sentence)
            if self._on_error is not None:
                self._on_error(name, sentence)

        recorder = ParticipantRecorder(
            self.directory,
            name,
            room=self._room,
            options=self._options,
            clock=self._clock,
            thread=self._thread,
            expect=expect,
            on_error=tell,
        )
        if self.closed:
            recorder.seal()
        else:
            self._running.append(recorder)
        return recorder

    async def finish(self, recorder: ParticipantRecorder) -> list[RecordedFile]:
        """The participant is gone: finish its files and return them. Idempotent."""
        files = await recorder.close()
        if recorder in self._running:
            self._running.remove(recorder)
            self._finished += files
            self._manifests += [recorder.manifest] if recorder.manifest else []
        return files

    async def close(self) -> list[RecordedFile]:
        """Finish all files, at the same time, and return them. Idempotent; bounded; goes on when cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close recordings")
            self.closing.set()
        await asyncio.shield(self._closing)
        return self.files

    async def _close(self) -> None:
        results = await asyncio.gather(*map(self.finish, list(self._running)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                logger.error("a recording could not be finished", exc_info=result)

    async def __aenter__(self) -> Recorder:
        await self.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
