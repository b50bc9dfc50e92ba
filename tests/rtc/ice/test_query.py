"""A STUN query asks until it is answered, and believes only who was asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from peer.rtc.ice import stun
from peer.rtc.ice.bases import host_candidate
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.query import MAX_QUERIES, Queries, reflexive_candidate
from peer.rtc.ice.servers import parse_server_url
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from tests.rtc.ice.servers_on_loopback import StunServer

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address

SERVER = ("192.0.2.1", 3478)
MAPPED = ("203.0.113.5", 40000)


class Wire:
    """A base that keeps what is sent, and when."""

    candidate = host_candidate(("10.0.0.1", 5000), 65535, "frag")

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes, Address]] = []

    def send(self, data: bytes, address: Address) -> None:
        self.sent.append((asyncio.get_running_loop().time(), data, address))

    def proven(self, address: Address) -> None: ...

    def close(self) -> None: ...


def answer_to(query: bytes, *, mapped: Address | None = MAPPED, error: tuple[int, str] | None = None) -> bytes:
    message = Message(Method.BINDING, Class.RESPONSE if error is None else Class.ERROR, query[8:20])
    if error is not None:
        message.add(Attribute.ERROR_CODE, error)
    elif mapped is not None:
        message.add(Attribute.XOR_MAPPED_ADDRESS, mapped)
    return message.encode()


async def asked(queries: Queries, wire: Wire) -> asyncio.Task[Address]:
    task = asyncio.create_task(queries.ask(wire, SERVER))
    await asyncio.sleep(0)
    return task


@pytest.mark.virtual_time
async def test_it_is_sent_again_at_growing_intervals() -> None:
    queries, wire = Queries(), Wire()
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await queries.ask(wire, SERVER)
    assert [round(time - began, 3) for time, _, _ in wire.sent] == [0, 0.2, 0.6, 1.4, 3.0]
    assert len({data for _, data, _ in wire.sent}) == 1
    assert not queries.handle(answer_to(wire.sent[0][1]), SERVER)  # forgotten


async def test_the_answer_is_the_address() -> None:
    queries, wire = Queries(), Wire()
    task = await asked(queries, wire)
    query = wire.sent[0][1]
    assert stun.parse(query).method == Method.BINDING
    assert queries.handle(answer_to(query, mapped=("198.51.100.66", 1)), ("192.0.2.99", 3478))  # from elsewhere
    assert queries.handle(answer_to(query) + b"x", SERVER)  # damaged
    assert queries.handle(answer_to(query), SERVER)
    assert queries.handle(answer_to(query, mapped=("198.51.100.66", 1)), SERVER)  # a second one
    assert await task == MAPPED


@pytest.mark.parametrize("mapped", [None, ("203.0.113.5", 0)])
async def test_an_answer_without_an_address_is_a_failure(mapped: Address | None) -> None:
    queries, wire = Queries(), Wire()
    task = await asked(queries, wire)
    queries.handle(answer_to(wire.sent[0][1], mapped=mapped), SERVER)
    with pytest.raises(ServerFailed, match="without an address"):
        await task


async def test_an_error_is_a_failure() -> None:
    queries, wire = Queries(), Wire()
    task = await asked(queries, wire)
    queries.handle(answer_to(wire.sent[0][1], error=(400, "Bad Request")), SERVER)
    with pytest.raises(ServerFailed, match="Bad Request"):
        await task


async def test_there_are_only_so_many() -> None:
    queries, wire = Queries(), Wire()
    tasks = [await asked(queries, wire) for _ in range(MAX_QUERIES)]
    with pytest.raises(ServerFailed, match="too many"):
        await queries.ask(wire, SERVER)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert queries._waiting == {}


@pytest.mark.virtual_time
async def test_a_server_that_answers_late_is_not_taken_for_a_refused_one() -> None:
    server = await StunServer.open(lambda _: None)
    queries, wire = Queries(), Wire()
    found: list[Address] = []
    until = asyncio.get_running_loop().time() + 5
    asking = asyncio.create_task(
        queries.ask_all([(wire, server.address)], until, lambda _, mapped: found.append(mapped))
    )
    await server.asked.wait()  # by the socket that would hear of a refusal
    assert queries.handle(answer_to(wire.sent[0][1]), server.address)
    await asking
    assert found == [MAPPED]
    server.close()


def test_the_candidate_knows_its_base_and_its_server() -> None:
    candidate = reflexive_candidate(MAPPED, Wire(), 65534, parse_server_url("stun:stun.example"))
    assert candidate.to_sdp().endswith("203.0.113.5 40000 typ srflx raddr 10.0.0.1 rport 5000 ufrag frag")
    assert candidate.url == "stun:stun.example"
