"""Encoded frames into a fragmented MP4 file that plays up to the last flush, whatever happens to the process."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.recording import fmp4
from peer.recording.avc import length_prefixed
from peer.recording.fmp4 import AUDIO_TRACK, TIMESCALES, VIDEO_TRACK, Run
from peer.recording.formats import FLUSH_INTERVAL
from peer.recording.output import Output, SeekPoints

if TYPE_CHECKING:
    from io import RawIOBase

    from peer.recording.formats import Layout
    from peer.rtc.frames import EncodedFrame, Kind

_MAX_FRAGMENT_BYTES = 4 << 20
_USUAL = {VIDEO_TRACK: 1 / 30, AUDIO_TRACK: 0.02}
"""Seconds of a sample that nothing preceded and nothing follows."""


@dataclass(slots=True)
class _Track:
    """The samples of one track that wait for their fragment. The newest has no duration before the next one comes."""

    number: int
    scale: int
    last: int = -1
    usual: int = 0
    """Ticks from the last sample but one to the last."""
    samples: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    sync: list[bool] = field(default_factory=list)

    def add(self, ticks: int, data: bytes, *, sync: bool) -> None:
        if self.times:
            self.usual = ticks - self.last
        self.last = ticks
        self.samples.append(data)
        self.times.append(ticks)
        self.sync.append(sync)

    def clear(self) -> None:
        for waiting in (self.samples, self.times, self.sync):
            waiting.clear()

    def take(self, newest: int | None) -> Run | None:
        """The samples that are complete; with `newest`, the ticks that the newest lasts, all of them."""
        count = len(self.times) - (newest is None)
        if count <= 0:
            return None
        durations = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        if newest is not None:
            durations.append(newest)
        run = Run(self.number, self.times[0], self.samples[:count], durations, self.sync[:count])
        del self.samples[:count], self.times[:count], self.sync[:count]
        return run


class Mp4Muxer:
    """Writes one fragmented MP4 file; a `Container`.

    `file` is unbuffered, seekable, empty, and closed by `close()`.
    """

    def __init__(
        self, file: RawIOBase, layout: Layout, *, started: float, flush_interval: float = FLUSH_INTERVAL
    ) -> None:
        """`started` is the moment of `layout.origin` in Unix time; `flush_interval` is in seconds."""
        video, audio = layout.video, layout.audio
        self._output: Final = Output(file)
        self._interval: Final = flush_interval
        self._origin: Final = layout.origin
        self._header: Final = fmp4.header(video, audio, started)
        self._avc: Final = video is not None and video.codec.name == "H264"
        numbers = [number for number, there in ((VIDEO_TRACK, video), (AUDIO_TRACK, audio)) if there]
        self._tracks: Final = {number: _Track(number, TIMESCALES[number]) for number in numbers}
        self._index_track: Final = numbers[0]
        self._points = SeekPoints(TIMESCALES[self._index_track] // 2)
        self._waiting = 0
        self._fragments = 0
        self._flushed = 0.0
        self._closed = False
        self._output.append(self._header.data + fmp4.wall_clock(self._index_track, started))

    @property
    def length(self) -> int:
        """Bytes in the file so far, without what waits for the next flush."""
        return self._output.length

    @property
    def seconds(self) -> float:
        """Time of the latest frame that was flushed, from the start of the file."""
        return self._flushed

    def write(self, kind: Kind, frame: EncodedFrame) -> float:
        """Append one frame and return its time in the file, in seconds.

        Times within a stream always grow: a frame that is not later than the one before it is put one tick after that.
        """
        track = self._tracks[VIDEO_TRACK if kind == "video" else AUDIO_TRACK]
        ticks = max(round((frame.time - self._origin) * track.scale), track.last + 1)
        interval = self._interval * track.scale
        if track.times and ticks - track.last >= interval:
            # A pause: what follows says its own time, and the sample before lasts until then (section 8.8.12).
            self.flush()
        video = kind == "video"
        data = length_prefixed(frame.data) if video and self._avc else frame.data
        track.add(ticks, data, sync=frame.keyframe)
        self._waiting += len(data)
        # The frame just added is not complete and begins the next fragment: a keyframe is a place to seek to there.
        begins = video and frame.keyframe
        if begins or ticks - track.times[0] >= interval or self._waiting > _MAX_FRAGMENT_BYTES:
            self._put(ticks / track.scale)
        return ticks / track.scale

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._put(None)

    def close(self) -> None:
        """Write what is left and the index, and close the file; also after an error, then as far as it goes."""
        if self._closed:
            return
        self._closed = True
        with contextlib.closing(self._output):
            try:
                self._put(None, ending=True)
                if self._points.entries:
                    self._append(fmp4.index(self._index_track, self._points.entries))
            finally:
                self._output.patch(self._header.duration, fmp4.duration(self.seconds))

    def _put(self, now: float | None, *, ending: bool = False) -> None:
        """Write one fragment. At the time `now` in the file, the newest sample of a track stays unless it is old: it
        lasts until the next one, whose time is not known yet. Without `now` all of them go."""
        runs = []
        for track in self._tracks.values():
            old = track.times and (now is None or now - track.last / track.scale >= self._interval)
            run = track.take(self._newest(track, ending=ending) if old else None)
            if run is not None:
                runs.append(run)
        if not runs:
            return
        self._waiting = sum(len(sample) for track in self._tracks.values() for sample in track.samples)
        for run in runs:
            if run.track == self._index_track and run.sync[0]:
                self._points.add(run.time, self._output.length)
        self._fragments += 1
        try:
            self._append(fmp4.fragment(self._fragments, runs))
        except OSError:
            # What still waits builds upon what is lost now.
            for track in self._tracks.values():
                track.clear()
            raise
        ends = [(run.time + sum(run.durations[:-1])) / TIMESCALES[run.track] for run in runs]
        self._flushed = max(self._flushed, *ends)

    def _append(self, data: bytes) -> None:
        # FFmpeg opens no file that ends within a moof, but one that ends within a box that nobody needs.
        self._output.append(data, fmp4.free(len(data)))

    def _newest(self, track: _Track, *, ending: bool) -> int:
        """Ticks that the newest sample of a track lasts: at the end as long as the one before it. Where something may
        follow it is short, since whatever follows extends it, and must not begin before its end."""
        usual = track.usual or round(_USUAL[track.number] * track.scale)
        short = round(_USUAL[AUDIO_TRACK] * track.scale) if track.number == AUDIO_TRACK else 1
        return usual if ending else min(usual, short)
