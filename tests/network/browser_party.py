"""Chromium as one party of a row: the same JSON lines as tests/network/party.py, carried out by a page.

Runs in the host's namespace together with the browser, since that is where its DevTools can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.browser.chromium import FLAGS

PAGE = Path(__file__).parent / "party.html"
UP_SECONDS = 25.0
OWN_FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    # Also what lets the page see the addresses of the host, as a page does that was allowed to use the microphone.
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-port=0",
)


class BrowserParty:
    """A Chromium with one page; `run()` ends it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="peerlab-chromium-"))
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._process: asyncio.subprocess.Process | None = None

    def write(self, message: dict[str, Any]) -> None:
        os.write(1, json.dumps(message).encode() + b"\n")

    async def run(self) -> None:
        reader = asyncio.StreamReader(limit=2**20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with aiohttp.ClientSession() as session:
            try:
                await self._open(session)
                self.write({"event": "ready"})
                while line := await reader.readline():
                    message = json.loads(line)
                    if message.get("do") == "stop":
                        break
                    self._spawn(self._obey(message))
            finally:
                await self._close()

    async def _open(self, session: aiohttp.ClientSession) -> None:
        flags = [flag for flag in FLAGS if "loopback" not in flag]
        self._process = await asyncio.create_subprocess_exec(
            *("chromium", *flags, *OWN_FLAGS, f"--user-data-dir={self._folder}", PAGE.as_uri()),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        async with asyncio.timeout(UP_SECONDS):
            address = await self._page(session)
            self._socket = await session.ws_connect(address, max_msg_size=2**24)
        self._spawn(self._read(self._socket))
        await self._command("Runtime.enable")
        await self._command("Runtime.addBinding", name="report")
        await self._loaded()

    async def _loaded(self) -> None:
        while True:
            if await self._evaluate("typeof window.obey === 'function'"):
                return
            await asyncio.sleep(0.02)

    async def _page(self, session: aiohttp.ClientSession) -> str:
        """The WebSocket address of the page's DevTools."""
        told = self._folder / "DevToolsActivePort"
        while True:
            await asyncio.sleep(0.05)
            with contextlib.suppress(OSError, aiohttp.ClientError, IndexError, ValueError):
                port = int(told.read_text().split()[0])
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [page for page in await answer.json() if page["url"] == PAGE.as_uri()]
                    return str(pages[0]["webSocketDebuggerUrl"])

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for each in socket:
            message = each.json()
            if (waiting := self._answers.pop(message.get("id"), None)) is not None:
                waiting.set_result(message)
            elif message.get("method") == "Runtime.bindingCalled":
                self._told(json.loads(message["params"]["payload"]))
            elif message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                self.write(
                    {"event": "error", "text": details.get("exception", details).get("description", str(details))}
                )

    def _told(self, message: dict[str, Any]) -> None:
        if "at" in message:
            message["at"] = _moment(message["at"])
        if "arrivals" in message:
            message["arrivals"] = {key: [_moment(at) for at in notes] for key, notes in message["arrivals"].items()}
        self.write(message)

    async def _obey(self, message: dict[str, Any]) -> None:
        try:
            await self._evaluate(f"window.obey({json.dumps(message)})")
        except RuntimeError as error:
            self.write({"event": "error", "text": str(error)})

    async def _evaluate(self, expression: str) -> Any:
        answer = await self._command("Runtime.evaluate", expression=expression, awaitPromise=True)
        if "exceptionDetails" in answer.get("result", {}):
            details = answer["result"]["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", str(details)))
        return answer.get("result", {}).get("result", {}).get("value")

    async def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer: dict[str, Any] = await self._answers[number]
        return answer

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _moment(milliseconds: float) -> float:
    """The browser's wall clock on the clock that all parties note times by."""
    return milliseconds / 1000 - (time.time() - time.monotonic())


if __name__ == "__main__":
    asyncio.run(BrowserParty().run())
