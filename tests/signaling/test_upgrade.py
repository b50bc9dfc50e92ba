"""From HTTP to a WebSocket, byte by byte: the handshake, what aiohttp is left with, and how the socket is closed."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from signaling.app import Limits
from signaling.frames import CLOSE, PING, TEXT
from tests.signaling.helpers import DEADLINE, connections, hub_of, until
from tests.signaling.test_frames import sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, section 1.3, with what a server answers to it
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
JOIN = json.dumps({"type": "join", "version": 1, "room": "lab", "name": "raw"}).encode()


class Raw:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, behind: bytes = b"", path: str = "/ws", **changed: str | None) -> None:
        """Sends a request for a WebSocket, with other headers or without some."""
        headers: dict[str, str | None] = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": KEY,
        }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        self.writer.write("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode() + behind)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        async with asyncio.timeout(DEADLINE):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def opened(self, behind: bytes = b"") -> Raw:
        self.ask(behind)
        assert (await self.head())[0] == 101
        return self

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server, which is whole and not masked."""
        async with asyncio.timeout(DEADLINE):
            first, size = await self.reader.readexactly(2)
            assert first & 0x80 and size < 127
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            return first & 0x0F, await self.reader.readexactly(size)

    async def said(self) -> dict[str, Any]:
        kind, payload = await self.frame()
        assert kind == TEXT
        message: dict[str, Any] = json.loads(payload)
        return message

    async def ended(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read() == b""


@asynccontextmanager
async def raw(server: Server) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_handshake_of_the_standard(serve: Serve) -> None:
    async with raw(await serve()) as client:
        client.ask()
        assert await client.head() == (
            101,
            {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPTED},
        )


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Upgrade": None}, 400),
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "close"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "?" * 24}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": None}, 426),
    ],
)
async def test_what_is_no_handshake_is_refused(serve: Serve, changed: dict[str, str | None], status: int) -> None:
    server = await serve()
    async with raw(server) as client:
        client.ask(**changed)
        found, headers = await client.head()
        assert found == status
        if status == 426:  # RFC 6455, section 4.4
            assert headers["Sec-WebSocket-Version"] == "13"
        assert connections(server) == 0


async def test_the_sub_protocol_is_one_that_both_know(serve: Serve) -> None:
    server = await serve()
    async with raw(server) as client:
        client.ask(path="/?room=lab", Sec_WebSocket_Protocol="soap, json")
        status, headers = await client.head()
        assert (status, headers["Sec-WebSocket-Protocol"]) == (101, "json")
    async with raw(server) as client:
        client.ask(Sec_WebSocket_Protocol="soap")
        status, headers = await client.head()
        assert (status, "Sec-WebSocket-Protocol" in headers) == (101, False)


async def test_who_does_not_wait_for_the_answer_is_heard(serve: Serve) -> None:
    async with raw(await serve()) as client:
        await client.opened(sent(TEXT, JOIN))
        assert (await client.said())["type"] == "welcome"


async def test_a_request_with_a_body_is_no_harm(serve: Serve, join: Connect) -> None:
    server = await serve()
    async with raw(server) as client:
        client.ask(b"x" * 10, Content_Length="10")
        async with asyncio.timeout(DEADLINE):
            await client.reader.read(20)
    await join(server, "alice")
    await until(lambda: connections(server) == 1)


async def test_the_connection_is_none_of_aiohttp_any_more(serve: Serve) -> None:
    server = await serve()
    before = len(asyncio.all_tasks())
    async with raw(server) as client:
        await client.opened()
        assert server._runner is not None and server._runner.server is not None
        await until(lambda: len(asyncio.all_tasks()) == before)
        assert server._runner.server.connections == []
        client.writer.write(sent(TEXT, JOIN))
        assert (await client.said())["type"] == "welcome"
        assert hub_of(server).connection_count == 1
    await until(lambda: connections(server) == 0)


async def test_a_close_is_answered_with_its_code_and_the_end(serve: Serve) -> None:
    server = await serve()
    async with raw(server) as client:
        await client.opened()
        client.writer.write(sent(CLOSE, (3001).to_bytes(2) + b"why not") + sent(TEXT, JOIN))
        assert await client.frame() == (CLOSE, (3001).to_bytes(2))
        assert await client.ended()
    await until(lambda: connections(server) == 0)


async def test_who_is_sent_away_closes_first(serve: Serve) -> None:
    server = await serve(limits=Limits(close_timeout=1000))
    async with raw(server) as client:
        await client.opened(sent(TEXT, b'{"type":"leave"}'))
        assert await client.frame() == (CLOSE, (1000).to_bytes(2))
        client.writer.write(sent(TEXT, JOIN))  # it did not know yet
        assert connections(server) == 1
        client.writer.write(sent(CLOSE, (1000).to_bytes(2)))
        assert await client.ended()
    await until(lambda: connections(server) == 0)


@pytest.mark.virtual_time
async def test_who_does_not_close_is_closed(serve: Serve) -> None:
    server = await serve(limits=Limits(close_timeout=5))
    async with raw(server) as client:
        await client.opened(sent(TEXT, b'{"type":"leave"}'))
        began = asyncio.get_running_loop().time()
        assert await client.frame() == (CLOSE, (1000).to_bytes(2))
        assert await client.ended()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.1)
    await until(lambda: connections(server) == 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\x89\x00", 1002), (sent(PING, b"", final=False), 1002), (sent(TEXT, b"\xff"), 1007)],
)
async def test_what_is_no_frame_ends_one_connection(serve: Serve, join: Connect, data: bytes, code: int) -> None:
    server = await serve()
    alice = await join(server, "alice")
    async with raw(server) as client:
        await client.opened(sent(TEXT, JOIN))
        assert (await alice.next("joined"))["member"]["name"] == "raw"
        client.writer.write(data + sent(TEXT, b"never read"))
        assert (await client.said())["type"] == "welcome"
        assert await client.frame() == (CLOSE, code.to_bytes(2))
        assert (await alice.next("left"))["reason"] == "lost"
