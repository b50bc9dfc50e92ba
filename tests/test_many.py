"""Many calls, at a time and one after another: what is left over is looked at by the guard of every test, and here."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import pytest

from peer.channel import MemoryHub
from tests.rooms import SMALL, connect, rooms, soon


def _resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _left() -> tuple[int, int, int]:
    """Tasks, threads and descriptors; the loop's own pool of threads grows to its bound when it is used, and stays."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(asyncio.all_tasks()), len(threads), len(os.listdir("/proc/self/fd"))


async def test_many_calls_at_a_time_leave_nothing() -> None:
    asyncio.get_running_loop().set_debug(False)  # which takes half of the time
    hub = MemoryHub()
    names = [f"caller {number}" for number in range(20)]
    async with rooms("desk", *names, hub=hub) as (desk, *callers):
        before = _left()
        calls = [await connect(caller, desk) for caller in callers]
        assert len(desk.calls) == 20
        await asyncio.gather(*(calling.write(calling.name) for calling, _ in calls))
        for _, answered in calls:
            assert await soon(anext(answered.messages())) == "desk"
        await soon(asyncio.gather(*(answered.hang_up() for _, answered in calls)))
        for calling, _ in calls:
            assert (await soon(calling.ended())).reason == "hung up"
            await calling.hang_up()
        assert desk.calls == [] and not desk._shelf._entries
        await _settled(before)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_many_calls_one_after_another_leave_nothing() -> None:
    asyncio.get_running_loop().set_debug(False)  # which takes half of the time
    async with rooms("alice", "bob") as (alice, bob):
        memory = []
        for number in range(100):
            calling, answered = await connect(alice, bob, video=SMALL if number % 10 == 0 else None)
            if number % 10 == 0:  # media in some: the others cost what a call costs without
                pictures = answered.pictures()
                await soon(anext(pictures))
                pictures.close()
            await calling.hang_up()
            await answered.hang_up()
            if number == 20:
                before = _left()
            if number >= 20:
                gc.collect()
                memory.append(_resident())
        await _settled(before)
        growth = sum(memory[-10:]) / 10 - sum(memory[:10]) / 10
        assert growth < 12e6, f"{growth / 70:.0f} bytes more with each call"


async def _settled(before: tuple[int, int, int]) -> None:
    """Closed transports let go of their sockets, and ended threads of themselves, a little later."""
    async with asyncio.timeout(5):
        while any(now > then for now, then in zip(_left(), before, strict=True)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
