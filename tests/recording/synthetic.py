"""Encoded frames as a receiver would hand them out, made with FFmpeg's encoders, and a track that plays them."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from peer.media.marks import stamp
from peer.rtc.frames import Codec, EncodedFrame, Kind
from tests.harness.encoders import REALTIME, same_priority, video_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

VP8 = Codec("VP8", 90000, 1, 96)
H264 = Codec("H264", 90000, 1, 102)
VP9 = Codec("VP9", 90000, 1, 98)
AV1 = Codec("AV1", 90000, 1, 45)
OPUS = Codec("opus", 48000, 2, 111)
PCMU = Codec("PCMU", 8000, 1, 0)
PCMA = Codec("PCMA", 8000, 1, 8)
G722 = Codec("G722", 8000, 1, 9)

_ENCODERS = {
    "VP8": ("libvpx", REALTIME | {"cpu-used": "8"}),
    "H264": ("libx264", {"profile": "baseline", "preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}),
    "VP9": ("libvpx-vp9", REALTIME | {"cpu-used": "8"}),
    "AV1": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:rc=2"}),
    "opus": ("libopus", {}),
    "PCMU": ("pcm_mulaw", {}),
    "PCMA": ("pcm_alaw", {}),
    "G722": ("g722", {}),
}
FPS = 30
SIZE = (320, 240)
SMALL = (160, 120)


def video(
    seconds: float, codec: Codec = VP8, *, start: float = 0.0, size: tuple[int, int] = SIZE, first: int = 0
) -> list[EncodedFrame]:
    """Pictures numbered from `first` on, 30 a second, a keyframe each second; `first` / 30 + `seconds` is 3 at most."""
    wanted = _video(codec.name, size)[first : first + round(seconds * FPS)]
    assert len(wanted) == round(seconds * FPS)
    frames = []
    for index, (data, keyframe) in enumerate(wanted):
        width, height = size if keyframe else (0, 0)
        frames.append(
            EncodedFrame(codec, data, index * 3000, start + index / FPS, keyframe, width=width, height=height)
        )
    assert frames[0].keyframe
    return frames


def audio(seconds: float, codec: Codec = OPUS, *, start: float = 0.0) -> list[EncodedFrame]:
    """A tone in packets of 20 ms, up to 5 s of it."""
    step = codec.clock_rate // 50
    packets = _audio(codec.name)[: round(seconds * 50)]
    assert len(packets) == round(seconds * 50)
    return [EncodedFrame(codec, data, index * step, start + index / 50) for index, data in enumerate(packets)]


def encode_all(kept: Path | None = None) -> None:
    """Make everything now that `video` and `audio` give out: it takes a second, which no event loop should spend.

    It is kept in that file for the other processes of the run, or read from it.
    """
    if kept is not None and kept.exists():
        videos, audios = pickle.loads(kept.read_bytes())
        _videos.update(videos)
        _audios.update(audios)
        return
    for codec, sizes in ((VP8, (SIZE, SMALL)), (H264, (SIZE, SMALL)), (VP9, (SIZE,)), (AV1, (SIZE,))):
        for size in sizes:
            _video(codec.name, size)
    for codec in (OPUS, PCMU, PCMA, G722):
        _audio(codec.name)
    if kept is not None:
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(pickle.dumps((_videos, _audios)))
        unfinished.replace(kept)


def merged(*streams: list[EncodedFrame]) -> list[EncodedFrame]:
    """All frames in the order of their time."""
    return sorted((frame for stream in streams for frame in stream), key=lambda frame: frame.time)


def shifted(frames: Iterable[EncodedFrame], seconds: float) -> list[EncodedFrame]:
    """The same frames, that much later."""
    return [replace(frame, time=frame.time + seconds) for frame in frames]


def kind_of(frame: EncodedFrame) -> Kind:
    return "video" if frame.codec.clock_rate == 90000 else "audio"


class FakeTrack:
    """A remote track: `feed` hands frames to the takers; requests for keyframes are counted."""

    def __init__(self, kind: Kind, identifier: str = "") -> None:
        self.kind: Kind = kind
        self.id = identifier or kind
        self.takers: list[Callable[[EncodedFrame], None]] = []
        self.requests = 0
        self.on_request: Callable[[], None] | None = None

    def subscribe(self, taker: Callable[[EncodedFrame], None]) -> Callable[[], None]:
        self.takers.append(taker)
        return lambda: self.takers.remove(taker)

    def request_keyframe(self) -> None:
        self.requests += 1
        if self.on_request is not None:
            self.on_request()

    def feed(self, *frames: EncodedFrame) -> None:
        for frame in frames:
            for taker in list(self.takers):
                taker(frame)


def feed(frames: Iterable[EncodedFrame], **tracks: FakeTrack) -> None:
    """Hand each frame to the track of its kind: `feed(frames, audio=a, video=v)`."""
    for frame in frames:
        tracks[kind_of(frame)].feed(frame)


_videos: dict[tuple[str, tuple[int, int]], list[tuple[bytes, bool]]] = {}
_audios: dict[str, list[bytes]] = {}


def _video(codec: str, size: tuple[int, int]) -> list[tuple[bytes, bool]]:
    if (codec, size) not in _videos:
        _videos[codec, size] = _encode_video(codec, size)
    return _videos[codec, size]


def _audio(codec: str) -> list[bytes]:
    if codec not in _audios:
        _audios[codec] = _encode_audio(codec)
    return _audios[codec]


def _encode_video(codec: str, size: tuple[int, int]) -> list[tuple[bytes, bool]]:
    name, options = _ENCODERS[codec]
    often = {"g": str(FPS), "keyint_min": str(FPS)}
    encoder = video_encoder(name, size, Fraction(1, FPS), often | options)
    encoder.framerate = Fraction(FPS)
    encoder.bit_rate = 500_000
    encoder.gop_size = FPS
    packets = []
    with same_priority():
        for index in range(3 * FPS):
            pixels = np.full((size[1], size[0], 3), (40, 90, (index * 4) % 255), np.uint8)
            stamp(pixels, index)
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts = index
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    return [(bytes(packet), packet.is_keyframe) for packet in packets]


def _encode_audio(codec: str) -> list[bytes]:
    name, options = _ENCODERS[codec]
    rate = {"opus": 48000, "G722": 16000}.get(codec, 8000)
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = rate
    encoder.layout = "stereo" if codec == "opus" else "mono"
    encoder.format = "s16"
    encoder.options = dict(options)
    samples = rate // 50
    packets: list[bytes] = []
    for index in range(5 * 50):
        moments = (np.arange(samples) + index * samples) / rate
        tone = (8000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16)
        channels = 2 if codec == "opus" else 1
        frame = av.AudioFrame.from_ndarray(
            np.repeat(tone, channels).reshape(1, -1), format="s16", layout=encoder.layout.name
        )
        frame.sample_rate = rate
        frame.pts = index * samples
        frame.time_base = Fraction(1, rate)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets
