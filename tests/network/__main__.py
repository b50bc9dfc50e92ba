"""Runs the laboratory outside of the tests and prints its tables: `sudo .venv/bin/python -m tests.network --full`."""

# ruff: noqa: T201  (a command prints)

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.network import schedule, table
from tests.network.disturbances import Outcome
from tests.network.namespaces import remove_abandoned

if TYPE_CHECKING:
    from tests.network.disturbances import Trouble
    from tests.network.rows import Result, Row


def main() -> int:
    options = arguments()
    if os.geteuid() != 0:
        print("network namespaces need root; run: sudo .venv/bin/python -m tests.network", file=sys.stderr)
        return 2
    if options.clean:
        print("\n".join(remove_abandoned()) or "nothing was left behind")
        return 0
    rows, troubles = chosen(options)
    if options.list:
        print("\n".join([*(row.name for row in rows), *(trouble.name for trouble in troubles)]))
        return 0
    results, outcomes = asyncio.run(schedule.run_all(rows, troubles, lambda result: tell(result, options)))
    print(table.document(results, outcomes))
    found = table.as_json(results, outcomes)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))
    return 1 if found["unexpected"] else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.network", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every pair with every set of servers, more disturbances")
    parser.add_argument(
        "--only", choices=("matrix", "adverse", "disturbances", "calls", "browser"), help="a part of it"
    )
    parser.add_argument("--match", default="", metavar="TEXT", help="what has this text in its name")
    parser.add_argument(
        "--engine", default="peer", choices=("peer", "ice", "call", "stock"), help="what both parties run"
    )
    parser.add_argument("--json", metavar="FILE", help="writes everything that was measured there")
    parser.add_argument("--events", action="store_true", help="shows all that the parties tell, for what went wrong")
    parser.add_argument("--list", action="store_true", help="only names what would be run")
    parser.add_argument("--clean", action="store_true", help="removes namespaces of runs that were killed")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> tuple[list[Row], list[Trouble]]:
    engines = (options.engine, options.engine)
    rows: list[Row] = []
    troubles: list[Trouble] = []
    if options.only in (None, "matrix"):
        rows += schedule.full_matrix(engines) if options.full else schedule.matrix(engines)
    if options.only in (None, "adverse"):
        rows += schedule.adverse_rows(engines)
    if options.only in (None, "disturbances"):
        if options.engine != "call":
            troubles += schedule.troubles(engines, full=options.full)
    if options.only in (None, "calls") and options.engine in ("peer", "call"):
        troubles += schedule.call_troubles(full=options.full)
    if options.only in (None, "browser") and options.engine == "peer":
        rows += schedule.browser_rows()
        troubles += schedule.browser_troubles()
    rows = [row for row in rows if options.match in row.name]
    return rows, [trouble for trouble in troubles if options.match in trouble.name]


def tell(result: Result | Outcome, options: argparse.Namespace) -> None:
    """A line as soon as it is known; more about what went wrong."""
    if isinstance(result, Outcome):
        name, good, text = result.trouble.name, bool(result.final), f"{result.final} gaps {result.gaps}"
    else:
        good = result.path is result.row.expectation.path
        name, text = result.row.name, f"{table.cell(result)} {' | '.join(result.sentences)}"
    print(f"{'ok ' if good else 'BAD'} {name}: {text}", file=sys.stderr, flush=True)
    for trouble in result.troubles:
        print(f"    {trouble[-2000:]}", file=sys.stderr)
    if options.events and not good:
        for number, events in enumerate(result.events):
            _show(number, events)


def _show(number: int, events: list[dict[str, Any]]) -> None:
    for event in events:
        shown = {key: value for key, value in event.items() if key not in ("arrivals",)}
        print(f"    {'AB'[number]} {shown}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
