"""How many bots a core carries, each sending to and receiving from one other: ours, aiortc, pages of Chromium.

A bot sends 640x360 at 30 (some 600 kbit/s) and Opus, and receives the same of another one. All bots of a kind are in
one process, held to one core; their number is raised until pictures are missing, or the event loop is late by more than
20 ms in one case of a hundred. Ours and aiortc send a file as it is; aiortc decodes what it receives, it cannot do
otherwise. Chromium encodes its fake camera and decodes; its bots are pages of one browser, each in a window and a
renderer process of its own, which is how bots are run in it, or all in one page, which is kinder to it.

    python bench/bots.py [--seconds 8] [--only ours Chromium] [--json]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import av
import psutil
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.contrib.media import MediaBlackhole
from harness import NotHere, Report, arguments, progress, show_measured
from recorders import cpu_seconds, lags, p99, resident_bytes
from senders import Deaf
from sending import AUDIO_CLOCK, PACKET_SECONDS, VIDEO_CLOCK, Encoded, file

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

from peer.link import Link, Options
from peer.mainloop import run as run_to_end
from peer.media import open_media

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FPS, BITRATE = 30, 600_000
LATE = 0.020
"""Seconds: the event loop may be later than that in one case of a hundred ..."""
WHOLE = 0.97
"""... and so many of the pictures have to come."""
SETTLE = 6.0
COLUMNS = {
    "bots": "",
    "on one core": "d",
    "x Chromium": ".1f",
    "CPU each": ".2%",
    "MB each": ".1f",
    "pictures": ".1%",
    "lag p99, ms": ".1f",
    "the next": "",
}


class Bots(Protocol):
    """Bots of one kind, two and two."""

    async def pair(self) -> None:
        """Two more."""

    async def pictures(self) -> int:
        """Received so far, by all."""

    async def close(self) -> None: ...


class Ours:
    """Our connections, with the feeds that a process has for all of its calls."""

    def __init__(self, clip: str) -> None:
        self._name = f"file:{clip},loop"
        self._media: Any = None
        self._links: list[Link] = []

    async def pair(self) -> None:
        self._media = self._media or await open_media(self._name, self._name)
        one, other = Link(Options(), Deaf()), Link(Options(), Deaf())
        for link in (one, other):
            link.pictures.show(self._media.pictures)
            link.sound.carry(self._media.sound)
        one.prepare()
        await one.offer()
        await other.take(await one.gathered())
        await one.take(await other.gathered())
        self._links += [one, other]

    async def pictures(self) -> int:
        found = [each for link in self._links for each in (await link.stats()).inbound]
        return sum(each.frames_received for each in found if each.kind == "video")

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))
        await self._media.close()


class Stock:
    """aiortc, with the packets of the clip in memory, and a MediaBlackhole for each."""

    def __init__(self, clip: str) -> None:
        with av.open(clip) as container:
            packets = [(each.stream.type, bytes(each)) for each in container.demux() if each.size]
        self._sound = [data for kind, data in packets if kind == "audio"]
        self._pictures = [data for kind, data in packets if kind == "video"]
        self._connections: list[RTCPeerConnection] = []
        self._counted: list[Any] = []

    async def pair(self) -> None:
        one, other = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        for pc in (one, other):
            pc.addTrack(Encoded("audio", self._sound, PACKET_SECONDS, AUDIO_CLOCK))
            pc.addTrack(Encoded("video", self._pictures, 1 / FPS, VIDEO_CLOCK))
            pc.on("track", self._received)
        await one.setLocalDescription(await one.createOffer())
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription(await other.createAnswer())
        await one.setRemoteDescription(other.localDescription)
        self._connections += [one, other]

    def _received(self, track: Any) -> None:
        hole = MediaBlackhole()
        if track.kind == "video":
            receive, counted = track.recv, [0]
            self._counted.append(counted)

            async def counting() -> Any:
                frame = await receive()
                counted[0] += 1
                return frame

            track.recv = counting
        hole.addTrack(track)
        self._counted.append([0])
        asyncio.get_running_loop().create_task(hole.start())

    async def pictures(self) -> int:
        return sum(counted for (counted,) in self._counted)

    async def close(self) -> None:
        await asyncio.gather(*(pc.close() for pc in self._connections))


KINDS: dict[str, type[Ours | Stock]] = {"ours": Ours, "aiortc": Stock}


def _run(pipe: Connection, kind: type[Ours | Stock], clip: str) -> None:
    (run_to_end if kind is Ours else asyncio.run)(_serve(pipe, kind, clip))


async def _serve(pipe: Connection, kind: type[Ours | Stock], clip: str) -> None:
    bots: Bots = kind(clip)
    while True:
        name, *values = await asyncio.to_thread(pipe.recv)
        pipe.send(p99(await lags(*values)) if name == "lag" else await getattr(bots, name)())
        if name == "close":
            return


@contextlib.contextmanager
def one_core() -> Any:
    """What is started inside is held to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Measured(ABC):
    """Bots at work, as they are measured."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def ask(self, *request: Any) -> Any:
        """One of the methods of `Bots`, by name."""

    async def rate(self, seconds: float) -> float:
        """Pictures in a second that all of them receive, over so long."""
        before, began = await self.ask("pictures"), time.perf_counter()
        await asyncio.sleep(seconds)
        return float((await self.ask("pictures") - before) / (time.perf_counter() - began))

    async def lag(self, seconds: float) -> float | None:
        """By how much the event loop is late, in one case of a hundred; None where there is none."""
        return None

    @abstractmethod
    def cpu(self) -> float:
        """Seconds of it, so far."""

    @abstractmethod
    def memory(self) -> int:
        """Bytes."""

    @abstractmethod
    async def close(self) -> None: ...


class Process(Measured):
    """Bots in Python."""

    def __init__(self, name: str, clip: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, KINDS[name], clip))
        with one_core():
            self._process.start()

    async def start(self) -> None: ...

    async def ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return await asyncio.to_thread(self._pipe.recv)

    async def lag(self, seconds: float) -> float | None:
        return float(await self.ask("lag", seconds))

    def cpu(self) -> float:
        return cpu_seconds(self._process.pid or 0)

    def memory(self) -> int:
        return resident_bytes(self._process.pid or 0)

    async def close(self) -> None:
        await self.ask("close")
        await asyncio.to_thread(self._process.join, 30)


class Chromium(Measured):
    """Bots in one page."""

    flags: tuple[str, ...] = ()

    async def start(self) -> None:
        from tests.browser.chromium import Chromium as Browser
        from tests.browser.chromium import ChromiumOptions

        if not (shutil.which("chromium") and shutil.which("chromedriver")):
            raise NotHere("Chromium is not installed; run: apt-get install chromium chromium-driver")
        text = Path(__file__).with_name("bots.html").read_text()

        async def page(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type="text/html")

        application = web.Application()
        application.router.add_get("/", page)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        with one_core():
            self._browser = Browser(ChromiumOptions(flags=self.flags))
            await self._browser.start()
        self._url = "http://localhost:{1}/".format(*self._runner.addresses[0][:2])
        await self._browser.open(self._url)

    async def ask(self, *request: Any) -> Any:
        (name,) = request
        return await self._browser.evaluate(f"{name}()" if name == "pictures" else f"{name}().then(() => 0)")

    def cpu(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory(self) -> int:
        """Pages that several processes share count in part."""
        return sum(each.memory_full_info().pss for each in self._processes())

    def _processes(self) -> list[psutil.Process]:
        root = psutil.Process(self._browser._root_pid())
        return [root, *root.children(recursive=True)]

    async def close(self) -> None:
        for _ in range(12):  # dozens of processes on one core take their time to end
            with contextlib.suppress(AssertionError):
                await self._browser.close()
                break
        await self._runner.cleanup()


class ChromiumPages(Chromium):
    """Bots that have a page each, in a window of its own: all are to be seen, so nothing is spared as in other tabs."""

    flags = ("--renderer-process-limit=1000",)  # otherwise, with many, pages of one site share a process

    async def start(self) -> None:
        await super().start()
        self._windows: list[str] = []

    async def rate(self, seconds: float) -> float:
        # By the clock of each: one after the other they are asked, and that takes its time.
        before = [await self._count(window) for window in self._windows]
        await asyncio.sleep(seconds)
        after = [await self._count(window) for window in self._windows]
        return sum((b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(before, after, strict=True))

    async def _count(self, window: str) -> tuple[int, float]:
        pictures, milliseconds = await self._in(window, "pictures().then((count) => [count, performance.now()])")
        return pictures, milliseconds / 1000

    async def ask(self, *request: Any) -> Any:
        assert request == ("pair",)
        one, other = await self._open(), await self._open()
        offered = await self._in(one, "offer()")
        answered = await self._in(other, f"answer({json.dumps(offered)})")
        await self._in(one, f"accept({json.dumps(answered)}).then(() => 0)")
        renderers = sum("--type=renderer" in each.cmdline() for each in self._processes())
        assert renderers >= len(self._windows), f"{len(self._windows)} pages are in {renderers} processes"
        return 0

    async def _open(self) -> str:
        driver = self._browser._page
        await self._browser._run(driver.switch_to.new_window, "window")
        await self._browser.open(self._url)
        self._windows.append(driver.current_window_handle)
        return self._windows[-1]

    async def _in(self, window: str, expression: str) -> Any:
        await self._browser._run(self._browser._page.switch_to.window, window)
        return await self._browser.evaluate(expression)


BROWSERS: dict[str, type[Chromium]] = {"Chromium, a page each": ChromiumPages, "Chromium, one page": Chromium}


async def most(name: str, clip: str, step: int, seconds: float) -> list[Any]:
    """Raise the number of bots until they are too many: a row of the table, without its comparison."""
    process = BROWSERS[name]() if name in BROWSERS else Process(name, clip)
    await process.start()
    found: list[Any] = [0, 0.0, 0.0, 0.0, None, "none"]
    count, first = 0, None
    try:
        while True:
            for _ in range(step // 2):
                await process.ask("pair")
            count += step
            progress(f"{name}: {count} bots")
            await asyncio.sleep(SETTLE)
            lag = await process.lag(seconds / 2)  # first: to count what came of all at once makes it late, too
            cpu, began = process.cpu(), time.perf_counter()
            came = await process.rate(seconds) / count / FPS
            took, spent = time.perf_counter() - began, process.cpu() - cpu
            memory = process.memory()
            first = first or (count, memory)
            if came < WHOLE or (lag is not None and lag > LATE):
                found[5] = f"{count}: {came:.0%} of the pictures" + ("" if lag is None else f", {lag * 1000:.0f} ms")
                return found
            each = (memory - first[1]) / (count - first[0]) if count > first[0] else memory / count
            found = [count, spent / took / count, each / 1e6, came, lag, ""]
            progress(f"{name}: {count} bots, {spent / took / count:.1%} each, {came:.1%} of the pictures")
    finally:
        await process.close()


async def compare(only: list[str], seconds: float, step: int) -> list[Report]:
    report = Report(f"640x360 at {FPS}, {BITRATE / 1000:.0f} kbit/s and Opus, both ways, on one core", COLUMNS)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.webm"
        await asyncio.to_thread(file, clip, "VP8", BITRATE, (640, 360))
        for name in (*KINDS, *BROWSERS):
            if only and not any(name.startswith(each) for each in only):
                continue
            try:
                rows[name] = await most(name, str(clip), step if name == "ours" else 2, seconds)
            except NotHere as reason:
                progress(str(reason))
    chromium = rows.get("Chromium, a page each", [0])[0]
    for name, (count, cpu, memory, came, lag, then) in rows.items():
        late = None if lag is None else lag * 1000
        report.add(name, count, count / chromium if chromium else None, cpu, memory, came, late, then)
    return [report]


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--step", type=int, default=10, help="bots of ours that are added at a time")
    parser.add_argument("--only", nargs="+", default=[], help="how the names of the bots begin")
    given = parser.parse_args()
    show_measured(compare(given.only, given.seconds, given.step), as_json=given.json)


if __name__ == "__main__":
    main()
