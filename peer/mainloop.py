"""Running an event loop to its end: uvloop where there is one, signals that end it in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

END_TIMEOUT: Final = 3.0
"""Seconds that everything may take to end after Ctrl-C or SIGTERM."""
BOUNCE: Final = 0.5
"""Seconds within which a second Ctrl-C is taken for the first: some wrappers pass one on to child and group."""


class Ending:
    """What the signals do: the first cancels the work, once; a second Ctrl-C, or time, ends the process at once."""

    def __init__(self, cancel: Callable[[], Any], leave: Callable[[int], Any] = os._exit) -> None:
        self._cancel = cancel
        self._leave = leave
        self._at: float | None = None
        self._timer: threading.Timer | None = None

    def signalled(self, number: int, now: float) -> None:
        """A signal came at `now` (monotonic seconds)."""
        if self._at is None:
            self._at = now
            self._timer = threading.Timer(END_TIMEOUT, self._too_long)
            self._timer.daemon = True
            self._timer.start()
            self._cancel()
        elif number == signal.SIGINT and now - self._at > BOUNCE:
            self._force("ended at once, as asked for", 130)

    def close(self) -> None:
        """It has ended by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _too_long(self) -> None:
        self._force(f"not everything could be closed within {END_TIMEOUT:g} s; ended as it stood", 1)

    def _force(self, sentence: str, code: int) -> None:
        with contextlib.suppress(Exception):
            sys.stderr.write(f"{sentence}; a recording may lack its last half second\n")
            sys.stderr.flush()
        self._leave(code)


def run(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work` to its end and return its result; None when a signal ended it and it had nothing more to say."""
    ending: Ending | None = None
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            loop = runner.get_loop()
            task = loop.create_task(work, name="main")
            ending = Ending(lambda: loop.call_soon_threadsafe(task.cancel))
            _listen(loop, ending)
            return loop.run_until_complete(task)
    except asyncio.CancelledError:
        return None
    finally:
        if ending is not None:
            ending.close()


def _listen(loop: asyncio.AbstractEventLoop, ending: Ending) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # no other thread may handle signals

    def came(number: int, frame: object) -> None:
        ending.signalled(number, time.monotonic())

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows
            loop.add_signal_handler(number, _nothing)  # a loop that waits is woken
        signal.signal(number, came)  # one that is held up by a script is not asked


def _nothing() -> None:
    pass


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
