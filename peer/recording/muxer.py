"""Encoded frames into a Matroska file that plays up to the last flush, whatever happens to the process.

FFmpeg's muxer is not used here: it holds back every stream until the others have a packet (for VP8 without any limit,
so a muted camera keeps all of the sound in memory), learns of a full disk late, and takes no G.711.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.recording import matroska
from peer.recording.avc import decoder_configuration, length_prefixed
from peer.recording.matroska import AUDIO_TRACK, TICKS, VIDEO_TRACK, VideoFormat

if TYPE_CHECKING:
    from io import RawIOBase

    from peer.rtc.frames import Codec, EncodedFrame, Kind

FLUSH_INTERVAL = 0.5
"""Seconds of media in a cluster, which is what a killed process loses at most."""
_MAX_CLUSTER_BYTES = 4 << 20
_MAX_OFFSET = 0x7FFF
_MAX_CUES = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """What one file holds; `origin` is the `EncodedFrame.time` that becomes zero in it."""

    video: VideoFormat | None
    audio: Codec | None
    origin: float


def video_format(frame: EncodedFrame) -> VideoFormat | None:
    """How a file has to describe the video that starts with `frame`; None when decoding cannot start there."""
    if not frame.keyframe or not matroska.is_video(frame.codec):
        return None
    private = b""
    if frame.codec.name == "H264":
        private = decoder_configuration(frame.data) or b""
        if not private:
            return None
    return VideoFormat(frame.codec, frame.width, frame.height, private)


class Rhythm:
    """How long a picture of a stream lasts, if it is regular: without being told, players guess, and often wrongly."""

    _RATES = (10, 12, 15, 20, 24, 25, 30, 48, 50, 60)

    def __init__(self) -> None:
        self._counts = dict.fromkeys(self._RATES, 0)
        self._total = 0
        self._shortest = math.inf

    def add(self, interval: float) -> None:
        """One picture came so many seconds after the one before."""
        self._total += 1
        self._shortest = min(self._shortest, interval)
        rate = min(self._RATES, key=lambda rate: abs(1 / rate - interval))
        self._counts[rate] += abs(1 / rate - interval) < 0.25 / rate

    def seconds(self) -> float | None:
        """Seconds of a picture; None where few agree on a rate, or two pictures would share a place of its grid."""
        rate = max(self._RATES, key=self._counts.__getitem__)
        regular = self._total >= 10 and self._counts[rate] >= 0.75 * self._total and self._shortest > 0.6 / rate
        return 1 / rate if regular else None


class Muxer:
    """Writes one file: at most one video and one audio stream, on one timeline that starts at `layout.origin`.

    `file` is unbuffered, seekable, empty, and closed by `close()`. Every method may raise OSError; what was flushed
    before stays playable. Not thread-safe.
    """

    def __init__(
        self, file: RawIOBase, layout: Layout, *, started: float, flush_interval: float = FLUSH_INTERVAL
    ) -> None:
        """`started` is the moment of `layout.origin` in Unix time; `flush_interval` is in seconds."""
        video, audio = layout.video, layout.audio
        self._file: Final = file
        self._origin: Final = layout.origin
        self._interval: Final = round(flush_interval * TICKS)
        self._header: Final = matroska.header(video, audio, started)
        self._avc: Final = video is not None and video.codec.name == "H264"
        self._cue_track: Final = VIDEO_TRACK if video else AUDIO_TRACK
        self._last = {VIDEO_TRACK: -1, AUDIO_TRACK: -1}
        self._blocks: list[bytes] = []
        self._blocks_bytes = 0
        self._cluster_time = 0
        self._cluster_seekable = False
        self._cues: list[tuple[int, int]] = []
        self._cue_spacing = 0
        self._rhythm = Rhythm()
        self._length = 0
        self._flushed = 0
        self._closed = False
        self._put(self._header.data)

    @property
    def length(self) -> int:
        """Bytes in the file so far, without what waits for the next flush."""
        return self._length

    @property
    def seconds(self) -> float:
        """Time of the latest frame that was flushed, from the start of the file."""
        return self._flushed / TICKS

    def write(self, kind: Kind, frame: EncodedFrame) -> float:
        """Append one frame and return its time in the file, in seconds.

        Times within a stream always grow: a frame that is not later than the one before it is put one tick after that.
        """
        track = VIDEO_TRACK if kind == "video" else AUDIO_TRACK
        ticks = max(round((frame.time - self._origin) * TICKS), self._last[track] + 1)
        if track == VIDEO_TRACK and self._last[track] >= 0:
            self._rhythm.add((ticks - self._last[track]) / TICKS)
        self._last[track] = ticks
        starts = track == self._cue_track and frame.keyframe
        age = ticks - self._cluster_time
        if self._blocks and (
            (starts and track == VIDEO_TRACK)
            or age >= self._interval
            or abs(age) > _MAX_OFFSET
            or self._blocks_bytes > _MAX_CLUSTER_BYTES
        ):
            self.flush()
        if not self._blocks:
            # Clusters are in order even where one stream lags: blocks may lie before their cluster's time.
            self._cluster_time = max(self._cluster_time, ticks)
            if self._cluster_time - ticks > _MAX_OFFSET:
                self._cluster_time = ticks
            self._cluster_seekable = starts
        data = length_prefixed(frame.data) if self._avc and track == VIDEO_TRACK else frame.data
        offset = ticks - self._cluster_time
        head, payload = matroska.simple_block(track, offset, data, keyframe=frame.keyframe)
        self._blocks += (head, payload)
        self._blocks_bytes += len(head) + len(payload)
        return ticks / TICKS

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if not self._blocks:
            return
        blocks, size = self._blocks, self._blocks_bytes
        self._blocks, self._blocks_bytes = [], 0
        if self._cluster_seekable:
            self._add_cue(self._cluster_time, self._length - self._header.segment)
        self._put(matroska.cluster(self._cluster_time, blocks, size))
        self._flushed = max(0, *self._last.values())

    def close(self) -> None:
        """Write what is left and the index, and close the file; also after an error, then as far as it goes."""
        if self._closed:
            return
        self._closed = True
        with contextlib.closing(self._file):
            try:
                self.flush()
                cues_at = self._put_cues()
            except OSError:
                self._finish(None)
                raise
            self._finish(cues_at)

    def _put_cues(self) -> int | None:
        if not self._cues:
            return None
        at = self._length
        self._put(matroska.cues(self._cues, self._cue_track))
        return at

    def _finish(self, cues_at: int | None) -> None:
        rhythm = self._rhythm.seconds()
        for position, data in matroska.ending(self._header, self._length, self.seconds, cues_at, rhythm):
            self._file.seek(position)
            self._write_all(data)

    def _add_cue(self, ticks: int, position: int) -> None:
        if self._cues and ticks - self._cues[-1][0] < self._cue_spacing:
            return
        self._cues.append((ticks, position))
        if len(self._cues) > _MAX_CUES:
            # A long recording needs no finer index than a short one: keep every second entry.
            self._cues = self._cues[::2]
            self._cue_spacing = max(TICKS // 2, 2 * self._cue_spacing)

    def _put(self, data: bytes) -> None:
        try:
            self._write_all(data)
        except OSError:
            # Half a cluster would make the file invalid; what lies before is whole.
            with contextlib.suppress(OSError):
                self._file.seek(self._length)
                self._file.truncate(self._length)
            raise
        self._length += len(data)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
