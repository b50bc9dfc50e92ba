"""Decoders of one stream each, over PyAV: encoded frames in, pictures or sound without holes out. For threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import av
import numpy as np
from av import AudioFrame

from peer.rtc.concealment import (
    FADED,
    REPEATED,
    Hole,
    SoundCounts,
    SoundTimeline,
    loudness,
    repeated,
    returning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import VideoFrame
    from numpy.typing import NDArray

    from peer.rtc.frames import Codec, EncodedFrame

    Samples = NDArray[np.int16]

_PICTURES = {"vp8": "libvpx", "vp9": "vp9", "av1": "libdav1d", "h264": "h264"}
_SOUNDS = {
    "opus": ("libopus", 48000, "stereo"),
    "pcmu": ("pcm_mulaw", 8000, "mono"),
    "pcma": ("pcm_alaw", 8000, "mono"),
    "g722": ("g722", 16000, "mono"),
}
"""FFmpeg's decoder, samples per second, layout."""
PIECE = 0.020
"""Seconds of silence in one frame."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """One decoded frame as PyAV has it. All who take frames share it: copy it before you change it."""

    frame: VideoFrame | AudioFrame
    """Sound is interleaved signed 16 bit (`s16`)."""
    encoded: EncodedFrame
    """What it was decoded from; its data is empty for sound that fills a hole."""

    @property
    def time(self) -> float:
        """Seconds on the participant's timeline (local monotonic clock)."""
        return self.encoded.time


class StreamDecoder(Protocol):
    """Decodes the frames of one stream, in order. Raises av.FFmpegError or ValueError for one that is damaged."""

    def decode(self, frame: EncodedFrame) -> list[DecodedFrame]: ...


def open_decoder(codec: Codec, counts: SoundCounts) -> StreamDecoder:
    """A new decoder; one for sound counts its samples in `counts`. Raises ValueError for a codec without one."""
    name = codec.name.lower()
    if name in _PICTURES:
        return PictureDecoder(_PICTURES[name])
    if name in _SOUNDS:
        return SoundDecoder(codec, counts)
    raise ValueError(f"{codec.name} cannot be decoded here")


class PictureDecoder:
    """Decodes pictures, one thread each."""

    def __init__(self, name: str) -> None:
        self._context: Any = av.CodecContext.create(name, "r")
        self._context.thread_count = 1  # the pool is what runs in parallel

    def decode(self, frame: EncodedFrame) -> list[DecodedFrame]:
        return [DecodedFrame(each, frame) for each in self._context.decode(av.Packet(frame.data))]


class SoundDecoder:
    """Decodes sound, and fills what is missing in it (see `concealment`)."""

    def __init__(self, codec: Codec, counts: SoundCounts) -> None:
        name, self._rate, self._layout = _SOUNDS[codec.name.lower()]
        context: Any = av.CodecContext.create(name, "r")
        context.sample_rate, context.layout = self._rate, self._layout
        self._context = context
        self._counts = counts
        self._codec = codec
        self._timeline = SoundTimeline(codec, self._rate)
        self._nothing = b""
        """A packet that makes the decoder conceal; empty where there is no such thing."""
        self._before: Samples = np.zeros((0, 2 if self._layout == "stereo" else 1), np.int16)
        """The last decoded samples, of a codec that does not conceal."""

    def decode(self, frame: EncodedFrame) -> list[DecodedFrame]:
        found: list[DecodedFrame] = []
        hole = self._timeline.hole(frame)
        if hole is not None:
            found += self._fill(hole, frame)
        try:
            sound = self._pcm(frame.data)
        except (av.FFmpegError, ValueError):
            self._timeline.damaged()
            raise
        self._timeline.heard(frame, len(sound))
        self._counts.total += len(sound)
        if self._codec.name.lower() == "opus":
            # RFC 6716 section 3.2.1: a frame of no bytes is one that was lost or never sent; libopus conceals it.
            self._nothing = bytes([frame.data[0] & 0xFC])
        else:
            if hole is not None:
                gain = float(loudness(hole.samples, 1, self._rate)[0, 0]) if hole.lost else 0.0
                sound = returning(sound, gain, self._rate)
            self._before = sound[-round(REPEATED * self._rate) :]
        return [*found, DecodedFrame(self._frame(sound), frame)]

    def _fill(self, hole: Hole, following: EncodedFrame) -> list[DecodedFrame]:
        found = []
        left = hole.samples
        for piece in self._pieces(hole):
            before = left * following.codec.clock_rate // self._rate
            encoded = replace(
                following,
                data=b"",
                timestamp=following.timestamp - before,
                time=following.time - left / self._rate,
                complete_before=True,
            )
            found.append(DecodedFrame(self._frame(piece), encoded))
            left -= len(piece)
        self._counts.total += hole.samples
        if hole.lost:
            self._counts.events += 1
            self._counts.concealed += hole.samples
            self._counts.silent += max(0, hole.samples - round(FADED * self._rate))
        return found

    def _pieces(self, hole: Hole) -> Iterator[Samples]:
        """What fills a hole, in stretches."""
        made = 0
        audible = round(FADED * self._rate) if hole.lost else hole.samples if self._nothing else 0
        while made < hole.samples:
            left = hole.samples - made
            if made >= audible:
                piece = np.zeros((round(PIECE * self._rate), self._before.shape[1]), np.int16)
            elif self._nothing:
                piece = self._pcm(self._nothing)
            else:
                piece = repeated(self._before, made, round(PIECE * self._rate))
            piece = piece[:left]
            if hole.lost and made < audible:
                piece = (piece * loudness(made, len(piece), self._rate)).astype(np.int16)
            made += len(piece)
            yield piece

    def _pcm(self, data: bytes) -> Samples:
        """Samples x channels. Raises ValueError when there are none."""
        if not data:
            raise ValueError("a frame of sound without a byte")  # FFmpeg would take it for the end of the stream
        parts = [each.to_ndarray().reshape(-1, self._before.shape[1]) for each in self._context.decode(av.Packet(data))]
        sound: Samples = np.concatenate(parts) if parts else self._before[:0]
        if not len(sound):
            raise ValueError("a frame of sound without a sample")
        return sound

    def _frame(self, sound: Samples) -> AudioFrame:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), format="s16", layout=self._layout)
        frame.sample_rate = self._rate
        return frame
