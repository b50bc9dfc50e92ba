"""One call through a lossy link, as seen from outside: when each frame went in, and when it was handed on."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossylink import SAFE, LossyLink, Pattern

sys.path.insert(0, str(Path(__file__).parents[1]))

from peer.rtc.freezes import Freezes

if TYPE_CHECKING:
    from endpoints import Took

TAIL = 1.0
"""Seconds at the end that do not count: what is on its way then would come in time."""
BACK = 2.0
"""Seconds after an outage in which the latency has to be what it was."""


@dataclass
class Outcome:
    """One call, as the link and the receiver saw it."""

    pattern: Pattern
    rtt: float
    link: LossyLink
    took: Took
    said: list[tuple[float, dict[str, Any]]]
    """What the receiver counted, and when it said so: after SAFE, before an outage, BACK after it, at the end."""
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

    def sent(self, kind: str, start: float, stop: float) -> int:
        """The frames that went in between two times."""
        return sum(start <= at < stop for at in self.link.passed[kind].frames.values())

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
        said.append((time.monotonic(), await receiver.said(name)))
    took = await receiver.end(name)
    await sender.end(name)
    link.close()
    return Outcome(pattern, rtt, link, took, said)
