"""What comes of a stream whose packets get lost: ours beside aiortc's connection beside Chromium.

One sender sends the same clip to each of the three at the same time, through a link of its own that delays packets and
loses the same ones on all three, both ways. What a receiver makes of it is seen from outside: when each frame went into
the link, and when it was handed on. Ours hands encoded frames on; aiortc and Chromium decode theirs, which takes a
few ms.

    python bench/loss.py [--seconds 10] [--full] [--chromium-sends]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints import PACKET, Ours, Page, Process, Sender, Stock
from harness import Report, arguments, median, percentile, progress, show_measured
from lossycall import BACK, TAIL, Outcome, call
from lossylink import SAFE, Pattern

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVERS: dict[str, Any] = {"ours": Ours, "aiortc": Stock, "Chromium": None}
FROZEN = "totalFreezesDuration"
AT_ONCE = 2
"""Cases that are run at a time, on one machine with two cores."""
BURST = 5
"""Packets."""
QUICK = [
    *((0.02, Pattern(share)) for share in (0.0, 0.05, 0.2)),
    *((0.1, Pattern(share)) for share in (0.01, 0.05, 0.1)),
    *((rtt, Pattern(0.05, burst=BURST)) for rtt in (0.0, 0.02, 0.1)),
]
FULL = [
    *((rtt, Pattern(share)) for rtt in (0.0, 0.02, 0.1) for share in (0.0, 0.01, 0.05, 0.1, 0.2)),
    *((rtt, Pattern(share, burst=BURST)) for rtt in (0.0, 0.02, 0.1) for share in (0.01, 0.05, 0.1, 0.2)),
]
OUTAGES = [(0.02, 0.1), (0.02, 0.5), (0.1, 0.3), (0.1, 2.0)]
"""Round-trip time and how long nothing passes, seconds."""


async def compare(
    cases: Sequence[tuple[float, Pattern]], ends: dict[str, Any], seconds: float
) -> list[tuple[float, Pattern, dict[str, Outcome]]]:
    """Each case with all receivers at the same time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, case: tuple[float, Pattern]) -> dict[str, Outcome]:
        async with turn:
            progress(f"{case[0] * 1000:.0f} ms, {case[1]} ...")
            longer = max((stop for _, stop in case[1].outages), default=0.0) + BACK + TAIL + 1
            calls = (
                call(case, ends["sender"], ends[name], f"{number} {name}", max(seconds, longer)) for name in RECEIVERS
            )
            return dict(zip(RECEIVERS, await asyncio.gather(*calls), strict=True))

    found = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))
    return [(rtt, pattern, outcomes) for (rtt, pattern), outcomes in zip(cases, found, strict=True)]


def pictures(outcome: Outcome, name: str) -> tuple[float, float, int, float]:
    """The share that came, the longest gap, freezes and their seconds; but for the gap Chromium's are its own counts.

    The page gets to see fewer pictures than were decoded when the machine is busy.
    """
    longest, freezes, frozen = outcome.gaps()
    if name != "Chromium":
        return outcome.delivered("video"), longest, freezes, frozen
    (start, before), (stop, after) = ((at, said["video"]) for at, said in (outcome.said[0], outcome.said[-1]))
    came, freezes, frozen = (after[each] - before[each] for each in ("framesDecoded", "freezeCount", FROZEN))
    return min(came / outcome.sent("video", start, stop), 1.0), longest, freezes, frozen


def sound(outcome: Outcome, name: str) -> tuple[float, float, float | None]:
    """Delivered share, median and longest delay in the receiver in ms; Chromium tells a mean, of what it plays."""
    if name != "Chromium":
        found = [1000 * each for each in outcome.latencies("audio")] or [float("nan")]
        return outcome.delivered("audio"), median(found), max(found)
    before, after = (said["audio"] for _, said in (outcome.said[0], outcome.said[-1]))
    share = _between(before, after, "concealedSamples", "totalSamplesReceived")
    delay = _between(before, after, "jitterBufferDelay", "jitterBufferEmittedCount")
    return 1 - share, 1000 * delay, None


def _between(before: dict[str, float], after: dict[str, float], what: str, over: str) -> float:
    return (after[what] - before[what]) / max(after[over] - before[over], 1)


