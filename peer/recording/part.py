"""One file that is being written: the muxer, and the count of what went into it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peer.recording.files import RecordedFile, Tally

if TYPE_CHECKING:
    from pathlib import Path

    from peer.recording.formats import Layout
    from peer.recording.output import Container
    from peer.rtc.frames import EncodedFrame, Kind


@dataclass(slots=True)
class Part:
    """The sink that a strand writes to. The writer's thread changes it, the event loop calls `recorded` only."""

    path: Path
    name: str
    strand: int
    layout: Layout
    muxer: Container
    tally: Tally
    open: bool = True
    _flushed: tuple[int, float] = (0, 0.0)

    def write(self, kind: Kind, frame: EncodedFrame) -> None:
        self.tally.count(kind, frame, self.muxer.write(kind, frame))

    def drop(self) -> None:
        self.tally.dropped += 1

    def close(self) -> None:
        self.open = False
        self.muxer.close()
        self.tally.closed = True

    def tick(self, now: float, interval: float) -> None:
        """Flush what has been lying about because nothing followed it."""
        length, since = self._flushed
        if length != self.muxer.length:
            self._flushed = (self.muxer.length, now)
        elif now - since >= interval:
            self.muxer.flush()
            self._flushed = (self.muxer.length, now)

    def abandon(self, error: str | None) -> None:
        """The recording is over: a file that is still open is finished as far as it goes."""
        if self.open or not self.tally.closed:
            self.tally.error = error
            self.open = False
            with contextlib.suppress(OSError):
                self.muxer.close()

    def recorded(self, error: str | None) -> RecordedFile:
        tally, layout = self.tally, self.layout
        return RecordedFile(
            path=self.path,
            name=self.name,
            seconds=tally.seconds,
            bytes=self.muxer.length,
            video_frames=tally.video_frames,
            audio_frames=tally.audio_frames,
            video_codec=layout.video.codec.name if layout.video else None,
            audio_codec=layout.audio.name if layout.audio else None,
            whole=tally.closed and not tally.dropped,
            gaps=tuple(tally.gaps),
            error=tally.error or (None if tally.closed else error),
            tracks=tuple(tally.tracks),
        )
