"""Each server is asked for what a call wants of it: a real coturn, well and ill, and what answers nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from peer.doctor.nat import filtering_of, judge, mapping_of
from peer.doctor.servers import Named, ServerProbes
from peer.doctor.stunprobe import StunProbe
from peer.rtc.ice.servers import UNREACHABLE, IceSettings, parse_server_url
from tests.harness.coturn import coturn
from tests.rtc.ice.servers_on_loopback import StunServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from peer.doctor.findings import ServerFinding
    from tests.harness.coturn import Coturn

pytestmark = pytest.mark.coturn


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    """With two addresses, so that it does RFC 5780 as well."""
    with coturn(names=("127.0.0.1", "localhost"), addresses=("127.0.0.1", "127.0.0.2")) as server:
        yield server


@contextlib.asynccontextmanager
async def probing(timeout: float = 5.0, local: str = "127.0.0.1", **settings: Any) -> AsyncIterator[ServerProbes]:
    probe = await StunProbe.open(local)
    probes = ServerProbes(IceSettings(**settings), [probe], timeout)
    try:
        yield probes
    finally:
        await probes.close()
        probe.close()


def named(url: str, user: str | None = None, password: str | None = None) -> Named:
    return Named(parse_server_url(url, user, password), "--ice-server")


async def ask(*servers: Named, **how: Any) -> list[ServerFinding]:
    async with probing(**how) as probes:
        return await probes.examine(servers)


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A UDP port that takes everything and answers nothing; nobody listens there by TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def test_a_stun_server_tells_how_we_are_seen(turn: Coturn) -> None:
    async with probing() as probes:
        (found,) = await probes.examine([named(turn.stun_url)])
        assert (found.good, found.address) == (True, ("127.0.0.1", turn.port))
        (seen,) = probes.seen.values()
        assert found.mapped == seen[0].mapped
        assert found.seconds is not None and 0 < found.seconds < 5
        assert probes.pending == []
        behaviours = await probes.behaviours()
        tests = behaviours["127.0.0.1"]
        assert (mapping_of(tests), filtering_of(tests)) == ("endpoint-independent", "endpoint-independent")
        nat = judge(next(iter(probes.seen)), seen, tests)
        assert (nat.mapping, nat.source) == ("none", "RFC 5780")


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_turn_server_relays_and_carries(turn: Coturn, transport: str) -> None:
    assert turn.certificate is not None
    server = named(turn.url(transport), turn.username, turn.password)
    (found,) = await ask(server, ca_file=str(turn.certificate.authority))
    assert found.error is None
    assert found.relayed and found.mapped is not None
    assert found.carries and found.good
    assert (found.turn, found.transport, found.username) == (True, transport, turn.username)


async def test_a_wrong_password_is_refused(turn: Coturn) -> None:
    (found,) = await ask(named(turn.url(), turn.username, "wrong-battery"))
    assert found.error is not None and found.error.error_code == 401
    assert not found.silent and not found.good
    assert "wrong-battery" not in repr(found)


async def test_a_certificate_that_nobody_vouches_for(turn: Coturn) -> None:
    (found,) = await ask(named(turn.url("tls"), turn.username, turn.password))
    assert found.error is not None and "not trusted" in found.error.error_text
    assert "--ca-file" in found.error.advice
    assert found.tcp_opens


async def test_a_dead_server_costs_its_deadline_and_is_told_as_silent() -> None:
    with silent_port() as port:
        servers = [named(f"stun:127.0.0.1:{port}"), named(f"turn:127.0.0.1:{port}", "user", "password")]
        found = await ask(*servers, timeout=0.3)
    for each in found:
        assert each.silent and each.tcp_opens is False
        assert each.error is not None
        assert (each.error.error_code, each.error.error_text) == (UNREACHABLE, "no answer within 0.3 s")


async def test_a_server_that_is_silent_by_udp_only() -> None:
    with silent_port() as port:
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port):
            (found,) = await ask(named(f"stun:127.0.0.1:{port}"), timeout=0.3)
    assert found.silent and found.tcp_opens


async def test_a_closed_port_is_no_silence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        (found,) = await ask(named(f"turn:127.0.0.1:{taken.getsockname()[1]}?transport=tcp", "user", "password"))
    assert found.error is not None and found.error.error_text == "connection refused"
    assert not found.silent and found.tcp_opens is False


async def test_a_name_that_is_not_found() -> None:
    (found,) = await ask(named("stun:no-such-host.invalid"))
    assert (found.address, found.silent) == (None, False)
    assert found.error is not None and found.error.error_text == "the name is not found"


async def test_a_family_that_this_host_lacks() -> None:
    (found,) = await ask(named("stun:[::1]:3478"))
    assert found.error is not None and found.error.error_text == "this host has no IPv6 address"


async def test_a_stun_server_that_refuses_or_talks_nonsense() -> None:
    refusing, empty = await StunServer.open(), await StunServer.open(lambda address: None)
    refusing.error = (500, "Server Error")
    (found,) = await ask(named(refusing.url))
    assert found.error is not None and found.error.error_code == 500
    refusing.close()
    empty.close()


async def test_several_servers_are_compared() -> None:
    """A NAT that uses another port for each destination."""
    servers = [
        await StunServer.open(lambda address: ("198.51.100.7", 1000)),
        await StunServer.open(lambda address: ("198.51.100.7", 2000)),
    ]
    async with probing() as probes:
        await probes.examine([named(server.url) for server in servers])
        (local,) = probes.seen
        assert judge(local, probes.seen[local], None).mapping == "address-and-port-dependent"
        assert await probes.behaviours() == {}
    for server in servers:
        server.close()


@pytest.mark.may_block("it starts a server")
async def test_a_relay_that_may_not_carry_anything() -> None:
    with coturn("--denied-peer-ip=0.0.0.0-255.255.255.255") as server:
        (found,) = await ask(named(server.url(), server.username, server.password))
    assert found.error is None and found.relayed
    assert not found.carries and not found.good


async def test_cancelled_it_leaves_nothing_behind() -> None:
    with silent_port() as port:
        async with probing() as probes:
            task = asyncio.create_task(probes.examine([named(f"turn:127.0.0.1:{port}", "user", "password")]))
            await asyncio.sleep(0.05)
            assert probes.pending == [f"turn:127.0.0.1:{port}"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
