"""Which file a frame goes to: one strand is one timeline with at most one video and one audio track at a time.

A file cannot get a stream later, and its video has to begin with a keyframe. So a strand holds back the first frames
until every track that is there has shown itself (for `PATIENCE` seconds at most), and cuts to a new file when something
comes that the present one cannot hold, or when that has become long enough.

A cut is at a keyframe: sound that is older belongs to the old file, also when it comes later. So around a cut the
stream that is ahead is held back for up to `MAX_LEAD` seconds, until the other is there too.

Free of clocks and threads: time is what the frames say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from peer.recording.formats import Layout, continues, is_audio, is_video, same_codec, video_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peer.recording.formats import Format, VideoFormat
    from peer.rtc.frames import Codec, EncodedFrame, Kind

PATIENCE = 2.0
"""Seconds of media that are held back for a track that has not shown itself yet."""
MAX_LEAD = 0.5
"""Seconds by which sound and pictures of the same moment may come apart and still be cut at that moment."""
MAX_APART = 10.0
"""Seconds by which sound that flows may be behind the pictures, on a timeline that came apart, and be in their file."""
_MAX_HELD_BYTES = 16 << 20
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

    `open_file` makes the next file. `wanted` is the container that was asked for: what it can hold decides where files
    end. With `segment`, a file ends at the first keyframe after so many seconds, without video at any frame.
    """

    def __init__(
        self,
        open_file: Callable[[Layout], Sink],
        *,
        expect: Iterable[Kind] = (),
        patience: float = PATIENCE,
        wanted: Format = "mkv",
        segment: float | None = None,
    ) -> None:
        self._open_file: Final = open_file
        self._patience: Final = patience
        self._wanted: Final = wanted
        self._segment: Final = segment
        self._expected: set[Kind] = set(expect)
        self._sink: Sink | None = None
        self._layout = Layout(None, None, 0.0)
        self._held: list[tuple[Kind, EncodedFrame]] = []
        self._held_bytes = 0
        self._held_video: VideoFormat | None = None
        self._held_audio: Codec | None = None
        self._heard: EncodedFrame | None = None
        self._latest = float("-inf")
        """The highest time of all frames."""
        self._seen = self._listened = float("-inf")
        """What that was when video came last, whether it could be used or not, and when sound came last.

        Their own times would not do: where a sender's clocks come apart, one lags behind, but it is there.
        """
        self._now = float("-inf")
        """Time of the latest frame."""
        self._began = 0.0
        """Where the present file begins, as for its length: at the highest time then, where streams are far apart."""
        self._full_since: float | None = None
        """The highest time when the file was found long enough."""
        self._needs_keyframe = True

    @property
    def wants_keyframe(self) -> bool:
        """Whether video goes on, or the next file begins, only with a keyframe."""
        ends = bool(self._held) or self._full_since is not None
        cutting = self._sink is not None and self._held_video is None and ends
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
        if not frame.data or not (is_video if kind == "video" else is_audio)(frame.codec):
            return
        self._now = frame.time
        self._latest = max(self._latest, frame.time)
        if self._segment is not None and self._sink is not None and self._full_since is None:
            self._full_since = self._latest if self._latest - self._began >= self._segment else None
        if kind == "video":
            self._seen = self._latest
            self._take_video(frame)
        else:
            self._listened = self._latest
            self._take_audio(frame)
        self._start_if_due()

    def end(self) -> None:
        """No more frames: write what was held back, finish the file."""
        if self._held_video is None:
            self._write_held(float("inf"))
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
        present = self._held_video or self._layout.video
        if self._needs_keyframe or present is None or not same_codec(present.codec, frame.codec):
            self._needs_keyframe = True
            if self._sink is not None and self._layout.video is not None:
                self._sink.drop()
        elif self._sink is None or self._held_video is not None:
            self._hold("video", frame)
        else:
            self._write_held(frame.time)
            self._sink.write("video", frame)

    def _take_keyframe(self, frame: EncodedFrame, begin: VideoFormat) -> None:
        if self._held_video is not None and not continues(self._held_video, begin, self._wanted):
            self._start()
        fits = self._held_video is None and continues(self._layout.video, begin, self._wanted)
        if self._sink is not None and fits and not self._held and self._full_since is None:
            self._sink.write("video", frame)
        else:
            self._held_video = self._held_video or begin
            self._hold("video", frame)

    def _take_audio(self, frame: EncodedFrame) -> None:
        if self._held_audio is not None and not same_codec(self._held_audio, frame.codec):
            if self._held_video is None:
                self._write_held(float("inf"))
            if self._held:
                self._start()
        self._heard = frame
        if self._sink is not None and self._fits(frame.codec) and not self._held and self._full_since is None:
            self._sink.write("audio", frame)
        else:
            # The next file may have to begin with a keyframe; until that comes, video goes on in this one.
            self._held_audio = frame.codec
            self._hold("audio", frame)
            if self._held_video is None:
                self._write_held(frame.time - MAX_LEAD)

    def _hold(self, kind: Kind, frame: EncodedFrame) -> None:
        self._held.append((kind, frame))
        self._held_bytes += len(frame.data)

    def _write_held(self, before: float) -> None:
        """Write to the present file the sound that was held back and is older than `before`, where it fits there."""
        if self._sink is None or self._held_audio is None or not self._fits(self._held_audio):
            return
        held, self._held = self._held, []
        for kind, frame in held:
            if kind == "audio" and frame.time < before:
                self._held_bytes -= len(frame.data)
                self._sink.write(kind, frame)
            else:
                self._held.append((kind, frame))
        if all(kind != "audio" for kind, _ in self._held):
            self._held_audio = None

    def _start_if_due(self) -> None:
        if self._held and (self._due() or self._held_bytes > _MAX_HELD_BYTES):
            self._start()

    def _due(self) -> bool:
        """Whether what is held back is to begin a file now."""
        if self._sink is not None and self._held_video is not None:
            return not self._sound_is_behind()
        if self._held_audio is not None and self._fits(self._held_audio):
            return self._layout.video is None or self._video_is_gone()
        waiting_for_video = "video" in self._expected and self._held_video is None
        waiting_for_audio = "audio" in self._expected and self._heard is None
        late = self._now - self._held[0][1].time >= self._patience
        return late or not (waiting_for_video or waiting_for_audio)

    def _fits(self, audio: Codec) -> bool:
        """Whether the present file, if there is one, has a stream for such sound."""
        return self._layout.audio is not None and same_codec(self._layout.audio, audio)

    def _sound_is_behind(self) -> bool:
        """Whether sound is still to come that is older than the keyframe which begins the next file."""
        cut = _first_picture(self._held)
        behind = self._heard is not None and self._heard.time < cut and self._sound_flows()
        return behind and self._now - cut < MAX_LEAD

    def _sound_flows(self) -> bool:
        """Whether there is sound; silent for longer, it may well stay away."""
        return self._heard is not None and self._latest - self._listened < 2 * self._patience

    def _video_is_gone(self) -> bool:
        """Whether no keyframe will come to cut at: nothing has come for a while, although it was asked for."""
        since = max(self._seen, self._full_since or self._seen)
        return "video" not in self._expected or self._latest - since >= self._patience

    def _start(self) -> None:
        """Finish the present file, and begin the next with what was held back."""
        if self._held_video is not None:
            self._write_held(_first_picture(self._held))
        held = sorted(self._held, key=lambda entry: entry[1].time)
        video, self._held_video = self._held_video, None
        audio, self._held_audio = self._held_audio, None
        self._held, self._held_bytes = [], 0
        origin = held[0][1].time
        lead = origin
        if audio is None and self._heard is not None and self._sound_flows():
            behind = MAX_APART if self._latest - self._listened < MAX_LEAD else MAX_LEAD
            audio, lead = self._heard.codec, max(self._heard.time, origin - behind)
        follows = self._sink is not None
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()
            # Sound that is still on its way may be older than the keyframe that made this cut.
            origin = min(origin, lead)
        elif video is not None:
            held = _trimmed(held)
            origin = held[0][1].time
        self._layout = Layout(video, audio, origin)
        cut = held[0][1].time if video is None else _first_picture(held)
        self._began = self._latest if follows and self._latest - cut > 2 * MAX_LEAD else cut
        self._full_since = None
        if video is None and "video" in self._expected:
            self._needs_keyframe = True
        self._sink = self._open_file(self._layout)
        for kind, frame in held:
            self._sink.write(kind, frame)


def _first_picture(held: list[tuple[Kind, EncodedFrame]]) -> float:
    """Time of the keyframe that begins the next file."""
    return next(frame.time for kind, frame in held if kind == "video")


def _trimmed(held: list[tuple[Kind, EncodedFrame]]) -> list[tuple[Kind, EncodedFrame]]:
    """`held` from its first picture on, where only a moment of sound comes before that.

    Tools that count time in frames would else find pictures half-way between two of them, and drop one now and then.
    """
    first = _first_picture(held)
    if first - held[0][1].time > _TRIM:
        return held
    return [entry for entry in held if entry[1].time >= first]
