"""Media files that nobody closed: cut back to what is whole, with an index and the right length; and what is in them.

A file is never changed: a repaired one is put together beside it and takes its place when it is complete.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from peer.recording import matroska, matroskafile
from peer.recording.disk import open_exclusive
from peer.recording.manifestfile import temporary
from peer.recording.matroska import AUDIO_TRACK, TICKS, VIDEO_TRACK
from peer.recording.matroskafile import Beginning, NotOurs, beginning, clusters
from peer.recording.mp4file import boxes
from peer.recording.muxer import Rhythm
from peer.recording.output import SeekPoints

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peer.rtc.frames import Kind

MATROSKA: Final = (".mkv", ".webm")
MEDIA: Final = (*MATROSKA, ".mp4")
"""How the names of recordings end."""
_CODECS: Final = {
    "V_VP8": "VP8",
    "V_VP9": "VP9",
    "V_AV1": "AV1",
    "V_MPEG4/ISO/AVC": "H264",
    "A_OPUS": "opus",
    "A_MS/ACM": "",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "h264": "H264",
    "opus": "opus",
    "pcm_mulaw": "PCMU",
    "pcm_alaw": "PCMA",
    "g722": "G722",
    "adpcm_g722": "G722",
}
"""RTP's names of what Matroska and FFmpeg call otherwise."""


@dataclass(slots=True)
class Content:
    """What is in a media file."""

    seconds: float = 0.0
    """Time of its latest frame."""
    frames: dict[Kind, int] = field(default_factory=dict)
    """By kind, also where there is none of a stream that is there."""
    codecs: dict[Kind, str] = field(default_factory=dict)
    """RTP's names, where known."""
    size: tuple[int, int] = (0, 0)
    started: float | None = None
    """Unix time of its zero, where it says so."""


@dataclass(slots=True)
class _Scan:
    """A Matroska file, read to the end of its last whole cluster."""

    start: Beginning
    end: int
    ticks: int = 0
    frames: dict[int, int] = field(default_factory=dict)
    cues: SeekPoints = field(default_factory=lambda: SeekPoints(TICKS // 2))
    rhythm: Rhythm = field(default_factory=Rhythm)

    @property
    def cue_track(self) -> int:
        return VIDEO_TRACK if VIDEO_TRACK in self.start.codecs else AUDIO_TRACK

    def content(self) -> Content:
        kinds: dict[int, Kind] = {VIDEO_TRACK: "video", AUDIO_TRACK: "audio"}
        return Content(
            self.ticks / TICKS,
            {kinds[track]: self.frames.get(track, 0) for track in self.start.codecs},
            {kinds[track]: _CODECS.get(name, name) for track, name in self.start.codecs.items()},
            self.start.size,
            self.start.started,
        )


def examine(path: Path) -> Content:
    """What is in a file, told by its container alone. Raises OSError, NotOurs."""
    if path.suffix in MATROSKA:
        with _mapped(path) as data:
            return _scan(data).content()
    return _demuxed(path)


def torn(path: Path) -> int | None:
    """None for a file that was closed; else the bytes at its end that belong to nothing whole. Raises OSError, NotOurs.

    A fragmented MP4 needs no closing: it is torn where bytes have to be cut off.
    """
    with _mapped(path) as data:
        if path.suffix not in MATROSKA:
            return len(data) - boxes(data).end or None
        start = beginning(data)
        return None if start.length == len(data) else len(data) - _scan(data).end


def mend(path: Path) -> int:
    """Make a file that was not closed whole, and return how many bytes had to be cut off. Raises OSError, NotOurs.

    Needs as much free space as the file is large; until the new file is complete the old one stays.
    """
    with _mapped(path) as data:
        found = _scan(data) if path.suffix in MATROSKA else None
        end = found.end if found is not None else boxes(data).end
        lost = len(data) - end
    part = temporary(path)
    part.unlink(missing_ok=True)
    try:
        with path.open("rb") as old, open_exclusive(part) as raw:
            file = cast("Any", raw)
            _copy(old, file, end)
            if found is not None:
                _finish(file, found)
            os.fsync(file.fileno())
        shutil.copystat(path, part)
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return lost


def _finish(file: Any, found: _Scan) -> None:
    """What `Muxer.close` writes: the index, and in the header where it is and how long everything takes."""
    length, cues_at = found.end, None
    if found.cues.entries:
        cues_at, index = length, matroska.cues(found.cues.entries, found.cue_track)
        _write(file, index)
        length += len(index)
    seconds, rhythm = found.ticks / TICKS, found.rhythm.seconds()
    for position, place in matroska.ending(found.start.header, length, seconds, cues_at, rhythm):
        file.seek(position)
        _write(file, place)


def _scan(data: matroskafile.Bytes) -> _Scan:
    start = beginning(data)
    found = _Scan(start, start.media)
    last_picture: int | None = None
    for cluster in clusters(data, start.media):
        first = cluster.blocks[0] if cluster.blocks else None
        if first is not None and first.keyframe and first.track == found.cue_track:
            found.cues.add(cluster.ticks, cluster.start - start.header.segment)
        for track, ticks, _ in cluster.blocks:
            found.frames[track] = found.frames.get(track, 0) + 1
            found.ticks = max(found.ticks, ticks)
            if track == VIDEO_TRACK:
                if last_picture is not None:
                    found.rhythm.add((ticks - last_picture) / TICKS)
                last_picture = ticks
        found.end = cluster.end
    return found


def _demuxed(path: Path) -> Content:
    import av

    with _mapped(path) as data:
        found = Content(started=boxes(data).started)
    try:
        with av.open(os.fspath(path)) as container:
            for picture in container.streams.video[:1]:
                found.codecs["video"] = _CODECS.get(picture.codec_context.name, picture.codec_context.name)
                found.size = (picture.codec_context.width, picture.codec_context.height)
            for sound in container.streams.audio[:1]:
                found.codecs["audio"] = _CODECS.get(sound.codec_context.name, sound.codec_context.name)
            found.frames = dict.fromkeys(found.codecs, 0)
            for packet in container.demux():
                kind: Kind = "video" if packet.stream.type == "video" else "audio"
                if packet.size and packet.pts is not None and kind in found.frames:
                    found.frames[kind] += 1
                    found.seconds = max(found.seconds, float(packet.pts * packet.time_base))
    except (av.FFmpegError, ValueError) as error:
        raise NotOurs(f"it cannot be read ({error})") from error
    return found


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[matroskafile.Bytes]:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _copy(old: Any, new: Any, length: int) -> None:
    while length:
        data = old.read(min(length, 1 << 20))
        if not data:
            raise OSError("it became shorter while it was read")
        _write(new, data)
        length -= len(data)


def _write(file: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
