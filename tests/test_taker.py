"""Bounded iterators over live things: what is dropped, what waits, when they end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from peer.taker import Broadcast, Taker, Takers


async def drained(taker: Taker[int]) -> list[int]:
    taker.end()
    return [item async for item in taker]


async def test_items_come_out_in_order() -> None:
    taker: Taker[int] = Taker(10)
    for number in range(3):
        taker.put(number)
    assert await drained(taker) == [0, 1, 2]
    assert taker.dropped == 0


async def test_the_oldest_goes_when_it_is_full() -> None:
    taker: Taker[int] = Taker(2)
    for number in range(5):
        taker.put(number)
    assert taker.dropped == 3
    assert await drained(taker) == [3, 4]


async def test_whoever_waits_is_woken() -> None:
    taker: Taker[int] = Taker(2)
    waiting = asyncio.ensure_future(anext(taker))
    await asyncio.sleep(0)
    taker.put(7)
    assert await waiting == 7


async def test_two_who_wait_get_one_each() -> None:
    taker: Taker[int] = Taker(2)
    waiting = [asyncio.ensure_future(anext(taker)) for _ in range(2)]
    await asyncio.sleep(0)
    taker.put(1)
    taker.put(2)
    async with asyncio.timeout(5):
        assert sorted(await asyncio.gather(*waiting)) == [1, 2]


async def test_the_end_wakes_whoever_waits() -> None:
    taker: Taker[int] = Taker(2)
    waiting = [asyncio.ensure_future(anext(taker)) for _ in range(2)]
    await asyncio.sleep(0)
    taker.end()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [StopAsyncIteration] * 2
    taker.put(1)
    with pytest.raises(StopAsyncIteration):
        await anext(taker)


async def test_closing_forgets_what_waits_and_leaves() -> None:
    registry: Takers[int] = Takers()
    taker = Taker(5, registry)
    assert taker in registry
    taker.put(1)
    taker.close()
    taker.close()
    assert taker not in registry
    with pytest.raises(StopAsyncIteration):
        await anext(taker)


async def test_a_loop_that_is_left_takes_nothing_more() -> None:
    registry: Takers[int] = Takers()
    taker = Taker(5, registry)
    taker.put(1)
    async for _ in taker:
        break
    del taker
    gc.collect()
    assert len(registry) == 0


async def test_a_cancelled_wait_loses_nothing() -> None:
    taker: Taker[int] = Taker(2)
    waiting = asyncio.ensure_future(anext(taker))
    await asyncio.sleep(0)
    waiting.cancel()
    taker.put(1)
    assert await drained(taker) == [1]


async def test_every_taker_of_a_broadcast_gets_everything() -> None:
    broadcast: Broadcast[int] = Broadcast()
    takers = [broadcast.take(), broadcast.take()]
    broadcast.put(1)
    broadcast.put(2)
    broadcast.end()
    for taker in takers:
        assert [item async for item in taker] == [1, 2]


async def test_what_comes_while_nobody_takes_waits_for_the_next() -> None:
    broadcast: Broadcast[int] = Broadcast(2)
    for number in range(4):
        broadcast.put(number)
    assert await drained(broadcast.take()) == [2, 3]
    assert await drained(broadcast.take()) == []
    taker = broadcast.take()
    broadcast.put(4)
    assert await anext(taker) == 4
    taker.close()
    broadcast.put(5)
    assert await anext(broadcast.take()) == 5


async def test_a_broadcast_that_is_over_ends_at_once() -> None:
    broadcast: Broadcast[int] = Broadcast()
    broadcast.put(1)
    broadcast.end()
    assert [item async for item in broadcast.take()] == [1]
    assert [item async for item in broadcast.take()] == []


async def test_who_looks_on_takes_nothing_from_those_who_come_later() -> None:
    items: Broadcast[int] = Broadcast()
    items.put(1)
    aside = items.take(aside=True)
    items.put(2)
    taker = items.take()
    items.put(3)
    items.end()
    assert [item async for item in taker] == [1, 2, 3]
    assert [item async for item in aside] == [2, 3]
