"""Blocking work on threads of its own: started by the first reader, ended by the last, joined off the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from peer.errors import DeviceError
from peer.media.base import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.container import InputContainer

    from peer.media.container import Address

log = logging.getLogger(__name__)

# A device that answers neither an opening nor a closing within this is left to its (daemon) thread.
DEADLINE = 5.0
OPEN_DEADLINE = 10.0

T = TypeVar("T")
R = TypeVar("R", bound=Reader)


class Clock(Protocol):
    """Seconds that pass, and waiting for them; tests bring their own."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wait(self, stop: threading.Event, until: float) -> bool:
        """Block this thread until the time `until` or until `stop` is set; returns whether it is."""


class MonotonicClock:
    """Real time."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, stop: threading.Event, until: float) -> bool:
        return stop.wait(max(0.0, until - time.monotonic()))


CLOCK = MonotonicClock()


class Readers(Generic[R]):
    """The open readers of one source, given to producers as a tuple that never changes under their hands."""

    def __init__(self) -> None:
        self.all: tuple[R, ...] = ()

    def add(self, reader: R) -> None:
        self.all = (*self.all, reader)

    def remove(self, reader: Reader) -> None:
        self.all = tuple(one for one in self.all if one is not reader)

    def take(self) -> tuple[R, ...]:
        """Remove and return all."""
        gone, self.all = self.all, ()
        return gone


class Waiting:
    """Those who wait, on whichever event loop, for something that another thread may bring about."""

    def __init__(self) -> None:
        self._all: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until `true()`, which is asked after each `wake`."""
        one = (asyncio.get_running_loop(), asyncio.Event())
        self._all.add(one)
        try:
            while not true():
                await one[1].wait()
                one[1].clear()
        finally:
            self._all.discard(one)

    def wake(self) -> None:
        """From any thread."""
        for loop, event in tuple(self._all):
            loop.call_soon_threadsafe(event.set)


class Worker:
    """Runs `work(stop)` on a daemon thread from `start` until it returns or sees `stop` set.

    `over(failure)` is called on that thread, under `lock`, when the work ended by itself: by returning (None) or by
    raising. A new start waits, on the new thread, for the old one to let go of its device.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[threading.Event], None],
        over: Callable[[Exception | None], None],
        lock: threading.RLock,
    ) -> None:
        self._name = name
        self._work = work
        self._over = over
        self._lock = lock
        self._stop: threading.Event | None = None
        self._threads: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        return self._stop is not None

    def start(self) -> None:
        """Start unless running."""
        with self._lock:
            if self._stop is not None:
                return
            self._stop = threading.Event()
            self._threads = [one for one in self._threads if one.is_alive()]
            previous = tuple(self._threads)
            thread = threading.Thread(target=self._run, args=(self._stop, previous), name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ask the thread to end; does not wait."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()
                self._stop = None

    async def join(self, deadline: float = DEADLINE) -> bool:
        """Stop, then wait for the thread, at most `deadline` seconds; returns whether it ended."""
        self.stop()
        end = time.monotonic() + deadline
        while any(one.is_alive() for one in self._threads):
            if time.monotonic() > end:
                log.warning("%s does not let go of its device after %.0f s; leaving it behind", self._name, deadline)
                return False
            # A thread cannot tell the loop that it has ended, only that it is about to.
            await asyncio.sleep(0.002)
        return True

    def _run(self, stop: threading.Event, previous: tuple[threading.Thread, ...]) -> None:
        for thread in previous:
            thread.join(DEADLINE)
        failure: Exception | None = None
        try:
            self._work(stop)
        except Exception as error:
            if not isinstance(error, DeviceError):
                log.exception("%s failed", self._name)
                error = DeviceError(f"{self._name} failed: {error}; see the log for where")
            failure = error
        with self._lock:
            if not stop.is_set():
                self._stop = None
                self._over(failure)


async def off_loop(
    work: Callable[[], T], *, name: str, undo: Callable[[T], None], deadline: float = OPEN_DEADLINE
) -> T:
    """Run blocking `work` on a daemon thread and return what it returns.

    Raises `DeviceError` after `deadline` seconds. What `work` yields when nobody waits any more goes to `undo`.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: Exception | None) -> None:
        if result.done():
            if error is None:  # it blocks as well
                threading.Thread(target=undo, args=(value,), name=f"undoing {name}", daemon=True).start()
        elif error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        failure: Exception | None = None
        try:
            value = work()
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:  # the loop is closed
            if failure is None:
                undo(value)  # type: ignore[arg-type]

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        async with asyncio.timeout(deadline):
            return await result
    except TimeoutError:
        raise DeviceError(f"{name} took more than {deadline:.0f} s; check that no other program holds it") from None


async def close_off_loop(container: InputContainer, address: Address) -> None:
    """Close what no thread has taken over: giving a device back can take its driver a while."""
    await off_loop(container.close, name=f"closing {address.what}", undo=lambda nothing: None, deadline=DEADLINE)
