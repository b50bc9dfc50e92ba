"""What a track gives, as payloads of RTP packets: encoded on a thread, or only packed where it is encoded already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiortc.codecs import get_encoder
from aiortc.rtp import compute_audio_level_dbov
from av import AudioFrame
from av.frame import Frame

from peer.media.encoder import CLOCK, VideoEncoder
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
        payloads, timestamp = await asyncio.to_thread(self._encoder.encode, data)
        if not payloads:  # the resampler keeps what is no whole packet yet
            return None
        return Encoded(payloads, timestamp, level=-compute_audio_level_dbov(data))

    def limit(self, bitrate: int) -> None:
        """Sound takes what it takes."""


def open_encoding(codec: RTCRtpCodecParameters) -> Encoding:
    """A new encoder. Raises ValueError for a codec that is not sent."""
    video = codec.mimeType.lower().startswith("video/")
    return PictureEncoding(codec) if video else SoundEncoding(codec)
