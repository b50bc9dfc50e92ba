"""Reports as calls make them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peer.recording.files import RecordedFile
from peer.report import CallReport
from peer.rtc.stats import ConnectionStats, InboundStats, OutboundStats, PairStats

if TYPE_CHECKING:
    from peer.events import Ended

PAIR = PairStats("host", "192.0.2.2:5000", "prflx", "192.0.2.7:6000", "udp", 0.012)


def inbound(kind: str, codec: str, frames: int, width: int = 0, height: int = 0) -> InboundStats:
    return InboundStats(kind + "-0", kind, codec, True, frames, 2, 50_000, frames, 3, 0, 0, 0, 0.0, width, height)


def stats(*, video: bool = True) -> ConnectionStats:
    received = [inbound("audio", "opus", 500)]
    sent = [OutboundStats("audio", "opus", 500, 50_000, 500, 0, 0.01)]
    if video:
        received.append(inbound("video", "VP8", 290, 640, 480))
        sent.append(OutboundStats("video", "VP8", 900, 950_000, 300, 0, 0.01))
    return ConnectionStats(100.0, "connected", tuple(received), tuple(sent), PAIR)


def report(name: str = "alice", *, ended: Ended | None = None, video: bool = True) -> CallReport:
    path = Path(f"recordings/{name}.mkv")
    file = RecordedFile(path, name, 9.9, 1000, 290, 500, "VP8", "opus", True, (), None)
    return CallReport(
        name,
        outgoing=True,
        state="ended" if ended else "connected",
        ended=ended,
        seconds=10.0,
        connect_seconds=0.2,
        stats=stats(video=video),
        pair=PAIR,
        files=[file],
    )
