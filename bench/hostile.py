"""Clients that come and go, vanish, or do what they should not: each act is one short life, and what the server said.

Every act knows what it has to be told; anything else is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import ClientError, WSMsgType
from wsload import TEXT, frame

from signaling.credentials import Claims, mint
from signaling.keys import secret_key
from signaling.messages import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import ClientSession, ClientWebSocketResponse

OFFER: Final = {"type": "offer", "sdp": "v=0\r\n"}
HEADER: Final = (
    b"GET /ws HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


@dataclass
class World:
    """Where the acts are done. `rooms` and `names`: of the well-behaved."""

    url: str
    rooms: list[str]
    names: list[str]
    secret: str
    chance: random.Random
    session: ClientSession
    _lives: int = 0

    def token(self, room: str, name: str = "*", ttl: float = 24 * 3600.0) -> str:
        return mint(Claims(exp=time.time() + ttl, room=room, name=name), secret_key(self.secret))

    def room(self) -> str:
        return self.chance.choice(self.rooms)

    def join(self, **fields: Any) -> dict[str, Any]:
        """The first message of a new one, in some room."""
        self._lives += 1
        room = fields.get("room") or self.room()
        said = {"type": "join", "version": 1, "room": room, "name": f"stranger-{self._lives}"}
        return {"token": self.token(room), **said, **fields}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[ClientWebSocketResponse]:
        async with self.session.ws_connect(f"{self.url}/ws", max_msg_size=0) as ws:
            yield ws

    @contextlib.asynccontextmanager
    async def joined(self, **fields: Any) -> AsyncIterator[tuple[ClientWebSocketResponse, dict[str, Any]]]:
        """One in a room, and its `welcome`."""
        async with self.opened() as ws:
            await ws.send_json(self.join(**fields))
            yield ws, await told(ws, "welcome")

    async def socket(self, *, narrow: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection without any protocol. `narrow`: next to nothing waits in it."""
        parts = urlsplit(self.url)
        sock = socket.socket()
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        return await asyncio.open_connection(sock=sock, limit=1024)


