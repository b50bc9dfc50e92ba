"""Blocking work off the event loop: what comes when nobody waits any more is undone, and not on the loop either."""

from __future__ import annotations

import asyncio
import threading

import pytest

from peer.errors import DeviceError
from peer.media.work import off_loop
from tests.rooms import PATIENCE, soon


async def test_what_comes_too_late_is_undone_on_another_thread() -> None:
    go, undone = threading.Event(), threading.Event()
    where: list[threading.Thread] = []

    def undo(value: int) -> None:
        where.append(threading.current_thread())
        undone.set()

    def work() -> int:
        go.wait(PATIENCE)
        return 1

    with pytest.raises(DeviceError, match=r"opening took more than 0 s"):
        await off_loop(work, name="opening", undo=undo, deadline=0.01)
    go.set()
    assert await soon(asyncio.to_thread(undone.wait, PATIENCE))
    assert where != [threading.main_thread()]
