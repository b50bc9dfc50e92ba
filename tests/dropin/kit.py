"""What the programs in this folder share: waiting for events, an exchange of descriptions, sources, readers.

Nothing here knows which class a connection is of: only what aiortc documents is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import (
    AudioStreamTrack,
    MediaStreamError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCSessionDescription,
    VideoStreamTrack,
)
from av import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    T = TypeVar("T")
    Make = Callable[..., Any]
    """Makes a connection: `make()`, or `make(configuration)`."""

PATIENCE = 20.0
"""Seconds after which what a program waits for is not going to happen; far more than a busy machine needs."""
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def local_only(**options: Any) -> RTCConfiguration:
    """A configuration without servers: without it, aiortc asks a public one."""
    return RTCConfiguration(iceServers=[], **options)


async def within(awaitable: Awaitable[T]) -> T:
    """What the awaitable gives; it must not take for ever."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def until(emitter: Any, event: str, condition: Callable[[], bool]) -> None:
    """Returns once the condition holds: looked at now, and at each event of that name."""
    if condition():
        return
    holds = asyncio.get_running_loop().create_future()

    def look(*_: Any) -> None:
        if not holds.done() and condition():
            holds.set_result(None)

    emitter.on(event, look)
    try:
        await within(holds)
    finally:
        with contextlib.suppress(KeyError):  # an emitter that closes drops its listeners itself
            emitter.remove_listener(event, look)


def coming(emitter: Any, event: str) -> asyncio.Future[Any]:
    """The argument of the next event of that name."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take(*arguments: Any) -> None:
        if not future.done():
            future.set_result(arguments[0] if arguments else None)

    emitter.once(event, take)
    return future


def collected(emitter: Any, event: str) -> asyncio.Queue[Any]:
    """The arguments of all events of that name, from now on."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    emitter.on(event, queue.put_nowait)
    return queue


async def in_state(wanted: str, *connections: Any) -> None:
    """Waits until all connections are in that connection state."""
    for pc in connections:
        await until(pc, "connectionstatechange", lambda pc=pc: pc.connectionState == wanted)


async def sent(description: Any) -> RTCSessionDescription:
    """A description as it arrives at the other side of an application's signaling, some turns of the loop later."""
    text = json.dumps({"sdp": description.sdp, "type": description.type})
    for _ in range(3):
        await asyncio.sleep(0)
    return RTCSessionDescription(**json.loads(text))


async def offer(pc: Any) -> RTCSessionDescription:
    """Sets the local offer and gives the description that goes to the other side."""
    await pc.setLocalDescription(await pc.createOffer())
    return await sent(pc.localDescription)


async def answer(pc: Any, description: RTCSessionDescription) -> RTCSessionDescription:
    """Takes an offer, sets the local answer and gives the description that goes back."""
    await pc.setRemoteDescription(description)
    await pc.setLocalDescription(await pc.createAnswer())
    return await sent(pc.localDescription)


async def negotiate(offerer: Any, answerer: Any) -> None:
    """One offer and one answer, each with all that the other side needs, as programs for aiortc do it."""
    await offerer.setRemoteDescription(await answer(answerer, await offer(offerer)))


async def connect(caller: Any, callee: Any) -> None:
    await negotiate(caller, callee)
    await in_state("connected", caller, callee)


class Colour(VideoStreamTrack):
    """Small pictures of one colour, 30 a second."""

    def __init__(self, colour: tuple[int, int, int] = RED, width: int = 64, height: int = 48) -> None:
        super().__init__()
        picture = VideoFrame.from_ndarray(np.full((height, width, 3), colour, np.uint8))
        self._picture = picture.reformat(format="yuv420p").to_ndarray()

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(self._picture, format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """A sine of 440 Hz, or of another pitch, in pieces of 20 ms."""

    RATE, SAMPLES = 48000, 960

    def __init__(self, pitch: int = 440) -> None:
        super().__init__()
        self._pitch = pitch
        self._sent = 0
        self._began: float | None = None

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._sent / self.RATE - time.monotonic()))
        times = (self._sent + np.arange(self.SAMPLES)) / self.RATE
        samples = (np.sin(2 * np.pi * self._pitch * times) * 10000).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self.RATE, self._sent, Fraction(1, self.RATE)
        self._sent += self.SAMPLES
        return frame


def source(kind: str) -> MediaStreamTrack:
    return Tone() if kind == "audio" else Colour()


def colour_of(frame: VideoFrame) -> tuple[int, int, int] | None:
    """The one of red, green and blue that the picture shows; None when it is something else."""
    means = frame.to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    seen = tuple(255 if mean > 150 else 0 for mean in means)
    return seen if seen in (RED, GREEN, BLUE) else None  # type: ignore[return-value]


def pitch_of(frame: AudioFrame) -> float:
    """The loudest frequency of a piece of sound, in Hz."""
    channels = len(frame.layout.channels)
    samples = frame.to_ndarray().reshape(-1)[::channels]  # interleaved
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8192))
    return float(np.argmax(spectrum) * frame.sample_rate / 8192)


async def picture(track: Any, colour: tuple[int, int, int] | None = None) -> VideoFrame:
    """The next picture of a track; the next that shows this colour, if one is given."""
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await track.recv()
            if colour is None or colour_of(frame) == colour:
                return frame


async def sound(track: Any, pitch: int = 440) -> AudioFrame:
    """The next piece of sound that has this pitch."""
    async with asyncio.timeout(PATIENCE):
        while True:
            frame = await track.recv()
            if abs(pitch_of(frame) - pitch) < 30:
                return frame


async def flows(track: Any) -> Any:
    """The next frame of a track that shows what the sources here send unless told otherwise."""
    return await (sound(track) if track.kind == "audio" else picture(track, RED))


async def ended(track: Any) -> None:
    """Reads a track until it has ended."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
