"""What is printed, on a terminal and into a pipe."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from peer.cli import output
from peer.events import Ended
from tests.cli.samples import report

if TYPE_CHECKING:
    import pytest

REPORTS = [report(ended=Ended("alice", "hung up", 10.0)), report("[red]mallory[/red]")]


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    there = Terminal()
    monkeypatch.setattr(sys, "stdout", there)
    return there


def test_in_a_pipe_a_call_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_calls(REPORTS)
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "who"
    for cell in ("alice", "alice hung up", "10.0", "VP8 Opus", "300/290/3", "800/80", "recordings/alice.mkv"):
        assert f" {cell} " in f" {first} "
    assert "host udp 192.0.2.2:5000 - prflx 192.0.2.7:6000" in first
    assert second.startswith("[red]mallory[/red]  connected")


def test_on_a_narrow_terminal_path_and_file_have_lines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    there = terminal(monkeypatch)
    output.print_calls(REPORTS[:1])
    lines = there.getvalue().splitlines()
    assert max(map(len, lines[1:])) <= 90
    assert lines[-2:] == [
        "alice: host udp 192.0.2.2:5000 - prflx 192.0.2.7:6000",
        "alice: recordings/alice.mkv",
    ]


def test_recordings_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    lost = report("[b]bob[/b]", ended=Ended("", "lost", 10.0))
    lost.files = [replace(lost.files[0], whole=False, bytes=12_345_678)]
    output.print_recordings([report(), lost])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["who", "state", "seconds", "size", "kbit/s", "lost", "frozen", "file"]
    assert first.split() == ["alice", "recording", "10.0", "1", "kB", "80", "4", "0.0", "s", "recordings/alice.mkv"]
    for cell in ("[b]bob[/b]", "lost", "12.3 MB", "recordings/[b]bob[/b].mkv (not whole)"):
        assert f" {cell} " in f" {second} "


def test_recordings_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    there = terminal(monkeypatch)
    output.print_recordings([report()])
    assert there.getvalue().splitlines()[-1] == "alice: recordings/alice.mkv"


def test_no_color_means_no_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    colourful = terminal(monkeypatch)
    output.print_calls(REPORTS)
    assert "\x1b[" in colourful.getvalue()
    plain = terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_calls(REPORTS)
    assert "alice" in plain.getvalue() and "\x1b" not in plain.getvalue()


def test_the_live_line_lets_log_lines_through_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from peer.logs import LineHandler

    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    written: list[str] = []
    handler = LineHandler(written.append)
    with output.live_line(handler, lambda: "room lab: [b]alice[/b] 3 s") as draw:
        draw()
        handler.write("alice [hung] up")
    handler.write("afterwards")
    assert "room lab: [b]alice[/b] 3 s" in screen.getvalue() and "alice [hung] up" in screen.getvalue()
    assert written == ["afterwards"]


def test_without_a_terminal_there_is_no_live_line(capsys: pytest.CaptureFixture[str]) -> None:
    from peer.logs import LineHandler

    with output.live_line(LineHandler(print), lambda: "never seen") as draw:
        draw()
    assert capsys.readouterr() == ("", "")
