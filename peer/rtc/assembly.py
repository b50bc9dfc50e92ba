"""Packets in order to frames: where a frame begins and ends, and which frames cannot be decoded any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from peer.rtc.rtp import Unwrapper

if TYPE_CHECKING:
    from peer.rtc.payload import Chunk, Depacketiser, FrameData

MAX_FRAME_CHUNKS = 2048
MAX_FRAME_BYTES = 3 << 20
MAX_READY_FRAMES = 2048
MAX_READY_BYTES = 3 << 20
MIN_AUDIO_TARGET = 0.020
START_AUDIO_TARGET = 0.040
MAX_AUDIO_TARGET = 0.200


class AssembledFrame(NamedTuple):
    """One frame as it leaves the jitter buffer."""

    data: bytes
    timestamp: int
    """RTP timestamp, unwrapped; the low 32 bits are those on the wire."""
    arrival: float
    """Seconds: when its first packet came."""
    keyframe: bool
    width: int
    height: int
    complete_before: bool
    """False when something between the previous frame handed out and this one is missing."""
    epoch: int
    """Grows by one when the sender started anew: timestamps then have nothing to do with those before."""


@dataclass(slots=True)
class Counters:
    """What went through a jitter buffer since it was made."""

    received: int = 0
    """Packets, duplicates and late ones included."""
    duplicates: int = 0
    late: int = 0
    """Packets that came after they had been given up."""
    reordered: int = 0
    """Packets that came out of order without having been asked for."""
    recovered: int = 0
    """Packets that came after they had been asked for."""
    lost_given_up: int = 0
    """Packets that nobody waits for any more."""
    malformed: int = 0
    """Payloads or frames that are not what the codec's payload format says."""
    resets: int = 0
    nacks: int = 0
    """Packets asked for, each time counted."""
    plis: int = 0
    frames: int = 0
    """Frames handed out."""
    keyframes: int = 0
    """Frames put together that decode by themselves."""
    frames_dropped: int = 0
    """Frames of which something arrived, and that were not handed out."""


class Assembler:
    """What the audio and the video assembler share: the frames that are ready, timestamps, epochs."""

    waiting = False
    """A keyframe has to come before anything else can be decoded."""

    def __init__(self, depacketiser: Depacketiser, counters: Counters) -> None:
        self.ready: list[AssembledFrame] = []
        self.ready_bytes = 0
        self._depacketiser = depacketiser
        self._counters = counters
        self._timestamps = Unwrapper(32)
        self._epoch = 0
        self._gap = False
        self._first = True

    def _hand_out(self, frame: FrameData, timestamp: int, arrival: float) -> None:
        if self.ready_bytes > MAX_READY_BYTES or len(self.ready) >= MAX_READY_FRAMES:
            # Nobody takes them: the newest matter.
            self._counters.frames_dropped += len(self.ready)
            self.ready, self.ready_bytes, self._gap = [], 0, True
        whole = self._first or not self._gap
        self._first = self._gap = False
        data, keyframe, width, height = frame
        if keyframe:
            self._counters.keyframes += 1
        self.ready_bytes += len(data)
        timestamp = self._timestamps.unwrap(timestamp)
        self.ready.append(AssembledFrame(data, timestamp, arrival, keyframe, width, height, whole, self._epoch))

    def take(self) -> list[AssembledFrame]:
        """The frames that are ready, in order; they are the caller's then."""
        ready = self.ready
        if ready:
            self.ready = []
            self.ready_bytes = 0
            self._counters.frames += len(ready)
        return ready

    def lost(self) -> None:
        """Packets between the last one put and the next are given up."""
        self._gap = True

    def reset(self) -> None:
        """The sender starts anew: the next packet begins a frame and a new epoch."""
        self.lost()
        self._timestamps.restart()
        self._epoch += 1


