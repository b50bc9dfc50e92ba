"""What the tests need of a browser, the same for each: one page in one browser process of its own.

A browser keeps everything in a folder of its own, and `close()` ends every process that was started for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

POLL_SECONDS = 0.03
END_SECONDS = 5.0


class ScriptError(AssertionError):
    """A script raised in the page."""


class Browser(ABC):
    """One browser with one page. `async with` starts and closes it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="browser-test-"))

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def start(self) -> None:
        """Starts the process; returns when it takes commands."""

    @abstractmethod
    async def open(self, url: str) -> None:
        """Loads the address; returns when the page is loaded."""

    @abstractmethod
    async def _evaluate_text(self, expression: str) -> str:
        """The value of an expression that is a promise of a string. Raises ScriptError."""

    @abstractmethod
    async def screenshot(self, path: Path) -> None:
        """Writes what is seen of the page as PNG."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Closes what led to the processes, which are gone."""

    @abstractmethod
    def _root_pid(self) -> int | None:
        """The first process that was started for this browser."""

    @abstractmethod
    def _is_tab(self, command: str) -> bool:
        """Whether a process with this command line runs pages."""

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression; of what it resolves to, when it is a promise."""
        text = await self._evaluate_text(f"(async () => JSON.stringify([await ({expression})]))()")
        return json.loads(text)[0]

    async def wait_for(self, condition: str, timeout: float = 10.0) -> Any:
        """Waits until the JavaScript expression is truthy and returns its value.

        Raises TimeoutError that shows what the page knows.
        """
        deadline = time.monotonic() + timeout
        while not (value := await self._try(condition)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout} s: {condition}\n{await self._state()}")
            await asyncio.sleep(POLL_SECONDS)
        return value

    async def _try(self, condition: str) -> Any:
        try:
            return await self.evaluate(condition)
        except ScriptError as error:
            if "peerPage" in str(error) or "undefined" in str(error) or "null" in str(error):
                return None  # the page is not there yet
            raise

    async def _state(self) -> str:
        with contextlib.suppress(ScriptError):
            hook = "(({state, participants, chat, log, notices}) => ({state, participants, chat, log, notices}))"
            return json.dumps(await self.evaluate(f"{hook}(window.peerPage)"), indent=1)
        return "(the page has no hook)"

    async def kill_tab(self) -> None:
        """Kills the processes that run the page, as a crash does: it says nothing to anybody."""
        await asyncio.to_thread(self._kill_tab)

    def _kill_tab(self) -> None:
        tabs = [process for process in self._processes() if self._is_tab(_command(process))]
        assert tabs, "no process runs the page"
        for process in tabs:
            _kill(process)

    async def close(self) -> None:
        """Ends the browser and every process that was started for it."""
        # Killed and not asked to quit: that takes seconds, for a profile that is thrown away.
        await asyncio.to_thread(self._end)
        await self._disconnect()

    def _end(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while running := [process for process in self._processes() if _command(process)]:
            for process in running:
                _kill(process)
            assert time.monotonic() < deadline, f"cannot be ended: {running}"
            time.sleep(POLL_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        """The tree below the first process, and who left the tree but works in this browser's own folder."""
        found: set[psutil.Process] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            if pid := self._root_pid():
                root = psutil.Process(pid)
                found |= {root, *root.children(recursive=True)}
        found |= {each for each in psutil.process_iter() if str(self.folder) in _command(each)}
        return list(found)


def _command(process: psutil.Process) -> str:
    """The command line; empty for one that has ended, whether somebody has waited for it or not."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    # No waiting here: who started the first process does that, and only once.
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
