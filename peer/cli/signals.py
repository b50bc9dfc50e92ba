"""Ctrl-C and SIGTERM while no event loop takes care of them, or where SIGTERM is to mean something milder first."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterator
    from types import FrameType

T = TypeVar("T")


class Interrupted(BaseException):
    """Somebody wants us to end. No KeyboardInterrupt: typer makes a failure of that one."""


def run(work: Coroutine[Any, Any, T]) -> T | None:
    """`peer.mainloop.run`, and quiet after it too: the loop takes its own handlers away when it ends."""
    from peer import mainloop

    try:
        return mainloop.run(work)
    finally:
        end_quietly()


@contextmanager
def terminating(*, wanted: bool) -> Iterator[asyncio.Event]:
    """If `wanted`, the first SIGTERM sets the event and does nothing else; the next one and Ctrl-C are as ever."""
    import asyncio  # not above: `peer --help` would wait for it

    event, loop, before = asyncio.Event(), asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    if not wanted:
        yield event
        return

    def came(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        loop.call_soon_threadsafe(event.set)

    signal.signal(signal.SIGTERM, came)
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


def end_quietly() -> None:
    """From now on both signals raise Interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted
