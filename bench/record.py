"""What it costs to record calls: ours, which remuxes, beside Janus, GStreamer and aiortc's MediaRecorder.

One process sends the same encoded 720p30 and Opus to each recorder in turn, over 1, 4 and 8 calls at a time, each
recorder in a fresh process. CPU is that of the recorder's process, per second of a call; a packet is one that was sent;
the lag is that of the recorder's event loop; pictures are those in the files of those sent.

    python bench/record.py [--seconds 10] [--calls 1 4 8] [--codec VP8 H264] [--only ours Janus] [--json]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import struct
import tempfile
from pathlib import Path
from typing import Any

import av
from harness import NotHere, Report, arguments, progress, show_measured
from recorders import RECORDERS, cpu_seconds, p99, resident_bytes
from sending import FPS, HEIGHT, WIDTH, Clip, clip
from sending import run as run_sender

SETTLE = 3.0
"""Seconds of recording before the measurement."""
COLUMNS = {
    "calls": "d",
    "recorder": "",
    "CPU": ".2%",
    "x Janus": ".2f",
    "us/packet": ".0f",
    "RSS": ".0f",
    "MB/call": ".1f",
    "lag p99, ms": ".1f",
    "pictures": ".1%",
}


class Sender:
    """The process that sends."""

    def __init__(self, clip: Clip) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=run_sender, args=(other, clip))
        self._process.start()

    async def ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        return await asyncio.to_thread(self._pipe.recv)

    async def close(self) -> None:
        await self.ask("close")
        await asyncio.to_thread(self._process.join, 30)


async def measure(name: str, clip: Clip, calls: int, seconds: float) -> tuple[float, float, int, float | None, float]:
    """CPU per second, seconds of it per packet, bytes of memory, seconds of lag, part of the pictures in the files."""
    with tempfile.TemporaryDirectory() as folder:
        recording = RECORDERS[name](Path(folder))
        sender = Sender(clip)
        try:
            for number in range(calls):
                answer = await recording.answer(number, await sender.ask("offer"))
                await sender.ask("answered", number, answer)
            await asyncio.sleep(SETTLE)
            packets, cpu = await sender.ask("packets"), cpu_seconds(recording.pid)
            await asyncio.sleep(seconds)
            spent = cpu_seconds(recording.pid) - cpu
            packets = await sender.ask("packets") - packets
            memory, lag = resident_bytes(recording.pid), p99(await recording.lag(seconds))
            sent = await sender.ask("end")
            files = await recording.close()
        finally:
            await sender.close()
        return spent / seconds / calls, spent / packets, memory, lag, sum(map(pictures, files)) / sent


def pictures(path: Path) -> int:
    """In a file; 0 where it cannot be read."""
    if path.suffix == ".mjr":
        return _pictures_of_janus(path.read_bytes())
    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, ValueError, IndexError):
        return 0


def _pictures_of_janus(data: bytes) -> int:
    """RTP packets, each after its length: those with the marker end a picture."""
    at, found = 0, 0
    while at + 12 < len(data):
        if data[at : at + 4] == b"MJR0":  # then the length of a header in JSON; after packets, when they came
            (length,) = struct.unpack_from("!H", data, at + 8)
            at += 10 + length
            continue
        (length,) = struct.unpack_from("!H", data, at + 8)
        packet = data[at + 10 : at + 10 + length]
        found += length > 12 and packet[1] >> 7
        at += 10 + length
    return found


async def compare(codec: Any, numbers: list[int], only: list[str], seconds: float) -> Report:
    sent = clip(codec)
    title = f"{WIDTH}x{HEIGHT} at {FPS}, {codec} {sent.bits / 1e6:.1f} Mbit/s and Opus, {seconds:g} s each"
    report = Report(title, COLUMNS)
    first: dict[str, tuple[int, int]] = {}
    for calls in numbers:
        rows = []
        for name in RECORDERS:
            if only and not any(name.startswith(each) for each in only):
                continue
            progress(f"{codec}, {calls} calls, {name}")
            try:
                rows.append((name, *await measure(name, sent, calls, seconds)))
            except NotHere as reason:
                progress(str(reason))
        janus = next((cpu for name, cpu, *_ in rows if name.startswith("Janus")), None)
        for name, cpu, per_packet, memory, lag, found in rows:
            fewest, least = first.setdefault(name, (calls, memory))
            added = (memory - least) / 1e6 / (calls - fewest) if calls > fewest else None
            report.add(
                calls,
                name,
                cpu,
                cpu / janus if janus else None,
                per_packet * 1e6,
                memory / 1e6,
                added,
                None if lag is None else lag * 1000,
                found,
            )
    return report


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--codec", nargs="+", choices=("VP8", "H264"), default=["VP8", "H264"])
    parser.add_argument("--only", nargs="+", default=[], help="how the names of the recorders begin")
    given = parser.parse_args()

    async def measuring() -> list[Report]:
        return [await compare(codec, given.calls, given.only, given.seconds) for codec in given.codec]

    show_measured(measuring(), as_json=given.json)


if __name__ == "__main__":
    main()