def losses(found: list[tuple[float, Pattern, dict[str, Outcome]]]) -> Report:
    columns = {"RTT, loss": "", "receiver": "", "frames %": ".1f", "gap s": ".2f", "freezes": "d", "frozen s": ".1f"}
    columns |= {"video ms": ".0f", "p99": ".0f", "sound %": ".1f", "sound ms": ".0f", "most": ".0f"}
    title = f"""\
What was handed on, bursts of {BURST} packets on average. Gap: the longest time between two pictures. ms: time in the
receiver, median, 99th percentile, most; of Chromium's sound what it says itself on average, of what it played."""
    report = Report(title, columns)
    for rtt, pattern, outcomes in found:
        case = f"{rtt * 1000:.0f} ms, {pattern}"
        for name, outcome in outcomes.items():
            share, *still = pictures(outcome, name)
            video = [1000 * each for each in outcome.latencies("video")] or [float("nan")]
            heard, typical, most = sound(outcome, name)
            times = (median(video), percentile(video, 0.99))
            report.add(case, name, 100 * share, *still, *times, 100 * heard, typical, most)
            case = ""
    return report


def outages(found: list[tuple[float, Pattern, dict[str, Outcome]]]) -> Report:
    columns = {"RTT, outage": "", "receiver": "", "gap s": ".2f", "video ms": ".0f", "later": ".0f", "again s": ".1f"}
    columns |= {"sound ms": ".0f", "sound later": ".0f", "sound again s": ".1f"}
    title = f"""\
Nothing passes for a while. ms: time in the receiver before it, and from {BACK:g} s after it on, medians; again: seconds
after it until every frame came as soon as before."""
    report = Report(title, columns)
    for rtt, pattern, outcomes in found:
        case = f"{rtt * 1000:.0f} ms, {pattern}"
        for name, outcome in outcomes.items():
            values = [value for kind in ("video", "audio") for value in recovery(outcome, kind, name)]
            report.add(case, name, outcome.gaps()[0], *values)
            case = ""
    return report


def recovery(outcome: Outcome, kind: str, name: str) -> tuple[float, float, float | None]:
    """Milliseconds in the receiver before an outage and from BACK after it on, seconds after which it was as before."""
    ((start, stop),) = outcome.pattern.outages
    if kind == "audio" and name == "Chromium":
        first, before, after, end = (said["audio"] for _, said in outcome.said)
        keys = ("jitterBufferDelay", "jitterBufferEmittedCount")
        return 1000 * _between(first, before, *keys), 1000 * _between(after, end, *keys), None
    usual = outcome.latencies(kind, SAFE, start - 0.5)
    bound = max(usual) + 2 * PACKET
    begun = min(outcome.link.passed[kind].frames.values())
    slow = [
        at - begun - stop
        for at, handed in outcome.kept[kind]
        if at - begun >= stop and (handed is None or handed - at - outcome.rtt / 2 > bound)
    ]
    later = outcome.latencies(kind, stop + BACK)
    return 1000 * median(usual), 1000 * median(later) if later else float("nan"), max(slow, default=0.0)


async def measure(seconds: float, *, full: bool, chromium_sends: bool) -> list[Report]:
    async with contextlib.AsyncExitStack() as stack:
        ends: dict[str, Any] = {}
        for name, make in RECEIVERS.items():
            ends[name] = await stack.enter_async_context(Process(make) if make else Page())
        ends["sender"] = await stack.enter_async_context(Page() if chromium_sends else Process(Sender))
        breaks = [(rtt, Pattern(outages=((4.0, 4.0 + long),))) for rtt, long in OUTAGES]
        found = await compare([*(FULL if full else QUICK), *breaks], ends, seconds)
    return [losses(found[: -len(breaks)]), outages(found[-len(breaks) :])]


def main() -> None:
    parser = arguments("A lossy stream, received by ours, aiortc and Chromium")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each call (default: 12)")
    parser.add_argument("--full", action="store_true", help="all rates of loss at all round-trip times")
    parser.add_argument("--chromium-sends", action="store_true", help="Chromium's fake camera instead of the clip")
    chosen = parser.parse_args()
    measuring = measure(chosen.seconds, full=chosen.full, chromium_sends=chosen.chromium_sends)
    show_measured(measuring, as_json=chosen.json)


if __name__ == "__main__":
    main()
