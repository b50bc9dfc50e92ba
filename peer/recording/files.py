"""What a recording consists of: files, as told to the user, and the counting that goes on while one is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from peer.rtc.frames import EncodedFrame, Kind

MAX_GAPS = 1000
"""Gaps told per file; a network that bad is described well enough by the first thousand."""
_AUDIO_JUMP = 0.1


class Gap(NamedTuple):
    """A stretch where media is missing: `start` and `end` in seconds from the start of the file."""

    kind: Kind
    start: float
    end: float


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
    """Where video was lost on the way, and where audio paused for more than 100 ms; at most `MAX_GAPS`."""
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
    gaps: list[Gap] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    _last: dict[Kind, float] = field(default_factory=dict)

    def count(self, kind: Kind, frame: EncodedFrame, seconds: float) -> None:
        """One frame was written at `seconds` from the start of the file."""
        last = self._last.get(kind)
        if kind == "video":
            self.video_frames += 1
            missing = not frame.complete_before
        else:
            self.audio_frames += 1
            missing = last is not None and seconds - last > _AUDIO_JUMP
        if missing and last is not None and len(self.gaps) < MAX_GAPS:
            self.gaps.append(Gap(kind, last, seconds))
        self._last[kind] = seconds
        if seconds > self.seconds:
            self.seconds = seconds
