"""The backplane in memory keeps the contract of backplanes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signaling.backplane import MAILBOX, MemoryBackplane, MemoryBus
from tests.signaling import backplanecontract as contract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    monkeypatch.setattr("signaling.backplane.LEASE", contract.SHORT)
    return MemoryBus(lambda: asyncio.get_running_loop().time())


@pytest.mark.virtual_time
@pytest.mark.parametrize("check", (*contract.CHECKS, *contract.ENDING))
async def test_the_contract(bus: MemoryBus, check: Callable[[contract.Make], Awaitable[None]]) -> None:
    await check(lambda node: MemoryBackplane(bus, node))


async def test_memory_that_is_down_says_so(bus: MemoryBus) -> None:
    def kill() -> None:
        bus.down = True
        bus.wipe()

    await contract.says_that_it_is_down(MemoryBackplane(bus, "one"), kill)


async def test_what_waits_for_a_node_is_bounded(bus: MemoryBus) -> None:
    one, two = MemoryBackplane(bus, "one"), MemoryBackplane(bus, "two")
    mail = two.mail()
    first = asyncio.ensure_future(anext(mail))
    await asyncio.sleep(0)
    await one.send([("two", b"x")] * (MAILBOX + 2))
    assert await first == b"x"
    assert bus.boxes["two"].qsize() == MAILBOX - 1
    await mail.aclose()
