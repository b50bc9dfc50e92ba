"""Which file a frame goes to: one strand is one timeline with at most one video and one audio track at a time.

A Matroska file cannot get a stream later, and its video has to begin with a keyframe. So a strand holds back the first
frames until every track that is there has shown itself (for `PATIENCE` seconds at most), and cuts to a new file when
something comes that the present one cannot hold.

Free of clocks and threads: time is what the frames say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from peer.recording import matroska
from peer.recording.muxer import Layout, video_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peer.recording.matroska import VideoFormat
    from peer.rtc.frames import Codec, EncodedFrame, Kind

PATIENCE = 2.0
"""Seconds of media that are held back for a track that has not shown itself yet."""
_MAX_HELD_BYTES = 16 << 20
_MAX_LEAD = 0.5
_TRIM = 0.25
"""Seconds of sound before the first picture that are left out at the start of a file."""


class Sink(Protocol):
    """One open file."""

    def write(self, kind: Kind, frame: EncodedFrame) -> None:
        """Append a frame that fits the file's layout."""

    def drop(self) -> None:
        """Note that a frame which had arrived was left out."""

    def close(self) -> None:
        """Finish the file."""


class Strand:
    """Distributes the frames of one timeline over a sequence of files.

    `open_file` makes the next file.
    """

    def __init__(
        self,
        open_file: Callable[[Layout], Sink],
        *,
        expect: Iterable[Kind] = (),
        patience: float = PATIENCE,
    ) -> None:
        self._open_file: Final = open_file
        self._patience: Final = patience
        self._expected: set[Kind] = set(expect)
        self._sink: Sink | None = None
        self._layout = Layout(None, None, 0.0)
        self._held: list[tuple[Kind, EncodedFrame]] = []
        self._held_bytes = 0
        self._held_video: VideoFormat | None = None
        self._held_audio: Codec | None = None
        self._heard: EncodedFrame | None = None
        self._newest = float("-inf")
        self._needs_keyframe = True

    @property
    def wants_keyframe(self) -> bool:
        """Whether video goes on, or the next file begins, only with a keyframe."""
        cutting = self._sink is not None and bool(self._held)
        return "video" in self._expected and (self._needs_keyframe or cutting)

    def add(self, kind: Kind) -> None:
        """A track of this kind is there now; a video track starts over with a keyframe."""
        self._expected.add(kind)
        if kind == "video":
            self._needs_keyframe = True

    def remove(self, kind: Kind) -> None:
        """The track of this kind is gone."""
        self._expected.discard(kind)
        if kind == "audio":
            self._heard = None
        self._start_if_due()

    def take(self, kind: Kind, frame: EncodedFrame) -> None:
        """Put one frame where it belongs. Raises OSError when a file cannot be made or written."""
        if not frame.data or not (matroska.is_video if kind == "video" else matroska.is_audio)(frame.codec):
            return
        self._newest = max(self._newest, frame.time)
        if kind == "video":
            self._take_video(frame)
        else:
            self._take_audio(frame)
        if self._held:
            self._start_if_due()

    def end(self) -> None:
        """No more frames: write what was held back, finish the file."""
        if self._held:
            self._start()
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def _take_video(self, frame: EncodedFrame) -> None:
        if frame.keyframe and (begin := video_format(frame)) is not None:
            self._needs_keyframe = False
            self._take_keyframe(frame, begin)
            return
        present = self._held_video if self._sink is None else self._layout.video
        if self._needs_keyframe or present is None or not _same(present.codec, frame.codec):
            self._needs_keyframe = True
            if self._sink is not None and self._layout.video is not None:
                self._sink.drop()
        elif self._sink is None:
            self._hold("video", frame)
        else:
            self._sink.write("video", frame)

    def _take_keyframe(self, frame: EncodedFrame, begin: VideoFormat) -> None:
        if self._sink is None and self._held_video is not None and not _continues(self._held_video, begin):
            self._start()
        if self._sink is None:
            self._held_video = self._held_video or begin
            self._hold("video", frame)
        elif not self._held and _continues(self._layout.video, begin):
            self._sink.write("video", frame)
        else:
            self._held_video = begin
            self._hold("video", frame)
            self._start()

    def _take_audio(self, frame: EncodedFrame) -> None:
        if self._held_audio is not None and not _same(self._held_audio, frame.codec):
            self._start()
        self._heard = frame
        if self._sink is None:
            self._hold_audio(frame)
        elif not self._held and self._layout.audio is not None and _same(self._layout.audio, frame.codec):
            self._sink.write("audio", frame)
        else:
            # The next file has to begin with a keyframe; until it comes, video goes on in this one.
            self._hold_audio(frame)

    def _hold_audio(self, frame: EncodedFrame) -> None:
        self._held_audio = frame.codec
        self._hold("audio", frame)

    def _hold(self, kind: Kind, frame: EncodedFrame) -> None:
        self._held.append((kind, frame))
        self._held_bytes += len(frame.data)

    def _start_if_due(self) -> None:
        if not self._held:
            return
        waiting_for_video = "video" in self._expected and self._held_video is None
        waiting_for_audio = "audio" in self._expected and self._heard is None
        late = self._newest - self._held[0][1].time >= self._patience
        if late or self._held_bytes > _MAX_HELD_BYTES or not (waiting_for_video or waiting_for_audio):
            self._start()

    def _start(self) -> None:
        """Finish the present file, and begin the next with what was held back."""
        held = sorted(self._held, key=lambda entry: entry[1].time)
        video, self._held_video = self._held_video, None
        audio, self._held_audio = self._held_audio, None
        self._held, self._held_bytes = [], 0
        origin = held[0][1].time
        lead = origin
        if audio is None and self._heard is not None and self._newest - self._heard.time < 2 * self._patience:
            # Silent for longer, sound may well stay away: then there is no stream for it.
            audio, lead = self._heard.codec, max(self._heard.time, origin - _MAX_LEAD)
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()
            # Sound that is still on its way may be older than the keyframe that made this cut.
            origin = min(origin, lead)
        elif video is not None:
            held = _trimmed(held)
            origin = held[0][1].time
        self._layout = Layout(video, audio, origin)
        if video is None and "video" in self._expected:
            self._needs_keyframe = True
        self._sink = self._open_file(self._layout)
        for kind, frame in held:
            self._sink.write(kind, frame)


def _trimmed(held: list[tuple[Kind, EncodedFrame]]) -> list[tuple[Kind, EncodedFrame]]:
    """`held` from its first picture on, where only a moment of sound comes before that.

    Tools that count time in frames would else find pictures half-way between two of them, and drop one now and then.
    """
    first = next(frame.time for kind, frame in held if kind == "video")
    if first - held[0][1].time > _TRIM:
        return held
    return [entry for entry in held if entry[1].time >= first]


def _same(first: Codec, second: Codec) -> bool:
    """Whether two payload types mean the same codec."""
    return (first.name, first.clock_rate, first.channels) == (second.name, second.clock_rate, second.channels)


def _continues(present: VideoFormat | None, begin: VideoFormat) -> bool:
    """Whether a file with video as in `present` can go on with a keyframe as in `begin`.

    VP8 says the picture's size in each keyframe. For H.264 players rely on the size in the header; other changes of
    its parameter sets travel in the stream itself.
    """
    if present is None or not _same(present.codec, begin.codec):
        return False
    return begin.codec.name == "VP8" or (present.width, present.height) == (begin.width, begin.height)
