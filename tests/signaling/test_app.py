"""The server as a whole: where it is, how it is, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientConnectionError
from aiohttp.test_utils import TestClient, TestServer

from signaling.app import Limits, PortTaken, Server, Settings, create_app
from tests.signaling.helpers import OFFER, Client, hears

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.signaling.conftest import Connect, Serve

OFFERS = "/rooms/lab/participants/bot/offer"


async def test_health(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    await join(server, "alice")
    async with session.get(f"{server.url}/healthz") as response:
        health = await response.json()
    assert health.pop("version")
    assert health == {"status": "ok", "rooms": 1, "participants": 1}


async def test_the_port_is_known_once_it_is_bound(serve: Serve) -> None:
    server = await serve()
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server.urls == [f"http://localhost:{server.port}"]


@pytest.mark.parametrize(("host", "url"), [
    ("0.0.0.0", "http://127.0.0.1:9"),
    ("::", "http://[::1]:9"),
    ("192.0.2.1", "http://192.0.2.1:9"),
    ("localhost", "http://localhost:9"),
])  # fmt: skip
def test_urls_of_other_hosts(host: str, url: str) -> None:
    server = Server(Settings(host=host, port=9, open=True))
    assert server.url == url
    assert server.urls


async def test_a_server_starts_once(serve: Serve) -> None:
    server = await serve()
    with pytest.raises(RuntimeError):
        await server.start()


async def test_a_taken_port_leaves_nothing_behind(serve: Serve) -> None:
    server = await serve()
    second = Server(Settings(port=server.port))
    with pytest.raises(PortTaken):
        await second.start()
    await second.close()


async def test_the_end_tells_everybody_and_frees_the_port(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve()
    clients = [await join(server, name) for name in ("alice", "bob")] + [await join(server)]
    async with asyncio.TaskGroup() as group:
        codes = [group.create_task(client.close_code()) for client in clients]
        group.create_task(server.close())
        group.create_task(server.close())
    assert [code.result() for code in codes] == [1001] * 3
    with pytest.raises(ClientConnectionError):
        await session.get(server.url)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


@pytest.mark.virtual_time
async def test_the_end_takes_less_than_3_s_whatever_the_clients_do(
    serve: Serve, join: Connect, session: ClientSession
) -> None:
    server = await serve()
    await join(server, "never reads")
    bot = await join(server, "bot")
    url = f"{server.url}/rooms/lab/participants/bot/offer"
    post = asyncio.create_task(session.post(url, json=OFFER))
    await bot.next("description")
    _, half = await asyncio.open_connection("127.0.0.1", server.port)
    half.write(
        b"POST /rooms/lab/participants/bot/offer HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    )
    half.write(b"Host: x\r\n\r\n{")
    await half.drain()
    await asyncio.sleep(0.1)
    before = asyncio.get_running_loop().time()
    await server.close()
    assert asyncio.get_running_loop().time() - before < 3
    assert (await post).status == 503
    half.close()
    await half.wait_closed()


@pytest.mark.virtual_time
async def test_draining_sends_everybody_elsewhere_over_time(
    serve: Serve, join: Connect, session: ClientSession
) -> None:
    server = await serve()
    clients = [await join(server, name, heartbeat=60) for name in ("alice", "bob", "carol")]
    loop = asyncio.get_running_loop()
    begun, gone = loop.time(), []

    async def leave(client: Client) -> None:
        assert await client.close_code() == 1001
        gone.append(loop.time() - begun)

    draining = asyncio.create_task(server.drain(12))
    leaving = [asyncio.create_task(leave(client)) for client in clients]
    await asyncio.sleep(1)
    async with session.get(f"{server.url}/healthz") as response:
        assert (response.status, (await response.json())["status"]) == (503, "draining")
    for refused in (session.get(f"{server.url}/ws"), session.post(f"{server.url}{OFFERS}", json=OFFER)):
        async with refused as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            assert (await response.json())["code"] == "shutting-down"
    await draining
    await asyncio.gather(*leaving)
    assert [round(at) for at in gone] == [0, 3, 6]
    assert loop.time() - begun < 12


@pytest.mark.virtual_time
async def test_who_waits_for_the_answer_of_somebody_who_moves_may_try_again(
    serve: Serve, join: Connect, session: ClientSession
) -> None:
    server = await serve()
    bot = await join(server, "bot")
    post = asyncio.create_task(session.post(f"{server.url}{OFFERS}", json=OFFER))
    await bot.next("description")
    await server.drain(5)
    assert (await bot.next("error"))["retryAfter"] == 1
    response = await post
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.virtual_time
async def test_draining_does_not_wait_for_ever(serve: Serve, join: Connect, session: ClientSession) -> None:
    server = await serve(limits=Limits(close_timeout=100))
    silent = await join(server, "never says goodbye")
    begun = asyncio.get_running_loop().time()
    await server.drain(5)
    assert asyncio.get_running_loop().time() - begun == 5
    silent.transport.abort()


async def test_draining_an_empty_server_takes_no_time(serve: Serve) -> None:
    await (await serve()).drain(60)


async def test_goodbye_is_the_last_that_members_hear(serve: Serve, join: Connect) -> None:
    server = await serve()
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    await hears(alice, bob)
    closing = asyncio.create_task(server.close())
    assert await alice.error() == "shutting-down"
    assert (await bob.error(), await bob.close_code(), await alice.close_code()) == ("shutting-down", 1001, 1001)
    await closing


async def test_a_mistake_of_the_server_is_one_500(
    serve: Serve, session: ClientSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("signaling.asking.origin_allowed", broken)
        async with session.post(f"{server.url}/rooms/lab/participants/bot/offer") as response:
            assert (response.status, (await response.json())["code"]) == (500, "internal-error")
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
    async with session.get(f"{server.url}/healthz") as response:
        assert response.status == 200


async def test_what_is_no_http_is_no_error_of_the_server(serve: Serve) -> None:
    server = await serve()  # which may not log an error
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.0 400") or await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_application_works_in_another_runner() -> None:
    app = create_app(Settings(limits=Limits(close_timeout=0.1)))
    async with TestClient(TestServer(app)) as client:
        ws = await client.ws_connect("/ws")
        await ws.send_str('{"type":"join","version":1,"room":"lab","name":"a"}')
        assert (await ws.receive_json())["type"] == "welcome"
        await ws.close()
