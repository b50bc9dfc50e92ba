"""The two sides of calls through a lossy link: who sends a clip, and who notes when each frame of it comes out.

Each works in a process of its own (or in a page) and does several calls at a time, each under a name. Times are
`time.monotonic()`, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import shutil
import time
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    rtcrtpreceiver,
)
from aiortc.mediastreams import MediaStreamError
from harness import NotHere, run_on

from peer.link import Link, Observer, Options
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from peer.rtc.receiver import RemoteTrack

WIDTH, HEIGHT, FPS, CLIP_SECONDS = 640, 480, 30, 10
BITS = 1_000_000
"""Per second of video: four packets a frame, about what Chromium sends of its fake camera."""
PACKET = 0.02
"""Seconds of sound in one packet."""


@dataclass
class Took:
    """What one receiver got of one call."""

    frames: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: {"video": [], "audio": []})
    """By kind: RTP timestamp and when the frame was handed on, in the order in which they were."""
    zero_based: bool = False
    """The timestamps count from the first frame, and not as on the wire."""


def video_clip() -> list[bytes]:
    """VP8 with something that moves in noise; nothing but the first frame decodes by itself."""
    encoder: Any = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.bit_rate = WIDTH, HEIGHT, "yuv420p", BITS
    encoder.framerate, encoder.time_base, encoder.gop_size = FPS, Fraction(1, FPS), 10_000
    encoder.thread_count = 1  # libvpx's threads wait for each other in a busy loop
    encoder.options = {"deadline": "realtime", "cpu-used": "-8", "error-resilient": "default", "lag-in-frames": "0"}
    noise = np.random.default_rng(1).integers(60, 180, (HEIGHT // 4, WIDTH, 3), np.uint8)
    packets = []
    for number in range(FPS * CLIP_SECONDS):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        picture[: HEIGHT // 4] = np.roll(noise, 3 * number, axis=1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def audio_clip() -> list[bytes]:
    """Opus of a tone."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48000, "mono", "s16", 32000
    tone = (np.sin(np.arange(48000) * 440 * 2 * np.pi / 48000) * 3000).astype(np.int16)
    packets = []
    for start in range(0, len(tone), 960):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, start
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets]


class Clip(MediaStreamTrack):
    """Sends frames over and over in real time, from the first one again when that is asked for."""

    def __init__(self, kind: str, frames: list[bytes], interval: float, clock: int) -> None:
        super().__init__()
        self.kind = kind
        self._frames, self._interval, self._clock = frames, interval, clock
        self._start: float | None = None
        self._sent = self._position = 0

    async def recv(self) -> Any:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._sent * self._interval - time.monotonic()))
        packet = av.Packet(self._frames[self._position])
        packet.pts, packet.time_base = round(self._sent * self._interval * self._clock), Fraction(1, self._clock)
        self._sent += 1
        self._position = (self._position + 1) % len(self._frames)
        return packet

    def from_keyframe(self) -> None:
        self._position = 0


class Sender:
    """aiortc's sender, which keeps packets for retransmission; a request for a keyframe starts the clip anew."""

    def __init__(self) -> None:
        self._clips = video_clip(), audio_clip()
        self._calls: dict[str, RTCPeerConnection] = {}

    async def offer(self, name: str) -> str:
        pc = self._calls[name] = new_stock()
        video, audio = self._clips
        pictures = Clip("video", video, 1 / FPS, 90000)
        for track in (Clip("audio", audio, PACKET, 48000), pictures):
            sender = pc.addTransceiver(track, direction="sendonly").sender
            if track is pictures:  # aiortc tells a track of encoded frames nothing of it
                sender._send_keyframe = pictures.from_keyframe  # type: ignore[method-assign]
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)

    async def answered(self, name: str, sdp: str) -> None:
        await self._calls[name].setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def end(self, name: str) -> None:
        await self._calls.pop(name).close()


def new_stock() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))


class Ours:
    """Our connection; the frames are taken as they were encoded."""

    def __init__(self) -> None:
        self._calls: dict[str, _OurCall] = {}

    async def take(self, name: str, offer: str) -> str:
        call = self._calls[name] = _OurCall()
        await call.link.take(SessionDescription("offer", offer))
        return (await call.link.gathered()).sdp

    async def said(self, name: str) -> dict[str, Any]:
        return {track.kind: asdict(track.stats()) for track in self._calls[name].tracks}

    async def end(self, name: str) -> Took:
        call = self._calls.pop(name)
        await call.link.close()
        return call.took


class _OurCall:
    def __init__(self) -> None:
        self.took = Took()
        self.tracks: list[RemoteTrack] = []
        self.link = Link(Options(), self)

    def track_added(self, track: RemoteTrack) -> None:
        self.tracks.append(track)
        frames = self.took.frames[track.kind]
        track.subscribe(lambda frame: frames.append((frame.timestamp & 0xFFFFFFFF, time.monotonic())))

    def __getattr__(self, name: str) -> Any:
        """Whatever else a connection tells is no matter here."""
        if name in dir(Observer):
            return lambda *_: None
        raise AttributeError(name)


