"""How long a call takes from its start to the first decoded picture, beside Chromium calling Chromium with trickle.

A call starts when the caller is told to call: its camera is open, its signaling is connected, and it has no
RTCPeerConnection yet. It ends at a side when that side has its first decoded picture of the other one: in Chromium
when a MediaStreamTrackProcessor of the remote track gives its first frame, in ours when `recv()` of the remote track
gives its first. (Neither waits for a screen.) Both sides send video and audio, so both figures are taken: at the
callee, which waits for the caller's media, and at the caller. All times are by the clock of this process, which tells
the caller to begin and is told of each picture the same way.

Each participant is a process of its own (a browser, or Python on uvloop) and speaks to the other through the same
relay: one WebSocket of each to this process, messages passed on unread, descriptions and candidates as they come.
Browsers and processes stay; each run has new connections and newly opened cameras. Runs of the cases alternate, so that
a machine that gets busy is unkind to all of them.

Servers: "good" is STUN and TURN of a coturn on this machine; "dead first" has a STUN and two TURN servers (UDP, TCP)
that swallow everything, on a loopback address, in front of the same.

    python bench/setup.py [--runs 20] [--json] [--stock]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import multiprocessing
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from aiohttp import ClientSession, WSMsgType, web
from aiortc import RTCConfiguration, RTCIceServer, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame
from harness import NotHere, Report, arguments, connection_class, median, percentile, run_on, show

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.browser.chromium import Chromium

DEAD, GOOD = "127.0.0.9", "127.0.0.1"
PATIENCE = 30.0
TARGET = 0.6
CALLS = {
    "Chromium - Chromium": ("chromium 1", "chromium 2"),
    "Chromium - ours": ("chromium 1", "ours 1"),
    "ours - Chromium": ("ours 1", "chromium 1"),
    "ours - ours": ("ours 1", "ours 2"),
}
STOCK_CALLS = {"Chromium - aiortc": ("chromium 1", "stock 1"), "aiortc - aiortc": ("stock 1", "stock 2")}
BASE = "Chromium - Chromium"


class Participant:
    """One of ours (or aiortc's, which tells of no candidates) at the relay; setup.html is the same in a page."""

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
        page = Path(__file__).with_name("setup.html").read_text()
        application.router.add_get("/", lambda _: _page(page))
        application.router.add_get("/participant", self._serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, GOOD, 0)
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
        async with asyncio.timeout(PATIENCE):
            text, moment = await self._told[name].get()
        if text != wanted:
            raise RuntimeError(f"{name} said {text!r} instead of {wanted!r}")
        return moment

    async def run(self, caller: str, callee: str, servers: list[dict[str, Any]]) -> tuple[float, float]:
        """Seconds to the first decoded picture at the callee and at the caller."""
        both = (caller, callee)
        self._other = {caller: callee, callee: caller}
        for name in both:
            await self.order(name, "prepare", servers=servers)
        for name in both:
            await self.told(name, "prepared")
        began = time.perf_counter()
        await self.order(caller, "call")
        at_callee, at_caller = await asyncio.gather(*(self.told(name, "picture") for name in (callee, caller)))
        for name in both:
            await self.order(name, "end")
        for name in both:
            await self.told(name, "ended")
        self._other = {}
        return at_callee - began, at_caller - began


async def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


@contextlib.asynccontextmanager
async def good_servers() -> AsyncIterator[list[dict[str, Any]]]:
    """STUN and TURN of a coturn of our own."""
    program = shutil.which("turnserver")
    if program is None:
        raise NotHere("turnserver is not installed; run: apt-get install coturn")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(program, "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-stdout-log", "--simple-log"),
            *("--log-file", f"{folder}/log", "--pidfile", f"{folder}/pid", "--userdb", f"{folder}/db"),
            *("--listening-ip", GOOD, "--relay-ip", GOOD, "--listening-port", str(port), "--allow-loopback-peers"),
            *("--lt-cred-mech", "--user", "user:secret", "--realm", "bench"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await accepts(port)
            yield [
                {"urls": [f"stun:{GOOD}:{port}"]},
                {"urls": [f"turn:{GOOD}:{port}?transport=udp"], "username": "user", "credential": "secret"},
            ]
        finally:
            process.terminate()
            await process.wait()


def free_port() -> int:
    with socket.create_server((GOOD, 0)) as server:
        return int(server.getsockname()[1])


async def accepts(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(GOOD, port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def dead_servers() -> Any:
    """A STUN and two TURN servers that take everything and never say a word."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for each in silent:
            each.bind((DEAD, 0))
        deaf = stack.enter_context(socket.create_server((DEAD, 0)))
        stun, turn, tcp = (each.getsockname()[1] for each in (*silent, deaf))
        account = {"username": "user", "credential": "secret"}
        yield [
            {"urls": [f"stun:{DEAD}:{stun}"]},
            {"urls": [f"turn:{DEAD}:{turn}?transport=udp", f"turn:{DEAD}:{tcp}?transport=tcp"], **account},
        ]


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


async def measure(calls: dict[str, tuple[str, str]], runs: int) -> list[Report]:
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    relay = Relay()
    names = sorted(set(itertools.chain.from_iterable(calls.values())))
    async with good_servers() as good, relay.serving() as address, participants(relay, address, names):
        with dead_servers() as dead:
            lists = {"good servers": good, "dead servers first": dead + good}
            for number in range(runs + 1):
                for servers, (call, (caller, callee)) in itertools.product(lists, calls.items()):
                    seconds = await relay.run(caller, callee, lists[servers])
                    if number:  # the first of each opens codecs and caches
                        times.setdefault((servers, call), []).append(seconds)
    return [_report(servers, {call: times[servers, call] for call in calls}) for servers in lists]


def _report(servers: str, times: dict[str, list[tuple[float, float]]]) -> Report:
    columns = {"call": ""}
    for side in ("callee", "caller"):
        columns |= {f"{side} ms": ".0f", f"{side} p95": ".0f", f"{side} x": ".2f"}
    title = f"Call start to the first decoded picture, {servers}: median of {len(times[BASE])} runs, 95th percentile, "
    report = Report(f"{title}median x {BASE} (wanted: {TARGET} at most)", columns)
    for call, seconds in times.items():
        row: list[Any] = []
        for side in range(2):
            own, base = ([each[side] for each in some] for some in (seconds, times[BASE]))
            row += [median(own) * 1000, percentile(own, 0.95) * 1000, median(own) / median(base)]
        report.add(call, *row)
    return report


def main() -> None:
    parser = arguments("Call start to the first decoded picture, beside Chromium calling Chromium", runs=20)
    parser.add_argument(
        "--stock", action="store_true", help="aiortc's own connection too (slow: 5 s for a dead server)"
    )
    chosen = parser.parse_args()
    calls = CALLS | (STOCK_CALLS if chosen.stock else {})
    try:
        reports = asyncio.run(measure(calls, chosen.runs))
    except NotHere as reason:
        print(reason)
        return
    show(reports, as_json=chosen.json)


if __name__ == "__main__":
    main()
