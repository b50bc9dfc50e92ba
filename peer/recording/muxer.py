"""Encoded frames into a Matroska or WebM file that plays up to the last flush, whatever happens to the process.

FFmpeg's muxer is not used here: it holds back every stream until the others have a packet (for VP8 without any limit,
so a muted camera keeps all of the sound in memory), learns of a full disk late, and takes no G.711.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Final

from peer.recording import matroska
from peer.recording.avc import length_prefixed
from peer.recording.formats import FLUSH_INTERVAL
from peer.recording.matroska import AUDIO_TRACK, TICKS, VIDEO_TRACK
from peer.recording.output import Output, SeekPoints

if TYPE_CHECKING:
    from io import RawIOBase

    from peer.recording.formats import Layout
    from peer.recording.matroska import DocType
    from peer.rtc.frames import EncodedFrame, Kind

_MAX_CLUSTER_BYTES = 4 << 20
_MAX_OFFSET = 0x7FFF


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
    """Writes one Matroska or WebM file; a `Container`.

    `file` is unbuffered, seekable, empty, and closed by `close()`.
    """

    def __init__(
        self,
        file: RawIOBase,
        layout: Layout,
        *,
        started: float,
        flush_interval: float = FLUSH_INTERVAL,
        doc_type: DocType = "matroska",
    ) -> None:
        """`started` is the moment of `layout.origin` in Unix time; `flush_interval` is in seconds."""
        video, audio = layout.video, layout.audio
        self._output: Final = Output(file)
        self._origin: Final = layout.origin
        self._interval: Final = round(flush_interval * TICKS)
        self._header: Final = matroska.header(video, audio, started, doc_type)
        self._avc: Final = video is not None and video.codec.name == "H264"
        self._cue_track: Final = VIDEO_TRACK if video else AUDIO_TRACK
        self._last = {VIDEO_TRACK: -1, AUDIO_TRACK: -1}
        self._blocks: list[bytes] = []
        self._blocks_bytes = 0
        self._cluster_time = 0
        self._cluster_seekable = False
        self._cues = SeekPoints(TICKS // 2)
        self._rhythm = Rhythm()
        self._flushed = 0
        self._closed = False
        self._output.append(self._header.data)

    @property
    def length(self) -> int:
        """Bytes in the file so far, without what waits for the next flush."""
        return self._output.length

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
            self._cues.add(self._cluster_time, self.length - self._header.segment)
        self._output.append(matroska.cluster(self._cluster_time, blocks, size))
        self._flushed = max(0, *self._last.values())

    def close(self) -> None:
        """Write what is left and the index, and close the file; also after an error, then as far as it goes."""
        if self._closed:
            return
        self._closed = True
        with contextlib.closing(self._output):
            try:
                self.flush()
                cues_at = self._append_cues()
            except OSError:
                self._finish(None)
                raise
            self._finish(cues_at)

    def _append_cues(self) -> int | None:
        if not self._cues.entries:
            return None
        at = self.length
        self._output.append(matroska.cues(self._cues.entries, self._cue_track))
        return at

    def _finish(self, cues_at: int | None) -> None:
        rhythm = self._rhythm.seconds()
        for position, data in matroska.ending(self._header, self.length, self.seconds, cues_at, rhythm):
            self._output.patch(position, data)
