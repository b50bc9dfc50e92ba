"""Many WebSocket clients in one process, light enough that the server they talk to is what is measured.

They speak the two protocols that bench/rooms.py compares: ours (docs/protocol.md) and Socket.IO 5 over Engine.IO 4.
Frames are made and taken apart here, with a mask of zeros (RFC 6455 section 5.3), and only the time in a message is
looked for once clients have joined.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

TEXT, PING, PONG = 1, 9, 10
FILLING: Final = "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.17 rport 46154 " * 2
"""What a message carries: about as long as an ICE candidate with its surroundings."""
TICK: Final = 0.005
"""Seconds between two batches of messages that are sent at a given rate."""
_CLOCK: Final = b'"t":'


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Ours:
    """Members of rooms."""

    path = "/ws"

    @staticmethod
    def join(room: str, name: str) -> bytes:
        return json.dumps({"type": "join", "version": 1, "room": room, "name": name}).encode()

    @staticmethod
    def message(to: str, now: int) -> bytes:
        return b'{"type":"message","to":"%b","data":{"t":%d,"x":"%b"}}' % (to.encode(), now, FILLING.encode())

    @staticmethod
    def own_id(text: bytes) -> str | None:
        """The id that a message tells its receiver, if it does."""
        said = json.loads(text)
        return str(said["id"]) if said["type"] == "welcome" else None

    @staticmethod
    def pinged(text: bytes) -> bytes | None:
        return None

    @staticmethod
    def welcomed(text: bytes) -> bool:
        return False


class SocketIo:
    """The same with Socket.IO: rooms, and messages to one socket."""

    path = "/socket.io/?EIO=4&transport=websocket"

    @staticmethod
    def join(room: str, name: str) -> bytes:
        return b"42" + json.dumps(["join", room]).encode()

    @staticmethod
    def message(to: str, now: int) -> bytes:
        return b'42["message","%b",{"t":%d,"x":"%b"}]' % (to.encode(), now, FILLING.encode())

    @staticmethod
    def own_id(text: bytes) -> str | None:
        return str(json.loads(text[2:])[1]) if text.startswith(b'42["joined"') else None

    @staticmethod
    def pinged(text: bytes) -> bytes | None:
        """What to answer to Engine.IO's ping, or to its hello."""
        return b"3" if text == b"2" else b"40" if text[:1] == b"0" else None

    @staticmethod
    def welcomed(text: bytes) -> bool:
        """Whether that is the answer to our hello."""
        return text.startswith(b"40")


DIALECTS: Final = {"ours": Ours, "socket.io": SocketIo}


