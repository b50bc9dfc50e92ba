"""What the tests of other people's pages share: a peer to call, and what each side sees and hears of the other.

A page counts the pictures that it decoded in `frames()`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer import events
    from peer.call import Call
    from peer.room import Room
    from signaling.app import Server
    from tests.browser.base import Browser

WAIT = 15.0
BROWSERS = pytest.mark.parametrize("kind", ["chromium", "firefox"])


@asynccontextmanager
async def bot(server: Server, room: str) -> AsyncIterator[Room]:
    async with peer.join(server.url, room=room, name="bot", video="test:320x240@15", audio="test") as joined:
        yield joined


async def sees(browser: Browser, more: int = 5) -> None:
    """Returns when that many more pictures were decoded."""
    before = await browser.evaluate("frames()")
    await browser.wait_for(f"frames().then((count) => count >= {before + more})", WAIT)


async def receives(call: Call) -> None:
    """Returns when a picture and sound came."""
    async with asyncio.timeout(WAIT):
        await anext(call.pictures())
        await anext(call.sound())


async def ended(call: Call) -> events.Ended:
    async with asyncio.timeout(WAIT):
        return await call.ended()