class AudioAssembler(Assembler):
    """One packet, one frame; measures how unevenly they come."""

    def __init__(self, depacketiser: Depacketiser, counters: Counters, clock_rate: int) -> None:
        super().__init__(depacketiser, counters)
        self._clock_rate = clock_rate
        self._jitter = START_AUDIO_TARGET / 4
        self._last: tuple[int, float] | None = None

    @property
    def target(self) -> float:
        """Seconds for which a missing packet may still be on its way: four times the jitter, within bounds."""
        return min(max(4 * self._jitter, MIN_AUDIO_TARGET), MAX_AUDIO_TARGET)

    def overdue(self, lateness: float) -> None:
        """A packet came `lateness` seconds after it was missed, and too late: wait longer from now on."""
        self._jitter = max(self._jitter, min(lateness, MAX_AUDIO_TARGET) / 4)

    def put(self, timestamp: int, chunk: Chunk | None, arrival: float, *, marker: bool) -> None:
        """Take the next packet in order (`chunk` is None for padding, empty for what could not be parsed)."""
        if self._last is not None:
            advanced = (timestamp - self._last[0]) & 0xFFFFFFFF
            varied = abs(arrival - self._last[1] - advanced / self._clock_rate)
            if varied < 1.0:  # else a pause or a new timeline, which says nothing about the network
                self._jitter += (varied - self._jitter) / 16
        self._last = (timestamp, arrival)
        if chunk is None:
            return
        if not chunk.data:
            self._counters.frames_dropped += 1
            self._gap = True
            return
        self._hand_out(self._depacketiser.assemble((chunk,)), timestamp, arrival)

    def reset(self) -> None:
        """The sender starts anew."""
        super().reset()
        self._last = None


class VideoAssembler(Assembler):
    """Frames end at the marker bit or where the timestamp changes; after a loss only a keyframe helps."""

    def __init__(self, depacketiser: Depacketiser, counters: Counters, *, hand_out_broken: bool) -> None:
        super().__init__(depacketiser, counters)
        self.waiting = True
        self.size = 0
        """Bytes of the frame that is being put together."""
        self._hand_out_broken = hand_out_broken
        self._chunks: list[Chunk] = []
        self._timestamp: int | None = None
        self._arrival = 0.0
        self._whole = False
        self._contiguous = False

    @property
    def keyframe_since(self) -> float | None:
        """Seconds: when the keyframe that is being put together began; None when it is none, or has a hole."""
        if self._chunks and self._whole and self._chunks[0].keyframe:
            return self._arrival
        return None

    def put(self, timestamp: int, chunk: Chunk | None, arrival: float, *, marker: bool) -> None:
        """Take the next packet in order (`chunk` is None for padding, empty for what could not be parsed)."""
        if timestamp != self._timestamp:
            if self._timestamp is not None:
                self._finish()
            if chunk is None:
                return
            self._timestamp = timestamp
            self._arrival = arrival
            self._whole = self._contiguous or chunk.starts_frame
        if chunk is not None:
            if chunk.data:
                self._chunks.append(chunk)
                self.size += len(chunk.data)
            else:
                self._whole = False
        self._contiguous = True
        if marker:
            self._finish()
        elif len(self._chunks) > MAX_FRAME_CHUNKS or self.size > MAX_FRAME_BYTES:
            self._chunks, self.size = [], 0
            self.lost()

    def lost(self) -> None:
        """Packets between the last one put and the next are given up: the frame they cut is, and those that need it."""
        super().lost()
        self._whole = self._contiguous = False
        self.waiting = True

    def reset(self) -> None:
        """The sender starts anew; what is left of the last frame is dropped."""
        if self._timestamp is not None:
            self._whole = False
            self._finish()
        super().reset()

    def _finish(self) -> None:
        timestamp, self._timestamp = self._timestamp, None
        chunks, self._chunks = self._chunks, []
        self.size = 0
        assert timestamp is not None
        frame = None
        if self._whole and chunks:
            try:
                frame = self._depacketiser.assemble(chunks)
            except ValueError:
                self._counters.malformed += 1
        if frame is None:
            self._drop()
        elif not frame.data:
            return
        elif frame.keyframe:
            self.waiting = False
            self._hand_out(frame, timestamp, self._arrival)
        elif self.waiting and not self._hand_out_broken:
            self._drop()
        else:
            self._hand_out(frame, timestamp, self._arrival)

    def _drop(self) -> None:
        self._counters.frames_dropped += 1
        self._gap = True
        self.waiting = True
