"""Two ends of a connection on one event loop, without signaling: ours against ours, and ours against stock aiortc.

Two of ours trickle: a candidate is carried over as soon as it is found. Stock aiortc writes all of its candidates into
its descriptions, and gets ours in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from av import VideoFrame

from peer.link import Link, Options
from peer.media.pattern import TestPictures
from peer.media.tone import TestTone
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from peer.errors import Error
    from peer.rtc.frames import EncodedFrame
    from peer.rtc.receiver import RemoteTrack
    from signaling.messages import IceCandidate

PATIENCE = 15.0
"""Seconds after which what a test waits for is not going to happen; far more than a busy machine needs."""


class Watcher:
    """An observer that writes down what it is told, and can be waited on."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.tracks: list[RemoteTrack] = []
        self.candidates: asyncio.Queue[IceCandidate | None] = asyncio.Queue()
        self._news = asyncio.Event()

    def connected(self) -> None:
        self._tell("connected", None)

    def disconnected(self, silence: float) -> None:
        self._tell("disconnected", silence)

    def reconnected(self, outage: float) -> None:
        self._tell("reconnected", outage)

    def failed(self, error: Error) -> None:
        self._tell("failed", error)

    def closed_by_remote(self) -> None:
        self._tell("closed_by_remote", None)

    def track_added(self, track: RemoteTrack) -> None:
        self.tracks.append(track)
        self._tell("track_added", track.kind)

    def track_removed(self, track: RemoteTrack) -> None:
        self._tell("track_removed", track.kind)

    def text_received(self, text: str | bytes) -> None:
        self._tell("text", text)

    def negotiation_needed(self) -> None:
        self._tell("negotiation_needed", None)

    def candidate_found(self, candidate: IceCandidate | None) -> None:
        self.candidates.put_nowait(candidate)
        self._tell("candidate", candidate)

    def addresses_changed(self) -> None:
        self._tell("addresses_changed", None)

    def _tell(self, what: str, value: Any) -> None:
        self.told.append((what, value))
        self._news.set()

    def values(self, what: str) -> list[Any]:
        return [value for name, value in self.told if name == what]

    async def heard(self, what: str, times: int = 1) -> Any:
        """Wait until `what` has been told `times` times; returns the last value."""
        async with asyncio.timeout(PATIENCE):
            while len(self.values(what)) < times:
                self._news.clear()
                await self._news.wait()
        return self.values(what)[times - 1]


class End:
    """One of our connections with its watcher and, if wanted, a small test picture and a tone."""

    def __init__(self, options: Options | None = None) -> None:
        self.watcher = Watcher()
        self.connection = Link(options or Options(), self.watcher)
        self._sources: list[TestPictures | TestTone] = []
        self._prepared = False

    async def offer(self) -> SessionDescription:
        """The offer of one who calls; with what was found of candidates by now."""
        if not self._prepared:
            self._prepared = True
            self.connection.prepare()
        offer = await self.connection.offer()
        assert offer is not None, "an offer is on its way already"
        return offer

    async def answer(self, offer: SessionDescription) -> SessionDescription:
        self._prepared = True
        answer = await self.connection.take(offer)
        assert answer is not None
        return answer

    def send_pictures(self) -> None:
        source = TestPictures(160, 120, 15)
        self._sources.append(source)
        self.connection.pictures.show(source)

    def send_sound(self) -> None:
        source = TestTone()
        self._sources.append(source)
        self.connection.sound.carry(source)

    def track(self, kind: str) -> RemoteTrack:
        return next(track for track in self.connection.tracks if track.kind == kind)

    async def close(self) -> None:
        await self.connection.close()
        for source in self._sources:
            await source.close()


