"""Browsers' `.local` names are found, and nothing that anybody on the network sends does harm."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice import interfaces, mdns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Of this process alone: every test that runs at the same time hears what is multicast here.
NAME = f"{uuid.uuid4()}.local"


def labels(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def record(name: bytes, kind: int, data: bytes, *, group: int = 0x8001) -> bytes:
    return name + struct.pack("!HHIH", kind, group, 120, len(data)) + data


def response(*records: bytes, additional: tuple[bytes, ...] = (), flags: int = 0x8400) -> bytes:
    return struct.pack("!6H", 0, flags, 0, len(records), 0, len(additional)) + b"".join(records + additional)


def chromium_answer(name: str, address: str) -> bytes:
    """What Chromium sends: the record, and an NSEC whose owner and next name are pointers back to the first."""
    version = 6 if ":" in address else 4
    packed = socket.inet_pton(socket.AF_INET6 if version == 6 else socket.AF_INET, address)
    bitmap = b"\x00\x04\x00\x00\x00\x08" if version == 6 else b"\x00\x01\x40"
    pointer = b"\xc0\x0c"
    return response(
        record(labels(name), 28 if version == 6 else 1, packed), additional=(record(pointer, 47, pointer + bitmap),)
    )


class Responder(asyncio.DatagramProtocol):
    """Answers questions for NAME on the loopback interface as a browser does."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.questions: list[bytes] = []
        self.arrived = asyncio.Event()
        self.answer_from = 1  # which question for a name is answered first
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[2] & 0x80 or labels(NAME) not in data:
            return
        self.questions.append(data)
        self.arrived.set()
        for answer in self.answers if len(self.questions) >= self.answer_from else []:
            self.transport.sendto(answer, ("224.0.0.251", mdns.PORT))


@pytest.fixture
async def responder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setattr(
        interfaces, "all_addresses", lambda: [interfaces.LocalAddress("lo", socket.if_nametoindex("lo"), "127.0.0.1")]
    )
    sock = mdns._multicast_socket(4)
    loopback = socket.inet_aton("127.0.0.1")
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + loopback)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
    _, responder = await asyncio.get_running_loop().create_datagram_endpoint(Responder, sock=sock)
    yield responder
    responder.transport.close()


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_a_chromium_name_is_resolved_at_once(responder: Responder, address: str) -> None:
    responder.answers = [chromium_answer(NAME, address)]
    assert await mdns.resolve(NAME.upper().replace("LOCAL", "local")) == [address]
    assert len(responder.questions) == 1


async def test_both_families_are_taken_when_they_come_apart(responder: Responder) -> None:
    first = response(record(labels(NAME), 1, socket.inet_aton("192.0.2.7")))
    second = response(record(labels(NAME), 28, socket.inet_pton(socket.AF_INET6, "2001:db8::7")))
    responder.answers = [first, second]
    assert await mdns.resolve(NAME) == ["192.0.2.7", "2001:db8::7"]


async def test_one_family_without_a_word_on_the_other_is_enough(responder: Responder) -> None:
    responder.answers = [response(record(labels(NAME), 1, socket.inet_aton("192.0.2.7"), group=1))]
    assert await mdns.resolve(NAME) == ["192.0.2.7"]


async def test_a_lost_question_is_asked_again(responder: Responder) -> None:
    responder.answers = [chromium_answer(NAME, "192.0.2.7")]
    responder.answer_from = 3
    assert await mdns.resolve(NAME, timeout=10) == ["192.0.2.7"]
    assert len(responder.questions) == 3


async def test_waiting_for_a_name_together_and_again_asks_no_more(responder: Responder) -> None:
    responder.answers = [chromium_answer(NAME, "192.0.2.7")]
    assert await asyncio.gather(*(mdns.resolve(NAME) for _ in range(5))) == [["192.0.2.7"]] * 5
    asked = len(responder.questions)
    assert await mdns.resolve(NAME) == ["192.0.2.7"]
    assert len(responder.questions) == asked


async def test_nobody_answers(responder: Responder) -> None:
    assert await mdns.resolve(NAME, timeout=0.05) == []


async def test_giving_up_leaves_nothing_behind(responder: Responder) -> None:
    task = asyncio.create_task(mdns.resolve(NAME, timeout=30))
    await responder.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_response_from_another_port_is_ignored(responder: Responder) -> None:
    """RFC 6762 section 6: it may come from a program that is not allowed to speak for others."""
    task = asyncio.create_task(mdns.resolve(NAME, timeout=0.3))
    await responder.arrived.wait()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        stranger.sendto(chromium_answer(NAME, "192.0.2.66"), ("224.0.0.251", mdns.PORT))
    assert await task == []


