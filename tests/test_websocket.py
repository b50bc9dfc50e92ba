"""The channel over a WebSocket: addresses, servers that are none, servers that go away or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from peer.continuity import UNACKNOWLEDGED
from peer.errors import SignalingError, Unreachable, UsageError
from peer.websocket import WebSocketChannel, WebSocketConnect, endpoint
from signaling.app import Limits, Server, Settings
from signaling.messages import Away, Back, ErrorMessage, Joined, Member, MessageFrom, MessageTo, Welcome, encode
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from signaling.messages import ServerMessage

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


@contextlib.asynccontextmanager
async def two(
    *, limits: Limits | None = None
) -> AsyncIterator[tuple[WebSocketConnect, WebSocketChannel, WebSocketChannel]]:
    """A server, and alice and bob in a room of it; alice has heard of bob."""
    async with Server(Settings(port=0, limits=limits or Limits())) as signaling:
        connect = WebSocketConnect(signaling.url)
        channels = [await connect("lab", name) for name in ("alice", "bob")]
        alice, bob = (channel for channel in channels if isinstance(channel, WebSocketChannel))
        assert isinstance(await soon(alice.receive()), Joined)
        try:
            yield connect, alice, bob
        finally:
            for channel in channels:
                await channel.close()


async def lose(channel: WebSocketChannel) -> None:
    channel.abort()
    with pytest.raises(Unreachable):
        await soon(channel.receive())
    await channel.close()


def data_of(message: ServerMessage) -> object:
    assert isinstance(message, MessageFrom), message
    return message.data


async def test_a_client_that_lost_its_connection_comes_back_to_its_place() -> None:
    async with two() as (connect, alice, bob):
        with pytest.raises(SignalingError):
            await connect("lab", "alice")  # somebody else of that name
        await lose(alice)
        assert isinstance(await soon(bob.receive()), Away)
        for number in range(100):
            await bob.send(MessageTo(alice.welcome.id, number))
        back = await connect("lab", "alice", alice)
        assert back.welcome is alice.welcome
        assert [data_of(await soon(back.receive())) for _ in range(100)] == list(range(100))
        assert isinstance(await soon(bob.receive()), Back)
        for number in range(100):
            await back.send(MessageTo(bob.welcome.id, number))
        assert [data_of(await soon(bob.receive())) for _ in range(100)] == list(range(100))
        await back.close()


async def test_what_the_server_did_not_take_is_sent_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as (connect, alice, bob):
        await alice.send(MessageTo(bob.welcome.id, 1))
        assert data_of(await soon(bob.receive())) == 1

        async def swallow(text: str) -> None:
            pass  # as into the buffer of a socket whose network is gone

        monkeypatch.setattr(alice._socket, "send_str", swallow)
        for number in (2, 3):
            await alice.send(MessageTo(bob.welcome.id, number))
        monkeypatch.undo()
        await lose(alice)
        assert isinstance(await soon(bob.receive()), Away)
        back = await connect("lab", "alice", alice)
        await back.send(MessageTo(bob.welcome.id, 4))
        assert isinstance(await soon(bob.receive()), Back)
        assert [data_of(await soon(bob.receive())) for _ in range(3)] == [2, 3, 4]
        await back.close()


async def test_who_missed_more_than_is_kept_joins_anew_and_takes_its_old_place_over() -> None:
    async with two(limits=Limits(missed_messages=5)) as (connect, alice, bob):
        await lose(alice)
        assert isinstance(await soon(bob.receive()), Away)
        for number in range(6):
            await bob.send(MessageTo(alice.welcome.id, number))
        back = await connect("lab", "alice", alice)
        assert back.welcome.id != alice.welcome.id
        told = [await soon(bob.receive()) for _ in range(2)]
        assert [type(message).__name__ for message in told] == ["Left", "Joined"]
        await back.close()


async def test_more_unacknowledged_than_a_client_keeps_is_a_join_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as (connect, alice, bob):

        async def swallow(text: str) -> None:
            pass

        monkeypatch.setattr(alice._socket, "send_str", swallow)
        for number in range(UNACKNOWLEDGED + 1):
            await alice.send(MessageTo(bob.welcome.id, number))
        monkeypatch.undo()
        await lose(alice)
        with pytest.raises(Unreachable, match="joined anew"):
            await connect("lab", "alice", alice)
        back = await connect("lab", "alice", alice)
        assert back.welcome.id != alice.welcome.id
        await back.close()


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
