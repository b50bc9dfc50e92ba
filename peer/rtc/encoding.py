"""What a track gives, as payloads of RTP packets: encoded on a thread, or only packed where it is encoded already."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from aiortc.codecs import get_encoder
from av import AudioFrame
from av.frame import Frame

from peer.media.encoder import CLOCK, VideoEncoder
from peer.rtc.header import QUIETEST
from peer.rtc.payload.packetise import PACKETISERS

if TYPE_CHECKING:
    from aiortc import RTCRtpCodecParameters


class Encoded(NamedTuple):
    """A frame, ready to be sent."""

    payloads: list[bytes]
    timestamp: int
    """In units of the codec's clock."""
    keyframe: bool = False
    level: int | None = None
    """Of sound that was encoded here: decibels below full scale."""


class Encoding(Protocol):
    """Of one track in one codec."""

    async def encode(self, data: Any, *, keyframe: bool) -> Encoded | None:
        """A `Frame` or a `Packet` of PyAV; None for what makes no packet yet. Raises what its library raises."""
        ...

    def limit(self, bitrate: int) -> None:
        """The other side takes so many bits per second."""


class PictureEncoding:
    """VP8 and H.264."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        """Raises ValueError for a codec that is not sent."""
        self._encoder = VideoEncoder(codec.name)
        self._packetise = PACKETISERS[codec.name.upper()]

    async def encode(self, data: Any, *, keyframe: bool) -> Encoded | None:
        if data.pts is None or data.time_base is None:
            raise ValueError("a picture without a time: set its pts and time_base")
        timestamp = round(data.pts * data.time_base / CLOCK)
        if not isinstance(data, Frame):
            return Encoded(self._packetise(bytes(data)), timestamp, data.is_keyframe)
        work = asyncio.to_thread(self._encoder.encode, data, timestamp, keyframe=keyframe)  # type: ignore[arg-type]
        encoded = await work
        return None if encoded is None else Encoded(self._packetise(encoded.data), timestamp, encoded.keyframe)

    def limit(self, bitrate: int) -> None:
        self._encoder.bitrate = bitrate


class SoundEncoding:
    """Opus, G.711 and G.722, by aiortc."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        """Raises ValueError for a codec that is not sent."""
        self._encoder: Any = get_encoder(codec)

    async def encode(self, data: Any, *, keyframe: bool) -> Encoded | None:
        if not isinstance(data, AudioFrame):
            return Encoded(*self._encoder.pack(data))
        return await asyncio.to_thread(self._encode, data)

    def _encode(self, sound: AudioFrame) -> Encoded | None:
        payloads, timestamp = self._encoder.encode(sound)
        # The resampler keeps what is no whole packet yet.
        return Encoded(payloads, timestamp, level=level_of(sound)) if payloads else None

    def limit(self, bitrate: int) -> None:
        """Sound takes what it takes."""


def level_of(sound: AudioFrame) -> int:
    """How loud int16 samples are on average, in decibels below full scale (RFC 6464 section 3)."""
    samples = sound.to_ndarray().astype(np.float32) / 32767
    loudness = math.sqrt(float(np.mean(samples * samples))) if samples.size else 0.0
    return min(max(round(-20 * math.log10(loudness)), 0), QUIETEST) if loudness else QUIETEST


def open_encoding(codec: RTCRtpCodecParameters) -> Encoding:
    """A new encoder. Raises ValueError for a codec that is not sent."""
    video = codec.mimeType.lower().startswith("video/")
    return PictureEncoding(codec) if video else SoundEncoding(codec)
