"""Ctrl-C and SIGTERM while no event loop takes care of them: nothing is open yet, or nothing any more."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
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


def end_quietly() -> None:
    """From now on both signals raise Interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted
