"""Event loops for tests: one that notices when it is blocked, and one whose clock jumps instead of waiting.

Every asynchronous test runs on a `WatchfulLoop`. One marked `@pytest.mark.virtual_time` runs on a `VirtualLoop`: a
deadline of 30 s passes in milliseconds there, in the right order, and `loop.time()` tells how much time has "passed".
"""

from __future__ import annotations

import asyncio
import inspect
import os
import selectors
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BLOCKED_LIMIT = 0.5
"""Seconds that one turn of the loop may take; far more than any callback needs, far less than a user would forgive."""


SLEPT_LIMIT = 2.0
"""Seconds that the loop's thread may sleep within a turn: a busy disk is not a blocked loop."""


class Stuck(RuntimeError):
    """Nothing is ready, no timer is set and no thread is at work: the test would wait for ever."""


class Scheduled(NamedTuple):
    """Seconds that a thread has run, and that the kernel kept it waiting for a processor, since it began."""

    running: float = 0.0
    waiting: float = 0.0

    @classmethod
    def parse(cls, schedstat: bytes) -> Scheduled:
        running, waiting, _ = schedstat.split()
        return cls(int(running) / 1e9, int(waiting) / 1e9)


class Blocked(NamedTuple):
    """A turn of the loop that took too long, in seconds."""

    seconds: float
    running: float
    """Of these its thread ran so many, or so many more."""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s (its thread ran {self.running:.2f} s)"


def blocked_for(elapsed: float, own: Scheduled) -> float:
    """Seconds that a turn blocked its loop, of those that it took; a busy machine is not a blocked loop.

    What its thread ran counts in any case. Otherwise it slept: in a blocking call; or for want of the interpreter's
    lock; or for a page of a program that the disk has yet to give. So a short sleep says nothing; calls of ours that
    block are found by name (`guards`).
    """
    slept = elapsed - own.waiting - own.running
    return max(own.running, slept if slept > SLEPT_LIMIT else 0.0)


class _Scheduler:
    """What the kernel tells of this thread, where it does."""

    def __init__(self) -> None:
        try:
            self._descriptor: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:  # not Linux, or a kernel without scheduler statistics
            self._descriptor = None

    def own(self) -> Scheduled:
        return (
            Scheduled(time.thread_time())
            if self._descriptor is None
            else Scheduled.parse(os.pread(self._descriptor, 96, 0))
        )

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class WatchfulSelector(selectors.DefaultSelector):
    """Measures each turn of the loop: from the return of `select` to its next call nothing else is served."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[Blocked] = []
        self._scheduler = _Scheduler()
        self._began: tuple[float, Scheduled] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.end_turn()
        ready = self.poll(timeout)
        self._began = (time.perf_counter(), self._scheduler.own())
        return ready

    def poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """The waiting itself; a subclass may wait differently."""
        return super().select(timeout)

    def end_turn(self) -> None:
        """Judges the turn that ends here, if one is under way."""
        if self._began is None:
            return
        began, before = self._began
        self._began = None
        elapsed = time.perf_counter() - began
        if elapsed > BLOCKED_LIMIT:
            after = self._scheduler.own()
            own = Scheduled(after.running - before.running, after.waiting - before.waiting)
            seconds = blocked_for(elapsed, own)
            if seconds > BLOCKED_LIMIT:
                self.blocked.append(Blocked(seconds, own.running))

    def close(self) -> None:
        self._scheduler.close()
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

    def _check_callback(self, callback: Any, method: str) -> None:
        """What asyncio asks of each callback in debug mode takes long: only of what could be a coroutine function."""
        code = getattr(callback, "__code__", None)
        plain = type(callback).__module__ == "builtins" if code is None else not code.co_flags & inspect.CO_COROUTINE
        if not (plain and callable(callback)):
            super()._check_callback(callback, method)  # type: ignore[misc]

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
