"""The senders that bench/send.py compares: each a process, which offers calls and sends one clip over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from aiortc import MediaStreamTrack
from av import VideoFrame
from recorders import lags
from sending import FPS, VIDEO_CLOCK, Calls
from sending import clip as made

from peer.link import Link, Observer, Options
from peer.mainloop import run as run_to_end
from peer.media import open_media
from peer.media.encoder import EncoderSettings
from peer.rtc.feed import feeds
from peer.rtc.picturefeed import PictureFeed
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


BITRATE = 1_500_000


class Sender(Protocol):
    """Sends one clip over any number of calls."""

    async def offer(self) -> str:
        """Another call; its description."""

    async def answered(self, number: int, answer: str) -> None: ...

    async def packets(self) -> int:
        """RTP packets sent so far, over all calls."""

    async def encodes(self) -> int:
        """Pictures encoded so far; -1 where nobody counts."""

    async def close(self) -> None: ...


class Ours:
    """Our connection and feeds, as `peer call --video file:...` has them."""

    settings = EncoderSettings()

    def __init__(self, clip: Path, codec: str) -> None:
        self._name, self._codec = f"file:{clip},loop", codec
        self._media: Any = None
        self._links: list[Link] = []

    async def offer(self) -> str:
        self._media = self._media or await open_media(self._name, self._name)
        link = Link(Options(), Deaf())
        link.pictures.show(self._media.pictures, self.settings)
        link.sound.carry(self._media.sound)
        link.prepare()
        self._links.append(link)
        await link.offer()
        return (await link.gathered()).sdp

    async def answered(self, number: int, answer: str) -> None:
        await self._links[number].take(SessionDescription("answer", answer))

    async def packets(self) -> int:
        return sum([each.packets_sent for link in self._links for each in (await link.stats()).outbound])

    async def encodes(self) -> int:
        return sum(each.encodes for each in feeds() if isinstance(each, PictureFeed))

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))
        await self._media.close()


class OursEncoding(Ours):
    """The same, decoded and encoded again, once for all."""

    def __init__(self, clip: Path, codec: str) -> None:
        super().__init__(clip, codec)
        self.settings = EncoderSettings(codec=codec)


class Deaf(Observer):
    """Nobody has to be told."""

    def connected(self) -> None: ...
    def disconnected(self, silence: float) -> None: ...
    def reconnected(self, outage: float) -> None: ...
    def failed(self, error: Any) -> None: ...
    def closed_by_remote(self) -> None: ...
    def track_added(self, track: Any) -> None: ...
    def track_removed(self, track: Any) -> None: ...
    def text_received(self, text: str | bytes) -> None: ...
    def negotiation_needed(self) -> None: ...
    def candidate_found(self, candidate: Any) -> None: ...
    def addresses_changed(self) -> None: ...


class Stock(Calls):
    """aiortc, which packs the same packets for each call."""

    def __init__(self, clip: Path, codec: Any) -> None:
        super().__init__(made(codec, BITRATE))

    async def encodes(self) -> int:
        return -1


class Pictures(MediaStreamTrack):
    """Gives pictures over and over, in real time."""

    kind = "video"

    def __init__(self, pictures: list[VideoFrame]) -> None:
        super().__init__()
        self._pictures = pictures
        self._start: float | None = None
        self._count = 0

    async def recv(self) -> VideoFrame:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._count / FPS - time.monotonic()))
        picture = self._pictures[self._count % len(self._pictures)]
        picture.pts, picture.time_base = round(self._count * VIDEO_CLOCK / FPS), Fraction(1, VIDEO_CLOCK)
        self._count += 1
        return picture


class StockEncoding(Stock):
    """aiortc, which encodes the same pictures for each call; they are decoded beforehand."""

    def __init__(self, clip: Path, codec: Any) -> None:
        super().__init__(clip, codec)
        with av.open(str(clip)) as container:
            self._decoded = list(container.decode(video=0))

    def tracks(self) -> tuple[MediaStreamTrack, MediaStreamTrack]:
        sound, _ = super().tracks()
        return sound, Pictures(self._decoded)


SENDERS: dict[str, type[Ours | Stock]] = {
    "ours, as the file has it": Ours,
    "ours, encoded once": OursEncoding,
    "aiortc, encoded before": Stock,
    "aiortc, encoded for each": StockEncoding,
}


class Process:
    """Runs one of them."""

    def __init__(self, name: str, clip: Path, codec: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, SENDERS[name], clip, codec))
        self._process.start()
        self.pid = self._process.pid or 0

    async def ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return await asyncio.to_thread(self._pipe.recv)

    async def close(self) -> None:
        await self.ask("close")
        await asyncio.to_thread(self._process.join, 30)


def _run(pipe: Connection, kind: type[Ours | Stock], clip: Path, codec: str) -> None:
    if issubclass(kind, Ours):
        run_to_end(_serve(pipe, kind, clip, codec))
    else:
        asyncio.run(_serve(pipe, kind, clip, codec))


async def _serve(pipe: Connection, kind: type[Ours | Stock], clip: Path, codec: str) -> None:
    sender = kind(clip, codec)
    while True:
        name, *values = await asyncio.to_thread(pipe.recv)
        if name == "lag":
            pipe.send(await lags(*values))
            continue
        with contextlib.suppress(ConnectionError):
            pipe.send(await getattr(sender, name)(*values))
        if name == "close":
            return
