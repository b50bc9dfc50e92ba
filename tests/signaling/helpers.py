"""What the tests of the server share: a client that speaks raw JSON, and texts to send."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from signaling.app import HUB, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.hub import Hub

DEADLINE = 10.0
OFFER = {"type": "offer", "sdp": "v=0\r\n"}
ANSWER = {"type": "answer", "sdp": "v=0\r\na=x\r\n"}
CANDIDATE = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


class Client:
    """A WebSocket client; `id` and `welcome` are there after `join`."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws
        self.id = ""
        self.welcome: dict[str, Any] = {}

    @property
    def transport(self) -> asyncio.Transport:
        """The socket below, for breaking it."""
        connection = self.ws._conn
        assert connection is not None
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    async def join(self, name: str, room: str = "lab", **fields: Any) -> Client:
        await self.send(type="join", version=1, room=room, name=name, **fields)
        self.welcome = await self.next("welcome")
        self.id = self.welcome["id"]
        return self

    async def send(self, **message: Any) -> None:
        await self.text(json.dumps(message))

    async def text(self, text: str) -> None:
        await self.ws.send_str(text)

    async def next(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, which has to be of this type."""
        async with asyncio.timeout(DEADLINE):
            frame = await self.ws.receive()
        assert frame.type is WSMsgType.TEXT, frame
        message: dict[str, Any] = json.loads(frame.data)
        assert kind is None or message["type"] == kind, message
        return message

    async def error(self) -> str:
        """The code of the next message, which has to be an error with a sentence."""
        message = await self.next("error")
        assert message["message"].endswith(".")
        assert len(message["message"]) < 500
        return str(message["code"])

    async def close_code(self) -> int | None:
        """Reads to the end; the server's close code."""
        async with asyncio.timeout(DEADLINE):
            async for _ in self.ws:
                pass
        return self.ws.close_code

    async def close(self) -> None:
        await self.ws.close()


def hub_of(server: Server) -> Hub:
    """The inside of a running server."""
    assert server._runner is not None
    return server._runner.app[HUB]


def connections(server: Server) -> int:
    """How many connections the server still counts, with those that are saying goodbye."""
    return len(hub_of(server)._connections)


async def connect(session: ClientSession, url: str, **options: Any) -> Client:
    return Client(await session.ws_connect(f"{url}/ws", **options))


async def hears(speaker: Client, listener: Client, data: Any = "still here") -> None:
    """Whether a message still goes from one to the other, with nothing in between."""
    await speaker.send(type="message", to=listener.id, data=data)
    assert await listener.next() == {"type": "message", "from": speaker.id, "data": data}


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
