"""Data channels begin although packets are lost: two transports of SCTP over a lossy wire, in virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities
from aiortc.rtcsctptransport import parse_packet

from peer.rtc.dtls import SctpTransport

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.virtual_time

DELAY = 0.05
CAPABILITIES = RTCSctpCapabilities(65536)


class Wire:
    """What SCTP wants of DTLS. `lost` is asked of each packet, by the names of its chunks."""

    def __init__(self, role: str, lost: Callable[[set[str]], bool]) -> None:
        self._role = role
        self._lost = lost
        self.other: Wire | None = None
        self.arrivals: asyncio.Queue[bytes] = asyncio.Queue()
        self.state = "connected"
        self._reading: asyncio.Task[None] | None = None

    def _register_data_receiver(self, receiver: Any) -> None:
        async def read() -> None:
            while True:
                await receiver._handle_data(await self.arrivals.get())

        self._reading = asyncio.get_running_loop().create_task(read())

    def _unregister_data_receiver(self, _: Any) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _send_data(self, data: bytes) -> None:
        assert self.other is not None
        if not self._lost({type(chunk).__name__ for chunk in parse_packet(data)[3]}):
            asyncio.get_running_loop().call_later(DELAY, self.other.arrivals.put_nowait, data)


async def seconds_until_heard(lost: Callable[[set[str]], bool]) -> float:
    """Until both sides have a message of the other, over a channel that the first one opens."""
    wires = Wire("client", lost), Wire("server", lost)
    wires[0].other, wires[1].other = wires[1], wires[0]
    first, second = (SctpTransport(wire) for wire in wires)  # type: ignore[arg-type]
    heard = [asyncio.Event(), asyncio.Event()]

    def greet(channel: RTCDataChannel, event: asyncio.Event) -> None:
        channel.on("message", lambda _: event.set())
        channel.send("hello") if channel.readyState == "open" else channel.on("open", lambda: channel.send("hello"))

    second.on("datachannel", lambda channel: greet(channel, heard[1]))
    greet(RTCDataChannel(first, RTCDataChannelParameters("any")), heard[0])
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(120):
            for each in (first, second):
                await each.start(CAPABILITIES, 5000)
            await asyncio.gather(*(event.wait() for event in heard))
        return loop.time() - began
    finally:
        for each in (first, second):
            await each.stop()


def first_ones(count: int, name: str) -> Callable[[set[str]], bool]:
    """Loses as many packets with such a chunk, of both sides together."""
    left = count

    def lost(names: set[str]) -> bool:
        nonlocal left
        if name in names and left:
            left -= 1
            return True
        return False

    return lost


async def test_nothing_lost_takes_a_few_round_trips() -> None:
    assert await seconds_until_heard(lambda _: False) < 8 * DELAY


@pytest.mark.parametrize("name", ["InitChunk", "InitAckChunk", "CookieEchoChunk", "CookieAckChunk", "DataChunk"])
async def test_what_is_lost_is_said_again_after_a_second(name: str) -> None:
    """Of both sides at once: an INIT that is repeated carries no verification tag, though the other's is known."""
    assert await seconds_until_heard(first_ones(2, name)) < 2 + 10 * DELAY


@pytest.mark.parametrize("name", ["InitChunk", "InitAckChunk"])
async def test_it_is_asked_for_as_long_as_the_connection_lives(name: str) -> None:
    assert 20 < await seconds_until_heard(first_ones(41, name)) < 30


@pytest.mark.parametrize("seed", range(8))
async def test_a_third_of_everything_lost(seed: int) -> None:
    chance = random.Random(seed)
    assert await seconds_until_heard(lambda _: chance.random() < 1 / 3) < 20
