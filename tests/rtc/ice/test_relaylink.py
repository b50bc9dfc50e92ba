"""What carries messages to a TURN server brings them whole, and tells when it is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from peer.rtc.ice.relaylink import Link, Way, connect
from peer.rtc.ice.servers import parse_server_url
from peer.rtc.ice.stun import Class, Message, Method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.rtc.ice.lookup import ServerFailed

ANSWER = Message(Method.BINDING, Class.RESPONSE, bytes(12)).encode()


class Taker:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.failures: list[ServerFailed] = []
        self.changed = asyncio.Event()

    def received(self, data: bytes, at: float | None = None) -> None:
        self.messages.append(data)
        self.changed.set()

    def link_lost(self, failure: ServerFailed) -> None:
        self.failures.append(failure)
        self.changed.set()

    async def until_changed(self) -> None:
        async with asyncio.timeout(20):
            await self.changed.wait()
        self.changed.clear()


class Peer(asyncio.Protocol):
    """The server's end of a TCP connection."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = b""
        self.there = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.there.set()

    def data_received(self, data: bytes) -> None:
        self.received += data


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, int]]:
    peer = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
    yield peer, server.sockets[0].getsockname()[1]
    server.close()
    if peer.there.is_set():
        peer.transport.abort()


async def opened(port: int, taker: Taker) -> Link:
    url = parse_server_url(f"turn:127.0.0.1:{port}?transport=tcp", "user", "password")
    return await connect(url, ("127.0.0.1", port), taker, Way())


async def test_messages_come_whole(peer: tuple[Peer, int]) -> None:
    server, port = peer
    taker = Taker()
    link = await opened(port, taker)
    await server.there.wait()
    server.transport.write(ANSWER[:7])
    server.transport.write(ANSWER[7:] + ANSWER)
    while len(taker.messages) < 2:
        await taker.until_changed()
    assert taker.messages == [ANSWER, ANSWER]
    link.close()
    link.close()
    link.write(b"nothing")
    assert link.waiting() == 0
    assert taker.failures == []


async def test_a_server_that_hangs_up_is_told(peer: tuple[Peer, int]) -> None:
    server, port = peer
    taker = Taker()
    await opened(port, taker)
    await server.there.wait()
    server.transport.close()
    await taker.until_changed()
    assert [str(failure) for failure in taker.failures] == ["it closed the connection"]


async def test_after_the_link_was_closed_in_the_middle_nothing_comes(peer: tuple[Peer, int]) -> None:
    server, port = peer
    taker = Taker()
    link = await opened(port, taker)
    await server.there.wait()
    take = taker.received

    def take_one(data: bytes) -> None:
        take(data)
        link.close()

    taker.received = take_one  # type: ignore[method-assign]
    server.transport.write(ANSWER * 3)
    await taker.until_changed()
    assert taker.messages == [ANSWER]


def test_the_local_address_has_to_be_of_the_same_family() -> None:
    way = Way(local_addresses=("192.0.2.1", "2001:db8::1"))
    assert way.source(("198.51.100.1", 3478)) == "192.0.2.1"
    assert way.source(("2001:db8::99", 3478)) == "2001:db8::1"
    assert Way().source(("198.51.100.1", 3478)) is None
