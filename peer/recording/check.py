"""Holds the files of a recording against its manifest. Decodes all of them: blocks for as long as that takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from peer.recording import manifestfile
from peer.recording.disk import is_being_written
from peer.recording.matroskafile import NotOurs
from peer.recording.mend import examine, torn
from peer.recording.unexplained import unexplained
from peer.recording.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peer.recording.found import Found
    from peer.recording.manifest import Cause, Manifest, Segment
    from peer.recording.verify import Verification

LENGTH: Final = 0.5
"""Seconds by which a file may be longer or shorter than its manifest says."""
_FUZZ: Final = 0.01
REPAIR: Final = "run peer repair"


@dataclass(slots=True)
class Checked:
    """What was found of one file, or of a manifest that has none."""

    path: Path
    participant: str
    seconds: float = 0.0
    video_frames: int = 0
    audio_frames: int = 0
    """Frames that were decoded."""
    skew: float | None = None
    """Seconds by which its video ends later than its audio."""
    missing: dict[Cause, float] = field(default_factory=dict)
    """Seconds of the gaps that begin in it, by cause, of all of its tracks."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and nothing wrong."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(found: Found) -> Iterator[Checked]:
    """Check one recording, file by file. Never raises for what is in the files."""
    manifest = found.manifest
    segments = {each.file: each for each in manifest.segments} if manifest is not None else {}
    problems, notes = _about(found)
    for path in found.media:
        checked = Checked(path, found.participant, problems=problems, notes=notes)
        problems, notes = [], []
        try:
            _check_file(checked, manifest, segments.get(path.name))
        except OSError as error:
            checked.problems.append(f"cannot be read ({error.strerror or error})")
        yield checked
    if problems or not found.media:
        yield Checked(found.path, found.participant, problems=problems, notes=notes)


def _about(found: Found) -> tuple[list[str], list[str]]:
    """Problems and notes of the recording as a whole; they are told with its first file."""
    manifest = found.manifest
    if found.trouble is not None:
        return [f"its manifest cannot be used ({found.trouble}); {REPAIR}"], []
    if manifest is None:
        return [], [f"has no manifest; {REPAIR} to have one made"]
    if manifest.state == "failed":
        return [f"it ended early: {manifest.error}"], []
    if manifest.state == "recording" and not _in_progress(found):
        return [f"its process was killed while it recorded; {REPAIR}"], []
    return [], ["was repaired"] if manifest.repaired else []


def _in_progress(found: Found) -> bool:
    for path in found.media:
        try:
            if is_being_written(path):
                return True
        except OSError:
            continue
    return False


def _check_file(checked: Checked, manifest: Manifest | None, segment: Segment | None) -> None:
    path = checked.path
    if not path.exists():
        checked.problems.append("is missing")
        return
    if is_being_written(path):
        checked.notes.append("is being recorded")
        return
    unfinished = manifest is not None and manifest.state == "recording"
    if segment is not None and not unfinished:
        _check_bytes(checked, segment)
    try:
        content = examine(path)
        if torn(path) is not None:
            checked.problems.append(f"was not closed; {REPAIR}")
    except NotOurs as error:
        checked.problems.append(f"cannot be played: {error}")
        return
    expect = [kind for kind, frames in content.frames.items() if frames]
    if not expect:
        checked.notes.append("has no frame in it")
        return
    verified = verify(path, expect=expect, tolerance=inf)
    checked.seconds, checked.skew = verified.seconds, verified.skew
    checked.video_frames, checked.audio_frames = verified.video_frames, verified.audio_frames
    checked.problems += verified.problems
    if manifest is not None and segment is not None and not unfinished:
        frames = (content.frames.get("video", 0), content.frames.get("audio", 0))
        _compare(checked, manifest, segment, verified, content.seconds, frames)


def _check_bytes(checked: Checked, segment: Segment) -> None:
    size = checked.path.stat().st_size
    if size != segment.bytes:
        checked.problems.append(f"has {size} bytes, and {segment.bytes} in the manifest")
    elif segment.sha256 is None:
        checked.notes.append(f"has no digest yet; {REPAIR} to have it worked out")
    elif manifestfile.sha256(checked.path) != segment.sha256:
        checked.problems.append("is not the file that was recorded: its SHA-256 differs")


def _compare(
    checked: Checked,
    manifest: Manifest,
    segment: Segment,
    verified: Verification,
    seconds: float,
    frames: tuple[int, int],
) -> None:
    length = segment.end - segment.start
    if abs(seconds - length) > LENGTH:
        checked.problems.append(f"lasts {seconds:.2f} s, and {length:.2f} s in the manifest")
    if segment.whole and frames != (segment.video_frames, segment.audio_frames):
        told = f"{segment.video_frames} pictures and {segment.audio_frames} packets of sound"
        checked.problems.append(f"holds {frames[0]} and {frames[1]}, and {told} in the manifest")
    for gap in manifest.gaps:
        if gap.track in segment.tracks and segment.start - _FUZZ <= gap.start <= segment.end + _FUZZ:
            checked.missing[gap.cause] = checked.missing.get(gap.cause, 0.0) + gap.end - gap.start
    for hole in unexplained(manifest, segment, verified.holes):
        what = "pictures" if hole.kind == "video" else "sound"
        text = f"no {what} from {hole.start:.1f} to {hole.end:.1f} s"
        if manifest.left_out.gaps:
            checked.notes.append(f"{text}; not every gap is in the manifest")
        else:
            checked.problems.append(f"{text}, and the manifest does not say why")
