"""DTLS waits for its packets here, never for ever, and never for more of them than there is room for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from peer.rtc.icepipe import MAX_WAITING, IcePipe


class Ice:
    role, state = "controlled", "checking"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_all(self, packets: list[bytes]) -> None:
        self.sent += packets


def pipe() -> Any:
    return IcePipe(Ice())  # type: ignore[arg-type]


async def test_packets_come_in_their_order_and_the_newest_are_kept() -> None:
    one = pipe()
    packets = [bytes([22, number]) for number in range(MAX_WAITING + 10)]
    for each in packets:
        one.push(each)
    assert [await one._recv() for _ in range(MAX_WAITING)] == packets[10:]


async def test_who_waits_gets_the_packet_that_comes() -> None:
    one = pipe()
    waiting = asyncio.create_task(one._recv())
    await asyncio.sleep(0)
    one.push(b"first")
    one.push(b"second")
    assert [await waiting, await one._recv()] == [b"first", b"second"]


async def test_who_waits_learns_that_the_path_is_gone() -> None:
    one = pipe()
    waiting = asyncio.create_task(one._recv())
    await asyncio.sleep(0)
    assert one.open
    one.close()
    one.close()
    with pytest.raises(ConnectionError):
        await waiting
    one.push(b"last")
    assert await one._recv() == b"last" and not one.open
    with pytest.raises(ConnectionError):
        await one._recv()


async def test_the_rest_is_the_path_s() -> None:
    one = pipe()
    await one._send(b"out")
    assert (one.ice.sent, one.role, one.state) == ([b"out"], "controlled", "checking")


async def test_what_is_kept_waits_for_the_association_to_come() -> None:
    one = pipe()
    for number in range(MAX_WAITING + 10):
        one.push(bytes([22, number]), kept=True)
    one.push(b"now")
    assert await one._recv() == b"now"
    one.give_kept()
    one.give_kept()
    assert [(await one._recv())[1] for _ in range(MAX_WAITING)] == list(range(10, MAX_WAITING + 10))
    waiting = asyncio.create_task(one._recv())
    await asyncio.sleep(0)
    assert not waiting.done()
    one.close()
    with pytest.raises(ConnectionError):
        await waiting
