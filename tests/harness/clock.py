"""Event loops for tests: one that notices when it is blocked, and one whose clock jumps instead of waiting.

Every asynchronous test runs on a `WatchfulLoop`. One marked `@pytest.mark.virtual_time` runs on a `VirtualLoop`: a
deadline of 30 s passes in milliseconds there, in the right order, and `loop.time()` tells how much time has "passed".
"""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BLOCKED_LIMIT = 0.5
"""Seconds that one turn of the loop may take; far more than any callback needs, far less than a user would forgive."""


class Stuck(RuntimeError):
    """Nothing is ready, no timer is set and no thread is at work: the test would wait for ever."""


class _Waiting:
    """How long the kernel has kept this thread waiting for a processor: a busy machine is not a blocked loop."""

    def __init__(self) -> None:
        try:
            self._descriptor: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:  # not Linux, or a kernel without scheduler statistics
            self._descriptor = None

    def seconds(self) -> float:
        if self._descriptor is None:
            return 0.0
        return int(os.pread(self._descriptor, 96, 0).split()[1]) / 1e9

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class WatchfulSelector(selectors.DefaultSelector):
    """Measures each turn of the loop: from the return of `select` to its next call nothing else is served."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[float] = []
        self._waiting = _Waiting()
        self._began: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.end_turn()
        ready = self.poll(timeout)
        self._began = (time.perf_counter(), self._waiting.seconds())
        return ready

    def poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """The waiting itself; a subclass may wait differently."""
        return super().select(timeout)

    def end_turn(self) -> None:
        """Judges the turn that ends here, if one is under way."""
        if self._began is None:
            return
        began, waiting = self._began
        self._began = None
        seconds = time.perf_counter() - began
        if seconds > BLOCKED_LIMIT:
            seconds -= self._waiting.seconds() - waiting
            if seconds > BLOCKED_LIMIT:
                self.blocked.append(seconds)

    def close(self) -> None:
        self._waiting.close()
        super().close()


class WatchfulLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, which also remembers what its exception handler was told and how long it was blocked.

    A test that installs an exception handler of its own takes care of the errors itself: they are not remembered.
    """

    def __init__(self, selector: WatchfulSelector | None = None) -> None:
        self.watch = selector or WatchfulSelector()
        self.troubles: list[dict[str, Any]] = []
        super().__init__(self.watch)
        self.slow_callback_duration = BLOCKED_LIMIT  # asyncio's own log line then names the callback

    def run_forever(self) -> None:
        try:
            super().run_forever()
        finally:
            self.watch.end_turn()  # the time until the loop is run again is not the loop's

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.get_exception_handler() is None:
            self.troubles.append(context)
        super().call_exception_handler(context)


class _JumpingSelector(WatchfulSelector):
    """Moves the virtual clock to the next timer when nothing is ready."""

    # Data sent over the loopback interface shows up within microseconds, but not at once.
    GRACE = 0.002
    PATIENCE = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.working = 0  # threads that hold time still

    def poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        sockets = len(self.get_map()) > 1  # the first one is the loop's own, for wake-ups by threads
        ready = super().poll(self.GRACE if sockets and timeout != 0 else 0)
        if ready or timeout == 0:
            return ready
        if self.working or timeout is None:
            ready = super().poll(self.PATIENCE)
            if not ready:
                raise Stuck(f"nothing happened for {self.PATIENCE:.0f} s and no timer is set: the test waits for ever")
            return ready
        self.now += timeout
        return []


class VirtualLoop(WatchfulLoop):
    """A loop whose time passes only when everybody waits, and then at once.

    Only what asks the loop (`asyncio.sleep`, `asyncio.timeout`, `call_later`, `loop.time()`) sees the virtual clock;
    `time.monotonic()` goes on as ever. Time stands still while `asyncio.to_thread` or `run_in_executor` is at work.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._jumping.working += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._jumping.working -= 1


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time; for tests that are not coroutines themselves."""
    with asyncio.Runner(loop_factory=VirtualLoop, debug=True) as runner:
        return runner.run(coroutine)
