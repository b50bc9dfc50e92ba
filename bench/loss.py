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
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints import PACKET, Ours, Page, Process, Sender, Stock, Took
from harness import Report, arguments, median, percentile, progress, show_measured
from lossylink import SAFE, LossyLink, Pattern

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

from peer.rtc.freezes import Freezes

if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVERS: dict[str, Any] = {"ours": Ours, "aiortc": Stock, "Chromium": None}
AT_ONCE = 2
"""Cases that are run at a time, on one machine with two cores."""
TAIL = 1.0
"""Seconds at the end that do not count: what is on its way then would come in time."""
BACK = 2.0
"""Seconds after an outage in which the latency has to be what it was."""
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


@dataclass
class Outcome:
    """One call, as the link and the receiver saw it."""

    pattern: Pattern
    rtt: float
    link: LossyLink
    took: Took
    said: list[dict[str, Any]]
    """What the receiver said: after SAFE, before an outage, BACK after it, at the end."""
    kept: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)
    """By kind: when each frame went into the link, when it was handed on. Only what counts."""

    def __post_init__(self) -> None:
        for kind, passed in self.link.passed.items():
            base = passed.beginning if self.took.zero_based else 0
            handed: dict[int, float] = {}
            for timestamp, at in self.took.frames[kind]:
                handed.setdefault((timestamp + base) & 0xFFFFFFFF, at)
            sent = sorted(passed.frames.items(), key=lambda item: item[1])
            first, last = sent[0][1] + SAFE, sent[-1][1] - TAIL
            self.kept[kind] = [(at, handed.get(timestamp)) for timestamp, at in sent if first <= at <= last]

    def delivered(self, kind: str) -> float:
        """The share of the frames that came out."""
        kept = self.kept[kind]
        return sum(handed is not None for _, handed in kept) / len(kept)

    def latencies(self, kind: str, start: float = 0.0, stop: float = float("inf")) -> list[float]:
        """Seconds in the receiver, of the frames that were sent in that stretch of the call."""
        first = min(self.link.passed[kind].frames.values())
        return [
            handed - at - self.rtt / 2
            for at, handed in self.kept[kind]
            if handed is not None and start <= at - first < stop
        ]

    def gaps(self) -> tuple[float, int, float]:
        """Of the video: the longest time between two pictures, freezes as webrtc-stats has them, seconds of those."""
        freezes, longest, before = Freezes(), 0.0, None
        for at in sorted(handed for _, handed in self.kept["video"] if handed is not None):
            freezes.frame(at)
            longest = max(longest, at - before if before is not None else 0.0)
            before = at
        return longest, freezes.freezes, freezes.frozen


async def call(case: tuple[float, Pattern], sender: Any, receiver: Any, name: str, seconds: float) -> Outcome:
    rtt, pattern = case
    link = LossyLink(pattern, rtt)
    answer = await receiver.take(name, await link.offered(await sender.offer(name)))
    began = time.monotonic()
    await sender.answered(name, link.answered(answer))
    said = []
    for moment in (SAFE, *(edge for start, stop in pattern.outages for edge in (start, stop + BACK)), seconds):
        await asyncio.sleep(began + moment - time.monotonic())
        said.append(await receiver.said(name))
    took = await receiver.end(name)
    await sender.end(name)
    link.close()
    return Outcome(pattern, rtt, link, took, said)


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


def sound(outcome: Outcome, name: str) -> tuple[float, float, float | None]:
    """Delivered share, median and longest delay in the receiver in ms; Chromium tells a mean, of what it plays."""
    if name != "Chromium":
        found = [1000 * each for each in outcome.latencies("audio")] or [float("nan")]
        return outcome.delivered("audio"), median(found), max(found)
    before, after = outcome.said[0]["audio"], outcome.said[-1]["audio"]
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
            longest, freezes, frozen = outcome.gaps()
            video = [1000 * each for each in outcome.latencies("video")] or [float("nan")]
            heard, typical, most = sound(outcome, name)
            pictures = (100 * outcome.delivered("video"), longest, freezes, frozen)
            report.add(case, name, *pictures, median(video), percentile(video, 0.99), 100 * heard, typical, most)
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
        first, before, after, end = (each["audio"] for each in outcome.said)
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
