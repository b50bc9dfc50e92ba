"""What it costs to send one clip to many: ours, as the file has it or encoded once, beside aiortc.

A process sends 720p30 at 1.5 Mbit/s and Opus to 1, 8 and 32 receivers, which are ours and in another process. CPU is
that of the sender's process, per second and receiver; a packet is one that was sent; pictures are those that came, of
all.

    python bench/send.py [--seconds 10] [--receivers 1 8 32] [--codec VP8 H264] [--only ours] [--json]
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from harness import Report, arguments, progress, show_measured
from recorders import cpu_seconds, p99, resident_bytes
from senders import BITRATE, SENDERS, Deaf, Process
from sending import FPS, HEIGHT, WIDTH, file

from peer.link import Link, Options
from peer.rtc.ice.servers import IceSettings
from signaling.messages import SessionDescription

SETTLE = 4.0
"""Seconds of sending before the measurement."""
MOST = {"aiortc, encoded for each": 2}
"""Receivers that a sender can have on this machine at all."""
COLUMNS = {
    "receivers": "d",
    "sender": "",
    "CPU": ".2%",
    "us/packet": ".1f",
    "RSS": ".0f",
    "lag p99, ms": ".1f",
    "encodes/s": ".0f",
    "pictures": ".1%",
    "lost": "d",
}


class Receivers:
    """The receiving ends, in this process: what they get is counted, and not decoded."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._links: list[Link] = []

    async def answer(self, offer: str) -> str:
        link = Link(Options(IceSettings(max_pause=0.03)), Deaf())
        link.silent, link.video_codecs = True, (self._codec,)
        self._links.append(link)
        await link.take(SessionDescription("offer", offer))
        return (await link.gathered()).sdp

    async def received(self) -> tuple[int, int]:
        """Pictures, and packets that were lost for good."""
        found = [each for link in self._links for each in (await link.stats()).inbound]
        return sum(each.frames_received for each in found if each.kind == "video"), sum(
            each.packets_lost for each in found
        )

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))


async def measure(name: str, path: Path, codec: str, count: int, seconds: float) -> tuple[Any, ...]:
    """CPU per second and receiver, seconds of it per packet, bytes of memory, lag, encodes and pictures per second."""
    sender, receivers = Process(name, path, codec), Receivers(codec)
    try:
        for number in range(count):
            await sender.ask("answered", number, await receivers.answer(await sender.ask("offer")))
        await asyncio.sleep(SETTLE)
        packets, encodes = await sender.ask("packets"), await sender.ask("encodes")
        pictures, lost = await receivers.received()
        cpu = cpu_seconds(sender.pid)
        await asyncio.sleep(seconds)
        spent = cpu_seconds(sender.pid) - cpu
        packets = await sender.ask("packets") - packets
        encodes = (await sender.ask("encodes") - encodes) / seconds if encodes >= 0 else None
        pictures, lost = (
            after - before for after, before in zip(await receivers.received(), (pictures, lost), strict=True)
        )
        memory, lag = resident_bytes(sender.pid), p99(await sender.ask("lag", seconds / 2))
    finally:
        await receivers.close()
        await sender.close()
    return spent / seconds / count, spent / packets, memory, lag, encodes, pictures / seconds / count / FPS, lost


async def compare(codec: Any, counts: list[int], only: list[str], seconds: float) -> Report:
    report = Report(
        f"{WIDTH}x{HEIGHT} at {FPS}, {codec} {BITRATE / 1e6:.1f} Mbit/s and Opus, {seconds:g} s each", COLUMNS
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        await asyncio.to_thread(file, path, codec, BITRATE)
        for count in counts:
            for name in SENDERS:
                if (only and not any(name.startswith(each) for each in only)) or count > MOST.get(name, count):
                    continue
                progress(f"{codec}, {count} receivers, {name}")
                cpu, each, memory, lag, encodes, pictures, lost = await measure(name, path, codec, count, seconds)
                report.add(count, name, cpu, each * 1e6, memory / 1e6, (lag or 0) * 1000, encodes, pictures, lost)
    return report


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--codec", nargs="+", choices=("VP8", "H264"), default=["VP8", "H264"])
    parser.add_argument("--only", nargs="+", default=[], help="how the names of the senders begin")
    given = parser.parse_args()

    async def measuring() -> list[Report]:
        return [await compare(codec, given.receivers, given.only, given.seconds) for codec in given.codec]

    show_measured(measuring(), as_json=given.json)


if __name__ == "__main__":
    main()
