"""One process of a swarm, as the swarm sees it: started, told what to do, listened to, and gone in the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError

import peer
from peer.errors import Error
from peer.swarm.wire import MAX_LINE, Ready, Refused, line, news

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.swarm.wire import Command, Report, Work

logger = logging.getLogger(__name__)

COMMAND: Final = ("-P", "-m", "peer.swarm.worker")
START_TIMEOUT: Final = 30.0
"""Seconds that a process may take until all is open; a machine that is busy starts many of them slowly."""
DRAIN: Final = 1.0
"""Seconds that the last lines of a process that has ended may take."""
MAX_LINES: Final = 500
"""Lines that each process may have logged."""
MAX_LINE_SHOWN: Final = 300


class CannotStart(Error):
    """A process could not do what it was to do; `exit_code` says why."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Process:
    """Made by `started()`; `close()` sees to it that it is gone."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, take: Callable[[Report], None]) -> None:
        self.number = number
        self._process = process
        self._take = take
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said: deque[str] = deque(maxlen=5)
        self._reading = [asyncio.create_task(self._listen()), asyncio.create_task(self._log())]

    @classmethod
    async def started(cls, number: int, work: Work, take: Callable[[Report], None]) -> Process:
        """Start one; `take` gets what it reports. Raises CannotStart."""
        home = str(Path(peer.__file__).parents[1])
        path = os.pathsep.join([home, *([os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else [])])
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *COMMAND),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                limit=MAX_LINE,
                start_new_session=True,  # Ctrl-C is for us: we tell them
            )
        except OSError as error:
            raise CannotStart(f"a process cannot be started ({error.strerror}); use fewer --processes", 1) from error
        one = cls(number, process, take)
        one.tell(work)
        return one

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        """Wait until it can begin. Raises CannotStart."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await asyncio.shield(self._ready)
        except TimeoutError:
            text = f"process {self.number + 1} was not ready within {START_TIMEOUT:g} s; use fewer --processes"
            raise CannotStart(text, 1) from None

    def tell(self, message: Command) -> None:
        """Say something; one that is gone hears nothing."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(line(message))

    async def ended(self) -> str:
        """Wait until it is gone, whatever made it go; how it ended, in words."""
        code = await self._process.wait()
        await asyncio.wait(self._reading, timeout=DRAIN)  # a child of its own may hold the pipes
        last = f": {self._said[-1]}" if self._said else ""
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"ended by {signal.Signals(-code).name}{last}"
        return f"ended with exit code {code}{last}"

    async def close(self) -> None:
        """Kill it where it still runs, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for task in self._reading:
            task.cancel()
        await asyncio.wait(self._reading)
        if not self._ready.done():
            self._ready.cancel()
        elif not self._ready.cancelled():
            self._ready.exception()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while data := await self._process.stdout.readline():
                self._hear(data)
        except (DecodeError, ValueError) as error:
            logger.warning("process %d says what makes no sense: %s", self.number + 1, error)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if not self._ready.done():
            last = f": {self._said[-1]}" if self._said else ""
            text = (
                f"process {self.number + 1} ended before it began{last}; see whether python -m peer.swarm.worker starts"
            )
            self._ready.set_exception(CannotStart(text, 1))

    def _hear(self, data: bytes) -> None:
        message = news(data)
        if isinstance(message, Ready):
            if not self._ready.done():
                self._ready.set_result(None)
        elif isinstance(message, Refused):
            if not self._ready.done():
                self._ready.set_exception(CannotStart(message.text, message.exit_code))
        else:
            self._take(message)

    async def _log(self) -> None:
        """What it writes on standard error, scripts' prints among it, goes to our log."""
        assert self._process.stderr is not None
        lines = 0
        while data := await self._process.stderr.readline():
            text = data.decode(errors="replace").rstrip()[:MAX_LINE_SHOWN]
            if text:
                self._said.append(text)
                lines += 1
            if text and lines <= MAX_LINES:
                logger.info("process %d: %s", self.number + 1, text)
            elif lines == MAX_LINES + 1:
                logger.warning("process %d says too much; the rest is left out", self.number + 1)
