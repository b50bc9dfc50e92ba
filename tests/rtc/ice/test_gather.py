"""Candidates are found from every server at once, and a bad server costs nobody anything."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from peer.errors import UsageError
from peer.rtc.ice import gather, interfaces
from peer.rtc.ice.bases import bind_udp, when_free
from peer.rtc.ice.gather import DEADLINE, Gatherer
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.query import STRAGGLERS
from peer.rtc.ice.relaying import first_relay
from peer.rtc.ice.servers import IceSettings
from signaling.ice_servers import IceServer
from tests.harness.coturn import coturn
from tests.rtc.ice.recording import PARAMETERS, Recorder
from tests.rtc.ice.servers_on_loopback import StunServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from peer.rtc.ice.bases import Address, Base
    from peer.rtc.ice.relay import Relay
    from tests.harness.coturn import Coturn

HOSTS = [LocalAddress("eth0", 2, "127.0.0.1"), LocalAddress("eth1", 3, "127.0.0.2")]
PUBLIC = ("203.0.113.5", 40000)


@pytest.fixture(autouse=True)
def _hosts(monkeypatch: pytest.MonkeyPatch) -> list[LocalAddress]:
    """Two networks, which are the loopback interface in truth."""
    hosts = list(HOSTS)
    monkeypatch.setattr(interfaces, "all_addresses", lambda: hosts)
    monkeypatch.setattr(LocalAddress, "is_loopback", property(lambda self: False))
    monkeypatch.setattr(interfaces, "sources", lambda: ["127.0.0.1"])
    return hosts


class Gathering(Recorder):
    """One gatherer and what it found."""

    def __init__(self, *urls: str | IceServer, **settings: Any) -> None:
        super().__init__()
        servers = tuple(url if isinstance(url, IceServer) else IceServer([url]) for url in urls)
        self.gatherer = Gatherer(IceSettings(servers=servers, **settings), PARAMETERS, self)
        self.on_stun = self.handle

    def handle(self, base: Base, data: bytes, address: Address) -> None:
        self.gatherer.handle_stun(base, data, address)

    async def run(self) -> None:
        """From the beginning to the end of gathering; the sockets stay."""
        await self.gatherer.start()
        await self.until(lambda: self.done)

    @property
    def found(self) -> list[tuple[str, str, str]]:
        return [(each.type, each.protocol, each.address) for each in self.candidates]

    @property
    def failures(self) -> list[tuple[int, str]]:
        return [(error.error_code, error.error_text) for error in self.errors]


@pytest.fixture
async def stun_servers() -> AsyncIterator[list[StunServer]]:
    servers: list[StunServer] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def turn_server() -> Iterator[Coturn]:
    with coturn() as server:
        yield server


def turn_urls(server: Coturn, *transports: str, password: str | None = None) -> IceServer:
    return IceServer([server.url(transport) for transport in transports], server.username, password or server.password)


# Hosts


async def test_host_sockets_are_there_when_start_returns() -> None:
    gathering = Gathering()
    await gathering.gatherer.start()
    assert gathering.found == [("host", "udp", "127.0.0.1"), ("host", "udp", "127.0.0.2")]
    assert gathering.candidate_bases == gathering.bases
    first, second = gathering.candidates
    assert first.priority > second.priority and first.foundation != second.foundation
    assert first.username_fragment == PARAMETERS.username_fragment
    one, other = gathering.bases
    one.send(b"\x80hello", (second.address, second.port))
    await gathering.until(lambda: gathering.data == [b"\x80hello"])
    await gathering.until(lambda: gathering.done)
    await gathering.gatherer.close()
    await gathering.gatherer.close()
    assert (gathering.done, gathering.lost) == (1, [])
    other.send(b"\x80", (first.address, first.port))


async def test_the_public_address_is_announced_for_the_private_one() -> None:
    gathering = Gathering(public_ips=("203.0.113.5",))
    await gathering.run()
    assert gathering.found == [("host", "udp", "203.0.113.5"), ("host", "udp", "127.0.0.2")]
    assert gathering.bases[0].candidate.address == "127.0.0.1"
    assert gathering.bases[0].candidate.port == gathering.candidates[0].port
    await gathering.gatherer.close()


async def test_ports_come_from_the_range_and_a_full_one_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with bind_udp("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        gathering = Gathering(udp_ports=(port, port))
        await gathering.run()
        assert [(each.address, each.port) for each in gathering.candidates] == [("127.0.0.2", port)]
        assert f"every UDP port from {port} to {port} is taken" in caplog.text
        await gathering.gatherer.close()


async def test_two_generations_share_one_port() -> None:
    with bind_udp("127.0.0.1") as free:
        port = free.getsockname()[1]
    one, two = Gathering(udp_port=port), Gathering(udp_port=port)
    await one.run()
    await two.run()
    assert {each.port for each in one.candidates + two.candidates} == {port}
    await one.gatherer.close()
    await two.gatherer.close()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
async def test_a_shared_port_that_is_taken_everywhere_is_an_error(
    addresses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with bind_udp(addresses[0]) as taken:
        port = taken.getsockname()[1]
        others = [bind_udp(address, (port, port)) for address in addresses[1:]]
        gathering = Gathering(udp_port=port)
        if others:
            with pytest.raises(UsageError, match=f"UDP port {port} is taken"):
                await gathering.gatherer.start()
        else:
            await gathering.run()
            assert gathering.found == [("host", "udp", "127.0.0.2")]
            assert f"UDP port {port} is taken on 127.0.0.1" in caplog.text
            await gathering.gatherer.close()
        for sock in others:
            sock.close()


async def test_passive_tcp_is_a_candidate_of_each_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gathering = Gathering(tcp_port=port, public_ips=("203.0.113.5",))
    await gathering.run()
    tcp = [(each.address, each.port, each.tcp_type) for each in gathering.candidates if each.protocol == "tcp"]
    assert tcp == [("203.0.113.5", port, "passive"), ("127.0.0.2", port, "passive")]
    assert gathering.candidate_bases.count(None) == 2
    lowest_udp = min(each.priority for each in gathering.candidates if each.protocol == "udp")
    assert all(each.priority < lowest_udp for each in gathering.candidates if each.protocol == "tcp")
    await gathering.gatherer.close()


async def test_a_tcp_port_that_is_taken_is_an_error_and_nothing_stays_open() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gathering = Gathering(tcp_port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="TCP port"):
            await gathering.gatherer.start()
        assert gathering.bases == []


async def test_what_could_not_be_started_can_be_tried_again() -> None:
    port = _free_tcp_port()
    gathering = Gathering(tcp_port=port)
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        with pytest.raises(UsageError, match=f"TCP port {port} is taken"):
            await gathering.gatherer.start()
    await gathering.run()
    assert [each.protocol for each in gathering.candidates] == ["udp", "udp", "tcp", "tcp"]
    await gathering.gatherer.close()


async def test_a_socket_beside_the_shared_port_is_opened_once_where_another_call_is_in_the_way() -> None:
    with bind_udp("127.0.0.1") as sock:
        port = sock.getsockname()[1]
    one, other = Gathering(udp_port=port), Gathering(udp_port=port)
    await one.run()
    await other.run()
    far = ("127.0.0.3", 5000)
    one.bases[0].proven(far)
    for _ in range(3):
        other.bases[0].proven(far)
    await other.until(lambda: len(other.bases) == 3)
    base = other.bases[2]
    assert base.candidate.address == "127.0.0.1" and base.candidate.port != port
    assert base.candidate.priority < other.bases[0].candidate.priority
    assert len(one.bases) == 2 and len(other.candidates) == 2, "it is not announced"
    for gathering in (one, other):
        await gathering.gatherer.close()
    sock = await when_free(lambda: bind_udp("127.0.0.1", (base.candidate.port, base.candidate.port)))
    sock.close()


async def test_closing_while_a_socket_is_opened_beside_the_shared_port_leaves_nothing_behind() -> None:
    with bind_udp("127.0.0.1") as sock:
        port = sock.getsockname()[1]
    for turns in range(5):
        one, other = Gathering(udp_port=port), Gathering(udp_port=port)
        await one.run()
        await other.run()
        one.bases[0].proven(("127.0.0.3", 5000))
        other.bases[0].proven(("127.0.0.3", 5000))
        for _ in range(turns):
            await asyncio.sleep(0)
        await other.gatherer.close()
        other.bases[0].proven(("127.0.0.3", 5000))
        await one.gatherer.close()


async def test_a_host_without_an_address_says_so(_hosts: list[LocalAddress], caplog: pytest.LogCaptureFixture) -> None:
    _hosts.clear()
    gathering = Gathering()
    await gathering.run()
    assert gathering.found == []
    assert "no address that may be used" in caplog.text
    await gathering.gatherer.close()


# STUN


async def test_every_socket_learns_its_public_address_from_every_server(stun_servers: list[StunServer]) -> None:
    # Two, as behind a NAT that has another mapping for each.
    stun_servers.append(await StunServer.open(lambda address: ("203.0.113.5", address[1])))
    stun_servers.append(await StunServer.open(lambda address: ("203.0.113.6", address[1])))
    gathering = Gathering(*(server.url for server in stun_servers))
    await gathering.run()
    reflexive = [each for each in gathering.candidates if each.type == "srflx"]
    assert len(reflexive) == 4
    for candidate, base in zip(gathering.candidates, gathering.candidate_bases, strict=True):
        assert base is not None
        if candidate.type == "srflx":
            assert (candidate.related_address, candidate.related_port) == (base.candidate.address, base.candidate.port)
            assert candidate.url in {server.url for server in stun_servers}
            assert candidate.priority < base.candidate.priority
    assert len({each.priority for each in gathering.candidates}) == 6
    assert gathering.errors == []
    await gathering.gatherer.close()


async def test_redundant_candidates_are_left_out(stun_servers: list[StunServer]) -> None:
    """A host without NAT, and two servers that see the same."""
    stun_servers.append(await StunServer.open())
    stun_servers += [await StunServer.open(lambda address: ("203.0.113.5", address[1])) for _ in range(2)]
    gathering = Gathering(*(server.url for server in stun_servers))
    await gathering.run()
    assert gathering.found == [
        *(("host", "udp", host) for host in ("127.0.0.1", "127.0.0.2")),
        *(("srflx", "udp", "203.0.113.5") for _ in range(2)),
    ]
    await gathering.gatherer.close()


async def test_a_query_that_gets_lost_is_sent_again(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(lambda _: PUBLIC))
    stun_servers[0].ignore = 4
    gathering = Gathering(stun_servers[0].url)
    await gathering.run()
    assert ("srflx", "udp", "203.0.113.5") in gathering.found
    assert gathering.errors == []
    await gathering.gatherer.close()


@pytest.mark.virtual_time
async def test_a_dead_server_is_told_at_the_deadline_and_holds_nobody_up(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(lambda _: None))
    stun_servers.append(await StunServer.open(lambda _: PUBLIC))
    gathering = Gathering(*(server.url for server in stun_servers))
    began = asyncio.get_running_loop().time()
    await gathering.gatherer.start()
    await gathering.until(lambda: ("srflx", "udp", "203.0.113.5") in gathering.found)
    assert asyncio.get_running_loop().time() == began
    await gathering.until(lambda: gathering.done)
    assert asyncio.get_running_loop().time() - began == pytest.approx(DEADLINE)
    assert [error.url for error in gathering.errors] == [stun_servers[0].url]
    assert gathering.failures == [(701, "no answer within 5 s")]
    await gathering.gatherer.close()


@pytest.mark.virtual_time
async def test_a_network_that_does_not_lead_to_the_server_is_not_waited_for_long(
    stun_servers: list[StunServer],
) -> None:
    stun_servers.append(await StunServer.open(lambda address: PUBLIC if address[0] == "127.0.0.1" else None))
    gathering = Gathering(stun_servers[0].url)
    began = asyncio.get_running_loop().time()
    await gathering.run()
    assert asyncio.get_running_loop().time() - began == pytest.approx(STRAGGLERS)
    assert gathering.errors == []
    await gathering.gatherer.close()


@pytest.mark.virtual_time
async def test_a_server_that_nobody_listens_at_is_told_soon(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(lambda _: PUBLIC))
    with bind_udp("127.0.0.1") as sock:
        refused = f"stun:127.0.0.1:{sock.getsockname()[1]}"
    gathering = Gathering(refused, stun_servers[0].url)
    began = asyncio.get_running_loop().time()
    await gathering.run()
    assert asyncio.get_running_loop().time() - began < DEADLINE / 2
    assert [(error.url, error.error_code, error.error_text) for error in gathering.errors] == [
        (refused, 701, "connection refused")
    ]
    await gathering.gatherer.close()


async def test_what_a_server_says_instead_of_an_address_is_told(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open())
    stun_servers[0].error = (420, "Unknown\nAttribute")
    gathering = Gathering(stun_servers[0].url)
    await gathering.run()
    assert gathering.failures == [(420, "refused (Unknown Attribute)")]
    await gathering.gatherer.close()


async def test_an_answer_from_elsewhere_is_taken_and_ignored(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(lambda _: None))
    gathering = Gathering(stun_servers[0].url)
    await gathering.gatherer.start()
    async with asyncio.timeout(5):
        await stun_servers[0].asked.wait()
    transaction_id = stun_servers[0].queries[0].transaction_id
    forged = b"\x01\x01\x00\x00\x21\x12\xa4\x42" + transaction_id
    assert gathering.gatherer.handle_stun(gathering.bases[0], forged, ("127.0.0.9", 3478))
    assert gathering.gatherer.handle_stun(gathering.bases[0], forged + b"cut", stun_servers[0].address)
    for other in (b"", b"\x01", b"\x01\x01" + bytes(18), b"\x00\x01" + forged[2:]):
        assert not gathering.gatherer.handle_stun(gathering.bases[0], other, stun_servers[0].address)
    assert {each.type for each in gathering.candidates} == {"host"}
    await gathering.gatherer.close()


async def test_one_line_is_logged_for_a_bad_server_whatever_the_number_of_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gatherings = [Gathering("stun:no-such-host.invalid") for _ in range(3)]
    for gathering in gatherings:
        await gathering.run()
        assert gathering.failures == [(701, "the name is not found")]
        await gathering.gatherer.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert lines[0].startswith("ICE server stun:no-such-host.invalid: the name is not found; check")


async def test_urls_that_cannot_be_are_told() -> None:
    gathering = Gathering("stun:", "turn:127.0.0.1")
    await gathering.run()
    assert [error.url for error in gathering.errors] == ["stun:", "turn:127.0.0.1"]
    assert gathering.errors[1].error_text == "a TURN server needs a user and a password"
    await gathering.gatherer.close()


async def test_a_server_of_a_family_that_the_host_lacks(stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(host="::1"))
    gathering = Gathering(stun_servers[0].url)
    await gathering.run()
    assert gathering.failures == [(701, "no local address of its family")]
    await gathering.gatherer.close()
    gathering = Gathering(stun_servers[0].url, ipv6=False)
    await gathering.run()
    assert gathering.failures == [(701, "it has only IPv6 addresses, which are switched off")]
    await gathering.gatherer.close()


# TURN


@pytest.mark.coturn
async def test_every_turn_url_gives_a_relay(turn_server: Coturn) -> None:
    gathering = Gathering(turn_urls(turn_server, "udp", "tcp"))
    await gathering.run()
    relays = [each for each in gathering.candidates if each.type == "relay"]
    assert {each.relay_protocol for each in relays} == {"udp", "tcp"}
    assert {base.candidate for base in gathering.bases} >= set(relays)
    by_protocol = {each.relay_protocol: each.priority for each in relays}
    assert by_protocol["udp"] > by_protocol["tcp"]
    assert gathering.errors == []
    await gathering.gatherer.close()


@pytest.mark.coturn
async def test_a_turn_server_is_asked_as_a_stun_server_too(
    turn_server: Coturn, stun_servers: list[StunServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Who configured only TURN learns its public address as well; a server that does not answer that is not told of."""
    stun_servers.append(await StunServer.open(lambda _: PUBLIC))
    host, port = stun_servers[0].address
    gathering = Gathering(IceServer([f"turn:{host}:{port}"], "user", "password"))
    await gathering.run()
    assert ("srflx", "udp", "203.0.113.5") in gathering.found
    assert len(gathering.errors) == 1  # it is no TURN server
    await gathering.gatherer.close()