@contextlib.asynccontextmanager
async def two_ends(
    first: Options | None = None, second: Options | None = None, *, trickle: bool = True
) -> AsyncIterator[tuple[End, End]]:
    """Two of our connections, not negotiated yet. `trickle` False: no candidate is carried over."""
    one, other = End(first), End(second)
    carrying = [_carry(one, other), _carry(other, one)] if trickle else []
    tasks = [asyncio.get_running_loop().create_task(each) for each in carrying]
    try:
        yield one, other
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(one.close(), other.close())


async def _carry(giver: End, taker: End) -> None:
    while True:
        await taker.connection.add_candidate(await giver.watcher.candidates.get())


async def negotiate(caller: End, callee: End) -> None:
    await caller.connection.take(await callee.answer(await caller.offer()))


async def connect(caller: End, callee: End) -> None:
    await negotiate(caller, callee)
    await caller.watcher.heard("connected")
    await callee.watcher.heard("connected")


async def frames(track: RemoteTrack, count: int) -> list[EncodedFrame]:
    """The next encoded frames of a track."""
    taker = track.encoded()
    async with asyncio.timeout(PATIENCE):
        taken = [await anext(taker) for _ in range(count)]
    taker.close()
    return taken


async def keyframe(track: RemoteTrack) -> EncodedFrame:
    """The next keyframe of a video track; asking for frames asks for one."""
    taker = track.encoded()
    async with asyncio.timeout(PATIENCE):
        while not (frame := await anext(taker)).keyframe:
            pass
    taker.close()
    return frame


class SmallVideo(VideoStreamTrack):
    """A picture that changes a little, 160x120."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = np.full((120, 160, 3), 80, np.uint8)
        picture[:, (pts // 3000) % 160] = 255
        frame = VideoFrame.from_ndarray(picture)
        frame.pts, frame.time_base = pts, time_base
        return frame


class Stock:
    """A stock aiortc connection, and what it receives."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.received: dict[str, asyncio.Queue[Any]] = {"audio": asyncio.Queue(50), "video": asyncio.Queue(50)}
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.channel: Any = None
        self._readers: list[asyncio.Task[None]] = []
        self.pc.on("track", self._read)
        self.pc.on("datachannel", self._use)

    def send(self, *kinds: str, codec: str | None = None) -> None:
        for kind in kinds:
            track: MediaStreamTrack = AudioStreamTrack() if kind == "audio" else SmallVideo()
            transceiver = self.pc.addTransceiver(track)
            if kind == "video" and codec is not None:
                known = RTCRtpSender.getCapabilities("video").codecs
                transceiver.setCodecPreferences([c for c in known if c.mimeType.lower() == f"video/{codec}"])

    def open_channel(self) -> None:
        self._use(self.pc.createDataChannel("any label"))

    def _use(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self.messages.put_nowait)

    def _read(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            queue = self.received[track.kind]
            with contextlib.suppress(Exception):
                while True:
                    frame = await track.recv()
                    if queue.full():
                        queue.get_nowait()
                    queue.put_nowait(frame)

        self._readers.append(asyncio.get_running_loop().create_task(read()))

    async def got(self, kind: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self.received[kind].get()

    async def offer_to(self, end: End, change: Callable[[str], str] = str) -> str:
        """Offer all candidates in one, as plain aiortc does; returns the answer."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        await end.answer(SessionDescription("offer", change(self.pc.localDescription.sdp)))
        answer = await end.connection.gathered()
        await self.pc.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        return answer.sdp

    async def take_offer(self, end: End) -> None:
        """Let it see our offer."""
        await end.offer()
        offer = await end.connection.gathered()
        await self.pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))

    async def answer_to(self, end: End, change: Callable[[str], str] = str) -> None:
        await self.take_offer(end)
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        await end.connection.take(SessionDescription("answer", change(self.pc.localDescription.sdp)))

    async def close(self) -> None:
        await self.pc.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


@contextlib.asynccontextmanager
async def end_and_stock(options: Options | None = None) -> AsyncIterator[tuple[End, Stock]]:
    end, stock = End(options), Stock()
    try:
        yield end, stock
    finally:
        await end.close()
        await stock.close()
