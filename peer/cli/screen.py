"""What stands at the bottom of a terminal, drawn on a thread of its own.

A terminal may take nothing for a while (Ctrl-S, a stalled ssh): that must not hold up calls and recordings.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MAX_LINES: Final = 1000
"""Lines that may wait for the terminal; beyond, the oldest go."""
CLOSE_TIMEOUT: Final = 0.5
"""Seconds that the terminal may take for the last lines; a thread that hangs longer is left behind."""


class Screen:
    """A picture that is replaced by the next, and lines that go above it; neither call waits for the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._picture: RenderableType = ""
        self._news = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        self._lines.append(line)
        self._news.set()

    def show(self, picture: RenderableType) -> None:
        self._picture = picture
        self._news.set()

    def close(self) -> None:
        """Print what waits, and take the picture away."""
        self._over = True
        self._news.set()
        self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        from rich.live import Live

        with contextlib.suppress(OSError):  # the terminal was closed
            with Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            ) as live:
                over = False
                while not over:
                    self._news.wait()
                    self._news.clear()
                    over = self._over
                    while self._lines:
                        self._console.print(self._lines.popleft(), markup=False, soft_wrap=True)
                    live.update(self._picture, refresh=True)
