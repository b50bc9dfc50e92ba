"""Statistics, figures and whole swarms made up."""

from __future__ import annotations

from typing import Any

from peer.rtc.stats import ConnectionStats, InboundStats, OutboundStats, PairStats
from peer.swarm.collected import Collected
from peer.swarm.conditions import parse_condition
from peer.swarm.figures import Figures
from peer.swarm.plan import Plan, seats
from peer.swarm.report import SwarmReport, made
from peer.swarm.saturation import MachineFigures
from peer.swarm.wire import Report

URL = "http://localhost:8080"


def inbound(kind: str = "video", **changes: Any) -> InboundStats:
    fields: dict[str, Any] = {
        **{"track": kind, "kind": kind, "codec": "VP8" if kind == "video" else "opus", "active": True},
        **{"packets_received": 100, "packets_lost": 0, "bytes_received": 10_000, "frames_received": 30},
        **{"frames_dropped": 0, "frames_decoded": 0, "nack_count": 0, "pli_count": 0, "jitter": 0.004},
        **{"frame_width": 640, "frame_height": 480},
    }
    return InboundStats(**fields | changes)


def outbound(**changes: Any) -> OutboundStats:
    fields: dict[str, Any] = {"kind": "video", "codec": "VP8", "packets_sent": 100, "bytes_sent": 20_000}
    fields |= {"frames_sent": 30, "packets_lost": 0, "round_trip_time": None}
    return OutboundStats(**fields | changes)


def stats(time: float, *entries: InboundStats, sent: OutboundStats | None = None, rtt: float | None = 0.01) -> Any:
    pair = PairStats("host", "127.0.0.1:1", "host", "127.0.0.1:2", "udp", rtt)
    return ConnectionStats(time, "connected", entries, (sent,) if sent else (), pair)


def bot(number: int = 0, **changes: Any) -> Figures:
    """One that is well."""
    fields: dict[str, Any] = {
        **{"state": "in call", "join": 0.01, "connect": 0.05, "first_frame": 0.1, "calls": 1, "seconds": 10.0},
        **{"packets": 990, "lost": 10, "repaired": 5, "frames": 300, "bytes_in": 1_000_000, "bytes_out": 500_000},
        **{"watched": 10.0, "jitter": 0.002, "rtt": 0.001, "latency": 0.05},
    }
    return Figures(number=number, **fields | changes)


def told(*bots: Figures, **changes: Any) -> Report:
    fields: dict[str, Any] = {"bots": bots, "lags": (0.001, 0.002), "latencies": (), "cpu": 0.5, "seconds": 1.0}
    fields |= {"memory": 1000, "encoded": 10, "dropped": 0}
    return Report(**fields | changes)


def collected(plan: Plan, *bots: Figures, at: float = 100.0, **changes: Any) -> Collected:
    """What one process told of these bots."""
    found = Collected(seats(plan), plan.processes, script=plan.script is not None)
    found.take(0, told(*bots, **changes), at)
    found.tick(at, 0.5)
    return found


def report(
    *conditions: str, bots: list[Figures] | None = None, bots_in_all: int = 4, interrupted: bool = False, **changes: Any
) -> SwarmReport:
    """Of four bots in two rooms, or more."""
    parsed = [parse_condition(text) for text in conditions]
    plan = Plan(url=URL, bots=bots_in_all, rooms=2, conditions=parsed, **changes)
    found = collected(plan, *(bots or [bot(number) for number in range(bots_in_all)]), latencies=(0.05, 0.06))
    return made(plan, found, MachineFigures(2, 0.5, 0), started=0.0, seconds=60.0, interrupted=interrupted)
