"""WebDriver BiDi over an aiohttp WebSocket: commands and their answers, no events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import aiohttp

COMMAND_SECONDS = 30.0


class BidiError(Exception):
    """The browser refused a command."""


class Bidi:
    """One connection. `connect()` first, `close()` last."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(self, url: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(f"{url}/session", max_msg_size=0)
        self._reader = asyncio.create_task(self._read(self._socket))

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result. Raises BidiError; TimeoutError after COMMAND_SECONDS."""
        assert self._socket is not None, "connect() first"
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_json({"id": number, "method": method, "params": parameters})
            answer = await asyncio.wait_for(future, COMMAND_SECONDS)
        finally:
            del self._waiting[number]
        if answer.get("type") == "error":
            raise BidiError(f"{method}: {answer.get('error')}: {answer.get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                answer = message.json()
                future = self._waiting.get(answer.get("id"))
                if future is not None and not future.done():
                    future.set_result(answer)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(BidiError("the browser is gone"))

    async def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._socket.close(), 2)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
