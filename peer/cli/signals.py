"""Ctrl-C and SIGTERM while no event loop takes care of them: nothing is open yet, or nothing any more."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Interrupted(BaseException):
    """Somebody wants us to end. No KeyboardInterrupt: typer makes a failure of that one."""


def end_quietly() -> None:
    """From now on both signals raise Interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted
