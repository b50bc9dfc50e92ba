"""How long a frame takes from its sender to who takes it: ours beside aiortc's connection.

One sender sends the same clip to both at the same time, each through a link of its own. A frame is sent when its first
packet goes into the link, and handed on when the taker has it: encoded, from ours as from aiortc, whose decoder here
gives what it gets. So what is measured is the receiver alone; half of the round trip is taken off.

    python bench/latency.py [--seconds 10] [--json]
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from endpoints import FPS, PACKET, Ours, Process, Sender, StockEncoded
from harness import Report, arguments, median, percentile, progress, show_measured
from lossycall import Outcome, call
from lossylink import Pattern

RECEIVERS: dict[str, Any] = {"ours": Ours, "aiortc": StockEncoded}
CASES = [(0.0, Pattern()), (0.02, Pattern()), (0.02, Pattern(0.01))]
"""Round-trip time in seconds, and what gets lost."""
INTERVALS = {"video": 1 / FPS, "audio": PACKET}


async def measure(seconds: float) -> list[Report]:
    columns = {"stream": "", "RTT, loss": "", "ours ms": ".1f", "p99": ".1f", "aiortc ms": ".1f", "p99 ": ".1f"}
    columns |= {"less, ms": ".1f", "less, frames": ".2f"}
    title = "Time in the receiver until a frame is handed on: median, 99th percentile (wanted: one frame less)"
    report = Report(title, columns)
    async with contextlib.AsyncExitStack() as stack:
        ends = {name: await stack.enter_async_context(Process(make)) for name, make in RECEIVERS.items()}
        sender = await stack.enter_async_context(Process(Sender))
        for case in CASES:
            progress(f"{case[0] * 1000:.0f} ms, {case[1]} ...")
            calls = (call(case, sender, end, f"{case} {name}", seconds) for name, end in ends.items())
            ours, stock = await asyncio.gather(*calls)
            for kind in INTERVALS:
                _add(report, kind, ours, stock)
    return [report]


def _add(report: Report, kind: str, ours: Outcome, stock: Outcome) -> None:
    times = [[1000 * each for each in outcome.latencies(kind)] for outcome in (ours, stock)]
    less = median(times[1]) - median(times[0])
    values = [figure for found in times for figure in (median(found), percentile(found, 0.99))]
    case = f"{ours.rtt * 1000:.0f} ms, {ours.pattern}"
    report.add(kind, case, *values, less, less / 1000 / INTERVALS[kind])


def main() -> None:
    parser = arguments("From a frame sent to the frame handed on, ours beside aiortc")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case (default: 10)")
    chosen = parser.parse_args()
    show_measured(measure(chosen.seconds), as_json=chosen.json)


if __name__ == "__main__":
    main()
