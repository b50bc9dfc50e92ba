"""The outbox: in order, bounded in frames and bytes, and it says when there is no room."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import WSMsgType

from signaling.outbox import Outbox


def frame(payload: bytes) -> tuple[WSMsgType, bytes]:
    return WSMsgType.TEXT, payload


async def test_in_order() -> None:
    outbox = Outbox(3, 100)
    assert all(outbox.put(frame(payload)) for payload in (b"1", b"2", b"3"))
    assert [await outbox.get() for _ in range(3)] == [frame(b"1"), frame(b"2"), frame(b"3")]
    with pytest.raises(IndexError):
        outbox.pop()


async def test_a_reader_waits() -> None:
    outbox = Outbox(3, 100)
    waiting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put(frame(b"1"))
    assert await waiting == frame(b"1")
    assert len(outbox) == 0


async def test_bounded_in_frames_and_bytes() -> None:
    outbox = Outbox(2, 10)
    assert outbox.put(frame(b"x" * 8))
    assert not outbox.put(frame(b"x" * 3))
    assert outbox.put(frame(b"x" * 2))
    assert not outbox.put(frame(b""))
    assert len(outbox) == 2
    outbox.pop()
    assert outbox.put(frame(b"x" * 8))