@pytest.mark.coturn
async def test_relay_only_has_no_other_candidates(turn_server: Coturn) -> None:
    gathering = Gathering(turn_urls(turn_server, "udp"), turn_server.stun_url, policy="relay")
    await gathering.run()
    assert [each.type for each in gathering.candidates] == ["relay"]
    assert [base.candidate for base in gathering.bases] == gathering.candidates
    await gathering.gatherer.close()


@pytest.mark.coturn
async def test_a_wrong_password_is_told_without_showing_it(
    turn_server: Coturn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gathering = Gathering(turn_urls(turn_server, "udp", password="wrong-battery"))
    await gathering.run()
    assert [code for code, _ in gathering.failures] == [401]
    assert "wrong user or password" in caplog.text and "check the user and the password" in caplog.text
    assert "wrong-battery" not in caplog.text
    await gathering.gatherer.close()


@pytest.mark.virtual_time
async def test_a_turn_server_that_is_silent_is_given_up_at_the_deadline() -> None:
    with bind_udp("127.0.0.1") as silent:
        port = silent.getsockname()[1]
        gathering = Gathering(IceServer([f"turn:127.0.0.1:{port}"], "user", "password"))
        await gathering.run()
        assert gathering.failures == [(701, "no answer within 5 s")]
        await gathering.gatherer.close()


# The end


@pytest.mark.coturn
async def test_closing_in_the_middle_leaves_nothing_behind(turn_server: Coturn, stun_servers: list[StunServer]) -> None:
    stun_servers.append(await StunServer.open(lambda _: None))
    for turns in range(12):
        gathering = Gathering(stun_servers[0].url, turn_urls(turn_server, "udp", "tcp"), "stun:no-such-host.invalid")
        await gathering.gatherer.start()
        for _ in range(turns):
            await asyncio.sleep(0.001)
        await gathering.gatherer.close()
        assert gathering.done == 0


async def test_closing_while_it_starts_leaves_nothing_behind() -> None:
    for turns in range(6):
        gathering = Gathering(tcp_port=_free_tcp_port(), udp_port=None)
        start = asyncio.create_task(gathering.gatherer.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        await gathering.gatherer.close()
        await start
    for turns in range(6):
        gathering = Gathering()
        start = asyncio.create_task(gathering.gatherer.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await gathering.gatherer.close()


def _free_tcp_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.coturn
async def test_a_relay_that_is_lost_before_it_is_told_of_is_none(
    turn_server: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*args: Any) -> Relay:
        relay = await first_relay(*args)
        relay.link_lost(ServerFailed(701, "it closed the connection"))
        return relay

    monkeypatch.setattr(gather, "first_relay", lost)
    gathering = Gathering(turn_urls(turn_server, "tcp"), policy="relay")
    await gathering.run()
    assert gathering.candidates == gathering.bases == []
    await gathering.gatherer.close()


@pytest.mark.coturn
async def test_a_turn_server_that_does_not_confirm_is_not_waited_for_long(
    turn_server: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "CLOSE_DEADLINE", 0.05)
    gathering = Gathering(turn_urls(turn_server, "tcp"), policy="relay")
    await gathering.run()
    [relay] = gathering.gatherer._relays
    relay.received = lambda data: None  # type: ignore[method-assign]
    await gathering.gatherer.close()
    assert relay._link is None and relay._client.next_due() is not None, "its deletion was asked for, and not confirmed"
