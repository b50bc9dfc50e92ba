"""Calls between participants that are processes of their own, browsers or Python, through one relay in this process.

Each has one WebSocket to the relay, which passes what they say to one another on unread, and tells them what to do.
Browsers load participant.html; `Participant` is the same in Python. Commands and the other side's messages come one
after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from aiohttp import ClientSession, WSMsgType, web
from aiortc import RTCConfiguration, RTCIceServer, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame
from harness import NotHere, connection_class, run_on

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.browser.chromium import Chromium

HERE = "127.0.0.1"
PATIENCE = 30.0


class Participant:
    """One of ours (or aiortc's, which tells of no candidates) at the relay; participant.html is the same in a page."""

    def __init__(self, kind: str) -> None:
        self._class = connection_class(kind)
        self._socket: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, url: str) -> None:
        async with ClientSession() as session, session.ws_connect(url) as self._socket:
            async for message in self._socket:
                command = json.loads(message.data)
                try:
                    await getattr(self, f"_{command['do']}")(command)
                except Exception as error:
                    await self._send({"told": f"trouble: {command['do']}: {error!r}"})
                    raise

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_str(json.dumps(message))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare(self, command: dict[str, Any]) -> None:
        self._configuration = RTCConfiguration(iceServers=[RTCIceServer(**each) for each in command["servers"]])
        self._media = [AudioStreamTrack(), Camera()]
        self._pc: Any = None
        await self._send({"told": "prepared"})

    def _make(self) -> None:
        self._pc = self._class(self._configuration)
        self._pc.on("icecandidate", self._pass_on)
        self._pc.on("track", lambda track: track.kind == "video" and self._spawn(self._first(track)))
        for track in self._media:
            self._pc.addTrack(track)

    def _pass_on(self, candidate: Any) -> None:
        facts = None
        if candidate is not None:
            facts = {"candidate": candidate.candidate, "sdpMid": candidate.sdpMid}
            facts |= {"sdpMLineIndex": candidate.sdpMLineIndex, "usernameFragment": candidate.usernameFragment}
        self._spawn(self._send({"other": {"candidate": facts}}))

    async def _first(self, track: Any) -> None:
        await track.recv()
        await self._send({"told": "picture"})
        with contextlib.suppress(Exception):  # ends with the connection
            while True:
                await track.recv()

    async def _describe(self) -> None:
        await self._pc.setLocalDescription()
        description = self._pc.localDescription
        await self._send({"other": {"description": {"type": description.type, "sdp": description.sdp}}})

    async def _call(self, command: dict[str, Any]) -> None:
        self._make()
        await self._describe()

    async def _description(self, command: dict[str, Any]) -> None:
        description = RTCSessionDescription(**command["description"])
        if description.type == "offer":
            self._make()
        await self._pc.setRemoteDescription(description)
        if description.type == "offer":
            await self._describe()

    async def _candidate(self, command: dict[str, Any]) -> None:
        facts = command["candidate"]
        if facts is None or not facts["candidate"]:
            await self._pc.addIceCandidate(None)
            return
        candidate = candidate_from_sdp(facts["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = facts["sdpMid"], facts["sdpMLineIndex"]
        await self._pc.addIceCandidate(candidate)

    async def _end(self, command: dict[str, Any]) -> None:
        if self._pc is not None:
            await self._pc.close()
        await self._send({"told": "ended"})


class Camera(VideoStreamTrack):
    """Pictures of the size that Chromium's fake camera gives, with something that moves."""

    WIDTH, HEIGHT = 640, 480

    def __init__(self) -> None:
        super().__init__()
        ramp = np.linspace(0, 255, self.WIDTH, dtype=np.uint8)
        self._picture = np.repeat(np.tile(ramp, (self.HEIGHT, 1))[:, :, None], 3, axis=2)

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(np.roll(self._picture, pts // 1000, axis=1)).reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Relay:
    """The page, one WebSocket for each participant, and the orders to them."""

    def __init__(self) -> None:
        self.here: dict[str, web.WebSocketResponse] = {}
        self.expected: asyncio.Queue[str] = asyncio.Queue()
        self._told: dict[str, asyncio.Queue[tuple[str, float]]] = {}
        self._other: dict[str, str] = {}
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Gives the address, as HOST:PORT."""
        application = web.Application()
        page = Path(__file__).with_name("participant.html").read_text()
        application.router.add_get("/", lambda _: _page(page))
        application.router.add_get("/participant", self._serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, HERE, 0)
        await site.start()
        try:
            yield "{}:{}".format(*runner.addresses[0][:2])
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        name = self.expected.get_nowait()
        self.here[name], self._told[name] = response, asyncio.Queue()
        self._changed.set()
        async for message in response:
            if message.type is WSMsgType.TEXT:
                await self._take(name, json.loads(message.data))
        return response

    async def _take(self, name: str, message: dict[str, Any]) -> None:
        if "told" in message:
            self._told[name].put_nowait((message["told"], time.perf_counter()))
        elif name in self._other:
            what = message["other"]
            await self.order(self._other[name], next(iter(what)), **what)

    async def order(self, name: str, action: str, **values: Any) -> None:
        await self.here[name].send_str(json.dumps({"do": action, **values}))

    async def arrived(self, name: str) -> None:
        """Waits for the participant that was announced in `expected` and started."""
        async with asyncio.timeout(PATIENCE):
            while name not in self.here:
                self._changed.clear()
                await self._changed.wait()

    async def told(self, name: str, wanted: str) -> float:
        """When the participant said so."""
        text, moment = await self.answer(name)
        if text != wanted:
            raise RuntimeError(f"{name} said {text!r} instead of {wanted!r}")
        return moment

    async def answer(self, name: str) -> tuple[Any, float]:
        """What the participant says next, and when."""
        async with asyncio.timeout(PATIENCE):
            return await self._told[name].get()

    @contextlib.asynccontextmanager
    async def call(self, caller: str, callee: str, **prepared: Any) -> AsyncIterator[float]:
        """A call of the two, which both have been prepared for; gives the time at which it was begun."""
        both = (caller, callee)
        self._other = {caller: callee, callee: caller}
        for name in both:
            await self.order(name, "prepare", **prepared)
        for name in both:
            await self.told(name, "prepared")
        began = time.perf_counter()
        await self.order(caller, "call")
        yield began
        for name in both:
            await self.order(name, "end")
        for name in both:
            await self.told(name, "ended")
        self._other = {}


async def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


def run_participant(kind: str, url: str) -> None:
    run_on("uvloop", Participant(kind).run(url))


@contextlib.asynccontextmanager
async def participants(relay: Relay, address: str, names: list[str]) -> AsyncIterator[None]:
    """Starts browsers and processes, one after the other: who connects is who was expected."""
    context = multiprocessing.get_context("spawn")
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            relay.expected.put_nowait(name)
            kind = name.split(" ")[0]
            if kind == "chromium":
                browser = await stack.enter_async_context(new_chromium())
                await browser.open(f"http://{address}/")
            else:
                process = context.Process(target=run_participant, args=(kind, f"http://{address}/participant"))
                process.start()
                stack.push_async_callback(_end, process)
            await relay.arrived(name)
        yield


def new_chromium() -> Chromium:
    from tests.browser.chromium import Chromium

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        raise NotHere("Chromium is not installed; run: apt-get install chromium chromium-driver")
    return Chromium()


async def _end(process: Any) -> None:
    process.terminate()
    await asyncio.to_thread(process.join)
