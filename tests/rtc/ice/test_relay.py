"""Allocations on a real coturn: over UDP, TCP and TLS, both ways, and all that it may refuse."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from peer.rtc.ice import relay as relay_module
from peer.rtc.ice import stun
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.relay import RelayOptions
from peer.rtc.ice.relaying import first_relay, open_relay
from peer.rtc.ice.relaylink import Way
from peer.rtc.ice.servers import IceServerUrl, parse_server_url
from tests.harness.coturn import coturn, ephemeral_credentials
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.relay import Relay
    from tests.harness.coturn import Coturn

pytestmark = pytest.mark.coturn

OPTIONS = RelayOptions("ourufrag", 65535)


@pytest.fixture(scope="module")
def server() -> Iterator[Coturn]:
    with coturn(names=("localhost", "turn.example")) as server:
        yield server


def url_of(server: Coturn, transport: str = "udp", host: str = "127.0.0.1") -> IceServerUrl:
    return parse_server_url(server.url(transport, host), server.username, server.password)


def options_for(server: Coturn) -> RelayOptions:
    assert server.certificate is not None
    return replace(OPTIONS, way=Way(ca_file=str(server.certificate.authority)))


async def allocate(
    server: Coturn, listener: Recorder, transport: str = "udp", options: RelayOptions = OPTIONS
) -> Relay:
    host = "localhost" if transport == "tls" else "127.0.0.1"
    url = url_of(server, transport, host)
    return await open_relay(url, ("127.0.0.1", url.port), options, listener)


async def end(*relays: Relay) -> None:
    for relay in relays:
        relay.close()
    for relay in relays:
        await relay.wait_closed()


def check(username: str = "a:b") -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"123456789012")
    return message.add(stun.Attribute.USERNAME, username).encode(b"key", fingerprint=True)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_data_flows_both_ways_between_two_allocations(server: Coturn, transport: str) -> None:
    left, right = Recorder(), Recorder()
    one = await allocate(server, left, transport, options_for(server))
    other = await allocate(server, right, "udp")
    here, there = one.bases[0], other.bases[0]
    assert here.candidate.type == "relay" and here.candidate.relay_protocol == transport
    assert here.candidate.related_address == "127.0.0.1" and here.candidate.url == url_of_text(server, transport)
    to, back = address_of(there), address_of(here)
    # A check in each direction makes the permissions, as ICE would; what is sent before the other's is there is lost.
    for _ in range(2):
        here.send(check(), to)
        there.send(check(), back)
        await asyncio.sleep(0.05)
    await left.until(lambda: left.stun)
    await right.until(lambda: right.stun)
    assert right.stun[-1] == (there, check(), back)
    for size in (1, 2, 3, 4, 1199, 1200):  # the first as an indication, the last ones through a channel
        here.send(b"\x80" * size, to)
        await right.until(lambda size=size: right.data and len(right.data[-1]) == size)
        there.send(b"\x90" * size, back)
        await left.until(lambda size=size: left.data and len(left.data[-1]) == size)
    assert [len(data) for data in left.data] == [len(data) for data in right.data] == [1, 2, 3, 4, 1199, 1200]
    there.send(b"\x14DTLS of a stranger", back)
    there.send(b"\x80", back)
    await left.until(lambda: left.data[-1] == b"\x80")
    here.proven(to)
    there.send(b"\x14DTLS of the other side", back)
    await left.until(lambda: left.data[-1] == b"\x14DTLS of the other side")
    assert len(left.data) == 8
    await end(one, other)


def url_of_text(server: Coturn, transport: str) -> str:
    return server.url(transport, "localhost" if transport == "tls" else "127.0.0.1")


def address_of(base: object) -> Address:
    candidate = base.candidate  # type: ignore[attr-defined]
    return candidate.address, candidate.port


def can_bind(address: Address) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
        return True


async def test_media_goes_through_a_channel_after_the_first_packet(server: Coturn) -> None:
    listener = Recorder()
    relay = await allocate(server, listener)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        peer.bind(("127.0.0.1", 0))
        loop = asyncio.get_running_loop()
        relay.bases[0].send(b"\x80first", peer.getsockname())  # kept until the permission is there
        data, relayed = await loop.sock_recvfrom(peer, 2000)
        assert (data, relayed) == (b"\x80first", address_of(relay.bases[0]))
        number = 0
        async with asyncio.timeout(10):
            while number < 10 or not relay._client._peers.bound:
                relay.bases[0].send(b"\x80%d" % number, peer.getsockname())
                assert await loop.sock_recv(peer, 2000) == b"\x80%d" % number
                await asyncio.sleep(0)
                number += 1
        relay.bases[0].send(b"\x80bound", peer.getsockname())
        assert await loop.sock_recv(peer, 2000) == b"\x80bound"
        await loop.sock_sendto(peer, b"\x80answer", relayed)
        await listener.until(lambda: listener.data == [b"\x80answer"])
    await end(relay)


async def test_closing_deletes_the_allocation_on_the_server(server: Coturn) -> None:
    relay = await allocate(server, Recorder())
    relayed = address_of(relay.bases[0])
    relay.bases[0].close()  # the last base takes the allocation with it
    await relay.wait_closed()
    async with asyncio.timeout(10):
        # coturn confirms first and lets go of the port a little later: only looking tells when.
        while not can_bind(relayed):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.may_block("it starts a server")
async def test_a_user_may_have_so_many_allocations() -> None:
    with coturn("--user-quota=1") as server:
        first = await allocate(server, Recorder())
        with pytest.raises(ServerFailed, match="quota") as caught:
            await allocate(server, Recorder())
        assert caught.value.code == 486
        assert "quota" in caught.value.advice
        await end(first)
        async with asyncio.timeout(10):
            while True:
                try:
                    second = await allocate(server, Recorder())
                except ServerFailed:  # coturn counts the deleted one for a moment
                    await asyncio.sleep(0.05)
                else:
                    break
        await end(second)


async def test_a_wrong_password_is_refused(server: Coturn) -> None:
    url = parse_server_url(server.url(), server.username, "wrong-battery")
    with pytest.raises(ServerFailed, match="wrong user or password") as caught:
        await open_relay(url, ("127.0.0.1", server.port), OPTIONS, Recorder())
    assert caught.value.code == 401
    assert "wrong-battery" not in repr(caught.value) + caught.value.advice


async def test_a_certificate_that_nobody_vouches_for_is_refused(server: Coturn) -> None:
    with pytest.raises(ServerFailed, match="not trusted") as caught:
        await allocate(server, Recorder(), "tls", OPTIONS)
    assert caught.value.code == 701
    assert "CA file" in caught.value.advice


async def test_a_certificate_for_another_name_is_refused(server: Coturn) -> None:
    url = url_of(server, "tls", "127.0.0.1")
    with pytest.raises(ServerFailed, match="for another name"):
        await open_relay(url, ("127.0.0.1", url.port), options_for(server), Recorder())


async def test_plain_turn_where_tls_is_wanted(server: Coturn) -> None:
    """coturn speaks both on one port; a web server, say, neither."""

    class Web(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            transport.close()

    web = await asyncio.get_running_loop().create_server(Web, "127.0.0.1", 0)
    port = web.sockets[0].getsockname()[1]
    for form, sentence in (("turns:127.0.0.1:%d", "TLS"), ("turn:127.0.0.1:%d?transport=tcp", "does not speak TURN")):
        with pytest.raises(ServerFailed, match=sentence):
            url = parse_server_url(form % port, "user", "password")
            await open_relay(url, ("127.0.0.1", port), OPTIONS, Recorder())
    web.close()
    await web.wait_closed()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_closed_port_is_told_at_once(transport: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it
        port = taken.getsockname()[1]
        url = parse_server_url(f"turn:127.0.0.1:{port}?transport={transport}", "user", "password")
        with pytest.raises(ServerFailed, match="connection refused"):
            await open_relay(url, ("127.0.0.1", port), OPTIONS, Recorder())


async def test_a_missing_ca_file_is_told(server: Coturn) -> None:
    options = replace(OPTIONS, way=Way(ca_file="/nowhere/authority.pem"))
    with pytest.raises(ServerFailed, match="/nowhere/authority.pem cannot be read"):
        await allocate(server, Recorder(), "tls", options)


@pytest.mark.may_block("it starts a server")
async def test_ephemeral_credentials_serve_until_they_expire() -> None:
    with coturn(secret="shared") as server:
        await end(await allocate(server, Recorder()))
        user, password = ephemeral_credentials("shared", seconds=-10)
        url = parse_server_url(server.url(), user, password)
        with pytest.raises(ServerFailed, match="wrong user or password"):
            await open_relay(url, ("127.0.0.1", server.port), OPTIONS, Recorder())


@pytest.mark.slow
@pytest.mark.may_block("it starts a server")
async def test_an_allocation_outlives_its_lifetime_and_its_nonce() -> None:
    """Lifetime 4 s, nonce 1 s: refreshed several times, each with a stale nonce at first."""
    with coturn("--max-allocate-lifetime=4", "--stale-nonce=1") as server:
        listener = Recorder()
        relay = await allocate(server, listener)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.bind(("127.0.0.1", 0))
            loop = asyncio.get_running_loop()
            for number in range(10):
                relay.bases[0].send(b"\x80%d" % number, peer.getsockname())
                async with asyncio.timeout(5):
                    assert await loop.sock_recv(peer, 2000) == b"\x80%d" % number
                await asyncio.sleep(1)
        assert listener.lost == []
        await end(relay)


@pytest.mark.may_block("it starts a server")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_server_that_goes_away_is_noticed(transport: str) -> None:
    with coturn() as server:
        listener = Recorder()
        relay = await allocate(server, listener, transport)
        base = relay.bases[0]
        server.process.terminate()
        server.process.wait(5)
        base.send(b"\x80", ("127.0.0.1", 9))
        await listener.until(lambda: listener.lost == [base])
        base.send(b"\x80", ("127.0.0.1", 9))  # does nothing
        await end(relay)


@pytest.mark.may_block("it starts a server")
async def test_a_peer_that_the_server_refuses_harms_nothing() -> None:
    with coturn("--denied-peer-ip=127.0.0.2") as server:
        relay = await allocate(server, Recorder())
        relay.bases[0].send(b"\x80", ("127.0.0.2", 9))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.bind(("127.0.0.1", 0))
            relay.bases[0].send(b"\x80good", peer.getsockname())
            assert await asyncio.get_running_loop().sock_recv(peer, 2000) == b"\x80good"
        await end(relay)


@pytest.mark.may_block("it starts a server")
async def test_a_server_with_both_families_relays_both() -> None:
    with coturn(addresses=("127.0.0.1", "::1")) as server:
        listener = Recorder()
        relay = await allocate(server, listener, options=replace(OPTIONS, both_families=True))
        assert sorted(base.candidate.family for base in relay.bases) == [4, 6]
        loop = asyncio.get_running_loop()
        for base, host in zip(relay.bases, ("127.0.0.1", "::1"), strict=True):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                peer.bind((host, 0))
                base.send(b"\x80" + host.encode(), peer.getsockname()[:2])
                data, relayed = await loop.sock_recvfrom(peer, 2000)
                assert data == b"\x80" + host.encode()
                await loop.sock_sendto(peer, check(), relayed)
                await listener.until(lambda base=base: any(each[0] is base for each in listener.stun))
        await end(relay)


async def test_a_server_without_ipv6_gives_what_it_has(server: Coturn) -> None:
    relay = await allocate(server, Recorder(), options=replace(OPTIONS, both_families=True))
    assert [base.candidate.family for base in relay.bases] == [4]
    await end(relay)


async def test_names_are_never_looked_up_for_a_packet(server: Coturn) -> None:
    relay = await allocate(server, Recorder())
    for address in (("localhost", 9), ("::1", 9), ("127.0.0.1", 0), ("127.0.0.1", 70000)):
        relay.bases[0].send(b"\x80", address)
    assert relay._client._peers._hosts == {}
    await end(relay)


async def test_what_is_too_long_is_dropped(server: Coturn) -> None:
    relay = await allocate(server, Recorder())
    for size in (0, 65001, 100000):
        relay.bases[0].send(bytes(size), ("127.0.0.1", 9))
    assert relay._client._peers._hosts == {}
    await end(relay)


async def test_the_mapping_on_the_way_to_the_server_is_kept_open(
    server: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "KEEPALIVE", 0.01)
    relay = await allocate(server, Recorder())
    assert relay._link is not None
    write, sent = relay._link.write, asyncio.Queue[bytes]()
    monkeypatch.setattr(relay._link, "write", lambda data: (write(data), sent.put_nowait(data)))
    async with asyncio.timeout(10):
        for _ in range(3):
            message = stun.parse(await sent.get())
            assert (message.method, message.message_class) == (stun.Method.BINDING, stun.Class.INDICATION)
    await end(relay)


async def test_giving_up_leaves_nothing_behind() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket() as mute:
        for sock in (silent, mute):
            sock.bind(("127.0.0.1", 0))
        mute.listen()
        for sock, form in ((silent, "turn:127.0.0.1:%d"), (mute, "turns:127.0.0.1:%d")):
            port = sock.getsockname()[1]
            url = parse_server_url(form % port, "user", "password")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await first_relay(url, [("127.0.0.1", port), ("127.0.0.2", port)], OPTIONS, Recorder())


async def test_the_second_address_covers_for_the_first(server: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        addresses = [silent.getsockname(), ("127.0.0.1", server.port)]
        relay = await first_relay(url_of(server), addresses, OPTIONS, Recorder())
    await end(relay)


async def test_from_a_given_address(server: Coturn) -> None:
    relay = await allocate(server, Recorder(), options=replace(OPTIONS, way=Way(local_addresses=("::1", "127.0.0.5"))))
    assert relay.bases[0].candidate.related_address == "127.0.0.5"
    await end(relay)
