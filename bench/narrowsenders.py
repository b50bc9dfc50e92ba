"""The senders that bench/narrow.py compares, each a process that offers calls under names, which end in the codec.

Two of them go the way that calls go: a source that several calls share, encoded once where their paths allow it. Each
of their calls has another one beside it, of the same source, over a path that nobody narrows.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from av import VideoFrame
from endpoints import FPS, HEIGHT, WIDTH, new_stock
from senders import Deaf
from sending import file

from peer.link import Link, Options
from peer.media import open_media
from peer.media.base import PictureReader, PictureSourceBase
from peer.media.picture import Picture
from peer.media.push import SoundSource
from peer.rtc.connection import PeerConnection
from peer.rtc.feed import feeds
from peer.rtc.picturefeed import PictureFeed
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.media.base import Reader, SoundSourceBase
    from peer.rtc.receiver import RemoteTrack

FILE_BITRATE = 1_500_000


class Landscape:
    """Noise that turns and comes nearer, with grain: any encoder takes all the bits it may have."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        octaves = [random.normal(0, 1, (4 << octave, 4 << octave)).astype(np.float32) for octave in range(7)]
        size = 2 * WIDTH, 2 * WIDTH
        land = sum(cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) / 1.4**n for n, each in enumerate(octaves))
        self._land = np.clip(128 + 30 * land, 0, 255).astype(np.uint8)
        self._grain = random.integers(0, 7, (8, HEIGHT, WIDTH), np.uint8)
        self._number = 0
        self._start: float | None = None

    async def next(self) -> tuple[np.ndarray[Any, Any], int]:
        """The planes of the next picture, when it is due, and its number."""
        self._start = self._start or time.monotonic()
        late = (time.monotonic() - self._start) * FPS - self._number
        self._number += max(1, int(late))  # what is missed is not caught up
        await asyncio.sleep(max(0.0, self._start + self._number / FPS - time.monotonic()))
        return self._draw(self._number), self._number

    def _draw(self, number: int) -> np.ndarray[Any, Any]:
        zoom = 1.2 + 0.4 * math.sin(number / 40)
        turned = cv2.getRotationMatrix2D((WIDTH, WIDTH), number / 2, zoom)
        turned[:, 2] -= np.array([WIDTH / 2, WIDTH - HEIGHT / 2])
        planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        luma = cv2.warpAffine(self._land, turned, (WIDTH, HEIGHT))
        planes[:HEIGHT] = cv2.add(luma, self._grain[number % len(self._grain)])
        return planes


class Moving(MediaStreamTrack):
    """The same as a track."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._landscape = Landscape()

    async def recv(self) -> VideoFrame:
        planes, number = await self._landscape.next()
        frame = VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = round(number * 90000 / FPS), Fraction(1, 90000)
        return frame


class MovingSource(PictureSourceBase):
    """The same as a source."""

    width, height, fps = WIDTH, HEIGHT, FPS

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._drawing: asyncio.Task[None] | None = None

    def open(self) -> PictureReader:
        self._drawing = self._drawing or asyncio.get_running_loop().create_task(self._draw())
        reader = PictureReader(self._readers.discard)
        self._readers.add(reader)
        return reader

    async def _draw(self) -> None:
        landscape = Landscape()
        while True:
            picture = Picture((await landscape.next())[0], time.monotonic())
            for reader in tuple(self._readers):
                reader.offer(picture)  # type: ignore[attr-defined]

    async def close(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()


class Live:
    """A sender that encodes."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._calls: dict[str, Any] = {}

    async def offer(self, name: str) -> str:
        pc = self._calls[name] = self._make()
        for track in (AudioStreamTrack(), Moving()):
            pc.addTransceiver(track, direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)

    async def answered(self, name: str, sdp: str) -> None:
        await self._calls[name].setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def said(self, name: str) -> dict[str, Any]:
        report = await self._calls[name].getStats()
        return {
            key: value
            for entry in report.values()
            for key, value in vars(entry).items()
            if (entry.type == "outbound-rtp" and entry.kind == "video" and key == "targetBitrate")
            or key == "availableOutgoingBitrate"
        }

    async def end(self, name: str) -> None:
        await self._calls.pop(name).close()


class Ours(Live):
    def __init__(self) -> None:
        super().__init__(lambda: PeerConnection())


class Stock(Live):
    def __init__(self) -> None:
        super().__init__(new_stock)


class Pair(Deaf):
    """Two calls of the same source, and what came of the one that nobody narrows."""

    def __init__(self, codec: str) -> None:
        self.narrowed, self.wide, self.far = (Link(Options(), each) for each in (Deaf(), Deaf(), self))
        self.far.silent, self.far.video_codecs = True, (codec,)
        self.shown: list[float] = []

    async def offer(self, pictures: PictureSourceBase, sound: SoundSourceBase | None) -> str:
        for link in (self.narrowed, self.wide):
            link.pictures.show(pictures)
            link.sound.carry(sound)
            link.prepare()
        await self.wide.offer()
        await self.far.take(await self.wide.gathered())
        await self.wide.take(await self.far.gathered())
        await self.narrowed.offer()
        return (await self.narrowed.gathered()).sdp

    def track_added(self, track: RemoteTrack) -> None:
        if track.kind == "video":
            track.subscribe(lambda frame: self.shown.append(time.monotonic()))

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in (self.narrowed, self.wide, self.far)))


class Shared:
    """Live pictures."""

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}
        self._close: Callable[[], Any] | None = None

    async def media(self, codec: str) -> tuple[PictureSourceBase, SoundSourceBase | None]:
        self._sources = MovingSource(), SoundSource()
        return self._sources

    async def ended(self) -> None:
        for each in self._sources:
            await each.close()

    async def offer(self, name: str) -> str:
        codec = name.split()[-1]
        pair = self._pairs[name] = Pair(codec)
        return await pair.offer(*await self.media(codec))

    async def answered(self, name: str, sdp: str) -> None:
        await self._pairs[name].narrowed.take(SessionDescription("answer", sdp))

    async def said(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for feed in feeds():
            if isinstance(feed, PictureFeed):
                found = {"encodes": feed.encodes, "dropped": feed.dropped}
                found |= {f"rung {each.place}": each.encoder.bitrate for each in feed._rungs}
        pair = self._pairs[name]
        outgoing = pair.narrowed._pc.path.dtls.outgoing
        return found | {"estimate": outgoing.estimate}

    async def beside(self, name: str) -> list[float]:
        """When each picture of the call came that nobody narrowed."""
        return self._pairs[name].shown

    async def end(self, name: str) -> None:
        await self._pairs.pop(name).close()
        await self.ended()


class SharedFile(Shared):
    """A file that is sent as it is where there is room for it."""

    async def media(self, codec: str) -> tuple[PictureSourceBase, SoundSourceBase | None]:
        self._folder = tempfile.mkdtemp(prefix="narrow-")
        path = Path(self._folder) / "clip.mkv"
        await asyncio.to_thread(file, path, codec, FILE_BITRATE, (WIDTH, HEIGHT))
        self._media = await open_media(f"file:{path},loop", f"file:{path},loop")
        assert self._media.pictures is not None
        return self._media.pictures, self._media.sound

    async def ended(self) -> None:
        await self._media.close()
        await asyncio.to_thread(shutil.rmtree, self._folder)
