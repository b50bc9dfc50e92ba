"""One RTCPeerConnection of a browser and one of ours, which negotiate perfectly with one another, both with trickle.

Neither needs more than the W3C interface, and neither is told who the other is: each offers when its own events say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from aiortc import RTCSessionDescription

from peer.rtc.configuration import Configuration
from peer.rtc.connection import PeerConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from aiortc import RTCDataChannel

    from peer.rtc.incoming import IncomingTrack
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
        self._making_offer = self._ignore_offer = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._work())
        self.pc.on("negotiationneeded", lambda: self._spawn(self._offer()))
        self.pc.on("icecandidate", lambda found: wire.send({"candidate": found and found.toJSON()}))
        self.pc.on("track", self.tracks.append)
        self.pc.on("datachannel", self.hear)

    def hear(self, channel: RTCDataChannel) -> None:
        channel.on("message", self.texts.put_nowait)

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
