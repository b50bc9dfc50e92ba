"""One RTCPeerConnection of a browser and one of ours, which negotiate perfectly with one another, both with trickle.

Neither needs more than the W3C interface, and neither is told who the other is: each offers when its own events say so.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from aiortc import RTCSessionDescription

from peer.media.pattern import TestPictures
from peer.media.tone import TestTone
from peer.rtc.connection import PeerConnection
from peer.rtc.sender import OutboundPictures, OutboundSound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from aiortc import RTCDataChannel

    from peer.rtc.configuration import Configuration
    from peer.rtc.frames import EncodedFrame
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.incoming import IncomingTrack
    from peer.rtc.receiver import RemoteTrack
    from tests.browser.base import Browser

PAGE = Path(__file__).with_name("meeting.html")
WAIT = 15.0
"""Seconds after which what a test waits for is not going to happen."""


class Wire:
    """The signaling between the two: a WebSocket, which can hold back what is said in both directions."""

    def __init__(self) -> None:
        self.url = ""
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.said: list[dict[str, Any]] = []
        """Descriptions in the order in which they were made, also those that are held back."""
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._news = asyncio.Event()

    @property
    def idle(self) -> bool:
        return self._outbox.empty() and self.inbox.empty()

    def send(self, message: dict[str, Any]) -> None:
        """From ours to the browser."""
        self._note("ours", message)
        self._outbox.put_nowait(message)

    def hold(self) -> None:
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    async def offers(self, *sides: str, since: int) -> None:
        """Wait until each of these sides has made an offer after so many descriptions."""
        async with asyncio.timeout(WAIT):
            while not set(sides) <= {said["from"] for said in self.said[since:] if said["type"] == "offer"}:
                self._news.clear()
                await self._news.wait()

    def _note(self, side: str, message: dict[str, Any]) -> None:
        if "description" in message:
            self.said.append({"from": side, **message["description"]})
            self._news.set()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sending = asyncio.get_running_loop().create_task(self._send(socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    taken = json.loads(message.data)
                    self._note("browser", taken)
                    await self._flowing.wait()
                    self.inbox.put_nowait(taken)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse) -> None:
        while True:
            message = await self._outbox.get()
            await self._flowing.wait()
            await socket.send_json(message)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        text = await asyncio.to_thread(PAGE.read_text)

        async def page(request: web.Request) -> web.Response:
            return web.Response(text=text, content_type="text/html")

        app = web.Application()
        app.add_routes([web.get("/", page), web.get("/wire", self._serve)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield
        finally:
            self.release()
            await runner.cleanup()


class Ours:
    """Our side: a `PeerConnection` and webrtc-pc section 10.7."""

    def __init__(self, wire: Wire, *, polite: bool, configuration: Configuration | None = None) -> None:
        self.pc = PeerConnection(configuration)
        self.polite = polite
        self.errors: list[BaseException] = []
        self.tracks: list[IncomingTrack] = []
        """Every one that a `track` event gave, in that order; one that comes back is there again."""
        self.texts: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._wire = wire
        self.channel: RTCDataChannel
        """The last one that was made."""
        self.rounds = 0
        """Negotiations that are over."""
        self._making_offer = self._ignore_offer = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._work())
        self.pc.on("signalingstatechange", self._count)
        self.pc.on("negotiationneeded", lambda: self._spawn(self._offer()))
        self.pc.on("icecandidate", lambda found: wire.send({"candidate": found and found.toJSON()}))
        self.pc.on("track", self.tracks.append)
        self.pc.on("datachannel", self.hear)

    @property
    def idle(self) -> bool:
        return len(self._tasks) == 1 and self._wire.inbox.empty()

    def hear(self, channel: RTCDataChannel) -> None:
        self.channel = channel
        channel.on("message", self.texts.put_nowait)

    def _count(self) -> None:
        self.rounds += self.pc.signalingState == "stable"

    async def _offer(self) -> None:
        self._making_offer = True
        try:
            await self.pc.setLocalDescription()
            self._say()
        finally:
            self._making_offer = False

    def _say(self) -> None:
        description = self.pc.localDescription
        assert description is not None
        self._wire.send({"description": {"type": description.type, "sdp": description.sdp}})

    async def _work(self) -> None:
        while True:
            message = await self._wire.inbox.get()
            if "description" in message:
                await self._take(RTCSessionDescription(**message["description"]))
            else:
                try:
                    await self.pc.addIceCandidate(message["candidate"])
                except ValueError:
                    if not self._ignore_offer:
                        raise

    async def _take(self, description: RTCSessionDescription) -> None:
        collides = description.type == "offer" and (self._making_offer or self.pc.signalingState != "stable")
        self._ignore_offer = collides and not self.polite
        if self._ignore_offer:
            return
        await self.pc.setRemoteDescription(description)
        if description.type == "offer":
            await self.pc.setLocalDescription()
            self._say()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()


class Meeting:
    """The browser, our side, and the wire between them."""

    def __init__(self, browser: Browser, wire: Wire, ours: Ours) -> None:
        self.browser = browser
        self.wire = wire
        self.ours = ours
        self.pc = ours.pc
        self._sources: list[TestPictures | TestTone] = []
        self._stops: list[Callable[[], None]] = []
        self.arrived: collections.Counter[int] = collections.Counter()
        """Packets of RTP that came, by SSRC, whatever became of them."""
        self.lost: set[int] = set()
        """Sequence numbers of those that were lost on purpose, see `lose`."""
        self._loses = (-1, 1)
        self._media = self.pc.path.dtls.media
        self.pc.path.ice.media_received = self._count

    def _count(self, datagrams: list[Datagram]) -> None:
        self._media([each for each in datagrams if not self._is_lost(each[0])])

    def _is_lost(self, data: bytes) -> bool:
        if len(data) >= 12 and not 64 <= data[1] & 0x7F < 96:
            number, ssrc = int.from_bytes(data[2:4], "big"), int.from_bytes(data[8:12], "big")
            self.arrived[ssrc] += 1
            if ssrc == self._loses[0] and number % self._loses[1] == 0 and number not in self.lost:
                self.lost.add(number)
                return True
        return False

    async def lose(self, mid: str, every: int) -> None:
        """Of what the browser sends on an m-line, every so many-th packet is lost from now on; not when sent again."""
        self._loses = (await self.browser.evaluate(f"outbound('{mid}')"))["ssrc"], every

    # What both sides do

    async def browser_begins(self) -> None:
        """The browser calls: its microphone and camera, a data channel."""
        await self.browser.evaluate("begin()")
        await self.connected()

    def begin(self) -> None:
        """We call: sound, pictures, a data channel."""
        self.pc.addTrack(self.sound())
        self.pc.addTrack(self.pictures())
        self.ours.hear(self.pc.createDataChannel("ours"))

    async def connected(self) -> None:
        await self.browser.wait_for("pc.connectionState === 'connected' && channel.readyState === 'open'", WAIT)
        await self.until(lambda: self.pc.connectionState == "connected")

    async def there(self, change: str) -> str:
        """Let the browser change something and negotiate it; returns our answer."""
        rounds = await self.browser.evaluate("rounds")
        await self.browser.evaluate(f"(async () => {{ {change}; return true; }})()")
        await self.browser.wait_for(f"rounds > {rounds} && pc.signalingState === 'stable'", WAIT)
        await self.settled()
        return self.said("ours", "answer")

    async def here(self, change: Callable[[], Any]) -> str:
        """Change something at our side, which negotiates it; returns the browser's answer."""
        rounds = self.ours.rounds
        change()
        await self.until(lambda: self.ours.rounds > rounds)
        await self.settled()
        return self.said("browser", "answer")

    async def both(self, there: str, here: Callable[[], Any]) -> None:
        """Both change something, and offer it before they hear of the other's offer."""
        said = len(self.wire.said)
        self.wire.hold()
        here()
        await self.browser.evaluate(f"(async () => {{ {there}; return true; }})()")
        await self.wire.offers("ours", "browser", since=said)
        self.wire.release()
        await self.until(lambda: len(self.wire.said) > said + 2)
        await self.settled()

    async def settled(self) -> None:
        """Nothing is being negotiated, and nothing has to be, on both sides."""
        async with asyncio.timeout(WAIT):
            while not (
                self.pc.signalingState == "stable"
                and self.ours.idle
                and await self.browser.evaluate("pc.signalingState === 'stable' && !makingOffer")
                and self.wire.idle
            ):
                if self.ours.errors:
                    raise self.ours.errors[0]
                await asyncio.sleep(0.02)

    def said(self, side: str, kind: str) -> str:
        """The newest description of this kind of one side."""
        return next(each["sdp"] for each in reversed(self.wire.said) if (each["from"], each["type"]) == (side, kind))

    # What is sent and received

    def pictures(self) -> OutboundPictures:
        """A track of ours with a small test picture."""
        source, track = TestPictures(320, 240, 15), OutboundPictures()
        self._sources.append(source)
        track.show(source)
        self._stops.append(track.stop)
        return track

    def sound(self) -> OutboundSound:
        source, track = TestTone(), OutboundSound()
        self._sources.append(source)
        track.carry(source)
        self._stops.append(track.stop)
        return track

    def track(self, mid: str) -> RemoteTrack:
        """What the browser sends on an m-line."""
        return next(each for each in self.pc.getTransceivers() if each.mid == mid).receiver.remote

    async def hears(self, mid: str, count: int = 5) -> EncodedFrame:
        """So many frames of the browser come from now on; returns the last."""
        taker = self.track(mid).encoded()
        async with asyncio.timeout(WAIT):
            for _ in range(count):
                frame = await anext(taker)
        return frame

    async def seen(self, mid: str, count: int = 3) -> None:
        """The browser decodes so many more of our pictures on an m-line."""
        before = (await self.browser.evaluate(f"inbound('{mid}')")).get("framesDecoded", 0)
        await self.browser.wait_for(
            f"inbound('{mid}').then(({{framesDecoded}}) => framesDecoded >= {before + count})", WAIT
        )

    async def messages(self) -> None:
        """Messages go through in both directions, and nobody noticed anything wrong."""
        channel = self.ours.channel
        opened = asyncio.Event()
        channel.once("open", opened.set)
        if channel.readyState != "open":  # media may be there before it
            async with asyncio.timeout(WAIT):
                await opened.wait()
        channel.send("ping")
        await self.browser.wait_for("texts.includes('ping')", WAIT)
        await self.browser.evaluate("(texts.length = 0, channel.send('pong'), true)")
        async with asyncio.timeout(WAIT):
            assert await self.ours.texts.get() == "pong"
        assert await self.browser.evaluate("errors") == []
        assert self.ours.errors == []

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():  # noqa: ASYNC110 - one event does not tell
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        for stop in self._stops:
            stop()
        await self.ours.close()
        for source in self._sources:
            await source.close()


class Gap:
    """The longest stretch of a track that is missing, in seconds of its own time."""

    def __init__(self, track: RemoteTrack) -> None:
        self.seconds = 0.0
        self.frames = 0
        self._last: int | None = None
        self.stop = track.subscribe(self._take)

    def _take(self, frame: EncodedFrame) -> None:
        if self._last is not None:
            self.seconds = max(self.seconds, (frame.timestamp - self._last) / frame.codec.clock_rate)
        self._last = frame.timestamp
        self.frames += 1


@contextlib.asynccontextmanager
async def meeting(
    browser: Browser, *, polite: bool = False, configuration: Configuration | None = None
) -> AsyncIterator[Meeting]:
    """A browser and our side, nothing negotiated yet; `polite`: our side gives way."""
    wire = Wire()
    async with wire.serving():
        met = Meeting(browser, wire, Ours(wire, polite=polite, configuration=configuration))
        try:
            await browser.open(f"{wire.url}?polite={str(not polite).lower()}")
            await browser.wait_for("socket.readyState === WebSocket.OPEN", WAIT)
            yield met
        finally:
            await met.close()
