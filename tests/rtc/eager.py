"""A taker of feeds that keeps what it gets, and clips for it to get."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from peer.rtc.codecs import carries
from peer.rtc.encoded import LIVE
from peer.rtc.encoding import sound_codec
from peer.rtc.stats import SourceCounts
from tests.harness.encoders import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peer.rtc.codecs import Codec
    from peer.rtc.encoded import Encoded

PATIENCE = 10.0


class Eager:
    """Takes what is of the codecs that it names; `preferred` is the first of them."""

    def __init__(self, *names: str) -> None:
        self.names = names or ("VP8",)
        self.frames: list[Encoded] = []
        self.counts = SourceCounts()
        self.over = False
        self.error: Exception | None = None
        self._came = asyncio.Event()

    @property
    def preferred(self) -> str:
        return self.names[0].upper()

    def carries(self, codec: Codec) -> bool:
        return any(carries(LIVE.get(name) or sound_codec(name), codec) for name in self.names)

    def take(self, frame: Encoded) -> None:
        self.frames.append(frame)
        self._came.set()

    def ended(self, error: Exception | None) -> None:
        self.over, self.error = True, error
        self._came.set()

    async def until(self, reached: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not reached():
                self._came.clear()
                await self._came.wait()

    async def more(self, count: int = 1) -> list[Encoded]:
        """So many frames that come from now on."""
        before = len(self.frames)
        await self.until(lambda: len(self.frames) >= before + count)
        return self.frames[before : before + count]

    async def keyframe(self) -> Encoded:
        """The next that comes from now on."""
        before = len(self.frames)
        await self.until(lambda: any(each.keyframe for each in self.frames[before:]))
        return next(each for each in self.frames[before:] if each.keyframe)


def decoded(codec: str, frames: list[Encoded]) -> list[Any]:
    """Pictures of VP8 or H.264, each of whose frames is whole."""
    from peer.rtc.frames import Codec as Named
    from peer.rtc.payload import depacketiser_for

    depacketiser = depacketiser_for(Named(codec, 90_000))
    assert depacketiser is not None
    context: Any = av.CodecContext.create(codec.lower(), "r")
    pictures = []
    for frame in frames:
        data = depacketiser.assemble([depacketiser.parse(payload) for payload in frame.payloads]).data
        pictures += context.decode(av.Packet(data))
    return pictures


def clip(
    path: Path,
    *,
    codec: str = "libvpx",
    pictures: int = 50,
    rate: int = 25,
    gop: int = 10,
    size: tuple[int, int] = (160, 120),
    sound: bool = False,
    **options: str,
) -> Path:
    """Pictures each brighter than the one before, and a tone (at 25 pictures a second)."""
    with av.open(str(path), "w") as container:
        options = {"deadline": "realtime"} if codec == "libvpx" else options
        video: Any = container.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt, video.gop_size = *size, "yuv420p", gop
        video.bit_rate = 200_000
        one_thread(video.codec_context)
        audio: Any = container.add_stream("libopus", rate=48_000, layout="mono") if sound else None
        for number in range(pictures):
            picture = np.full((size[1], size[0], 3), 4 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(video.encode(frame))
            for part in range(2 if audio is not None else 0):
                tone = (8000 * np.sin(np.arange(960) / 17)).astype(np.int16)
                piece = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
                piece.sample_rate, piece.pts = 48_000, (2 * number + part) * 960
                container.mux(audio.encode(piece))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path
