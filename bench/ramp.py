"""How soon Chromium sends us video as good as it sends another Chromium.

Chromium calls with its fake camera at 1280x720, once with the picture from the start, once with a muted camera that is
switched on after 5 s. What it sends is what it says itself (webrtc-stats, outbound-rtp): the bitrate since the sample
before, the size and the rate of the frames. Both sides of every call are on this machine, without any loss.

    python bench/ramp.py [--json] [--stock]
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from harness import Report, arguments, progress, show_measured
from relay import Relay, participants

SAMPLES = (6, 12, 18, 24, 30)
"""Seconds since the call began, or the camera was switched on."""
MUTED = 5.0
TARGET = 0.95
BASE = "Chromium"
OTHERS = {BASE: "chromium 2", "ours": "ours 1"}


async def one(relay: Relay, callee: str, *, muted: bool) -> list[dict[str, float]]:
    """The samples of one call, the first at its beginning."""
    size = {"width": 1280, "height": 720, "muted": muted}
    async with relay.call("chromium 1", callee, servers=[], **size):
        for name in ("chromium 1", callee):
            await relay.told(name, "picture")
        if muted:
            await asyncio.sleep(MUTED)
            await relay.order("chromium 1", "unmute")
        began = time.perf_counter()
        found = [await _sample(relay)]
        for seconds in SAMPLES:
            await asyncio.sleep(began + seconds - time.perf_counter())
            found.append(await _sample(relay))
    return found


async def _sample(relay: Relay) -> dict[str, float]:
    await relay.order("chromium 1", "sent")
    told, _ = await relay.answer("chromium 1")
    return dict(told)


async def measure(others: dict[str, str]) -> list[Report]:
    relay = Relay()
    names = ["chromium 1", *others.values()]
    reports = []
    async with relay.serving() as address, participants(relay, address, names):
        for title, muted in (("camera on from the start", False), (f"camera on after {MUTED:g} s", True)):
            columns = {"Chromium sends to": ""} | {f"{seconds} s": "" for seconds in SAMPLES}
            columns |= {f"x at {seconds}": ".2f" for seconds in SAMPLES}
            wanted = f"(wanted: {TARGET} at least)"
            report = Report(f"kbit/s, size and frames/s, {title}; x what goes to Chromium {wanted}", columns)
            base: list[float] = []
            for name, callee in others.items():
                progress(f"{title}, to {name} ...")
                rates, words = _read(await one(relay, callee, muted=muted))
                base = base or rates
                report.add(name, *words, *(rate / other for rate, other in zip(rates, base, strict=True)))
            reports.append(report)
    return reports


def _read(samples: list[dict[str, Any]]) -> tuple[list[float], list[str]]:
    """Bitrates between the samples in kbit/s, and all of each in words."""
    rates, words = [], []
    for before, now in zip(samples, samples[1:], strict=False):
        rate = (now["bytesSent"] - before["bytesSent"]) * 8 / 1000 / (now["at"] - before["at"])
        rates.append(rate)
        words.append(f"{rate:.0f} {now['frameWidth']}x{now['frameHeight']} {now['framesPerSecond']:.0f}")
    return rates, words


def main() -> None:
    parser = arguments("What Chromium sends us over time, beside what it sends Chromium")
    parser.add_argument("--stock", action="store_true", help="to aiortc's own connection too")
    chosen = parser.parse_args()
    others = OTHERS | ({"aiortc": "stock 1"} if chosen.stock else {})
    show_measured(measure(others), as_json=chosen.json)


if __name__ == "__main__":
    main()
