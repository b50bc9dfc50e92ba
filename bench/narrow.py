"""Pictures over a link that is narrowed and widened again: ours beside aiortc's connection beside Chromium.

Each sends to a page in Chromium: ours and aiortc's the same moving pictures, Chromium its fake camera. Ours does so in
three ways: a track of the program, encoded for this connection alone; and what calls have, live pictures or a file that
are shared with another call, whose link stays wide. What the page shows is seen from outside: when each picture came,
how large it was.

    python bench/narrow.py [--seconds 12] [--sender ours] [--codec VP8]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints import HEIGHT, WIDTH, Page, Process
from harness import Report, arguments, percentile, progress, show_measured
from narrowlink import Carried, NarrowLink
from narrowsenders import Ours, Shared, SharedFile, Stock

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

from peer.rtc.freezes import Freezes

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = 3_000_000
PHASES = (WIDE, 500_000, 300_000, WIDE)
"""Bits per second, one after the other."""
RTT = 0.05
STEP = 0.5
"""Seconds from one look at the page to the next."""
BACK = 0.9
"""Part of the rate before that counts as being back."""
CODECS = ("VP8", "H264")


SENDERS: dict[str, Any] = {
    "ours": Ours,
    "ours, shared": Shared,
    "ours, a file": SharedFile,
    "aiortc": Stock,
    "Chromium": None,
}


def only(sdp: str, codec: str) -> str:
    """The description with that codec for video, and its retransmissions."""
    head, *sections = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    return head + "".join(_only(each, codec) if each.startswith("m=video") else each for each in sections)


def _only(section: str, codec: str) -> str:
    kept = set(re.findall(rf"^a=rtpmap:(\d+) {codec}/", section, re.MULTILINE | re.IGNORECASE))
    kept |= {number for number, apt in re.findall(r"^a=fmtp:(\d+) apt=(\d+)", section, re.MULTILINE) if apt in kept}
    lines = section.split("\r\n")
    first = lines[0].split()
    found = [" ".join(first[:3] + [each for each in first[3:] if each in kept])]
    for line in lines[1:]:
        about = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+)", line)
        if about is None or about[1] in kept:
            found.append(line)
    return "\r\n".join(found)


@dataclass
class Phase:
    rate: int
    began: float
    ended: float = 0.0
    carried: Carried = field(default_factory=Carried)
    said: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """What the page said of the video, from time to time."""


@dataclass
class Outcome:
    phases: list[Phase]
    shown: list[float]
    """When the page got each picture."""
    steps: list[tuple[float, int]]
    """When, and how many bytes of video went through since the step before."""
    trace: list[str]
    beside: list[float] | None = None
    """When the other call of the same source, whose link stayed wide, got each."""

    def freezes(self, phase: Phase, shown: Sequence[float]) -> tuple[float, float]:
        """The longest time without a picture, and seconds of freezes as webrtc-stats has them."""
        freezes, longest, before = Freezes(), 0.0, None
        for at in shown:
            if before is not None and phase.began <= at < phase.ended:
                longest = max(longest, at - before)
            if phase.began - 1 <= at < phase.ended:
                freezes.frame(at)
            before = at
        return longest, freezes.frozen

    def size(self, phase: Phase) -> str:
        """Of most of the pictures of its second half."""
        sizes = [
            (s["frameWidth"], s["frameHeight"]) for _, s in phase.said[len(phase.said) // 2 :] if "frameWidth" in s
        ]
        return "{}x{}".format(*max(sizes, key=sizes.count)) if sizes else ""

    def back(self) -> float | None:
        """Seconds until the rate is what it was before the link was narrowed; None: not by the end."""
        first, last = self.phases[0], self.phases[-1]
        usual = self._rate(max(first.began, first.ended - 5), first.ended)
        for at, _ in self.steps:
            if at >= last.began + 1 and self._rate(at - 1, at) >= BACK * usual:
                return at - last.began
        return None

    def rates(self, phase: Phase) -> tuple[float, float]:
        """The lowest and the highest of a second, but for the first one."""
        found = [self._rate(at - 1, at) for at, _ in self.steps if phase.began + 2 <= at <= phase.ended]
        return min(found), max(found)

    def _rate(self, start: float, stop: float) -> float:
        return 8 * sum(size for at, size in self.steps if start < at <= stop) / (stop - start)


async def call(sender: Any, receiver: Any, name: str, codec: str, seconds: float, *, shared: bool) -> Outcome:
    link = NarrowLink(RTT, WIDE)
    offer = only(await sender.offer(name), codec)
    await sender.answered(name, link.answered(await receiver.take(name, await link.offered(offer))))
    phases: list[Phase] = []
    steps: list[tuple[float, int]] = []
    trace: list[str] = []
    for rate in PHASES:
        link.rate, link.carried = rate, Carried()
        phase = Phase(rate, time.monotonic(), carried=link.carried)
        phases.append(phase)
        before = 0
        for step in itertools.count(1):
            await asyncio.sleep(max(0.0, phase.began + step * STEP - time.monotonic()))
            now = time.monotonic()
            steps.append((now, link.carried.video - before))
            before = link.carried.video
            said = await receiver.said(name)
            phase.said.append((now, said.get("video", {})))
            own = await sender.said(name) if not isinstance(sender, Page) else {}
            trace.append(
                f"{now - phases[0].began:5.1f} {rate / 1000:.0f} sent {steps[-1][1] * 8 / STEP / 1000:6.0f}"
                f" again {link.carried.again} dropped {link.carried.dropped}"
                f" wait {1000 * max(link.carried.waits[-20:], default=0):.0f} {own}"
                f" {said.get('video', {}).get('frameWidth')} {said.get('video', {}).get('framesPerSecond')}"
            )
            if now - phase.began >= seconds:
                break
        phase.ended = now
    took = await receiver.end(name)
    beside = await sender.beside(name) if shared else None
    await sender.end(name)
    link.close()
    return Outcome(phases, sorted(at for _, at in took.frames["video"]), steps, trace, beside)


def add(report: Report, case: str, name: str, outcome: Outcome) -> None:
    for number, phase in enumerate(outcome.phases):
        carried, elapsed = phase.carried, phase.ended - phase.began
        longest, frozen = outcome.freezes(phase, outcome.shown)
        beside = outcome.freezes(phase, outcome.beside)[0] if outcome.beside is not None else None
        least, most = outcome.rates(phase)
        report.add(
            case if not number else "",
            name if not number else "",
            f"{phase.rate // 1000}",
            8 * carried.video / elapsed / 1000,
            f"{least / 1000:.0f}-{most / 1000:.0f}",
            outcome.size(phase),
            longest,
            frozen,
            carried.again / 1000,
            1000 * percentile(carried.waits or [0.0], 0.95),
            carried.dropped,
            outcome.back() if number == len(outcome.phases) - 1 else None,
            beside,
        )


async def measure(seconds: float, senders: Sequence[str], codecs: Sequence[str], *, trace: bool) -> list[Report]:
    columns = {"codec": "", "sender": "", "link": "", "kbit/s": ".0f", "a second": "", "size": "", "gap": ".2f"}
    columns |= {"frozen": ".1f", "again": ".0f", "queue": ".0f", "lost": "d", "back": ".1f", "beside": ".2f"}
    title = f"""\
