"""The bottom of a terminal: what is shown and said comes there, and a terminal that takes nothing holds up nobody."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from rich.console import Console

from peer.cli import screen
from peer.cli.screen import Screen

if TYPE_CHECKING:
    import pytest


class Terminal:
    """A file that counts as a terminal; it takes nothing before it is let."""

    def __init__(self, *, stuck: bool = False, broken: bool = False) -> None:
        self.text = ""
        self.free = threading.Event()
        self._broken = broken
        if not stuck:
            self.free.set()

    def write(self, text: str) -> int:
        self.free.wait()
        if self._broken:
            raise OSError(5, os.strerror(5))
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


def on(terminal: Terminal) -> Screen:
    return Screen(Console(file=terminal, force_terminal=True, width=80, color_system=None))  # type: ignore[arg-type]


def test_lines_go_above_the_picture_and_the_picture_goes_in_the_end() -> None:
    terminal = Terminal()
    shown = on(terminal)
    shown.show("alice [b]3 s[/b]")
    shown.say("alice [hung] up")
    shown.close()
    assert "alice [hung] up\n" in terminal.text.replace("\r", "")
    assert terminal.text.endswith("\x1b[2K"), "the picture was left behind"


def test_a_terminal_that_takes_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "CLOSE_TIMEOUT", 0.01)
    terminal = Terminal(stuck=True)
    shown = on(terminal)
    for number in range(screen.MAX_LINES + 5):
        shown.show(f"{number} s")
        shown.say(f"line {number}")
    assert len(shown._lines) <= screen.MAX_LINES and terminal.text == ""
    shown.close()
    terminal.free.set()
    shown._thread.join(10)
    assert not shown._thread.is_alive() and f"line {screen.MAX_LINES + 4}\n" in terminal.text.replace("\r", "")


def test_a_terminal_that_was_closed_is_no_mistake_of_ours() -> None:
    shown = on(Terminal(broken=True))
    shown.say("nobody reads this")
    shown.close()
    assert not shown._thread.is_alive()
