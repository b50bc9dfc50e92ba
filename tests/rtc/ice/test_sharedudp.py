"""Calls that share a UDP port get what is theirs, and nothing of the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from peer.errors import UsageError
from peer.rtc.ice import sharedudp
from peer.rtc.ice.bases import bind_udp, host_candidate
from peer.rtc.ice.interfaces import LocalAddress
from peer.rtc.ice.sharedudp import MAX_ROUTES, MAX_TRANSACTIONS, STALE, SharedBase, join_shared_port
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.ice.candidate import Candidate

LOOPBACK = LocalAddress("lo", 1, "127.0.0.1")


def candidate_of(local: LocalAddress, port: int) -> Candidate:
    return host_candidate((local.address, port), 65535, "frag")


class Call(Recorder):
    """A generation of a call, and how often another call was in its way."""

    def __init__(self, call: object = None) -> None:
        super().__init__()
        self._call = call or self
        self.conflicts = 0

    @property
    def call(self) -> object:
        return self._call

    def hindered(self) -> None:
        self.conflicts += 1


def free_port() -> int:
    with bind_udp("127.0.0.1") as sock:
        port: int = sock.getsockname()[1]
        return port


async def joined(port: int, fragment: str, listener: Call) -> SharedBase:
    return await join_shared_port(LOOPBACK, port, candidate_of, fragment, listener, listener.hindered)


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

    def received(self) -> list[bytes]:
        """What has come so far; on the loopback interface that is all that was sent."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.sock.recv(2000))
        return found


@pytest.fixture
def far() -> Iterator[list[Far]]:
    made: list[Far] = []
    yield made
    for each in made:
        each.sock.close()


async def test_checks_go_to_the_call_that_they_name(far: list[Far]) -> None:
    port = free_port()
    listeners = {name: Call() for name in ("one", "two")}
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


async def test_data_goes_to_the_call_that_the_address_is_proven_to_be_of(far: list[Far]) -> None:
    port = free_port()
    one, two = Call(), Call()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    far += [Far(port), Far(port)]
    for each in far:
        each.send(b"\x80lost")
        each.send(request("one"))  # names a call, which proves nothing
        each.send(b"\x80lost")
        each.send(request("one"))
    await one.until(lambda: len(one.stun) == 4)
    first.proven(far[0].address)
    second.proven(far[1].address)
    far[0].send(b"\x80to one")
    far[1].send(b"\x80to two")
    await one.until(lambda: one.data)
    await two.until(lambda: two.data)
    assert (one.data, two.data) == ([b"\x80to one"], [b"\x80to two"])
    far[0].send(Message(Method.BINDING, Class.INDICATION, bytes(12)).encode())
    await one.until(lambda: len(one.stun) == 5)
    first.close()
    second.close()
    second.proven(far[1].address)


async def test_answers_go_to_who_asked(far: list[Far]) -> None:
    port = free_port()
    one, two = Call(), Call()
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
    first.close()
    second.close()


async def test_an_answer_from_elsewhere_does_not_take_the_place_of_the_true_one(far: list[Far]) -> None:
    port = free_port()
    one = Call()
    base = await joined(port, "one", one)
    far += [Far(port), Far(port)]
    base.send(request("theirs", b"a" * 12), far[0].address)
    far[1].send(answer(b"a" * 12))
    far[0].send(answer(b"a" * 12))
    await one.until(lambda: one.stun)
    assert one.stun == [(base, answer(b"a" * 12), far[0].address)]
    base.close()


async def test_a_remote_address_belongs_to_one_call_and_the_other_hears_of_it(far: list[Far]) -> None:
    port = free_port()
    one, two = Call(), Call()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    far += [Far(port), Far(port)]
    address = far[0].address
    second.send(request("theirs", b"x" * 12), address)  # before the address is anybody's
    first.proven(address)
    far[0].send(request("two"))
    far[0].send(answer(b"x" * 12))
    second.send(request("theirs"), address)
    second.send(answer(bytes(12)), address)
    second.proven(address)
    query = Message(Method.BINDING, Class.REQUEST, b"q" * 12).encode()
    second.send(query, address)  # a STUN server may be asked by everybody
    far[0].send(answer(b"q" * 12))
    far[1].send(request("two", b"e" * 12))
    far[0].send(b"\x80")
    await one.until(lambda: one.data)
    await two.until(lambda: len(two.stun) >= 2)
    assert [data for _, data, _ in two.stun] == [answer(b"q" * 12), request("two", b"e" * 12)]
    assert (one.conflicts, two.conflicts, two.data) == (0, 5, [])
    assert [data for data in far[0].received() if data != query] == [request("theirs", b"x" * 12)]
    first.close()
    far[0].send(request("two"))
    await two.until(lambda: len(two.stun) == 3)
    second.proven(address)
    far[0].send(b"\x80")
    await two.until(lambda: two.data)
    second.close()


