"""Virtual time jumps, in order, and stands still while a thread works; the watchful loop notices when it is blocked."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
import unittest.mock

import pytest

from tests.harness import clock
from tests.harness.clock import Scheduled, Stuck, VirtualLoop, WatchfulLoop, blocked_for, run_virtual


@pytest.mark.virtual_time
async def test_a_long_deadline_passes_at_once() -> None:
    loop, began = asyncio.get_running_loop(), time.monotonic()
    virtual = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()
    assert loop.time() - virtual == pytest.approx(3600)
    assert time.monotonic() - began < 30


@pytest.mark.virtual_time
async def test_timers_fire_in_the_order_of_their_time() -> None:
    seen: list[str] = []

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append(name)

    async with asyncio.TaskGroup() as group:
        for seconds, name in ((30, "heartbeat"), (15, "connect"), (0.02, "packet")):
            group.create_task(after(seconds, name))
    assert seen == ["packet", "connect", "heartbeat"]


@pytest.mark.virtual_time
async def test_what_is_ready_comes_before_any_jump() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def produce() -> None:
        for number in range(1000):
            await queue.put(number)
            await asyncio.sleep(0)

    async with asyncio.timeout(0.5), asyncio.TaskGroup() as group:
        group.create_task(produce())
        assert [await queue.get() for _ in range(1000)] == list(range(1000))


@pytest.mark.virtual_time
async def test_time_stands_still_while_a_thread_works() -> None:
    release = threading.Event()
    asyncio.get_running_loop().call_soon(release.set)
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(release.wait, 10)


@pytest.mark.virtual_time
async def test_data_on_the_loopback_interface_arrives_before_a_jump() -> None:
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        async with asyncio.timeout(5):
            await loop.sock_sendall(one, b"hello")
            assert await loop.sock_recv(other, 10) == b"hello"


def test_a_test_that_waits_for_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock._JumpingSelector, "PATIENCE", 0.01)
    with pytest.raises(Stuck, match="waits for ever"):
        run_virtual(asyncio.Event().wait())


def test_run_virtual_returns_the_result() -> None:
    assert run_virtual(asyncio.sleep(900, "done")) == "done"


@pytest.mark.may_block("that is what is tested")
def test_a_blocked_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "BLOCKED_LIMIT", 0.02)
    with asyncio.Runner(loop_factory=WatchfulLoop) as runner:
        runner.run(_block(0.08))
        loop = runner.get_loop()
        assert isinstance(loop, WatchfulLoop)
        assert loop.watch.blocked
        assert max(each.seconds for each in loop.watch.blocked) >= 0.02


@pytest.mark.parametrize(
    ("elapsed", "own", "blocked"),
    [
        pytest.param(3.0, Scheduled(0.1, 0.2), 2.7, id="a blocking call"),
        pytest.param(0.8, Scheduled(0.1, 0.0), 0.1, id="a short sleep"),
        pytest.param(3.0, Scheduled(0.1, 2.6), 0.1, id="it waited for a processor"),
        pytest.param(0.8, Scheduled(0.7, 0.1), 0.7, id="it computed"),
    ],
)
def test_a_busy_machine_is_not_a_blocked_loop(elapsed: float, own: Scheduled, blocked: float) -> None:
    assert blocked_for(elapsed, own) == pytest.approx(blocked)


def test_waiting_is_not_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "BLOCKED_LIMIT", 0.05)
    with asyncio.Runner(loop_factory=WatchfulLoop) as runner:
        runner.run(asyncio.sleep(0.1))
        time.sleep(0.06)  # between two runs nobody waits for the loop
        runner.run(asyncio.sleep(0))
        loop = runner.get_loop()
        assert isinstance(loop, WatchfulLoop)
        assert loop.watch.blocked == []


@pytest.mark.parametrize("factory", [WatchfulLoop, VirtualLoop])
def test_a_loop_remembers_what_its_exception_handler_was_told(factory: type[WatchfulLoop]) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WatchfulLoop)
        runner.run(_fail_in_a_callback())
        assert [type(trouble["exception"]) for trouble in loop.troubles] == [ZeroDivisionError]
        loop.troubles.clear()
        loop.set_exception_handler(lambda _loop, _context: None)
        runner.run(_fail_in_a_callback())
        assert loop.troubles == []


async def test_no_coroutine_is_taken_for_a_callback() -> None:
    loop, coroutine = asyncio.get_running_loop(), _block(0.0)
    loop.set_debug(True)
    for wrong in (_block, functools.partial(_block, 0.0), unittest.mock.AsyncMock(), coroutine, "no function"):
        with pytest.raises(TypeError, match="call_soon"):
            loop.call_soon(wrong)  # type: ignore[arg-type]
    coroutine.close()
    called: list[int] = []
    for right in (called.append, functools.partial(called.append), lambda number: called.append(number)):
        loop.call_soon(right, 1)
    await asyncio.sleep(0)
    assert called == [1, 1, 1]


async def _block(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    await asyncio.sleep(0)


async def _fail_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