class Client(asyncio.Protocol):
    """One connection; `taken` is called with the age in seconds of each message that comes."""

    def __init__(self, load: Load, url: str, room: str, name: str) -> None:
        self._load, self._room, self._name = load, room, name
        self._dialect = load.dialect
        parts = urlsplit(url)
        key = base64.b64encode(os.urandom(16)).decode()
        self._hello = (
            f"GET {self._dialect.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        self._data = b""
        self._opened = False
        self.joined: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self.to = ""
        """Whom it sends to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self._hello)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.joined.done():
            self.joined.set_exception(error or ConnectionResetError("the server closed the connection"))
        self._load.lost += 1

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        at, end = 0, len(data)
        if not self._opened:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._data = data
                return
            if b" 101 " not in data[:20]:
                raise ConnectionResetError(data[:200].decode(errors="replace"))
            self._opened = True
            if self._dialect is Ours:
                self._say(Ours.join(self._room, self._name))
        while at + 2 <= end:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + size > end:
                break
            self._take(data[at] & 0x0F, data[start : start + size])
            at = start + size
        self._data = data[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        at = payload.find(_CLOCK)
        if at >= 0:
            self._load.came(int(payload[at + 4 : payload.index(b",", at)]), self)
        elif opcode == PING:
            self.transport.write(frame(payload, PONG))
        elif opcode == TEXT and not self.joined.done() and (own := self._dialect.own_id(payload)):
            self.joined.set_result(own)
        elif (answer := self._dialect.pinged(payload)) is not None:
            self._say(answer)
        elif self._dialect.welcomed(payload):
            self._say(self._dialect.join(self._room, self._name))

    def _say(self, payload: bytes) -> None:
        self.transport.write(frame(payload))

    def send(self) -> None:
        self.transport.write(frame(self._dialect.message(self.to, time.perf_counter_ns())))


@dataclass
class Load:
    """All clients of one server."""

    dialect: Any
    urls: list[str]
    """Of its nodes: the members of a room are spread over them."""
    clients: list[Client] = field(default_factory=list)
    lost: int = 0
    _came: Callable[[int, Client], None] | None = None

    def came(self, sent: int, client: Client) -> None:
        if self._came is not None:
            self._came(sent, client)

    async def join(self, rooms: int, members: int) -> None:
        """So many rooms of so many members each; everybody sends to the next one in the room."""
        loop = asyncio.get_running_loop()
        before = len(self.clients)
        for number in range(before, before + rooms):
            room = []
            for member in range(members):
                url = self.urls[member % len(self.urls)]
                host, port = urlsplit(url).hostname, urlsplit(url).port
                client = Client(self, url, f"room-{number}", f"member-{member}")
                await loop.create_connection(lambda client=client: client, host, port)
                room.append(client)
            ids = [await asyncio.wait_for(client.joined, 20) for client in room]
            for client, following in zip(room, ids[1:] + ids[:1], strict=True):
                client.to = following
            self.clients += room

    async def flood(self, seconds: float, under_way: int) -> float:
        """Messages per second that come through, while every client has `under_way` of its own on the way."""
        count = 0

        def came(sent: int, client: Client) -> None:
            nonlocal count
            count += 1
            client.send()

        self._came = came
        for client in self.clients * under_way:
            client.send()
        await asyncio.sleep(seconds / 4)
        count, began = 0, time.perf_counter()
        await asyncio.sleep(seconds)
        rate = count / (time.perf_counter() - began)
        self._came = None
        await asyncio.sleep(0.5)
        return rate

    async def paced(self, seconds: float, rate: float) -> list[float]:
        """Seconds that messages were under way, at so many per second."""
        ages: list[float] = []
        self._came = lambda sent, client: ages.append((time.perf_counter_ns() - sent) * 1e-9)
        began, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < seconds:
            for number in range(sent, int(elapsed * rate)):
                self.clients[number * 7 % len(self.clients)].send()
            sent = int(elapsed * rate)
            await asyncio.sleep(TICK)
        await asyncio.sleep(0.5)
        self._came = None
        if len(ages) < sent:
            raise ConnectionError(f"{sent - len(ages)} of {sent} messages did not come")
        return sorted(ages)

    async def close(self) -> None:
        for client in self.clients:
            client.transport.abort()
        await asyncio.sleep(0.5)


class Generator:
    """A load in a process of its own."""

    def __init__(self, dialect: str, urls: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, dialect, urls), daemon=True)
        self._process.start()

    async def ask(self, name: str, *values: Any) -> Any:
        """Call a method of the `Load`."""
        self._pipe.send((name, *values))
        found = await asyncio.to_thread(self._pipe.recv)
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        await self.ask("close")
        await asyncio.to_thread(self._process.join, 10)


def _run(pipe: Connection, dialect: str, urls: list[str]) -> None:
    uvloop.run(_serve(pipe, Load(DIALECTS[dialect], urls)))


async def _serve(pipe: Connection, load: Load) -> None:
    while True:
        name, *values = await asyncio.to_thread(pipe.recv)
        try:
            pipe.send(await getattr(load, name)(*values))
        except Exception as error:
            pipe.send(ConnectionError(repr(error)))
        if name == "close":
            return
