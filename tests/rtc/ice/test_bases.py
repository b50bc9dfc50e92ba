"""A host socket sorts what comes in, sends what it can, and never raises or waits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from peer.errors import UsageError
from peer.rtc.ice.bases import (
    MAX_KNOWN,
    MAX_TARGETS,
    MAX_WAITING,
    HostBase,
    Known,
    Targets,
    bind_udp,
    host_candidate,
    open_host_base,
    tune_stream,
    when_free,
)
from peer.rtc.ice.interfaces import LocalAddress
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from peer.rtc.ice.candidate import Candidate

LOOPBACK = LocalAddress("lo", 1, "127.0.0.1")


def candidate_of(local: LocalAddress, port: int) -> Candidate:
    return host_candidate((local.address, port), 65535, "frag")


async def opened(listener: Recorder, address: str = "127.0.0.1") -> HostBase:
    return await open_host_base(LocalAddress("lo", 1, address), None, candidate_of, listener)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_packets_go_both_ways_and_are_sorted(address: str) -> None:
    here, there = Recorder(), Recorder()
    one, other = await opened(here, address), await opened(there, address)
    assert one.candidate.port == one.address[1]
    for first in (0, 3):
        one.send(bytes([first]) + b"stun", other.address)
    other.proven(one.address)
    for first in (4, 20, 64, 128, 255):
        one.send(bytes([first]) + b"data", other.address)
    one.send(b"", other.address)
    one.send(b"\x80", other.address)
    await there.until(lambda: len(there.data) == 6)
    assert there.stun == [(other, b"\0stun", one.address), (other, b"\3stun", one.address)]
    assert [data[0] for data in there.data] == [4, 20, 64, 128, 255, 128]
    one.close()
    one.close()
    one.send(b"\x80", other.address)
    other.close()
    assert here.lost == there.lost == []


async def test_dtls_of_a_stranger_is_dropped() -> None:
    there = Recorder()
    one, other = await opened(Recorder()), await opened(there)
    stranger = await opened(Recorder())
    other.proven(one.address)
    for sender in (stranger, one):
        for first in (20, 63, 127, 128):
            sender.send(bytes([first]) + b"alert" * (sender is stranger), other.address)
    await there.until(lambda: len(there.data) >= 5)
    assert there.data == [b"\x80" + b"alert", b"\x14", b"\x3f", b"\x7f", b"\x80"]
    for base in (one, other, stranger):
        base.close()


def test_the_addresses_of_the_other_side_are_bounded() -> None:
    known = Known()
    for number in range(3 * MAX_KNOWN):
        known.add(("192.0.2.1", 1000 + number))
        known.add(("192.0.2.1", 999))
    assert sum(("192.0.2.1", port) in known for port in range(2000)) == MAX_KNOWN
    assert ("192.0.2.1", 999) in known and ("192.0.2.1", 1000) not in known


@pytest.mark.parametrize(
    "address", [("localhost", 9), ("::1", 9), ("127.0.0.1", 0), ("127.0.0.1", 65536), ("", 9), ("1.2.3", 9)]
)
async def test_what_cannot_be_sent_to_is_dropped(address: tuple[str, int]) -> None:
    base = await opened(Recorder())
    base.send(b"\x80", address)
    assert base.dropped == 1
    base.close()


async def test_a_network_that_does_not_lead_there_is_counted() -> None:
    base = await opened(Recorder())
    base.send(b"\x80", ("192.0.2.1", 9))  # from a loopback address: the kernel refuses
    assert base.errors == 1
    base.close()


async def test_when_the_kernel_takes_no_more_packets_are_dropped() -> None:
    class Full:
        def get_write_buffer_size(self) -> int:
            return MAX_WAITING + 1

        def sendto(self, data: bytes, address: object) -> None:
            raise AssertionError

        def abort(self) -> None:
            transport.abort()

    base = await opened(Recorder())
    transport, base._transport = base._transport, Full()
    base.send(b"\x80", ("127.0.0.1", 9))
    assert base.dropped == 1
    base.close()


async def test_a_socket_that_dies_is_told() -> None:
    listener = Recorder()
    base = await opened(listener)
    base._transport._close(OSError(errno.EIO, "broken"))
    await listener.until(lambda: listener.lost == [base])
    base.send(b"\x80", ("127.0.0.1", 9))
    base.close()


async def test_a_port_of_the_range_is_taken() -> None:
    with bind_udp("127.0.0.1") as known:
        port = known.getsockname()[1]
    base = await open_host_base(LOOPBACK, (port, port), candidate_of, Recorder())
    assert base.candidate.port == port
    with pytest.raises(OSError, match=f"every UDP port from {port} to {port} is taken on 127.0.0.1"):
        bind_udp("127.0.0.1", (port, port))
    base.close()


@pytest.mark.parametrize("ports", [(0, 10), (10, 9), (65535, 65536)])
def test_a_range_that_is_none_is_told(ports: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no range"):
        bind_udp("127.0.0.1", ports)


def test_an_address_of_another_host_is_told_at_once() -> None:
    with pytest.raises(OSError) as caught:
        bind_udp("192.0.2.254", (50000, 50010))
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_port_that_is_just_being_closed_is_waited_for() -> None:
    base = await opened(Recorder())
    port = base.candidate.port
    base.close()
    sock = await when_free(lambda: bind_udp("127.0.0.1", (port, port)))
    with pytest.raises(OSError):
        await when_free(lambda: bind_udp("127.0.0.1", (port, port)))
    sock.close()


async def test_a_socket_that_the_loop_does_not_take_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    with pytest.raises(OSError, match="no memory"):
        await opened(Recorder())


def test_known_targets_are_bounded() -> None:
    targets = Targets(4)
    assert all(targets.allow((f"10.0.{number // 200}.{number % 200}", 9)) for number in range(3 * MAX_TARGETS))
    assert len(targets._good) <= MAX_TARGETS


def test_the_buffers_are_for_media() -> None:
    with bind_udp("127.0.0.1") as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        option = (socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert sock.getsockopt(*option) >= plain.getsockopt(*option)
        assert not sock.getblocking()


def test_a_stream_is_made_fit_for_media_and_outages() -> None:
    with socket.socket() as sock:
        tune_stream(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with contextlib.suppress(OSError, AttributeError):  # what the system does not know
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= MAX_WAITING
            assert sock.getsockopt(socket.IPPROTO_TCP, 44) == 1000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    tune_stream(sock)  # closed
