"""What the comparisons share: figures of many runs, one style of table, the loops that programs run on.

`python bench/NAME.py` prints tables; with `--json` the same rows, unrounded, as one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiortc import MediaStreamTrack, RTCPeerConnection
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

LOOPS = ("asyncio", "uvloop")
WIDTH = 120
"""Columns of a table that goes into a file."""


class NotHere(Exception):
    """What a comparison needs is not installed; the text says what to do."""


def arguments(description: str, *, runs: int | None = None) -> argparse.ArgumentParser:
    """The options that every comparison has; `--runs` where a case is run more than once."""
    parser = argparse.ArgumentParser(description=description)
    if runs is not None:
        parser.add_argument("--runs", type=int, default=runs, help=f"runs of each case (default: {runs})")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies; with few values, the nearest one above."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def run_on(loop: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs it on asyncio's own loop or on uvloop."""
    if loop == "uvloop":
        import uvloop

        return uvloop.run(coroutine)
    return asyncio.run(coroutine)


def connection_class(name: str) -> Callable[[Any], Any]:
    """The class of a connection: "ours", or "stock" (aiortc's)."""
    if name == "stock":
        return RTCPeerConnection
    from peer.rtc.connection import PeerConnection

    return PeerConnection


class Silent(MediaStreamTrack):
    """A track that never gives anything: where connecting is measured, encoding is not."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def recv(self) -> Any:
        await asyncio.Event().wait()


@dataclass
class Report:
    """Rows of named values, and how each column is written."""

    title: str
    columns: dict[str, str]
    """Column -> format of its values, as of `format()`; "" for text."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What all rows together say."""

    def add(self, *values: Any) -> None:
        self.rows.append(dict(zip(self.columns, values, strict=True)))

    def table(self) -> Table:
        table = Table()
        for name in self.columns:
            table.add_column(name, no_wrap=True)
        for row in self.rows:
            table.add_row(*(_written(row[name], style) for name, style in self.columns.items()))
        return table


def _written(value: Any, style: str) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else format(value, style)


def show(reports: Sequence[Report], *, as_json: bool) -> None:
    """Prints what was measured."""
    if as_json:
        print(json.dumps([{"title": each.title, "rows": each.rows, "notes": each.notes} for each in reports], indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for report in reports:
        console.print(report.title)
        console.print(report.table())
        for note in report.notes:
            console.print(note)


def show_measured(measuring: Coroutine[Any, Any, Sequence[Report]], *, as_json: bool) -> None:
    """Measures, and prints what came of it, or what has to be installed first."""
    try:
        reports = asyncio.run(measuring)
    except NotHere as reason:
        print(reason)
        return
    show(reports, as_json=as_json)


def progress(text: str) -> None:
    """Says what is being measured, on a terminal only."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)
