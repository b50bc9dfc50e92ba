"""What it costs to connect: our connection beside aiortc's, both ends of each call in one process.

A connect goes from making both connections to the moment at which both are connected (and their data channel is open);
closing does not count. The tracks of audio and video give nothing, so that nothing is encoded; no servers; one bundle.
"1 at once": one call after the other, the rate is that of the median. "100 at once": all are started together, and the
rate is that of the whole. CPU is that of the process, both ends, per connect. Each case runs in a process of its own;
two calls before do not count.

    python bench/connect.py [--runs 30] [--at-once 100] [--json]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import time
from typing import TYPE_CHECKING, Any

from aiortc import RTCBundlePolicy, RTCConfiguration
from harness import LOOPS, Report, Silent, arguments, connection_class, median, progress, run_on, show

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WHAT = {"data": False, "data, audio, video": True}
PATIENCE = 60.0


class Call:
    """Two connections, and the news that they are connected."""

    def __init__(self, kind: str, *, media: bool) -> None:
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self._ends = [connection_class(kind)(configuration) for _ in range(2)]
        self._up = asyncio.Event()
        caller, callee = self._ends
        for pc in self._ends:
            pc.on("connectionstatechange", self._look)
            for track in ("audio", "video") if media else ():
                pc.addTrack(Silent(track))
        self._channels = [caller.createDataChannel("any")]
        self._channels[0].on("open", self._look)
        callee.on("datachannel", self._take)

    def _take(self, channel: Any) -> None:
        self._channels.append(channel)
        self._look()

    def _look(self) -> None:
        if [channel.readyState for channel in self._channels] == ["open", "open"]:
            if all(pc.connectionState == "connected" for pc in self._ends):
                self._up.set()

    async def connect(self) -> None:
        caller, callee = self._ends
        await caller.setLocalDescription(await caller.createOffer())
        await callee.setRemoteDescription(caller.localDescription)
        await callee.setLocalDescription(await callee.createAnswer())
        await caller.setRemoteDescription(callee.localDescription)
        await asyncio.wait_for(self._up.wait(), PATIENCE)

    async def close(self) -> None:
        await asyncio.gather(*(pc.close() for pc in self._ends))


async def one(kind: str, *, media: bool) -> Call:
    call = Call(kind, media=media)
    await call.connect()
    return call


async def in_turn(kind: str, runs: int, *, media: bool) -> tuple[float, float]:
    """Connects per second, CPU seconds per connect, one after the other."""
    seconds, cpu = [], 0.0
    for _ in range(runs):
        began, cpu_began = time.perf_counter(), time.process_time()
        call = await one(kind, media=media)
        seconds.append(time.perf_counter() - began)
        cpu += time.process_time() - cpu_began
        await call.close()
    return 1 / median(seconds), cpu / runs


async def together(kind: str, calls: int, *, media: bool) -> tuple[float, float]:
    """The same, all at once."""
    began, cpu_began = time.perf_counter(), time.process_time()
    connected = await asyncio.gather(*(one(kind, media=media) for _ in range(calls)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    for call in connected:
        await call.close()
    return calls / seconds, cpu / calls


async def case(kind: str, calls: int, at_once: int, *, media: bool) -> tuple[float, float]:
    """Connects per second, CPU seconds per connect."""
    await in_turn(kind, 2, media=media)
    return await (in_turn if at_once == 1 else together)(kind, calls, media=media)


def run_case(pipe: Connection, kind: str, loop: str, calls: int, at_once: int, media: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # 100 calls have more sockets than shells allow
    pipe.send(run_on(loop, case(kind, calls, at_once, media=bool(media))))


def measure(kind: str, loop: str, calls: int, at_once: int, *, media: bool) -> tuple[float, float]:
    """One case in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_case, args=(there, kind, loop, calls, at_once, int(media)))
    process.start()
    there.close()
    try:
        rate, cpu = here.recv()
    finally:
        process.join(timeout=30)
    return rate, cpu


def main() -> None:
    parser = arguments("Connects per second and CPU per connect, ours beside aiortc", runs=30)
    parser.add_argument("--at-once", type=int, default=100, help="calls that are started together (default: 100)")
    chosen = parser.parse_args()
    report = Report(
        "Connects per second and CPU per connect (both ends), ours beside aiortc",
        {
            **{"call": "", "at once": "d", "loop": ""},
            **{"ours /s": ".1f", "aiortc /s": ".1f", "x aiortc": ".2f"},
            **{"ours CPU ms": ".1f", "aiortc CPU ms": ".1f", "CPU x aiortc": ".2f"},
        },
    )
    for name, media in WHAT.items():
        for at_once, calls in ((1, chosen.runs), (chosen.at_once, chosen.at_once)):
            for loop in LOOPS:
                progress(f"{name}, {at_once} at once, {loop} ...")
                ours, stock = (measure(kind, loop, calls, at_once, media=media) for kind in ("ours", "stock"))
                rates = (ours[0], stock[0], ours[0] / stock[0])
                costs = (ours[1] * 1000, stock[1] * 1000, ours[1] / stock[1])
                report.add(name, at_once, loop, *rates, *costs)
    show([report], as_json=chosen.json)


if __name__ == "__main__":
    main()
