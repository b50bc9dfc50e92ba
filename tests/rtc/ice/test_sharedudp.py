"""Calls that share a UDP port get what is theirs, and nothing of the others."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from peer.errors import UsageError
from peer.rtc.ice import sharedudp
from peer.rtc.ice.bases import bind_udp, host_candidate
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.sharedudp import MAX_ROUTES, MAX_TRANSACTIONS, SharedBase, join_shared_port
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.ice.candidate import Candidate

LOOPBACK = LocalAddress("lo", 1, "127.0.0.1")


def candidate_of(local: LocalAddress, port: int) -> Candidate:
    return host_candidate((local.address, port), 65535, "frag")


def free_port() -> int:
    with bind_udp("127.0.0.1") as sock:
        port: int = sock.getsockname()[1]
        return port


async def joined(port: int, fragment: str, listener: Recorder) -> SharedBase:
    return await join_shared_port(LOOPBACK, port, candidate_of, fragment, listener)


def request(fragment: str, transaction_id: bytes | None = None) -> bytes:
    message = Message(Method.BINDING, Class.REQUEST, transaction_id or os.urandom(12))
    return message.add(Attribute.USERNAME, f"{fragment}:theirs").encode(b"key")


def answer(transaction_id: bytes, kind: Class = Class.RESPONSE) -> bytes:
    return Message(Method.BINDING, kind, transaction_id).encode(b"key")


class Far:
    """A remote socket."""

    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))
        self.address = self.sock.getsockname()
        self.port = port

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, ("127.0.0.1", self.port))


@pytest.fixture
def far() -> Iterator[list[Far]]:
    made: list[Far] = []
    yield made
    for each in made:
        each.sock.close()


async def test_checks_go_to_the_call_that_they_name(far: list[Far]) -> None:
    port = free_port()
    listeners = {name: Recorder() for name in ("one", "two")}
    bases = {name: await joined(port, name, listener) for name, listener in listeners.items()}
    assert bases["one"].candidate.port == bases["two"].candidate.port == port
    far.append(Far(port))
    checks = {name: request(name) for name in ("two", "one", "three")}
    for check in checks.values():
        far[0].send(check)
    far[0].send(request("one")[:30])
    for name, listener in listeners.items():
        await listener.until(lambda listener=listener: listener.stun)
        assert listener.stun[0] == (bases[name], checks[name], far[0].address)
    for base in bases.values():
        base.close()


async def test_media_goes_where_the_last_authenticated_check_was(far: list[Far]) -> None:
    port = free_port()
    one, two = Recorder(), Recorder()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    far += [Far(port), Far(port)]
    for each in far:
        each.send(b"\x80lost")
        each.send(request("one"))  # names a call, which proves nothing yet
        each.send(b"\x80lost")
        each.send(request("one"))
    await one.until(lambda: len(one.stun) == 4)
    first.send(answer(bytes(12)), far[0].address)  # the call found the check to be genuine
    second.send(answer(bytes(12)), far[1].address)
    far[0].send(b"\x80to one")
    far[1].send(b"\x80to two")
    await one.until(lambda: one.data)
    await two.until(lambda: two.data)
    assert (one.data, two.data) == ([b"\x80to one"], [b"\x80to two"])
    second.send(answer(bytes(12)), far[0].address)  # the same remote address in another call: it is that one's now
    far[0].send(b"\x80again")
    await two.until(lambda: len(two.data) == 2)
    first.close()
    far[0].send(b"\x80still")
    await two.until(lambda: len(two.data) == 3)
    second.close()


async def test_answers_go_to_who_asked(far: list[Far]) -> None:
    port = free_port()
    one, two = Recorder(), Recorder()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    far.append(Far(port))
    first.send(request("theirs", b"a" * 12), far[0].address)
    second.send(request("theirs", b"b" * 12), far[0].address)
    far[0].send(answer(b"b" * 12, Class.ERROR))
    far[0].send(answer(b"c" * 12))
    far[0].send(answer(b"a" * 12))
    await one.until(lambda: one.stun)
    await two.until(lambda: two.stun)
    assert [data for _, data, _ in one.stun] == [answer(b"a" * 12)]
    assert [data for _, data, _ in two.stun] == [answer(b"b" * 12, Class.ERROR)]
    far[0].send(b"\x80media of a lite peer, which never asks")
    await one.until(lambda: one.data)
    far[0].send(Message(Method.BINDING, Class.INDICATION, bytes(12)).encode())
    await one.until(lambda: len(one.stun) == 2)
    first.close()
    second.close()


async def test_the_socket_goes_with_its_last_user() -> None:
    port = free_port()
    first, second = await joined(port, "one", Recorder()), await joined(port, "two", Recorder())
    first.close()
    first.close()
    first.send(b"\x80", ("127.0.0.1", 9))
    with pytest.raises(OSError):
        bind_udp("127.0.0.1", (port, port))
    second.close()
    third = await joined(port, "three", Recorder())  # at once: the old socket is just being closed
    third.close()
    await asyncio.sleep(0)
    bind_udp("127.0.0.1", (port, port)).close()


async def test_many_join_at_once() -> None:
    port = free_port()
    bases = await asyncio.gather(*(joined(port, f"call{number}", Recorder()) for number in range(20)))
    assert len({id(base._endpoint) for base in bases}) == 1
    for base in bases:
        base.close()


async def test_a_taken_port_is_told() -> None:
    with bind_udp("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"UDP port {port} is taken on 127.0.0.1"):
            await joined(port, "one", Recorder())


async def test_a_socket_that_dies_is_told_to_everybody() -> None:
    port = free_port()
    one, two = Recorder(), Recorder()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    assert first._endpoint is not None
    first._endpoint._transport._fatal_error(OSError("broken"))
    await one.until(lambda: one.lost == [first])
    await two.until(lambda: two.lost == [second])
    first.close()
    third = await joined(port, "three", Recorder())
    third.close()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    base = await joined(free_port(), "one", Recorder())
    endpoint = base._endpoint
    assert endpoint is not None
    monkeypatch.setattr(endpoint, "send", lambda *_: None)
    for number in range(MAX_TRANSACTIONS + 10):
        base.send(request("theirs", number.to_bytes(12, "big")), ("127.0.0.1", 9))
    for number in range(MAX_ROUTES + 10):
        base.send(answer(bytes(12)), ("127.0.0.1", 1000 + number))
    assert len(endpoint._transactions) == MAX_TRANSACTIONS
    assert len(endpoint._routes) == len(base.routes) == MAX_ROUTES
    base.close()
    assert endpoint._transactions == {} and endpoint._routes == {}


async def test_one_registry_for_each_loop() -> None:
    base = await joined(free_port(), "one", Recorder())
    assert len(sharedudp._registries[asyncio.get_running_loop()].endpoints) == 1
    base.close()
    assert sharedudp._registries[asyncio.get_running_loop()].endpoints == {}
