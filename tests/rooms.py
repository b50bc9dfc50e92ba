"""Rooms in memory for the tests of calls: two members, who answer and what they hear."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from peer.channel import MemoryHub
from peer.joining import join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from peer.call import Call
    from peer.room import Room
    from peer.taker import Taker

PATIENCE = 20.0
"""Seconds after which what a test waits for is not going to happen; far more than a busy machine needs."""
SMALL = "test:160x120@15"


async def soon(awaitable: Awaitable[Any]) -> Any:
    """Await it with a deadline."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def until(events: Taker[Any], kind: type) -> Any:
    """The next event of a kind."""
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} came")


@contextlib.asynccontextmanager
async def rooms(*names: str, hub: MemoryHub | None = None, **options: Any) -> AsyncIterator[list[Room]]:
    """Members of one room in memory."""
    hub = hub or MemoryHub()
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(join(hub.connect, room="lab", name=name, **options)) for name in names]


async def connect(caller: Room, callee: Room, **sources: Any) -> tuple[Call, Call]:
    """A call between two: the caller's end and the callee's."""
    rings = callee.rings()
    dialling = asyncio.ensure_future(_dial(caller, callee.name, sources))
    ring = await soon(anext(rings))
    answered = await soon(ring.accept())
    return await soon(dialling), answered


async def _dial(caller: Room, name: str, sources: dict[str, Any]) -> Call:
    return await caller.call(name, **sources)