async def test_an_address_that_its_call_does_not_use_any_more_goes_to_who_proves_it(
    far: list[Far], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    one, two = Call(), Call()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    far.append(Far(port))
    first.proven(far[0].address)
    later = asyncio.get_running_loop().time() + STALE + 0.1
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later)
    far[0].send(request("two"))
    await two.until(lambda: two.stun)
    second.proven(far[0].address)
    first.proven(far[0].address)
    far[0].send(b"\x80")
    await two.until(lambda: two.data)
    assert (one.conflicts, two.conflicts, one.data) == (1, 0, [])
    first.close()
    second.close()


async def test_the_generations_of_a_call_share_its_addresses(far: list[Far]) -> None:
    port = free_port()
    old = Call()
    new = Call(old)
    first, second = await joined(port, "old", old), await joined(port, "new", new)
    far.append(Far(port))
    first.proven(far[0].address)
    second.proven(far[0].address)
    far[0].send(b"\x80to the new one")
    await new.until(lambda: new.data)
    second.close()  # a restart that is rolled back
    far[0].send(b"\x80to the old one")
    await old.until(lambda: old.data)
    assert (old.conflicts, new.conflicts) == (0, 0)
    first.close()


async def test_the_socket_goes_with_its_last_user() -> None:
    port = free_port()
    first, second = await joined(port, "one", Call()), await joined(port, "two", Call())
    first.close()
    first.close()
    first.send(b"\x80", ("127.0.0.1", 9))
    with pytest.raises(OSError):
        bind_udp("127.0.0.1", (port, port))
    second.close()
    third = await joined(port, "three", Call())  # at once: the old socket is just being closed
    third.close()
    await asyncio.sleep(0)
    bind_udp("127.0.0.1", (port, port)).close()


async def test_many_join_at_once() -> None:
    port = free_port()
    bases = await asyncio.gather(*(joined(port, f"call{number}", Call()) for number in range(20)))
    assert len({id(base._endpoint) for base in bases}) == 1
    for base in bases:
        base.close()


async def test_a_taken_port_is_told() -> None:
    with bind_udp("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"UDP port {port} is taken on 127.0.0.1"):
            await joined(port, "one", Call())


async def test_a_socket_that_dies_is_told_to_everybody() -> None:
    port = free_port()
    one, two = Call(), Call()
    first, second = await joined(port, "one", one), await joined(port, "two", two)
    assert first._endpoint is not None
    first._endpoint._transport._close(OSError("broken"))
    await one.until(lambda: one.lost == [first])
    await two.until(lambda: two.lost == [second])
    first.close()
    third = await joined(port, "three", Call())
    third.close()


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    base = await joined(free_port(), "one", Call())
    endpoint = base._endpoint
    assert endpoint is not None
    monkeypatch.setattr(endpoint, "send", lambda *_: None)
    for number in range(MAX_TRANSACTIONS + 10):
        base.send(request("theirs", number.to_bytes(12, "big")), ("127.0.0.1", 9))
    for number in range(MAX_ROUTES + 10):
        base.proven(("127.0.0.1", 1000 + number))
    assert len(endpoint._transactions) == MAX_TRANSACTIONS
    assert len(endpoint._routes) == len(base.routes) == MAX_ROUTES
    base.close()
    assert endpoint._transactions == {} and endpoint._routes == {}


async def test_one_registry_for_each_loop() -> None:
    base = await joined(free_port(), "one", Call())
    assert len(sharedudp._registries[asyncio.get_running_loop()].endpoints) == 1
    base.close()
    assert sharedudp._registries[asyncio.get_running_loop()].endpoints == {}
