"""Files in every container, written as a recording would write them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from peer.recording.formats import FORMATS, Format, Layout, video_format
from peer.recording.mp4muxer import Mp4Muxer
from peer.recording.muxer import Muxer
from tests.recording.synthetic import AV1, G722, H264, OPUS, PCMA, PCMU, VP8, VP9, kind_of

if TYPE_CHECKING:
    from collections.abc import Buffer
    from pathlib import Path

    from peer.recording.output import Container
    from peer.rtc.frames import Codec, EncodedFrame

HOLDS: dict[Format, tuple[tuple[Codec, ...], tuple[Codec, ...]]] = {
    "mkv": ((VP8, H264, VP9, AV1), (OPUS, PCMU, PCMA, G722)),
    "webm": ((VP8, VP9, AV1), (OPUS,)),
    "mp4": ((H264, VP9, AV1), (OPUS,)),
}
"""What each container holds: video and audio."""
USUAL: dict[Format, Codec] = {"mkv": VP8, "webm": VP8, "mp4": H264}
assert set(HOLDS) == set(FORMATS)


class FullDisk(io.FileIO):
    """A file on a disk with room for `room` bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self.room = room

    def write(self, data: Buffer) -> int:
        fits = min(len(memoryview(data)), self.room - self.tell())
        if fits <= 0:
            raise OSError(28, "No space left on device")
        return super().write(memoryview(data)[:fits])


def layout(frames: list[EncodedFrame]) -> Layout:
    pictures = [frame for frame in frames if kind_of(frame) == "video"]
    sounds = [frame for frame in frames if kind_of(frame) == "audio"]
    return Layout(video_format(pictures[0]) if pictures else None, sounds[0].codec if sounds else None, frames[0].time)


def begin(form: Format, file: io.RawIOBase, what: Layout, *, flush_interval: float = 0.5) -> Container:
    if form == "mp4":
        return Mp4Muxer(file, what, started=1.7e9, flush_interval=flush_interval)
    doc_type = "webm" if form == "webm" else "matroska"
    return Muxer(file, what, started=1.7e9, flush_interval=flush_interval, doc_type=doc_type)  # type: ignore[arg-type]


def write(path: Path, frames: list[EncodedFrame]) -> Container:
    """A finished file, in the container that the path's ending names."""
    form: Format = path.suffix[1:]  # type: ignore[assignment]
    muxer = begin(form, path.open("xb", buffering=0), layout(frames))
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    muxer.close()
    return muxer