class Stock:
    """aiortc's connection; it only gives decoded frames, with timestamps that begin at 0."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[RTCPeerConnection, Took, list[asyncio.Task[None]]]] = {}

    async def take(self, name: str, offer: str) -> str:
        pc, took, tasks = self._calls[name] = new_stock(), Took(zero_based=True), []
        pc.on("track", lambda track: tasks.append(asyncio.create_task(_note(track, took.frames[track.kind]))))
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        return str(pc.localDescription.sdp)

    async def said(self, name: str) -> dict[str, Any]:
        return {}

    async def end(self, name: str) -> Took:
        pc, took, tasks = self._calls.pop(name)
        await pc.close()
        for task in tasks:  # which would not always learn that it is over
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return took


async def _note(track: Any, frames: list[tuple[int, float]]) -> None:
    clock = {"video": 90000, "audio": 48000}[track.kind]
    try:
        while True:
            frame = await track.recv()
            frames.append((round(frame.pts * frame.time_base * clock) & 0xFFFFFFFF, time.monotonic()))
    except MediaStreamError:
        pass


class StockEncoded(Stock):
    """The same, without the time that decoding takes: its decoder gives what it gets."""

    def __init__(self) -> None:
        super().__init__()
        rtcrtpreceiver.get_decoder = lambda codec: _Passed(codec.clockRate)  # type: ignore[attr-defined,assignment,return-value]


class _Passed:
    def __init__(self, clock: int) -> None:
        self._time_base = Fraction(1, clock)

    def decode(self, encoded: Any) -> list[Any]:
        packet = av.Packet(encoded.data)
        packet.pts, packet.time_base = encoded.timestamp, self._time_base
        return [packet]


async def serve(pipe: Connection, make: Any) -> None:
    """Does what comes through the pipe, one after the other, until None comes."""
    endpoint = make()
    while (command := await asyncio.to_thread(pipe.recv)) is not None:
        verb, *arguments = command
        try:
            pipe.send(await getattr(endpoint, verb)(*arguments))
        except Exception as error:
            pipe.send(error)


def run(pipe: Connection, make: Any) -> None:
    run_on("uvloop", serve(pipe, make))


class Process:
    """One of the above in a process of its own: the same methods."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Process:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=run, args=(other, self._make))
        self._process.start()
        other.close()  # so that its end is noticed
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pipe.send(None)
        await asyncio.to_thread(self._process.join)

    async def _ask(self, *command: Any) -> Any:
        async with self._turn:
            self._pipe.send(command)
            answer = await asyncio.to_thread(self._pipe.recv)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __getattr__(self, verb: str) -> Any:
        return partial(self._ask, verb)


class Page:
    """Chromium, as sender or receiver."""

    def __init__(self) -> None:
        if not (shutil.which("chromium") and shutil.which("chromedriver")):
            raise NotHere("Chromium is not installed; run: apt-get install chromium chromium-driver")
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Page:
        from tests.browser.chromium import Chromium

        self._runner, address = await _serve_page()
        self._browser = Chromium()
        await self._browser.start()
        await self._browser.open(address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._browser.close()
        await self._runner.cleanup()

    async def _evaluate(self, expression: str) -> Any:
        async with self._turn:
            return await self._browser.evaluate(expression)

    async def offer(self, name: str) -> str:
        return str(await self._evaluate(f"offer({name!r})"))

    async def answered(self, name: str, sdp: str) -> None:
        await self._evaluate(f"answered({name!r}, {json.dumps(sdp)}).then(() => 0)")

    async def take(self, name: str, offer: str) -> str:
        return str(await self._evaluate(f"take({name!r}, {json.dumps(offer)})"))

    async def said(self, name: str) -> dict[str, Any]:
        return dict(await self._evaluate(f"said({name!r})"))

    async def end(self, name: str) -> Took:
        ahead = await self._clock()
        took = Took()
        frames = await self._evaluate(f"end({name!r})")
        took.frames["video"] = [(timestamp, at / 1000 + ahead) for timestamp, at in frames or ()]
        return took

    async def _clock(self) -> float:
        """What to add to the seconds of the page's clock; off by less than half of the quickest exchange."""
        found: list[tuple[float, float]] = []
        for _ in range(10):
            before = time.monotonic()
            there = await self._evaluate("performance.now()") / 1000
            after = time.monotonic()
            found.append((after - before, (before + after) / 2 - there))
        return min(found)[1]


async def _serve_page() -> tuple[web.AppRunner, str]:
    text = Path(__file__).with_name("receiver.html").read_text()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, "http://{}:{}/".format(*runner.addresses[0][:2])