async def told(ws: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next message of this type; raises ConnectionError when there is none."""
    async for said in ws:
        if said.type is WSMsgType.TEXT and (message := json.loads(said.data))["type"] == kind:
            found: dict[str, Any] = message
            return found
    raise ConnectionError(f"closed ({ws.close_code}) before it said {kind}")


async def last_word(ws: ClientWebSocketResponse) -> str:
    """The code of the last error before the server closes, else the close code."""
    code = ""
    async for said in ws:
        if said.type is WSMsgType.TEXT and (message := json.loads(said.data))["type"] == "error":
            code = message["code"]
    return code or str(ws.close_code)


def cut(ws: ClientWebSocketResponse) -> None:
    """The connection breaks, without a goodbye."""
    with contextlib.suppress(OSError):
        ws.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


# What they do


async def visit(world: World) -> str:
    async with world.joined() as (ws, welcome):
        for member in welcome["members"]:
            await ws.send_json({"type": "message", "to": member["id"], "data": "hello"})
        await asyncio.sleep(world.chance.random())
        await ws.send_json({"type": "leave"})
        return await last_word(ws)


async def vanish(world: World) -> str:
    async with world.joined() as (ws, _):
        await asyncio.sleep(world.chance.random())
        cut(ws)
    return "cut"


async def vanish_for_good(world: World) -> str:
    async with world.joined(secret="abc", resume=True) as (ws, _):
        cut(ws)
    return "cut"


async def come_back(world: World) -> str:
    async with world.joined(secret="abc", resume=True) as (ws, welcome):
        cut(ws)
    await asyncio.sleep(world.chance.random())
    return await _resume(world, welcome, "abc")


async def come_back_unnoticed(world: World) -> str:
    """The connection before is still open."""
    async with world.joined(secret="abc", resume=True) as (ws, welcome):
        resumed = await _resume(world, welcome, "abc")
        return resumed if resumed != "resumed" else await last_word(ws)


async def _resume(world: World, welcome: dict[str, Any], secret: str) -> str:
    """Whether it has that place, which it leaves then."""
    async with world.opened() as ws:
        place = {"room": welcome["room"], "id": welcome["id"], "secret": secret, "got": 1}
        await ws.send_json({"type": "resume", "version": 1, **place})
        async for said in ws:
            message = json.loads(said.data)
            if message["type"] == "error":
                return str(message["code"])
            if message["type"] == "resumed":
                await ws.send_json({"type": "leave"})
                await last_word(ws)
                return "resumed"
        return str(ws.close_code)


async def steal_a_place(world: World) -> str:
    async with world.joined() as (_, welcome):
        return await _resume(world, {**welcome, "id": welcome["members"][0]["id"]}, "guessed")


async def take_a_name(world: World) -> str:
    async with world.opened() as ws:
        await ws.send_json(world.join(name=world.chance.choice(world.names)))
        return await last_word(ws)


async def be_mute(world: World) -> str:
    """Reads nothing, so it answers no ping."""
    async with world.joined() as (ws, welcome), world.joined(room=welcome["room"]) as (other, _):
        del ws
        while True:
            gone = await told(other, "left")
            if gone["member"]["id"] == welcome["id"]:
                return str(gone["reason"])


async def read_nothing(world: World) -> str:
    """While another one sends it more than the server keeps for anybody."""
    async with world.joined() as (other, welcome):
        slow = world.join(room=welcome["room"])
        reader, writer = await world.socket(narrow=True)
        try:
            writer.write(HEADER + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame(json.dumps(slow).encode(), TEXT))
            while (member := (await told(other, "joined"))["member"])["name"] != slow["name"]:
                pass
            for _ in range(60):
                await other.send_json({"type": "message", "to": member["id"], "data": "x" * 100_000})
            while (gone := await told(other, "left"))["member"]["id"] != member["id"]:
                pass
            return str(gone["reason"])
        finally:
            writer.transport.abort()


async def flood(world: World) -> str:
    async with world.joined() as (ws, _):
        with contextlib.suppress(ClientError, ConnectionError):
            for _ in range(1500):
                await ws.send_str('{"type":"message","to":"nobody","data":1}')
        return await last_word(ws)


def garbage(text: str | bytes) -> Callable[[World], Awaitable[str]]:
    """A member that sends this."""

    async def act(world: World) -> str:
        async with world.joined() as (ws, _):
            await (ws.send_bytes(text) if isinstance(text, bytes) else ws.send_str(text))
            code: str = (await told(ws, "error"))["code"]
            return code

    return act


async def send_far_too_much(world: World) -> str:
    async with world.joined() as (ws, _):
        with contextlib.suppress(ClientError, ConnectionError):
            await ws.send_str("x" * (5 * MAX_MESSAGE_BYTES))
        return await last_word(ws)


async def never_join(world: World) -> str:
    async with world.opened() as ws:
        return await last_word(ws)


def bad_token(make: Callable[[World, str], str | None]) -> Callable[[World], Awaitable[str]]:
    """Somebody who joins with that."""

    async def act(world: World) -> str:
        async with world.opened() as ws:
            room = world.room()
            await ws.send_json(world.join(room=room, token=make(world, room)))
            return await last_word(ws)

    return act


def raw(data: bytes) -> Callable[[World], Awaitable[str]]:
    """Sends this, and reads what comes: the status of a response, or the close code of a WebSocket."""

    async def act(world: World) -> str:
        reader, writer = await world.socket()
        try:
            writer.write(data)
            answer = bytearray()
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(4096):
                    answer += part
            head, _, rest = bytes(answer).partition(b"\r\n\r\n")
            at = rest.rfind(b"\x88")
            return str(int.from_bytes(rest[at + 2 : at + 4])) if at >= 0 else head[9:12].decode("ascii", "replace")
        finally:
            writer.transport.abort()

    return act


async def half_open(world: World) -> str:
    """Begins to ask for a WebSocket, and goes away after a while."""
    _, writer = await world.socket()
    writer.write(HEADER[: world.chance.randrange(1, len(HEADER))])
    await asyncio.sleep(3 * world.chance.random())
    writer.transport.abort()
    return "cut"


async def _offer(world: World, body: str) -> str:
    room = world.room()
    url = f"{world.url}/rooms/{room}/participants/{world.chance.choice(world.names)}/offer?from=caller"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {world.token(room)}"}
    async with world.session.post(url, data=body, headers=headers) as response:
        return str((await response.json())["code"])


async def call_over_http(world: World) -> str:
    return await _offer(world, json.dumps(OFFER))


async def hang_up_over_http(world: World) -> str:
    try:
        async with asyncio.timeout(world.chance.random()):
            return await _offer(world, json.dumps(OFFER))
    except TimeoutError:
        return "cut"


async def bad_offer(world: World) -> str:
    return await _offer(world, '{"type": "offer", ')


@dataclass(frozen=True)
class Act:
    """What somebody does, and what may come of it. `share`: of all acts, beside others."""

    do: Callable[[World], Awaitable[str]]
    expected: frozenset[str]
    share: float = 1.0


def _act(do: Callable[[World], Awaitable[str]], *expected: str, share: float = 1.0) -> Act:
    return Act(do, frozenset(expected), share)


UPGRADED: Final = HEADER + b"\r\n"
ACTS: Final = {
    "joins, speaks, leaves": _act(visit, "1000", "unknown-target", share=4),
    "joins, vanishes": _act(vanish, "cut", share=2),
    "vanishes, could come back": _act(vanish_for_good, "cut", share=2),
    "vanishes, comes back": _act(come_back, "resumed", share=4),
    "comes back unnoticed": _act(come_back_unnoticed, "replaced"),
    "resumes somebody else": _act(steal_a_place, "cannot-resume"),
    "takes a name": _act(take_a_name, "name-taken"),
    "answers no ping": _act(be_mute, "silent"),
    "reads nothing": _act(read_nothing, "slow-client", share=0.25),
    "floods": _act(flood, "rate-limited", share=0.5),
    "bad JSON": _act(garbage('{"type": '), "bad-json"),
    "deep JSON": _act(garbage('{"type":"message","to":"x","data":' + "[" * 100_000), "bad-json"),
    "no message": _act(garbage('{"type": "message", "to": 7}'), "bad-message"),
    "binary": _act(garbage(bytes(range(256))), "bad-message"),
    "too large": _act(garbage("x" * (MAX_MESSAGE_BYTES + 1)), "too-large"),
    "far too large": _act(send_far_too_much, "1009", "1006"),
    "never joins": _act(never_join, "join-timeout"),
    "no token": _act(bad_token(lambda world, room: None), "token-missing"),
    "no such token": _act(bad_token(lambda world, room: "a.b.c"), "token-invalid"),
    "expired token": _act(bad_token(lambda world, room: world.token(room, ttl=-3600)), "token-expired"),
    "token of another room": _act(bad_token(lambda world, room: world.token(room + "-other")), "forbidden"),
    "half an upgrade": _act(half_open, "cut", share=2),
    "no HTTP": _act(raw(bytes(range(128, 256)) + b"\r\n\r\n"), "400"),
    "endless header": _act(raw(HEADER + b"X: " + b"y" * 100_000 + b"\r\n\r\n"), "400", ""),
    "no such frame": _act(raw(UPGRADED + frame(b"x", 3)), "1002"),
    "no UTF-8": _act(raw(UPGRADED + frame(b"\xff\xfe")), "1007"),
    "offer nobody answers": _act(call_over_http, "no-answer"),
    "offer taken back": _act(hang_up_over_http, "cut"),
    "bad offer": _act(bad_offer, "bad-json"),
}
