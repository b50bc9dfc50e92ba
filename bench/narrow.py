"""Pictures over a link that is narrowed and widened again: ours beside aiortc's connection beside Chromium.

Each sends live to a page in Chromium, with its own encoder: ours and aiortc's encode the same moving pictures, Chromium
its fake camera. What the page shows is seen from outside: when each picture came, how large it was.

    python bench/narrow.py [--seconds 12] [--sender ours] [--codec VP8]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import re
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from av import VideoFrame
from endpoints import FPS, HEIGHT, WIDTH, Page, Process, new_stock
from harness import Report, arguments, percentile, progress, show_measured
from narrowlink import Carried, NarrowLink

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.browser

from peer.rtc.connection import PeerConnection
from peer.rtc.freezes import Freezes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDE = 3_000_000
PHASES = (WIDE, 500_000, 300_000, WIDE)
"""Bits per second, one after the other."""
RTT = 0.05
STEP = 0.5
"""Seconds from one look at the page to the next."""
BACK = 0.9
"""Part of the rate before that counts as being back."""
CODECS = ("VP8", "H264")


class Moving(MediaStreamTrack):
    """A landscape of noise that turns and comes nearer, with grain: any encoder takes all the bits it may have."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(1)
        octaves = [random.normal(0, 1, (4 << octave, 4 << octave)).astype(np.float32) for octave in range(7)]
        size = 2 * WIDTH, 2 * WIDTH
        land = sum(cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) / 1.4**n for n, each in enumerate(octaves))
        self._land = np.clip(128 + 30 * land, 0, 255).astype(np.uint8)
        self._grain = random.integers(0, 7, (8, HEIGHT, WIDTH), np.uint8)
        self._number = 0
        self._start: float | None = None

    async def recv(self) -> VideoFrame:
        self._start = self._start or time.monotonic()
        late = (time.monotonic() - self._start) * FPS - self._number
        self._number += max(1, int(late))  # what is missed is not caught up
        await asyncio.sleep(max(0.0, self._start + self._number / FPS - time.monotonic()))
        frame = VideoFrame.from_ndarray(self._draw(self._number), format="yuv420p")
        frame.pts, frame.time_base = round(self._number * 90000 / FPS), Fraction(1, 90000)
        return frame

    def _draw(self, number: int) -> np.ndarray[Any, Any]:
        zoom = 1.2 + 0.4 * math.sin(number / 40)
        turned = cv2.getRotationMatrix2D((WIDTH, WIDTH), number / 2, zoom)
        turned[:, 2] -= np.array([WIDTH / 2, WIDTH - HEIGHT / 2])
        planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        luma = cv2.warpAffine(self._land, turned, (WIDTH, HEIGHT))
        planes[:HEIGHT] = cv2.add(luma, self._grain[number % len(self._grain)])
        return planes


class Live:
    """A sender that encodes."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._calls: dict[str, Any] = {}

    async def offer(self, name: str) -> str:
        pc = self._calls[name] = self._make()
        for track in (AudioStreamTrack(), Moving()):
            pc.addTransceiver(track, direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)

    async def answered(self, name: str, sdp: str) -> None:
        await self._calls[name].setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def said(self, name: str) -> dict[str, Any]:
        report = await self._calls[name].getStats()
        return {
            key: value
            for entry in report.values()
            for key, value in vars(entry).items()
            if (entry.type == "outbound-rtp" and entry.kind == "video" and key == "targetBitrate")
            or key == "availableOutgoingBitrate"
        }

    async def end(self, name: str) -> None:
        await self._calls.pop(name).close()


class Ours(Live):
    def __init__(self) -> None:
        super().__init__(lambda: PeerConnection())


class Stock(Live):
    def __init__(self) -> None:
        super().__init__(new_stock)


SENDERS: dict[str, Any] = {"ours": Ours, "aiortc": Stock, "Chromium": None}


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

    def freezes(self, phase: Phase) -> tuple[float, float]:
        """The longest time without a picture, and seconds of freezes as webrtc-stats has them."""
        freezes, longest, before = Freezes(), 0.0, None
        for at in self.shown:
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

    def _rate(self, start: float, stop: float) -> float:
        return 8 * sum(size for at, size in self.steps if start < at <= stop) / (stop - start)


async def call(sender: Any, receiver: Any, name: str, codec: str, seconds: float) -> Outcome:
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
    await sender.end(name)
    link.close()
    return Outcome(phases, sorted(at for _, at in took.frames["video"]), steps, trace)


def add(report: Report, case: str, name: str, outcome: Outcome) -> None:
    for number, phase in enumerate(outcome.phases):
        carried, elapsed = phase.carried, phase.ended - phase.began
        longest, frozen = outcome.freezes(phase)
        report.add(
            case if not number else "",
            name if not number else "",
            f"{phase.rate // 1000}",
            8 * carried.video / elapsed / 1000,
            outcome.size(phase),
            longest,
            frozen,
            carried.again / 1000,
            1000 * percentile(carried.waits or [0.0], 0.95),
            carried.dropped,
            outcome.back() if number == len(outcome.phases) - 1 else None,
        )


async def measure(seconds: float, senders: Sequence[str], codecs: Sequence[str], *, trace: bool) -> list[Report]:
    columns = {"codec": "", "sender": "", "link kbit/s": "", "video kbit/s": ".0f", "size": "", "gap s": ".2f"}
    columns |= {"frozen s": ".1f", "again kB": ".0f", "queue ms": ".0f", "lost": "d", "back s": ".1f"}
    title = f"""\
Live pictures of {WIDTH}x{HEIGHT} to Chromium over a link that takes so much, for {seconds:g} s each; {RTT:g} s round
trip. Gap: the longest time between two pictures; again: what was sent again; queue: 95th percentile of what packets
waited on the link; lost: by its queue; back: until the rate was {BACK:.0%} of what it was at first."""
    report = Report(title, columns)
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Page())
        for name in senders:
            make = SENDERS[name]
            sender = await stack.enter_async_context(Process(make) if make else Page())
            for codec in codecs:
                progress(f"{name}, {codec} ...")
                outcome = await call(sender, receiver, f"{name} {codec}", codec, seconds)
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
