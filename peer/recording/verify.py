"""Whether a recording is what it should be: opens it, decodes all of it, and says what is wrong.

Blocks for as long as decoding takes; on an event loop call it with `asyncio.to_thread`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from os import fspath
from typing import TYPE_CHECKING, Any

from peer.recording.gaps import SILENCE
from peer.recording.unexplained import Hole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from os import PathLike

    import av.container
    import av.packet
    import av.stream

    from peer.rtc.frames import Kind

_MAX_HOLES = 10_000
TOLERANCE = 0.5
"""Seconds by which audio and video of a good recording may differ in length."""
_MARKED = 0.5


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a file; `ok` says that there is nothing in `problems`."""

    ok: bool
    seconds: float
    video_seconds: float
    audio_seconds: float
    """From the first frame of the stream to the end of its last one; 0 where there is no such stream."""
    video_frames: int
    audio_frames: int
    """Frames that were decoded."""
    decode_errors: int
    numbers: float | None
    """Of the pictures that carry a number (`peer.media.marks`), the part that follows its predecessor directly: 1.0
    where no picture is missing or repeated. None where at least half of the pictures carry none."""
    problems: list[str]
    holes: tuple[Hole, ...] = ()
    """Where nothing comes for more than 3 s, also after the last frame of a stream; none of it is a problem."""
    skew: float | None = None
    """Seconds by which the video ends later than the audio; None where there is but one of them."""


@dataclass(slots=True)
class _Count:
    """One stream, while it is decoded."""

    frames: int = 0
    errors: int = 0
    first: float | None = None
    end: float = 0.0
    backwards: int = 0
    last_time: float = float("-inf")
    packets: int = 0
    holes: list[tuple[float, float]] = field(default_factory=list)
    numbers: list[int | None] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return 0.0 if self.first is None else self.end - self.first

    def timed(self, seconds: float, duration: float) -> None:
        self.packets += 1
        if self.first is None:
            self.first = seconds
        elif seconds - self.last_time > SILENCE and len(self.holes) < _MAX_HOLES:
            self.holes.append((self.last_time, seconds))
        if seconds <= self.last_time:
            self.backwards += 1
        # A frame lasts until the next one at least: where the container names no duration, take the distance.
        distance = min(max(seconds - self.last_time, 0.0), 0.1)
        self.end = max(self.end, seconds + (duration or distance))
        self.last_time = seconds


def verify(
    path: str | PathLike[str], *, expect: Collection[Kind] = ("audio", "video"), tolerance: float = TOLERANCE
) -> Verification:
    """Decode the whole of the file at `path` and judge it.

    `expect` names the kinds of streams that have to be there, exactly one of each. Never raises for what is in the
    file: a file that is missing or cannot be opened has that as its problem.
    """
    import av  # it takes its time, and recording needs none of it

    problems: list[str] = []
    counts: dict[Kind, _Count] = {}
    try:
        with av.open(fspath(path), "r") as container:
            problems += _streams(container, expect)
            counts = _decode(container)
    except (OSError, ValueError, av.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(f"cannot be read: {reason}")
    return _judge(counts, problems, tolerance, expect)


def _streams(container: av.container.InputContainer, expect: Collection[Kind]) -> list[str]:
    problems = []
    kinds: tuple[Kind, ...] = ("video", "audio")
    for kind in kinds:
        found = sum(stream.type == kind for stream in container.streams)
        if kind in expect and found != 1:
            problems.append(f"has {found or 'no'} {kind} stream{'s' if found > 1 else ''} where one is expected")
    return problems


def _decode(container: av.container.InputContainer) -> dict[Kind, _Count]:
    import av

    counts: dict[Kind, _Count] = {}
    streams: dict[Kind, av.stream.Stream] = {}
    if container.streams.video:
        streams["video"], counts["video"] = container.streams.video[0], _Count()
    if container.streams.audio:
        streams["audio"], counts["audio"] = container.streams.audio[0], _Count()
    for packet in container.demux(*streams.values()) if streams else ():
        kind: Kind = "video" if packet.stream is streams.get("video") else "audio"
        count = counts[kind]
        if packet.pts is not None and packet.time_base is not None:
            duration = float((packet.duration or 0) * packet.time_base)
            count.timed(float(packet.pts * packet.time_base), duration)
        try:
            for frame in packet.decode():
                _look(count, frame)
        except av.FFmpegError:
            count.errors += 1
    return counts


def _look(count: _Count, frame: Any) -> None:
    from av.video.frame import VideoFrame

    count.frames += 1
    if frame.is_corrupt:
        count.errors += 1
    if isinstance(frame, VideoFrame):
        count.numbers.append(_number(frame))


def _number(frame: Any) -> int | None:
    import numpy as np

    from peer.media.marks import read_number

    if frame.format.name not in ("yuv420p", "yuvj420p"):
        return None
    plane = frame.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return read_number(luma)


def _judge(counts: dict[Kind, _Count], problems: list[str], tolerance: float, expect: Collection[Kind]) -> Verification:
    video, audio = counts.get("video", _Count()), counts.get("audio", _Count())
    end = max(video.end, audio.end)
    for kind, count in counts.items():
        if not count.frames and (kind in expect or count.packets):
            problems.append(f"its {kind} stream has no frame that can be decoded")
        if count.errors:
            problems.append(f"{count.errors} errors in decoding {kind}")
        if count.backwards:
            problems.append(f"{count.backwards} times in {kind} do not grow")
    if video.frames and audio.frames and abs(video.seconds - audio.seconds) > tolerance:
        problems.append(f"video lasts {video.seconds:.2f} s, audio {audio.seconds:.2f} s")
    return Verification(
        ok=not problems,
        seconds=end,
        video_seconds=video.seconds,
        audio_seconds=audio.seconds,
        video_frames=video.frames,
        audio_frames=audio.frames,
        decode_errors=video.errors + audio.errors,
        numbers=_consecutive(video.numbers),
        problems=problems,
        holes=tuple(hole for kind, count in counts.items() for hole in _holes(kind, count, end)),
        skew=video.end - audio.end if video.packets and audio.packets else None,
    )


def _holes(kind: Kind, count: _Count, end: float) -> Iterator[Hole]:
    for start, until in count.holes:
        yield Hole(kind, start, until)
    if count.packets and end - count.end > SILENCE:
        yield Hole(kind, count.end, end)


def _consecutive(numbers: list[int | None]) -> float | None:
    from peer.media.marks import MODULUS

    seen = [number for number in numbers if number is not None]
    if len(seen) < 2 or len(seen) < _MARKED * len(numbers):
        return None
    follows = sum((after - before) % MODULUS == 1 for before, after in zip(seen, seen[1:], strict=False))
    return follows / (len(seen) - 1)
