"""Puts in order what a crash left of recordings: files that nobody closed, manifests that do not know the end.

What was finished is never touched, and no file is changed in place (see `peer.recording.mend`). Blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import structs

from peer.recording import manifestfile, mend
from peer.recording.disk import is_being_written
from peer.recording.manifest import VERSION, CodecChange, Gap, Manifest, Segment, SizeChange, Track, rounded
from peer.recording.matroskafile import NotOurs
from peer.recording.wallclock import iso, unix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peer.recording.found import Found
    from peer.recording.mend import Content
    from peer.rtc.frames import Kind

_CLOCK_RATES: Final = {"opus": (48000, 2), "PCMU": (8000, 1), "PCMA": (8000, 1), "G722": (8000, 1)}


@dataclass(slots=True)
class Repaired:
    """What was done to a recording, and what could not be."""

    path: Path
    """Of its manifest."""
    participant: str
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def repair(found: Found) -> Repaired:
    """Repair one recording. Never raises for what is in the files, nor for a disk that refuses: that is a problem."""
    repaired = Repaired(found.path, found.participant)
    try:
        _repair(found, repaired)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        repaired.problems.append(f"{found.path.name} cannot be repaired ({why}); free some space or copy it elsewhere")
    return repaired


def _repair(found: Found, repaired: Repaired) -> None:
    before = found.manifest
    if found.trouble is not None:
        text = f"{found.path.name} cannot be used ({found.trouble}); move it away, and repair again to have one made"
        repaired.problems.append(text)
        return
    present = [path for path in found.everything if path.exists()]
    if any(is_being_written(path) for path in present):
        repaired.problems.append(f"{found.path.name} is being recorded; repair it afterwards")
        return
    manifest = before or _begun(found, present)
    segments = [_again(found.path.with_name(each.file), each, repaired) for each in manifest.segments]
    segments += (each for path in found.extra if (each := _adopted(path, manifest, repaired)) is not None)
    killed = manifest.state == "recording"
    if not segments or (before is not None and not killed and tuple(segments) == before.segments):
        return
    cut = [gap for each, then in zip(manifest.segments, segments, strict=False) for gap in _cut(manifest, each, then)]
    segments.sort(key=lambda each: each.start)
    after = structs.replace(
        manifest,
        state="finished" if killed else manifest.state,
        ended=max(manifest.ended or 0.0, *(each.end for each in segments)) if killed else manifest.ended,
        repaired=True,
        segments=tuple(segments),
        tracks=tuple(_told(track, found, segments) for track in manifest.tracks),
        gaps=tuple(sorted((*manifest.gaps, *cut), key=lambda gap: gap.start)),
    )
    manifestfile.write(found.path, after)
    repaired.done.append(f"{found.path.name} was {'made' if before is None else 'brought up to date'}")


def _again(path: Path, segment: Segment, repaired: Repaired) -> Segment:
    """What a segment is when its file has been closed, if it was not."""
    if not path.exists():
        repaired.problems.append(f"{path.name} is missing")
        return segment
    try:
        lost = mend.torn(path)
        if lost is None and segment.sha256 is not None:
            return segment
        content = _mended(path, lost, repaired)
    except NotOurs as error:
        repaired.problems.append(f"{path.name} cannot be repaired: {error}")
        return segment
    repaired.done.append(f"{path.name}: its SHA-256 was worked out")
    return structs.replace(
        segment,
        end=rounded(segment.start + content.seconds),
        whole=segment.whole and lost is None,
        bytes=path.stat().st_size,
        video_frames=content.frames.get("video", 0),
        audio_frames=content.frames.get("audio", 0),
        sha256=manifestfile.sha256(path),
    )


def _cut(manifest: Manifest, before: Segment, after: Segment) -> Iterator[Gap]:
    """What a file lost at its end."""
    kinds = {track.id: track.kind for track in manifest.tracks}
    for track in after.tracks if after.end < before.end else ():
        if track in kinds:
            yield Gap(track=track, kind=kinds[track], start=after.end, end=before.end, cause="disk")


def _adopted(path: Path, manifest: Manifest, repaired: Repaired) -> Segment | None:
    """A segment for a file that the manifest did not get to know."""
    try:
        content = _mended(path, mend.torn(path), repaired)
    except NotOurs as error:
        repaired.problems.append(f"{path.name} cannot be repaired: {error}")
        return None
    start = (content.started or unix(manifest.started)) - unix(manifest.started)
    segment = Segment(
        file=path.name,
        tracks=_likely(manifest, content),
        start=rounded(start),
        end=rounded(start),
        bytes=0,
        video_frames=0,
        audio_frames=0,
        whole=False,
        sha256=None,
    )
    return _again(path, segment, repaired)


def _likely(manifest: Manifest, content: Content) -> tuple[str, ...]:
    """Which tracks are in a file: sound goes with the first video, one without sound is likely the one added last."""
    there = [track for track in manifest.tracks if track.removed is None]
    order = there if "audio" in content.frames else there[::-1]
    found = (next((track.id for track in order if track.kind == kind), None) for kind in content.frames)
    return tuple(track for track in found if track is not None)


def _told(track: Track, found: Found, segments: list[Segment]) -> Track:
    """A track of which the manifest did not get to know that it began."""
    if track.begins is None:
        for segment in segments:
            frames = segment.video_frames if track.kind == "video" else segment.audio_frames
            if track.id in segment.tracks and frames:
                content = mend.examine(found.path.with_name(segment.file))
                began = _track(track.kind, content.codecs[track.kind], content, segment.start)
                return structs.replace(track, begins=began.begins, codecs=began.codecs, sizes=began.sizes)
    return track


def _mended(path: Path, lost: int | None, repaired: Repaired) -> Content:
    if lost is not None:
        mend.mend(path)
        cut = f"; {lost} bytes at its end were no whole cluster and are cut off" if lost else ""
        repaired.done.append(f"{path.name} was closed{cut}")
    return mend.examine(path)


def _begun(found: Found, paths: list[Path]) -> Manifest:
    """A manifest for files that have none: what their containers tell."""
    contents: list[Content] = []
    for path in paths:
        try:
            contents.append(mend.examine(path))
        except NotOurs:
            continue  # told when it is adopted
    starts = [each.started for each in contents if each.started is not None]
    started = min(starts) if starts else min((path.stat().st_mtime for path in paths), default=0.0)
    tracks: dict[Kind, Track] = {}
    for content in contents:
        for kind, name in content.codecs.items():
            if kind not in tracks and content.frames.get(kind):
                tracks[kind] = _track(kind, name, content, (content.started or started) - started)
    return Manifest(
        version=VERSION,
        room="",
        participant=found.participant,
        started=iso(started),
        ended=None,
        state="recording",
        error=None,
        tracks=tuple(tracks.values()),
        segments=(),
        gaps=(),
    )


def _track(kind: Kind, name: str, content: Content, start: float) -> Track:
    start = rounded(start)
    rate, channels = _CLOCK_RATES.get(name, (90000, 1))
    width, height = content.size
    sizes = (SizeChange(start=start, width=width, height=height),) if kind == "video" else ()
    codec = CodecChange(start=start, name=name, clock_rate=rate, channels=channels)
    return Track(id=kind, kind=kind, added=start, begins=start, removed=None, codecs=(codec,), sizes=sizes)
