"""The channel over a WebSocket: addresses, servers that are none, servers that go away or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from peer.errors import SignalingError, Unreachable, UsageError
from peer.websocket import WebSocketConnect, endpoint
from signaling.app import Limits, Server, Settings
from signaling.messages import ErrorMessage, Joined, Member, MessageTo, Welcome, encode
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WELCOME = encode(Welcome(1, "id", "lab", "alice", [Member("b", "bob")], []))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8080", "ws://localhost:8080/ws"),
        ("https://example.org", "wss://example.org/ws"),
        ("localhost:8080", "ws://localhost:8080/ws"),
        ("example.org", "ws://example.org/ws"),
        ("ws://example.org/ws", "ws://example.org/ws"),
        ("wss://example.org/behind/proxy/", "wss://example.org/behind/proxy/ws"),
        ("http://[::1]:8080/?room=lab#top", "ws://[::1]:8080/ws"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert endpoint(url) == address


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org", "http://", "http://:80", "http://[::1", "http://host:port", "http://host:99999"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="write one like http://localhost:8080"):
        endpoint(url)
    with pytest.raises(UsageError):
        WebSocketConnect(url)


@contextlib.asynccontextmanager
async def server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server with a mind of its own."""
    application = web.Application()
    application.router.add_get("/ws", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def saying(*texts: str | bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        for text in texts:
            await (socket.send_str(text) if isinstance(text, str) else socket.send_bytes(text))
        while (await socket.receive()).type is WSMsgType.TEXT:
            pass
        return socket

    return handle


async def test_nobody_listens_there() -> None:
    async with server(saying()) as url:
        pass
    with pytest.raises(Unreachable, match="cannot be reached .*start it with: peer serve"):
        await soon(WebSocketConnect(url)("lab", "alice"))


async def test_a_server_without_signaling() -> None:
    async with server(saying()) as url:
        with pytest.raises(Unreachable, match="HTTP 404"):
            await soon(WebSocketConnect(f"{url}/elsewhere")("lab", "alice"))


async def test_a_server_that_does_not_answer() -> None:
    async with server(saying()) as url:
        with pytest.raises(Unreachable, match="does not answer within 0.2 s"):
            await soon(WebSocketConnect(url, timeout=0.2)("lab", "alice"))


@pytest.mark.parametrize("answer", ["nonsense", "{}", "[]", '{"type":"welcome"}', '{"type":"left","member":1}'])
async def test_a_server_that_answers_nonsense(answer: str) -> None:
    async with server(saying(answer)) as url:
        with pytest.raises(SignalingError, match="cannot be read"):
            await soon(WebSocketConnect(url)("lab", "alice"))


async def test_a_server_that_answers_something_else() -> None:
    async with server(saying('{"type":"message","from":"x","data":1}')) as url:
        with pytest.raises(SignalingError, match="answered a join with MessageFrom"):
            await soon(WebSocketConnect(url)("lab", "alice"))
    async with server(saying(b"\0")) as url:
        with pytest.raises(Unreachable):
            await soon(WebSocketConnect(url)("lab", "alice"))


async def test_nonsense_in_a_room_is_told_and_harms_nothing_here() -> None:
    async with server(saying(WELCOME, "nonsense")) as url:
        channel = await soon(WebSocketConnect(url)("lab", "alice"))
        assert channel.welcome.members[0].name == "bob"
        with pytest.raises(SignalingError, match="cannot be read"):
            await soon(channel.receive())
        await channel.close()


async def test_a_server_that_goes_away() -> None:
    async with Server(Settings(port=0)) as running:
        channel = await soon(WebSocketConnect(running.url)("lab", "alice"))
        receiving = asyncio.ensure_future(channel.receive())
        closing = asyncio.ensure_future(running.close())
        with contextlib.suppress(Unreachable):  # a last word of the server may come first
            while True:
                await soon(receiving)
                receiving = asyncio.ensure_future(channel.receive())
        await closing
        with pytest.raises(Unreachable):
            await channel.send(MessageTo("x", 1))
        await channel.close()
        await channel.close()


async def test_a_connection_that_breaks_while_receiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a ping was waiting, and its pong can no more be sent."""

    async def broken() -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    async with Server(Settings(port=0)) as running:
        channel = await soon(WebSocketConnect(running.url)("lab", "alice"))
        monkeypatch.setattr(channel._socket, "receive", broken)
        with pytest.raises(Unreachable):
            await channel.receive()
        monkeypatch.undo()
        await channel.close()


async def test_data_that_json_cannot_hold_is_the_callers_mistake() -> None:
    async with Server(Settings(port=0)) as running:
        channel = await soon(WebSocketConnect(running.url)("lab", "alice"))
        with pytest.raises(UsageError, match="plain values"):
            await channel.send(MessageTo("x", object()))
        await channel.close()


async def test_a_full_room_is_refused_with_its_code() -> None:
    async with Server(Settings(port=0, limits=Limits(room_size=1))) as running:
        first = await soon(WebSocketConnect(running.url)("lab", "alice"))
        with pytest.raises(SignalingError) as caught:
            await soon(WebSocketConnect(running.url)("lab", "bob"))
        assert caught.value.code == "room-full"
        await first.close()


async def test_a_join_that_is_cancelled_leaves_nothing() -> None:
    async with server(saying()) as url:
        joining = asyncio.ensure_future(WebSocketConnect(url)("lab", "alice"))
        await asyncio.sleep(0.02)
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining


async def test_a_client_whose_network_changed_takes_its_place_over() -> None:
    async with Server(Settings(port=0)) as signaling:
        connect = WebSocketConnect(signaling.url)
        first = await connect("lab", "alice")
        other = await connect("lab", "bob")
        with pytest.raises(SignalingError):
            await connect("lab", "alice")  # somebody else of that name
        assert isinstance(await soon(first.receive()), Joined)
        first.abort()
        with pytest.raises(Unreachable):
            await soon(first.receive())
        second = await connect("lab", "alice", first)
        told = [await soon(other.receive()) for _ in range(2)]
        assert [type(message).__name__ for message in told] == ["Left", "Joined"]
        assert second.welcome.id != first.welcome.id
        for channel in (first, second, other):
            await channel.close()


async def test_a_dead_connection_is_told_that_it_was_replaced() -> None:
    async with Server(Settings(port=0)) as signaling:
        connect = WebSocketConnect(signaling.url)
        first = await connect("lab", "alice")
        second = await connect("lab", "alice", first)  # before the server noticed anything
        message = await soon(first.receive())
        assert isinstance(message, ErrorMessage) and message.code == "replaced"
        with pytest.raises(Unreachable):
            await soon(first.receive())
        await first.close()
        await second.close()