Pictures of {WIDTH}x{HEIGHT} to Chromium over a link that takes so much, for {seconds:g} s each; {RTT:g} s round trip.
Kbit/s of pictures; a second: the lowest and the highest rate of one; gap: the longest time between two pictures, s;
frozen, s; again: what was sent again, kB; queue: 95th percentile of what packets waited on the link, ms; lost: packets,
by its queue; back: s until the rate was {BACK:.0%} of what it was at first; beside: the longest gap of the other call,
whose link stays wide, s."""
    report = Report(title, columns)
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Page())
        for name in senders:
            make = SENDERS[name]
            sender = await stack.enter_async_context(Process(make) if make else Page())
            for codec in codecs:
                progress(f"{name}, {codec} ...")
                outcome = await call(
                    sender, receiver, f"{name} {codec}", codec, seconds, shared=hasattr(make, "beside")
                )
                add(report, codec, name, outcome)
                if trace:
                    print(*outcome.trace, sep="\n")
    return [report]


def main() -> None:
    parser = arguments("A link narrowed and widened again, to Chromium")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each width (default: 12)")
    parser.add_argument("--sender", choices=list(SENDERS), action="append", help="only that (default: all)")
    parser.add_argument("--codec", choices=CODECS, action="append", help="only that (default: all)")
    parser.add_argument("--trace", action="store_true", help="print what happens in each half second")
    chosen = parser.parse_args()
    senders, codecs = chosen.sender or list(SENDERS), chosen.codec or CODECS
    show_measured(measure(chosen.seconds, senders, codecs, trace=chosen.trace), as_json=chosen.json)


if __name__ == "__main__":
    main()
