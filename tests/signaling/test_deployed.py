"""docs/deploy for real: two nodes behind the TLS proxy of docs/deploy/Caddyfile, one goes away; over Redis too."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSServerHandshakeError

from signaling.forwarded import network
from signaling.operation import Operation
from tests.harness.ports import block
from tests.harness.redis import redis_server
from tests.harness.tools import require
from tests.signaling.helpers import hub_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.redis import RedisServer
    from tests.signaling.conftest import Serve

CADDYFILE = Path(__file__).parents[2] / "docs" / "deploy" / "Caddyfile"
PATIENCE = 30.0
OPTIONS = """
{
    admin off
    skip_install_trust
    auto_https disable_redirects
}
import %s
"""


class Proxy:
    """Caddy with a certificate of its own authority; `url` is where it listens."""

    def __init__(self, folder: Path, listening: int) -> None:
        (caddy,) = require("caddy")
        self._command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        (folder / "Caddyfile").write_text(OPTIONS % CADDYFILE)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._listening = listening
        self.url = f"https://localhost:{listening}"

    def start(self, *ports: int) -> None:
        """Passes on to servers at these ports of this machine."""
        nodes = " ".join(f"127.0.0.1:{number}" for number in ports)
        own = {"DOMAIN": f"localhost:{self._listening}", "NODES": nodes, "HOME": str(self._folder)}
        own |= {"XDG_DATA_HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}
        with (self._folder / "caddy.log").open("wb") as log:
            self._process = subprocess.Popen(self._command, env=os.environ | own, stdout=log, stderr=log)

    async def context(self, session: ClientSession) -> ssl.SSLContext:
        """What trusts its authority, once it answers."""
        root = self._folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    context = ssl.create_default_context(cafile=root)
                    async with session.get(f"{self.url}/healthz", ssl=context) as response:
                        if response.status == 200:
                            return context
                except (OSError, ClientError):
                    pass
                await asyncio.sleep(0.1)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with block() as ports:
        one = Proxy(tmp_path, ports[0])
        yield one
        one.end()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def join(
    session: ClientSession, url: str, context: ssl.SSLContext, name: str, present: set[str] | None = None
) -> ClientWebSocketResponse:
    """In the room, where `present` are, at whichever server lets one in; as a page on the proxy's host would come."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                ws = await session.ws_connect(f"{url}/ws", ssl=context, headers={"Origin": url})
            except WSServerHandshakeError as error:
                assert error.status in {502, 503}
                await asyncio.sleep(0.1)
                continue
            await ws.send_json({"type": "join", "version": 1, "room": "lab", "name": name})
            welcome = await ws.receive_json()
            assert welcome["type"] == "welcome"
            if present is not None:
                assert {member["name"] for member in welcome["members"]} == present
            return ws


async def close_code(client: ClientWebSocketResponse) -> int | None:
    async for _ in client:
        pass
    return client.close_code


@pytest.mark.slow
@pytest.mark.may_block("the proxy is a process that is started and ended")
async def test_two_nodes_behind_tls(serve: Serve, session: ClientSession, proxy: Proxy) -> None:
    operation = Operation(trusted_proxies=(network("127.0.0.1"),), admin_secret="correct horse battery")
    old, new = await serve(operation=operation), await serve(operation=operation)
    proxy.start(old.port, new.port)
    context = await proxy.context(session)
    async with session.get(f"{proxy.url}/admin/v1/rooms", ssl=context) as response:
        assert response.status == 404
    clients = [await join(session, proxy.url, context, name) for name in ("alice", "bob", "carol", "dave")]
    on_old = hub_of(old).connection_count
    assert 0 < on_old < len(clients)  # the proxy spreads them over both
    ends = [asyncio.create_task(close_code(client)) for client in clients]
    await old.drain(3)
    async with asyncio.timeout(PATIENCE):
        codes = [await end for end in itertools.islice(asyncio.as_completed(ends), on_old)]
    assert codes == [1001] * on_old
    moved = [await join(session, proxy.url, context, f"moved {number}") for number in range(on_old)]
    assert hub_of(new).connection_count == len(clients)
    for client in (*clients, *moved):
        await client.close()
    await asyncio.gather(*ends)


@pytest.mark.slow
@pytest.mark.may_block("proxy and Redis are processes that are started and ended")
async def test_members_of_one_room_on_two_nodes_behind_tls(
    serve: Serve, session: ClientSession, proxy: Proxy, redis: RedisServer
) -> None:
    operation = Operation(trusted_proxies=(network("127.0.0.1"),))
    old, new = [await serve(operation=operation, redis=redis.url) for _ in range(2)]
    proxy.start(old.port, new.port)
    context = await proxy.context(session)
    clients: dict[str, ClientWebSocketResponse] = {}
    for name in ("alice", "bob", "carol", "dave"):
        clients[name] = await join(session, proxy.url, context, name, present=set(clients))
    on_old = hub_of(old).connection_count
    assert 0 < on_old < len(clients)
    ends = {asyncio.create_task(close_code(client)): name for name, client in clients.items()}
    await old.drain(3)
    async with session.get(f"{old.url}/healthz") as response:
        assert (response.status, (await response.json())["status"]) == (503, "draining")
    gone = [await end for end in itertools.islice(asyncio.as_completed(ends), on_old)]
    assert gone == [1001] * on_old
    moved = [name for end, name in ends.items() if end.done()]
    clients = {name: client for name, client in clients.items() if name not in moved}
    async with asyncio.timeout(PATIENCE):  # who was told to go is told to the other node soon, not at once
        while {member.name for member in await hub_of(new).administration.members("lab")} != set(clients):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    for name in moved:
        clients[f"{name} again"] = await join(session, proxy.url, context, f"{name} again", present=set(clients))
    assert hub_of(new).connection_count == len(clients) == 4
    redis.kill()
    async with asyncio.timeout(PATIENCE):
        while hub_of(old).trouble is None:  # noqa: ASYNC110 - it finds out by itself
            await asyncio.sleep(0.05)
    async with session.get(f"{old.url}/healthz") as response:
        health = await response.json()
        assert (response.status, health["status"]) == (503, "draining") and "cannot be reached" in health["reason"]
    for client in clients.values():
        await client.close()
    await asyncio.gather(*ends)
