"""What was measured, as tables in Markdown and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.network.nat import Kind
from tests.network.theory import Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.network.disturbances import Outcome
    from tests.network.rows import Result


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that this share of all does not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def summary(results: Sequence[Result]) -> str:
    """One line: how many did as the theory says, and how fast."""
    right = sum(result.path is result.row.expectation.path for result in results)
    seconds = [result.seconds for result in results if result.seconds is not None]
    return (
        f"{right} of {len(results)} rows as expected; {len(seconds)} connected, "
        f"median {percentile(seconds, 0.5):.2f} s, 95 % within {percentile(seconds, 0.95):.2f} s, "
        f"slowest {max(seconds, default=0.0):.2f} s"
    )


def cell(result: Result | None) -> str:
    if result is None:
        return ""
    wrong = "" if result.path is result.row.expectation.path else f" (expected: {result.row.expectation.path})"
    if result.seconds is None:
        return f"–{wrong}"
    return f"{result.path} {result.seconds:.2f}{wrong}"


def pairs_by_servers(results: Sequence[Result]) -> str:
    """A row for each pair of networks, a column for each set of servers; seconds until both were connected."""
    order = list(Kind)

    def pair(result: Result) -> tuple[Kind, Kind]:
        first, second = sorted((result.row.first, result.row.second), key=order.index)
        return first, second

    columns = list(dict.fromkeys(result.row.servers for result in results))
    found = {(*pair(result), result.row.servers): result for result in results}
    pairs = sorted({pair(result) for result in results}, key=lambda each: (order.index(each[0]), order.index(each[1])))
    cells = [
        [str(first), str(second), *(cell(found.get((first, second, column))) for column in columns)]
        for first, second in pairs
    ]
    return markdown(["one side", "other side", *columns], cells)


def listing(results: Sequence[Result]) -> str:
    """One line for each row, for rows that differ in everything."""
    cells = [
        [f"{row.engines[0]}, {row.first}", f"{row.engines[1]}, {row.second}", row.servers, cell(result)]
        for result in results
        for row in [result.row]
    ]
    return markdown(["offers", "answers", "servers", "path, seconds"], cells)


def disturbances(outcomes: Sequence[Outcome]) -> str:
    """One line for each disturbance; of the two parties the one that was worse off."""
    cells = []
    for outcome in outcomes:
        row = outcome.trouble.row
        what = outcome.trouble.name.partition(",")[0]
        cells.append(
            [
                what,
                f"{row.first} – {row.second}" + _ENGINES.get("-".join(row.engines), ""),
                outcome.path,
                _worst(outcome.disconnected_after),
                _worst(streams.get("audio", streams.get("ping")) for streams in outcome.gaps),
                _back_after(outcome),
                " / ".join(dict.fromkeys(outcome.final)) or "never connected",
            ]
        )
    titles = [
        "what happens",
        "networks",
        "path",
        "`disconnected` after",
        "longest gap",
        "media back after",
        "in the end",
    ]
    return markdown(titles, cells)


_ENGINES = {
    "chromium-peer": " (Chromium offers)",
    "peer-chromium": " (Chromium answers)",
    "call-call": " (whole calls)",
}


def _back_after(outcome: Outcome) -> str:
    if set(outcome.final) != {"connected"}:
        return "–"  # what still arrived had been on its way
    return _worst(streams.get("audio", streams.get("ping")) for streams in outcome.back_after)


def _worst(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.2f} s" if known else "–"


def markdown(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)]) + "\n"


def document(results: Sequence[Result], outcomes: Sequence[Outcome]) -> str:
    """Everything that was run."""
    browser = [result for result in results if "chromium" in result.row.engines]
    others = [result for result in results if result not in browser]
    usual = [result for result in others if result.row.is_usual]
    special = [result for result in others if not result.row.is_usual]
    parts = [f"{summary(results)}\n"] if results else []
    if usual:
        parts.append(pairs_by_servers(usual))
    if special or browser:
        parts.append(listing([*special, *browser]))
    if outcomes:
        parts.append(disturbances(outcomes))
    return "\n".join(parts)


def as_json(results: Sequence[Result], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    unexpected = [result.row.name for result in results if result.path is not result.row.expectation.path]
    connected = [result.seconds for result in results if result.path is not Path.NONE and result.seconds is not None]
    return {
        "rows": [result.as_json() for result in results],
        "disturbances": [outcome.as_json() for outcome in outcomes],
        "unexpected": unexpected,
        "seconds": {"median": percentile(connected, 0.5), "p95": percentile(connected, 0.95)},
    }
