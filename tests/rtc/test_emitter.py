"""A handler that raises is logged; the others are called, and so is whoever told the event left alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pyee.asyncio import AsyncIOEventEmitter

from peer.rtc.emitter import Emitter, log_error

if TYPE_CHECKING:
    import pytest


def broken(*_: Any) -> None:
    raise RuntimeError("handler")


async def test_the_other_handlers_are_called(caplog: pytest.LogCaptureFixture) -> None:
    emitter, got = Emitter(), list[int]()
    emitter.on("event", broken)
    emitter.on("event", got.append)
    assert emitter.emit("event", 1)
    assert got == [1]
    assert "RuntimeError: handler" in caplog.text


async def test_a_coroutine_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter()

    @emitter.on("event")
    async def later() -> None:
        await asyncio.sleep(0)
        broken()

    emitter.emit("event")
    await emitter.wait_for_complete()
    await asyncio.sleep(0)
    assert "RuntimeError: handler" in caplog.text


async def test_who_wants_errors_gets_them(caplog: pytest.LogCaptureFixture) -> None:
    emitter, errors = Emitter(), list[Exception]()
    emitter.on("error", errors.append)
    emitter.on("event", broken)
    emitter.emit("event")
    assert [str(each) for each in errors] == ["handler"] and "handler" not in caplog.text


async def test_an_emitter_that_is_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    emitter = AsyncIOEventEmitter()
    emitter.on("error", log_error)
    emitter.on("event", broken)
    emitter.emit("event")
    emitter.emit("error")
    assert caplog.text.count("a handler raised") == 2
