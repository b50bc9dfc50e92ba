"""Whether recording for long costs more and more: memory, descriptors and threads of the recorder, minute by minute.

Eight calls of 720p30 and Opus are recorded as in bench/record.py, in segments, so that files are closed meanwhile. The
growth is that of a straight line through the memory after the first quarter, when caches and pools have their size.

    python bench/soak.py [--minutes 20] [--calls 8] [--json]
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Report, arguments, progress, show_measured
from record import Sender, pictures
from recorders import Ours, PythonRecording, cpu_seconds, resident_bytes
from sending import clip

from peer.recording import Options

SEGMENT = 60.0
"""Seconds."""
SAMPLES = 20
COLUMNS = {
    "minute": ".1f",
    "RSS, MB": ".1f",
    "descriptors": "d",
    "threads": "d",
    "CPU per call": ".2%",
    "files, MB": ".0f",
}


class Segmented(Ours):
    """Writes a file a minute for each call."""

    options = Options(segment=SEGMENT)


async def soak(calls: int, minutes: float) -> Report:
    report = Report(f"{calls} calls of VP8 and Opus recorded for {minutes:g} minutes", COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        sent = clip("VP8")
        recording, sender = PythonRecording(Segmented, Path(folder), ".mkv"), Sender(sent)
        try:
            for number in range(calls):
                answer = await recording.answer(number, await sender.ask("offer"))
                await sender.ask("answered", number, answer)
            memory = await _watch(report, recording.pid, Path(folder), calls, minutes)
            shown = await sender.ask("end")
            files = await recording.close()
        finally:
            await sender.close()
        settled = memory[len(memory) // 4 :]
        slope = np.polyfit([minute for minute, _ in settled], [size for _, size in settled], 1)[0]
        part = sum(map(pictures, files)) / shown
        report.notes.append(f"growth {slope * 60:+.2f} MB an hour; {len(files)} files, {part:.2%} of the pictures")
    return report


async def _watch(report: Report, pid: int, folder: Path, calls: int, minutes: float) -> list[tuple[float, float]]:
    """Minutes and megabytes."""
    began, memory = time.monotonic(), []
    interval, before = 60 * minutes / SAMPLES, cpu_seconds(pid)
    for number in range(1, SAMPLES + 1):
        await asyncio.sleep(max(0.0, began + number * interval - time.monotonic()))
        cpu, minute = cpu_seconds(pid), (time.monotonic() - began) / 60
        size = resident_bytes(pid) / 1e6
        written = _bytes_in(folder) / 1e6
        descriptors, threads = (len(os.listdir(f"/proc/{pid}/{what}")) for what in ("fd", "task"))
        report.add(minute, size, descriptors, threads, (cpu - before) / interval / calls, written)
        progress(f"{minute:.1f} min, {size:.1f} MB")
        memory.append((minute, size))
        before = cpu
    return memory


def _bytes_in(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--calls", type=int, default=8)
    given = parser.parse_args()

    async def measuring() -> list[Report]:
        return [await soak(given.calls, given.minutes)]

    show_measured(measuring(), as_json=given.json)


if __name__ == "__main__":
    main()