async def test_too_many_names_are_not_resolved(responder: Responder) -> None:
    tasks = [asyncio.create_task(mdns.resolve(f"name{n}.local", timeout=30)) for n in range(mdns.MAX_PENDING)]
    await asyncio.sleep(0)
    assert await mdns.resolve(NAME) == []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "name", ["example.org", "local", ".local", "a.b.local", "x" * 64 + ".local", "naïve.local", "a\0.local", ""]
)
async def test_other_names_are_not_asked_for(name: str) -> None:
    assert await mdns.resolve(name) == []


def test_loopback_serves_where_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    loopback = interfaces.LocalAddress("lo", 1, "127.0.0.1")
    lan = [interfaces.LocalAddress("eth0", 2, text) for text in ("192.0.2.1", "192.0.2.2", "2001:db8::1")]
    monkeypatch.setattr(interfaces, "all_addresses", lambda: [loopback, *lan])
    assert mdns.multicast_interfaces() == [lan[0], lan[2]]
    monkeypatch.setattr(interfaces, "all_addresses", lambda: [loopback])
    assert mdns.multicast_interfaces() == [loopback]


@pytest.mark.parametrize(
    ("captured", "name", "address"),
    [
        (
            (
                "0000840000000001000000012434386635336461332d626433392d343234352d626338332d373065633061396666333266056c6f"
                "63616c0000018001000000780004c63364012434386635336461332d626433392d343234352d626338332d373065633061396666"
                "333266056c6f63616c00002f8001000000780005c046000140"
            ),
            "48f53da3-bd39-4245-bc83-70ec0a9ff32f.local",
            "198.51.100.1",
        ),
        (
            (
                "0000840000000001000000012464356330313366362d343539612d343561312d386636332d396130353236376332356233056c6f"
                "63616c00001c800100000078001020010db80000000000000000000000012464356330313366362d343539612d343561312d3866"
                "36332d396130353236376332356233056c6f63616c00002f8001000000780008c052000400000008"
            ),
            "d5c013f6-459a-45a1-8f63-9a05267c25b3.local",
            "2001:db8::1",
        ),
    ],
)
def test_what_chromium_really_sends(captured: str, name: str, address: str) -> None:
    """Captured from Chromium 156; its NSEC record names the next name by a pointer."""
    assert mdns.addresses_in(bytes.fromhex(captured)) == {name: ({address}, True)}


def test_a_query_asks_for_both_families() -> None:
    assert mdns.build_query("ab.local") == (
        b"\0\0\0\0\0\2\0\0\0\0\0\0\x02ab\x05local\0\0\x01\0\x01\x02ab\x05local\0\0\x1c\0\x01"
    )


def test_addresses_that_lead_nowhere_are_left_out() -> None:
    data = response(
        record(labels(NAME), 1, socket.inet_aton("224.0.0.1")),
        record(labels(NAME), 1, socket.inet_aton("0.0.0.0")),
        record(labels(NAME), 28, socket.inet_pton(socket.AF_INET6, "fe80::1")),
        record(labels(NAME), 1, b"\x01\x02\x03"),
        record(labels(NAME), 1, socket.inet_aton("192.0.2.9"), group=3),
        record(labels(NAME), 16, b"\x03abc"),
    )
    assert mdns.addresses_in(data) == {NAME: (set(), False)}


def test_queries_and_other_opcodes_are_no_answers() -> None:
    one = record(labels(NAME), 1, socket.inet_aton("192.0.2.9"))
    assert mdns.addresses_in(response(one, flags=0)) == {}
    assert mdns.addresses_in(response(one, flags=0xA800)) == {}


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # points at itself
        b"\xc0\x0e\xc0\x0c",  # two that point at each other
        b"\xc0\xff",  # points outside
        b"\x40" + b"a" * 64 + b"\0",  # a label type that does not exist
        b"\x3fabc",  # longer than the message
        (b"\x3f" + b"a" * 63) * 5 + b"\0",  # longer than a name may be
        b"\x01a",  # does not end
    ],
)
def test_a_bad_name_ends_the_reading(name: bytes) -> None:
    good = record(labels(NAME), 1, socket.inet_aton("192.0.2.9"))
    assert mdns.addresses_in(response(record(name, 1, b"\1\2\3\4"), good)) == {}


@given(st.binary(max_size=200))
def test_nothing_that_arrives_raises(data: bytes) -> None:
    mdns.addresses_in(data)
    mdns.addresses_in(b"\0\0\x84\0\0\0\0\x09\0\0\0\0" + data)


@given(st.integers(0, 2**32))
def test_a_damaged_answer_does_not_raise(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(chromium_answer(NAME, "2001:db8::7"))
    for _ in range(chance.randrange(1, 5)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    mdns.addresses_in(bytes(data[: chance.randrange(len(data) + 1)]))


@pytest.mark.parametrize("count", [65, 1000])
def test_a_response_is_read_to_a_limit(count: int) -> None:
    many = [record(labels("other.local"), 1, b"\1\2\3\4")] * (count - 1)
    assert NAME not in mdns.addresses_in(response(*many, record(labels(NAME), 1, b"\1\2\3\4")))
