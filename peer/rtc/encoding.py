"""What a track of a program gives, as payloads of RTP packets: encoded on a thread, or packed where it is encoded."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtcpFeedback
from av import AudioFrame, VideoFrame
from av.frame import Frame

from peer.media.encoder import CLOCK, VideoEncoder
from peer.rtc.codecs import CAPABILITIES
from peer.rtc.encoded import LIVE, Encoded
from peer.rtc.header import QUIETEST
from peer.rtc.payload.opus import duration
from peer.rtc.payload.packetise import packetiser_of

if TYPE_CHECKING:
    from peer.media.encoder import EncodedPicture
    from peer.rtc.codecs import Codec


class Encoding(Protocol):
    """Of one track in one codec."""

    async def encode(self, data: Any, taken: float, *, keyframe: bool) -> Encoded | None:
        """A `Frame` or a `Packet` of PyAV, that was there at `taken`; None for what makes no packet yet.

        Raises what its library raises.
        """
        ...

    def limit(self, bitrate: int) -> None:
        """The other side takes so many bits per second."""


class PictureEncoding:
    """VP8 and H.264."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        """Raises ValueError for a codec that is not sent."""
        self._encoder = VideoEncoder(codec.name)
        self._codec = LIVE[codec.name.upper()]
        self._packetise = packetiser_of(codec.name)

    async def encode(self, data: Any, taken: float, *, keyframe: bool) -> Encoded | None:
        if data.pts is None or data.time_base is None:
            raise ValueError("a picture without a time: set its pts and time_base")
        timestamp = round(data.pts * data.time_base / CLOCK)
        if not isinstance(data, Frame):
            return Encoded(self._codec, self._packetise(bytes(data)), timestamp, self, taken, data.is_keyframe)
        encoded = await asyncio.to_thread(self._encode, data, timestamp, keyframe)
        if encoded is None:
            return None
        return Encoded(self._codec, self._packetise(encoded.data), timestamp, self, taken, encoded.keyframe)

    def _encode(self, picture: Any, timestamp: int, keyframe: bool) -> EncodedPicture | None:
        plain = picture.reformat(format="yuv420p")
        if plain is picture:  # others may encode it at the same time, and an encoder sets its times
            plain = VideoFrame.from_numpy_buffer(picture.to_ndarray(), format="yuv420p")
        return self._encoder.encode(plain, timestamp, keyframe=keyframe)

    def limit(self, bitrate: int) -> None:
        self._encoder.bitrate = bitrate


class SoundEncoding:
    """Opus, G.711 and G.722, by aiortc."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        """Raises ValueError for a codec that is not sent."""
        self._encoder: Any = get_encoder(codec)
        self._codec = sound_codec(codec.name)

    async def encode(self, data: Any, taken: float, *, keyframe: bool) -> Encoded | None:
        if not isinstance(data, AudioFrame):
            payloads, timestamp = self._encoder.pack(data)
            return self._encoded(payloads, timestamp, self, taken, None)
        return await asyncio.to_thread(self.encode_now, data, self, taken)

    def encode_now(self, sound: AudioFrame, timeline: object, taken: float) -> Encoded | None:
        """The same, of a frame of int16; blocks."""
        payloads, timestamp = self._encoder.encode(sound)
        # The resampler keeps what is no whole packet yet.
        if not payloads:
            return None
        return self._encoded(payloads, timestamp, timeline, taken, level_of(sound))

    def _encoded(
        self, payloads: list[bytes], timestamp: int, timeline: object, taken: float, level: int | None
    ) -> Encoded:
        step = duration(self._codec.name, payloads[0])
        return Encoded(self._codec, payloads, timestamp, timeline, taken, level=level, step=step)

    def limit(self, bitrate: int) -> None:
        """Sound takes what it takes."""


def level_of(sound: AudioFrame) -> int:
    """How loud int16 samples are on average, in decibels below full scale (RFC 6464 section 3)."""
    samples = sound.to_ndarray().astype(np.float32) / 32767
    loudness = math.sqrt(float(np.mean(samples * samples))) if samples.size else 0.0
    return min(max(round(-20 * math.log10(loudness)), 0), QUIETEST) if loudness else QUIETEST


def sound_codec(name: str) -> Codec:
    """Of that name, in any case. Raises ValueError for one that is not sent."""
    for each in CAPABILITIES["audio"]:
        if each.name.lower() == name.lower():
            return each
    raise ValueError(f"sound is not sent as {name}")


def codec_parameters(each: Codec) -> RTCRtpCodecParameters:
    """As aiortc writes a codec down."""
    parameters: dict[str, int | str | None] = {
        name: int(value) if name == "apt" else value for name, value in each.parameters
    }
    return RTCRtpCodecParameters(
        mimeType=f"{each.kind}/{each.name}",
        clockRate=each.clock_rate,
        channels=each.channels if each.kind == "audio" else None,
        payloadType=each.payload_type,
        rtcpFeedback=[RTCRtcpFeedback(*each_feedback.split(" ", 1)) for each_feedback in each.feedback],
        parameters=parameters,
    )


def open_encoding(codec: RTCRtpCodecParameters) -> Encoding:
    """A new encoder. Raises ValueError for a codec that is not sent."""
    video = codec.mimeType.lower().startswith("video/")
    return PictureEncoding(codec) if video else SoundEncoding(codec)
