"""The flags for operation, and the end by SIGTERM: clients are sent elsewhere first, a second one ends at once."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from peer.cli.operating import OperatingFlags
from peer.errors import UsageError
from signaling.app import Limits
from tests.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

JOIN = '{"type":"join","version":1,"room":"lab","name":"%s"}'


def test_limits_by_name() -> None:
    limits = OperatingFlags(limit=["connections=5000", "caller_joins=2.5", " heartbeat = 7 "]).limits(room_size=8)
    assert limits == Limits(connections=5000, caller_joins=2.5, heartbeat=7.0, room_size=8)
    with pytest.raises(UsageError, match="there is no such limit; use one of answer-timeout, burst"):
        OperatingFlags(limit=["x"]).limits(1)


def test_what_is_shown_has_file_names_and_no_secrets(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery\n")
    flags = OperatingFlags(admin_secret_file=secret, trust_proxy=["10.0.0.0/8"])
    assert flags.operation().admin_secret == "correct horse battery"
    assert "horse" not in json.dumps(flags.shown()) + repr(flags) + repr(flags.operation())
    assert flags.shown()["trust_proxy"] == ["10.0.0.0/8"]
    secret.write_text("one\ntwo")
    with pytest.raises(UsageError, match="write one line"):
        flags.operation()


@pytest.mark.parametrize(("flags", "secure"), [
    (OperatingFlags(), False),
    (OperatingFlags(tls_cert=Path("c"), tls_key=Path("k")), True),
    (OperatingFlags(trust_proxy=["10.0.0.0/8"]), True),
])  # fmt: skip
def test_who_is_warned_of_plain_http(flags: OperatingFlags, secure: bool) -> None:
    assert flags.secure is secure


async def in_a_drain(folder: Path, then: Callable[[Command, Any, ClientSession], Awaitable[None]]) -> str:
    """What a server logs that has a client and all the time to send it elsewhere; `then` says what happens."""
    with Command("serve", "--port", "0", "--json", "--drain", "60", "--log-format", "json", cwd=folder) as server:
        url = json.loads((await asyncio.to_thread(server.wait_for, r"^\{.*\}$"))[0])["url"]
        async with ClientSession() as session, asyncio.timeout(30):
            clients = [await session.ws_connect(f"{url}/ws") for _ in range(2)]
            for number, client in enumerate(clients):
                await client.send_str(JOIN % number)
                assert (await client.receive_json())["type"] == "welcome"
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for, "clients are sent elsewhere, over 60 s")
            with pytest.raises(WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}/ws")
            assert refused.value.status == 503
            async with session.get(f"{url}/healthz") as response:
                assert (response.status, (await response.json())["status"]) == (503, "draining")
            await then(server, clients, session)
        assert await asyncio.to_thread(server.end) == 0
    return server.err


@pytest.mark.slow
async def test_sigterm_sends_clients_elsewhere_and_ends_when_they_are_gone(tmp_path: Path) -> None:
    async def they_go(server: Command, clients: Any, session: ClientSession) -> None:
        for client in clients:
            await client.close()

    lines = [json.loads(line) for line in (await in_a_drain(tmp_path, they_go)).splitlines()]
    assert all(line["level"] in {"info", "warning"} for line in lines)
    assert sum(line.get("room") == "lab" and len(line["participant"]) == 16 for line in lines) == 2


@pytest.mark.slow
async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async def once_more(server: Command, clients: Any, session: ClientSession) -> None:
        server.signal(signal.SIGTERM)
        for client in clients:
            async for _ in client:
                pass
            assert client.close_code == 1001

    await in_a_drain(tmp_path, once_more)
