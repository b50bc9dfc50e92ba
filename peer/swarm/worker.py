"""A process of a swarm: `python -m peer.swarm.worker`, told what to do on standard input, telling on standard output.

It ends when it is told to, and when its standard input does: then whoever started it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import queue
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from msgspec import DecodeError

from peer import mainloop
from peer.errors import Error
from peer.goodbye import told
from peer.media import open_media
from peer.swarm.bot import Bot
from peer.swarm.collected import TELL
from peer.swarm.entry import RoomEntry, way
from peer.swarm.watch import EncoderWatch, LoopWatch, resident
from peer.swarm.wire import Go, Ready, Refused, Report, Stop, Work, command, line
from peer.tokens import TokenFile

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from peer.swarm.bot import Script
    from peer.swarm.wire import Command, News

WAITING: Final = 8
"""Reports that may wait for a reader that is busy; of those that come then, what they said of the process is lost."""
GRACE: Final = 1.0
"""Seconds that the process may take to end after what it was given for hanging up."""
ORPHANED: Final = Stop(1.0)
"""What is done when nobody is there any more who could tell."""


class Pipes:
    """The two ends of the process, each on a thread: neither reading nor writing holds the event loop up."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.commands: asyncio.Queue[Command] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._source, self._sink = source, sink
        self._news: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._writer = threading.Thread(target=self._write, name="swarm news", daemon=True)
        self._writer.start()
        threading.Thread(target=self._read, name="swarm commands", daemon=True).start()

    def tell(self, message: News) -> None:
        """Say something; where nobody listens it is lost."""
        with contextlib.suppress(queue.Full):
            self._news.put_nowait(line(message))

    async def close(self, message: News | None) -> None:
        """Say this last, and wait until it is written."""
        await asyncio.to_thread(self._finish, message)

    def _finish(self, message: News | None) -> None:
        with contextlib.suppress(queue.Full):
            if message is not None:
                self._news.put(line(message), timeout=GRACE)
            self._news.put(None, timeout=GRACE)
        self._writer.join(GRACE)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            while (data := self._news.get()) is not None:
                self._sink.write(data)
                self._sink.flush()

    def _read(self) -> None:
        while data := self._source.readline():
            try:
                self._hear(command(data))
            except DecodeError:
                logging.getLogger(__name__).exception("what was told makes no sense")
                break
        self._hear(ORPHANED)

    def _hear(self, told: Command) -> None:
        if isinstance(told, Stop):  # whatever a script does to the event loop, this comes to an end
            watchdog = threading.Timer(told.within + GRACE, os._exit, (1,))
            watchdog.daemon = True
            watchdog.start()
        with contextlib.suppress(RuntimeError):  # the loop is over already
            self._loop.call_soon_threadsafe(self.commands.put_nowait, told)


class Worker:
    """All that runs in the process."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._bots: list[Bot] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._loop_watch, self._encoders = LoopWatch(), EncoderWatch()

    async def run(self) -> None:
        """Until it is told to end."""
        work = await self._pipes.commands.get()
        if not isinstance(work, Work):
            return
        try:
            async with contextlib.AsyncExitStack() as stack:
                # One source for all: what it gives is encoded once.
                media = await open_media(work.video, work.audio)
                stack.push_async_callback(media.close)
                token = TokenFile(Path(work.token_file)) if work.token_file is not None else work.token
                entry = RoomEntry(
                    way(work.url, work.timeout, token),
                    media.pictures,
                    media.sound,
                    work.receive_only,
                    work.ice_servers,
                    _network(work.network),
                    token,
                )
                await self._perform(work, entry)
        except Error as error:
            await self._pipes.close(Refused(error.exit_code, str(error)))

    async def _perform(self, work: Work, entry: RoomEntry) -> None:
        script = _script(work.script) if work.script is not None else None
        traced: set[str] = set()
        self._bots = [Bot(seat, entry, timeout=work.timeout, script=script, traced=traced) for seat in work.seats]
        await asyncio.to_thread(import_module, "peer.link")  # now, not while the first bot joins
        gc.collect()
        gc.freeze()  # what was imported stays
        self._pipes.tell(Ready())
        told = await self._pipes.commands.get()
        if isinstance(told, Go):
            self._loop_watch.take()
            for bot in self._bots:
                self._spawn(_begin(bot, told.at + bot.seat.at))
            self._spawn(self._loop_watch.run())
            self._spawn(self._tell())
            told = await self._pipes.commands.get()
        await self._end(told.within if isinstance(told, Stop) else GRACE)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELL)
            self._pipes.tell(self._report())

    def _report(self, *, last: bool = False) -> Report:
        lags, cpu, seconds = self._loop_watch.take()
        encoded, dropped = self._encoders.take()
        latencies: list[float] = []
        for bot in self._bots:
            latencies += bot.latencies
            bot.latencies.clear()
        return Report(
            bots=tuple(bot.add_up() for bot in self._bots),
            lags=tuple(round(lag, 4) for lag in lags),
            latencies=tuple(round(latency, 4) for latency in latencies),
            cpu=cpu,
            seconds=seconds,
            memory=resident(),
            encoded=encoded,
            dropped=dropped,
            last=last,
        )

    async def _end(self, within: float) -> None:
        """Tell what there is, then hang up: how the calls end is no part of what was measured."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within / 2):
                for bot in self._bots:
                    await bot.look()
        await self._pipes.close(self._report(last=True))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))


async def _begin(bot: Bot, at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    await bot.run()


def _script(path: str) -> Script:
    """The script's `main(room)`. Raises UsageError."""
    from peer.botscript import load
    from peer.errors import UsageError

    try:
        return load(path).main
    except Error:
        raise
    except (Exception, SystemExit) as error:  # argparse leaves, for example
        raise UsageError(f"{path} fails as it is loaded: {told(error)}; correct it") from error


def _network(keywords: dict[str, Any]) -> Any:
    from peer.rtc.ice.servers import IceSettings

    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in keywords.items()
    }
    return IceSettings(**settings)


def _raise_limit() -> None:
    """As many sockets as the system allows: the usual limit is for programs that have a few."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Run the process; what anything prints goes to standard error, as standard output is ours."""
    _raise_limit()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    async def run() -> None:
        await Worker(Pipes(sys.stdin.buffer, sink)).run()

    mainloop.run(run())
    os._exit(0)  # threads of codecs and the reader of standard input are not waited for


if __name__ == "__main__":
    main()
