"""A process that sends the same encoded pictures and sound over any number of calls: what recorders are compared with.

It speaks plain aiortc, so that no recorder here is favoured, and encodes nothing while it sends.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

VideoCodec = Literal["VP8", "H264"]

WIDTH, HEIGHT, FPS, CLIP_SECONDS = 1280, 720, 30, 4
VIDEO_CLOCK, AUDIO_CLOCK, PACKET_SECONDS = 90_000, 48_000, 0.02
_ENCODERS: dict[VideoCodec, tuple[str, dict[str, str]]] = {
    "VP8": ("libvpx", {"deadline": "realtime", "cpu-used": "-8"}),
    "H264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "level": "3.1"}),
}


@dataclass(frozen=True)
class Clip:
    """Some seconds of encoded pictures and sound, to be sent over and over."""

    codec: VideoCodec
    pictures: list[bytes]
    sound: list[bytes]

    @property
    def bits(self) -> float:
        """Of the pictures, per second."""
        return sum(map(len, self.pictures)) * 8 / CLIP_SECONDS


def clip(codec: VideoCodec, bit_rate: int = 3_000_000) -> Clip:
    """720p with noise in it, which keeps the encoder at its bit rate, a keyframe each second; and a tone in Opus."""
    return Clip(codec, _pictures(codec, bit_rate), _sound())


def file(path: Path, codec: VideoCodec, bit_rate: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """The same, of that size, as a file."""
    with av.open(str(path), "w") as container:
        name, options = _ENCODERS[codec]
        video: Any = container.add_stream(name, rate=FPS, options=options)
        _set_up(video.codec_context, bit_rate, size)
        sound: Any = container.add_stream("libopus", rate=AUDIO_CLOCK, layout="mono")
        sound.codec_context.bit_rate = 32_000
        heard = list(_tone())
        for number, frame in enumerate(_frames(size)):
            container.mux(video.encode(frame))
            until = len(heard) if number == FPS * CLIP_SECONDS - 1 else round(len(heard) * number / FPS / CLIP_SECONDS)
            for piece in heard[round(len(heard) * max(0, number - 1) / FPS / CLIP_SECONDS) : until]:
                container.mux(sound.encode(piece))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _set_up(encoder: Any, bit_rate: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    (encoder.width, encoder.height), encoder.pix_fmt, encoder.bit_rate = size, "yuv420p", bit_rate
    encoder.framerate, encoder.time_base, encoder.gop_size = FPS, Fraction(1, FPS), FPS
    encoder.thread_count = 1  # libvpx's threads wait for each other in a busy loop


def _pictures(codec: VideoCodec, bit_rate: int) -> list[bytes]:
    name, options = _ENCODERS[codec]
    encoder: Any = av.CodecContext.create(name, "w")
    _set_up(encoder, bit_rate)
    encoder.options = options
    packets = [packet for frame in _frames() for packet in encoder.encode(frame)]
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def _frames(size: tuple[int, int] = (WIDTH, HEIGHT)) -> Iterator[av.VideoFrame]:
    width, height = size
    noise = np.random.default_rng(1).integers(40, 200, (height // 2, width, 3), np.uint8)
    for number in range(FPS * CLIP_SECONDS):
        picture = np.full((height, width, 3), 90, np.uint8)
        picture[height // 2 :] = np.roll(noise, 4 * number, axis=1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        yield frame


def _tone() -> Iterator[av.AudioFrame]:
    tone = (np.sin(np.arange(AUDIO_CLOCK * CLIP_SECONDS) * 440 * 2 * np.pi / AUDIO_CLOCK) * 3000).astype(np.int16)
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = AUDIO_CLOCK, start
        yield frame


def _sound() -> list[bytes]:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = AUDIO_CLOCK, "mono", "s16", 32_000
    return [bytes(packet) for frame in _tone() for packet in encoder.encode(frame)]


class Encoded(MediaStreamTrack):
    """Gives the packets of a clip over and over, in real time."""

    def __init__(self, kind: str, packets: list[bytes], interval: float, clock: int) -> None:
        super().__init__()
        self.kind = kind
        self._packets, self._interval, self._clock = packets, interval, clock
        self._start: float | None = None
        self.sent = 0
        self.ended = False

    async def recv(self) -> Any:
        if self.ended:
            await asyncio.Event().wait()
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self.sent * self._interval - time.monotonic()))
        packet = av.Packet(self._packets[self.sent % len(self._packets)])
        packet.pts, packet.time_base = round(self.sent * self._interval * self._clock), Fraction(1, self._clock)
        self.sent += 1
        return packet


class Calls:
    """The sending ends of some calls."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._connections: list[RTCPeerConnection] = []
        self._pictures: list[MediaStreamTrack] = []

    def tracks(self) -> tuple[MediaStreamTrack, MediaStreamTrack]:
        """Sound and pictures of another call."""
        return (
            Encoded("audio", self._clip.sound, PACKET_SECONDS, AUDIO_CLOCK),
            Encoded("video", self._clip.pictures, 1 / FPS, VIDEO_CLOCK),
        )

    async def offer(self) -> str:
        """Another call; its description."""
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sound, pictures = self.tracks()
        for track in (sound, pictures):
            pc.addTrack(track)
        wanted = [
            each
            for each in RTCRtpSender.getCapabilities("video").codecs
            if each.mimeType.endswith((self._clip.codec, "rtx"))
        ]
        pc.getTransceivers()[1].setCodecPreferences(wanted)
        await pc.setLocalDescription(await pc.createOffer())
        self._connections.append(pc)
        self._pictures.append(pictures)
        return str(pc.localDescription.sdp)

    async def answered(self, number: int, answer: str) -> None:
        await self._connections[number].setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def packets(self) -> int:
        """RTP packets sent so far, over all calls."""
        reports = [await sender.getStats() for pc in self._connections for sender in pc.getSenders()]
        return sum(each.packetsSent for report in reports for each in report.values() if each.type == "outbound-rtp")

    async def end(self) -> int:
        """Send no more pictures; returns how many were sent, over all calls."""
        pictures = [each for each in self._pictures if isinstance(each, Encoded)]
        for each in pictures:
            each.ended = True
        await asyncio.sleep(0.5)  # the last of them are under way, a keyframe of H.264 in 300 packets
        return sum(each.sent for each in pictures)

    async def close(self) -> None:
        await asyncio.gather(*(pc.close() for pc in self._connections))


def run(pipe: Connection, clip: Clip) -> None:
    """The process: carries out what comes through the pipe, a method of `Calls` and its arguments, until "close"."""
    asyncio.run(_serve(pipe, Calls(clip)))


async def _serve(pipe: Connection, calls: Calls) -> None:
    while True:
        name, *values = await asyncio.to_thread(pipe.recv)
        pipe.send(await getattr(calls, name)(*values))
        if name == "close":
            return
