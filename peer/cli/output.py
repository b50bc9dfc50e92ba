"""What the command prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

    from peer.doctor.shown import Row
    from peer.logs import LineHandler
    from peer.media.devices import Device
    from peer.recording.check import Checked
    from peer.recording.files import RecordedFile
    from peer.report import CallReport

WIDE: Final = 150
"""Columns from which the candidate pair and the file have a column of their own; below, they have lines."""
UNBOUNDED: Final = 250
"""Columns where there is no terminal."""
REFRESH: Final = 0.25
"""Seconds between two states of the live line."""


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object."""
    say(json.dumps(value, ensure_ascii=False))


def say(line: str) -> None:
    """One line, at once: whoever reads it through a pipe may wait for it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_calls(reports: Sequence[CallReport]) -> None:
    """The table of calls: who, state, seconds, codecs, frames, bitrate, candidate pair, files."""
    from rich.table import Table

    console = _console()
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("who", "state"):
        table.add_column(heading, overflow="fold")
    table.add_column("seconds", justify="right")
    table.add_column("codecs")
    table.add_column("frames out/in/lost", justify="right")
    table.add_column("kbit/s out/in", justify="right")
    if wide:
        table.add_column("candidate pair", overflow="fold")
        table.add_column("file", overflow="fold")
    for report in reports:
        table.add_row(*(_plain(cell) for cell in _cells(report, with_path=wide)))
    console.print(table)
    for report in () if wide else reports:
        for line in _lines(report):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def recordings(reports: Sequence[CallReport], rates: Mapping[int, float], *, with_files: bool) -> Table:
    """The table of recordings: who, state, seconds, size, bitrate, lost packets, frozen seconds, files.

    `rates`: bits per second received now, by the id of the report; of others it is the average that is told.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("who", "state"):
        table.add_column(heading, overflow="fold")
    for heading in ("seconds", "size", "kbit/s", "lost", "frozen"):
        table.add_column(heading, justify="right", no_wrap=True)
    if with_files:
        table.add_column("file", overflow="fold")
    for report in reports:
        rate = rates.get(id(report), report.bitrates()[1])
        cells = [report.who, report.recorded, f"{report.seconds:.1f}", _size(report.size), f"{rate / 1000:.0f}"]
        cells += [str(report.packets_lost), f"{report.frozen:.1f} s"]
        if with_files:
            cells.append("\n".join(_file(file) for file in report.files))
        table.add_row(*(_plain(cell) for cell in cells))
    return table


def print_recordings(reports: Sequence[CallReport]) -> None:
    """What `peer record` came to, and where it is."""
    console = _console()
    wide = console.width >= WIDE
    console.print(recordings(reports, {}, with_files=wide))
    for report in () if wide else reports:
        for file in report.files:
            console.print(f"{report.who}: {_file(file)}", markup=False, highlight=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Any table, in the colours and the width that standard output has."""
    _console().print(table)


def print_devices(devices: Sequence[Device]) -> None:
    """The table of devices: kind, what to type, what its maker calls it."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("device", "type this", "name"):
        table.add_column(heading, overflow="fold")
    for device in devices:
        flag = "--audio" if device.kind == "microphone" else "--video"
        table.add_row(*(_plain(cell) for cell in (device.kind, f"{flag} {device.argument}", device.label)))
    _console().print(table)


def print_checks(rows: Sequence[Row]) -> None:
    """The table of `peer doctor`: what was tried, what came of it, how long it took."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", overflow="fold")
    table.add_column("result")
    table.add_column("seconds", justify="right")
    table.add_column("details", overflow="fold")
    styles = {True: "green", False: "bold red", None: "dim"}
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.2f}"
        table.add_row(_plain(row.check), Text(row.result, styles[row.good]), seconds, _plain(row.details))
    _console().print(table)


def print_checked(rows: Sequence[Checked]) -> None:
    """The table of `peer verify`: each file, how long it is, what is missing in it and what is wrong with it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("participant", overflow="fold")
    for heading in ("seconds", "pictures/sounds", "skew"):
        table.add_column(heading, justify="right")
    table.add_column("missing", overflow="fold")
    table.add_column("result", overflow="fold")
    for row in rows:
        missing = ", ".join(f"{cause} {seconds:.1f} s" for cause, seconds in sorted(row.missing.items()))
        skew = "" if row.skew is None else f"{row.skew:+.2f}"
        cells = (str(row.path), row.participant, f"{row.seconds:.1f}", f"{row.video_frames}/{row.audio_frames}", skew)
        result = Text("\n".join(row.problems), "bold red") if row.problems else Text("ok", "green")
        result.append("".join(f"\n{note}" for note in row.notes), "dim")
        table.add_row(*(_plain(cell) for cell in cells), _plain(missing), result)
    _console().print(table)


@contextmanager
def live_line(handler: LineHandler, text: Callable[[], str], *, wanted: bool = True) -> Iterator[Callable[[], None]]:
    """A line at the bottom of the terminal that `text` makes; as `live`."""
    with live(handler, lambda console: _one_line(text(), console.width), wanted=wanted) as draw:
        yield draw


@contextmanager
def live(
    handler: LineHandler, picture: Callable[[Console], Any], *, wanted: bool = True
) -> Iterator[Callable[[], None]]:
    """What `picture` makes, at the bottom of the terminal; log lines go above it. Gives what draws it anew.

    Nothing of it where standard error is no terminal, or where it is not `wanted`.
    """
    if not wanted or not sys.stderr.isatty():
        yield lambda: None
        return
    from peer.cli.screen import Screen

    console = _console(stderr=True)
    before, screen = handler.write, Screen(console)
    handler.write = screen.say
    try:
        yield lambda: screen.show(picture(console))
    finally:
        handler.write = before
        screen.close()


def is_interactive() -> bool:
    """Whether a person sits there, who can read a URL and press Ctrl-C."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    # Into a file or a pipe nothing is cut to the 80 columns of an imagined terminal.
    width = None if stderr or sys.stdout.isatty() else UNBOUNDED
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, highlight=False, width=width, color_system=colours)


def _cells(report: CallReport, *, with_path: bool) -> list[str]:
    sent, received, lost = report.frames("video") if any(report.frames("video")) else report.frames("audio")
    rates = report.bitrates()
    cells = [report.who, report.how, f"{report.seconds:.1f}", " ".join(report.codecs())]
    cells += [f"{sent}/{received}/{lost}", f"{rates[0] / 1000:.0f}/{rates[1] / 1000:.0f}"]
    if with_path:
        cells += [str(report.pair or ""), "\n".join(str(file.path) for file in report.files)]
    return cells


def _file(file: RecordedFile) -> str:
    return f"{file.path}" if file.whole else f"{file.path} (not whole)"


def _size(size: int) -> str:
    """`12.3 MB`, and small ones `45 kB`."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _lines(report: CallReport) -> Iterator[str]:
    if report.pair is not None:
        yield f"{report.who}: {report.pair}"
    for file in report.files:
        yield f"{report.who}: {file.path}"


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # names are other people's: no markup in them


def _one_line(text: str, width: int) -> Any:
    from rich.text import Text

    line = Text(text, style="dim")
    line.truncate(max(1, width - 1), overflow="ellipsis")
    return line
