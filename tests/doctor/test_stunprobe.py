"""A query is answered by whom it was asked, asked again when it is lost, and bounded."""

from __future__ import annotations

import asyncio
import os

import pytest

from peer.doctor import stunprobe
from peer.doctor.stunprobe import CHANGE_PORT, StunProbe
from peer.rtc.ice.stun import Attribute, Class, Message, Method
from tests.doctor.stun_of_two import StunOfTwo
from tests.rtc.ice.servers_on_loopback import StunServer


async def test_an_answer_comes_with_where_it_came_from() -> None:
    server, probe = await StunServer.open(), await StunProbe.open("127.0.0.1")
    answer = await probe.ask(server.address)
    assert (answer.source, answer.message.mapped_address) == (server.address, probe.address)
    assert probe.version == 4
    probe.close()
    server.close()


async def test_what_is_lost_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stunprobe, "RETRANSMIT", 0.01)
    server, probe = await StunServer.open(), await StunProbe.open("127.0.0.1")
    server.ignore = 2
    await probe.ask(server.address)
    assert len(server.queries) == 3
    probe.close()
    server.close()


async def test_from_elsewhere_only_where_that_was_asked_for() -> None:
    server, probe = await StunOfTwo.open(), await StunProbe.open("127.0.0.1")
    answer = await probe.ask(server.address, change=CHANGE_PORT)
    assert answer.source == server.sockets[0, 1].address
    probe.close()
    server.close()


async def test_forged_and_broken_answers_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    server, probe = await StunServer.open(), await StunProbe.open("127.0.0.1")
    server.seen_as = lambda address: None  # silent
    asking = asyncio.create_task(probe.ask(server.address))
    await asyncio.wait_for(server.asked.wait(), 10)
    good = Message(Method.BINDING, Class.RESPONSE, bytes(12)).add(Attribute.XOR_MAPPED_ADDRESS, ("192.0.2.1", 1))
    probe.datagram_received(b"", server.address)
    probe.datagram_received(b"\x01\x01", server.address)
    probe.datagram_received(good.encode(), ("127.0.0.1", 1))  # not from whom it was asked
    probe.datagram_received(good.encode()[:-1], server.address)
    assert not asking.done()
    probe.datagram_received(good.encode(), server.address)
    assert (await asking).message.mapped_address == ("192.0.2.1", 1)
    probe.datagram_received(good.encode(), server.address)  # once more
    probe.close()
    server.close()


async def test_queries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stunprobe, "MAX_WAITING", 1)
    probe = await StunProbe.open("127.0.0.1")
    first = asyncio.create_task(probe.ask(("127.0.0.1", 9)))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="too many"):
        await probe.ask(("127.0.0.1", 9))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    probe.close()


async def test_an_address_of_nobody_here_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        await StunProbe.open("192.0.2.250")
