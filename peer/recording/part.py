"""One file that is being written: the muxer, the count of what went into it, and what the manifest says of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peer.recording.files import Gap, RecordedFile, Tally
from peer.recording.manifest import Segment, rounded

if TYPE_CHECKING:
    from pathlib import Path

    from peer.recording.account import Account
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
    account: Account
    open: bool = True
    sha256: str | None = None
    unreadable: bool = False
    """No digest will ever be there."""
    _flushed: tuple[int, float] = (0, 0.0)
    _safe: tuple[int, int] = (0, 0)
    """Pictures and packets of sound that were handed to the operating system."""

    def write(self, kind: Kind, frame: EncodedFrame) -> None:
        tally, length = self.tally, self.muxer.length
        seconds = self.muxer.write(kind, frame)
        if self.muxer.length != length:
            self._safe = (tally.video_frames, tally.audio_frames)
        tally.count(kind, seconds)
        self.account.wrote(self.strand, kind, frame)

    def drop(self) -> None:
        self.tally.dropped += 1
        self.account.dropped(self.strand, "video")

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
            if self.muxer.seconds < self.tally.seconds:
                self.tally.seconds = self.muxer.seconds
                self.tally.video_frames, self.tally.audio_frames = self._safe
                self.account.cut(self.strand, self._start + self.muxer.seconds)

    @property
    def _start(self) -> float:
        """Where in the recording the file's own time is zero."""
        return self.account.time(self.layout.origin)

    def segment(self) -> Segment:
        """What the manifest says of it."""
        tally, start = self.tally, self._start
        return Segment(
            file=self.path.name,
            tracks=tuple(tally.tracks),
            start=rounded(start),
            end=rounded(start + tally.seconds),
            bytes=self.muxer.length,
            video_frames=tally.video_frames,
            audio_frames=tally.audio_frames,
            whole=tally.closed and not tally.dropped,
            sha256=self.sha256,
        )

    def _gaps(self) -> tuple[Gap, ...]:
        """What is missing in it, in its own time."""
        start, length, tracks = self._start, self.tally.seconds, self.tally.tracks
        found = (
            Gap(each.kind, max(0.0, each.start - start), min(length, each.end - start), each.cause)
            for each in list(self.account.gaps)
            if each.track in tracks
        )
        return tuple(gap for gap in found if gap.start < gap.end)

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
            gaps=self._gaps(),
            error=tally.error or (None if tally.closed else error),
            tracks=tuple(tally.tracks),
        )
