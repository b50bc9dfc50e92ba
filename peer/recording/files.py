"""What a recording consists of: files, as told to the user, and the counting that goes on while one is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from peer.recording.manifest import Cause
    from peer.rtc.frames import Kind


class Gap(NamedTuple):
    """A stretch where media is missing: `start` and `end` in seconds from the start of the file, and why."""

    kind: Kind
    start: float
    end: float
    cause: Cause


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file of a recording; while it is being written, as far as it came."""

    path: Path
    name: str
    """The participant, as it called itself."""
    seconds: float
    bytes: int
    video_frames: int
    audio_frames: int
    video_codec: str | None
    """RTP name (`VP8`, `H264`), or None where the file has no video."""
    audio_codec: str | None
    whole: bool
    """Closed properly, and nothing that arrived was left out since its first frame."""
    gaps: tuple[Gap, ...]
    """Where media of its tracks is missing, as docs/recording-manifest.md tells it."""
    error: str | None
    tracks: tuple[str, ...] = ()
    """Ids of the remote tracks that were recorded into it."""


@dataclass(slots=True)
class Tally:
    """Counts what goes into one file. The writer's thread changes it, the event loop reads it."""

    seconds: float = 0.0
    bytes: int = 0
    video_frames: int = 0
    audio_frames: int = 0
    closed: bool = False
    dropped: int = 0
    error: str | None = None
    tracks: list[str] = field(default_factory=list)

    def count(self, kind: Kind, seconds: float) -> None:
        """One frame was written at `seconds` from the start of the file."""
        if kind == "video":
            self.video_frames += 1
        else:
            self.audio_frames += 1
        if seconds > self.seconds:
            self.seconds = seconds
