"""Barge-in: how long after `stop()` the other side still hears of what was being said.

One of ours tells a story to another, over real sockets on this machine, and is interrupted at a random moment. Measured
from `stop()` until the last packet with a sound in it has left, and until the last of that sound came out of the other
end's decoder. Beside it aiortc, whose track is replaced by a silent one, which is what it has.

    python bench/interrupt.py [--runs 20] [--json]
"""

from __future__ import annotations

import asyncio
import random
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from av import AudioFrame
from harness import Report, arguments, median, percentile, progress, show_measured

import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RATE = 48_000
SAMPLES = 960
LOUD = 1000
"""Of a sample: what is said is ten times louder, silence never is."""
PATIENCE = 1.5
"""Seconds for which the ear listens on."""
COLUMNS = {"who": "", "runs": "d", "median, ms": ".0f", "p95, ms": ".0f", "most, ms": ".0f"}


async def story() -> AsyncIterator[Any]:
    """Noise without an end, a second at a time."""
    noise = np.random.default_rng(1).normal(0, 10_000, RATE).clip(-30_000, 30_000).astype(np.int16)
    while True:
        yield noise


class Ear:
    """Notes when sound was heard last."""

    def __init__(self) -> None:
        self.last = 0.0
        self.heard = asyncio.Event()

    def take(self, samples: Any) -> None:
        if np.abs(samples.astype(np.int32)).max(initial=0) > LOUD:
            self.last = time.monotonic()
            self.heard.set()


async def ours(runs: int) -> list[float]:
    hub, ear = peer.MemoryHub(), Ear()
    async with (
        peer.join(hub.connect, room="lab", name="teller") as teller,
        peer.join(hub.connect, room="lab", name="listener") as listener,
    ):
        dialling = asyncio.create_task(_awaited(teller.call("listener")))
        answered = await (await anext(listener.rings())).accept()
        call = await dialling

        async def listen() -> None:
            async for sound in answered.sound():
                ear.take(sound.array)

        listening = asyncio.create_task(listen())
        found = []
        for _ in range(runs):
            ear.heard.clear()
            telling = call.play(story())
            await ear.heard.wait()
            await asyncio.sleep(random.uniform(0.3, 0.6))
            telling.stop()
            stopped = time.monotonic()
            await asyncio.sleep(PATIENCE)
            found.append(max(0.0, ear.last - stopped))
        listening.cancel()
    return found


async def _awaited(dialing: Any) -> Any:
    return await dialing


class Noise(MediaStreamTrack):
    """What aiortc asks for frames; `loud` or silent."""

    kind = "audio"

    def __init__(self, *, loud: bool) -> None:
        super().__init__()
        level = 10_000 if loud else 0
        self._noise = np.random.default_rng(1).normal(0, level, (1, SAMPLES)).clip(-30_000, 30_000).astype(np.int16)
        self._start: float | None = None
        self._count = 0

    async def recv(self) -> AudioFrame:
        self._start = self._start or time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._count * SAMPLES / RATE - time.monotonic()))
        frame = AudioFrame.from_ndarray(self._noise, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._count * SAMPLES, Fraction(1, RATE)
        self._count += 1
        return frame


async def stock(runs: int) -> list[float]:
    ear = Ear()
    one, other = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    tasks = []

    async def listen(track: Any) -> None:
        while True:
            ear.take((await track.recv()).to_ndarray())

    other.on("track", lambda track: tasks.append(asyncio.create_task(listen(track))))
    sender = one.addTrack(Noise(loud=False))
    await one.setLocalDescription(await one.createOffer())
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await one.setRemoteDescription(other.localDescription)
    found = []
    for _ in range(runs):
        ear.heard.clear()
        sender.replaceTrack(Noise(loud=True))
        await ear.heard.wait()
        await asyncio.sleep(random.uniform(0.3, 0.6))
        sender.replaceTrack(Noise(loud=False))
        stopped = time.monotonic()
        await asyncio.sleep(PATIENCE)
        found.append(max(0.0, ear.last - stopped))
    for task in tasks:
        task.cancel()
    await asyncio.gather(one.close(), other.close())
    return found


async def compare(runs: int) -> list[Report]:
    report = Report("From the interruption to silence at the other end's ear", COLUMNS)
    for name, measure in (("ours", ours), ("aiortc", stock)):
        progress(name)
        found = [seconds * 1000 for seconds in await measure(runs)]
        report.add(name, runs, median(found), percentile(found, 0.95), max(found))
    return [report]


def main() -> None:
    given = arguments(__doc__.partition("\n")[0], runs=20).parse_args()
    show_measured(compare(given.runs), as_json=given.json)


if __name__ == "__main__":
    main()
