"""What a swarm came to: the report that `--report` writes, docs/swarm.md in code. Pure.

Seconds, bits per second, and parts of one, nothing in other units; None where something was not measured.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct, json

from peer.swarm.collected import Point  # noqa: TC001 - msgspec reads it
from peer.swarm.conditions import shown, unit_of, value_of
from peer.swarm.figures import State  # noqa: TC001 - msgspec reads it
from peer.swarm.metrics import METRICS, STATISTICS, spread, summary
from peer.swarm.plan import share_of
from peer.swarm.saturation import ramp_reasons, reasons, verdict

if TYPE_CHECKING:
    from peer.swarm.collected import Collected, OfProcess
    from peer.swarm.metrics import Summary
    from peer.swarm.plan import Plan, Seat
    from peer.swarm.saturation import MachineFigures

VERSION: Final = 1
MAX_TROUBLES: Final = 50
"""Different troubles that are told."""

Count = Annotated[int, Meta(ge=0)]
Unit = Literal["seconds", "ratio", "bits per second", "per second", "number"]


class PlanReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was to be done, as of the flags."""

    url: str
    room: str
    rooms: Count
    bots: Count
    calls: Literal["pairs", "mesh", "none"]
    to: str | None
    video: str
    audio: str
    receive_only: bool
    script: str | None
    decoding: Count
    """Bots that decode what they receive."""
    processes: Count
    ramp: float
    """Bots that begin in a second."""
    seconds: float


class Totals(Struct, frozen=True, kw_only=True, rename="camel"):
    """Bots, and what happened to all of them."""

    begun: Count
    joined: Count
    """Those that were in their room, at the end or some time before."""
    connected: Count
    """Those that were in a call, likewise."""
    failed: Count
    """Those that at the end were not where they were to be: in the room and in their calls, or done with a script."""
    lost_calls: Count
    """Calls that broke."""
    tries: Count
    """Calls that were tried again."""
    crashes: Count
    """Processes of the swarm that ended by themselves."""


class Spread(Struct, frozen=True, kw_only=True, rename="camel"):
    """One metric over all bots."""

    unit: Unit
    about: str
    count: Count
    """Bots that it was measured of; of the latency pictures."""
    mean: float | None
    """Of a ratio: of everything together."""
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class ConditionReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was said with `--fail-if`."""

    text: str
    unit: Unit
    value: float | None
    """What was measured."""
    failed: bool
    """Whether it was true, or nothing was measured."""


class Saturation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the swarm itself was too much for its machine."""

    saturated: bool
    reasons: tuple[str, ...]
    """While all bots were there: the figures blame the machine then, not the server."""
    ramp_reasons: tuple[str, ...]
    """While they were beginning: then that is true of the times until the first frame only."""
    text: str
    """Both in a sentence; "" where there is nothing to say."""


class MachineReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """The machine, once the swarm was at work."""

    cores: Count
    busy: float | None
    udp_full: Count | None
    """Datagrams that were thrown away because a socket was not read in time, of anybody's on this machine."""


class CrashReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """A process that ended by itself."""

    at: float
    text: str
    again: bool
    """Whether another took its place; figures of its bots are of the time since then."""


class ProcessReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """One process of the swarm."""

    number: Count
    bots: Count
    cpu: float | None
    """Cores that it used, once the swarm was at work."""
    memory: Count
    """Bytes, at most."""
    lag_p50: float | None
    """By how much its event loop was late, once the swarm was at work."""
    lag_p99: float | None
    lag_max: float | None
    ramp_lag_p99: float | None
    """The same before."""
    encoded: Count
    """Pictures that came to be encoded, and those of them that were left out as there was no time."""
    dropped: Count
    crashes: tuple[CrashReport, ...]


class Trouble(Struct, frozen=True, kw_only=True, rename="camel"):
    """Why bots failed."""

    text: str
    bots: Count


class BotReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """One bot, of all its calls together."""

    name: str
    room: str
    process: Count
    state: State
    trouble: str
    """Why it failed; "" if it did not."""
    calls: Count
    """Those it was in at the end."""
    lost_calls: Count
    seconds: float
    """In calls."""
    join: float | None
    connect: float | None
    first_frame: float | None
    packets: Count
    packets_lost: Count
    packets_repaired: Count
    frames: Count
    freezes: Count
    frozen: float
    loss: float | None
    repaired: float | None
    jitter: float | None
    rtt: float | None
    freeze_ratio: float | None
    latency: float | None
    fps: float | None
    bitrate_in: float | None
    bitrate_out: float | None


class SwarmReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """All of it."""

    version: Literal[1]
    started: str
    """Wall-clock time (UTC) at which it was told to start."""
    seconds: float
    """From the first bot's beginning to the end."""
    exit_code: Literal[0, 8]
    error: str | None
    interrupted: bool
    plan: PlanReport
    totals: Totals
    saturation: Saturation
    conditions: tuple[ConditionReport, ...]
    metrics: dict[str, Spread]
    machine: MachineReport
    processes: tuple[ProcessReport, ...]
    troubles: tuple[Trouble, ...]
    course: tuple[Point, ...]
    bots: tuple[BotReport, ...]


def encode(report: SwarmReport) -> bytes:
    """The report as indented JSON."""
    return json.format(json.encode(report), indent=1) + b"\n"


def decode(data: bytes) -> SwarmReport:
    """The report in these bytes. Raises msgspec.DecodeError."""
    return json.decode(data, type=SwarmReport)


def schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    return json.schema(SwarmReport)


def made(
    plan: Plan, collected: Collected, machine: MachineFigures, *, started: float, seconds: float, interrupted: bool
) -> SwarmReport:
    """The report of what was collected. `started` is of the wall clock."""
    steady, ramp = reasons(collected.processes, machine), ramp_reasons(collected.processes)
    bots = [_bot(seat, collected) for seat in collected.seats]
    totals = _totals(collected, bots)
    metrics = _metrics(collected)
    conditions = _conditions(plan, metrics, totals, saturated=bool(steady))
    failed = [condition for condition in conditions if condition.failed]
    return SwarmReport(
        version=VERSION,
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        seconds=round(seconds, 3),
        exit_code=8 if failed else 0,
        error=_failed_words(failed) if failed else None,
        interrupted=interrupted,
        plan=_plan(plan),
        totals=totals,
        saturation=Saturation(
            saturated=bool(steady),
            reasons=tuple(steady),
            ramp_reasons=tuple(ramp),
            text=verdict(steady, ramp),
        ),
        conditions=conditions,
        metrics=metrics,
        machine=MachineReport(cores=machine.cores, busy=_rounded(machine.busy), udp_full=machine.udp_full),
        processes=tuple(_process(one, collected) for one in collected.processes),
        troubles=_troubles(bots),
        course=tuple(collected.points),
        bots=tuple(bots),
    )


def _plan(plan: Plan) -> PlanReport:
    return PlanReport(
        url=plan.url,
        room=plan.room,
        rooms=plan.rooms,
        bots=plan.bots,
        calls=plan.calls,  # type: ignore[arg-type]  # checked there
        to=plan.to,
        video="none" if plan.receive_only else plan.video,
        audio="none" if plan.receive_only else plan.audio,
        receive_only=plan.receive_only,
        script=plan.script,
        decoding=share_of(plan.decode, plan.bots),
        processes=plan.processes,
        ramp=plan.ramp,
        seconds=plan.seconds,
    )


def _totals(collected: Collected, bots: list[BotReport]) -> Totals:
    return Totals(
        begun=sum(bot.state != "waiting" for bot in bots),
        joined=sum(bot.join is not None for bot in bots),
        connected=sum(bot.seconds > 0 for bot in bots),
        failed=sum(bool(bot.trouble) for bot in bots),
        lost_calls=sum(bot.lost_calls for bot in bots),
        tries=sum(bot.tries for bot in collected.bots),
        crashes=collected.crashes,
    )


def _metrics(collected: Collected) -> dict[str, Spread]:
    found = {
        metric.name: _spread(summary(metric, collected.bots, collected.latency), metric.unit, metric.about)
        for metric in METRICS
    }
    worst = max(collected.processes, key=lambda one: one.lags.percentile(0.99) or 0.0)
    about = "by how much the event loop of the process that was worst was late, once the swarm was at work"
    return found | {"lag": _spread(spread(worst.lags), "seconds", about)}


def _spread(found: Summary, unit: Unit, about: str) -> Spread:
    rounded = {key: _rounded(value) for key, value in asdict(found).items() if key != "count"}
    return Spread(unit=unit, about=about, count=found.count, **rounded)


def _conditions(
    plan: Plan, metrics: dict[str, Spread], totals: Totals, *, saturated: bool
) -> tuple[ConditionReport, ...]:
    counts = {
        "failed": float(totals.failed),
        "failed_ratio": totals.failed / plan.bots,
        "lost_calls": float(totals.lost_calls),
        "crashes": float(totals.crashes),
        "saturated": float(saturated),
    }
    spreads = {name: {key: getattr(one, key) for key in STATISTICS} for name, one in metrics.items()}
    found = []
    for condition in plan.conditions:
        value = value_of(condition, spreads, counts)
        unit = unit_of(condition.metric) or "number"
        found.append(
            ConditionReport(text=condition.text, unit=unit, value=_rounded(value), failed=condition.holds(value))
        )
    return tuple(found)


def _failed_words(failed: list[ConditionReport]) -> str:
    return f"the swarm failed: {', '.join(f'{one.text} ({measured(one)})' for one in failed)}; see the report"


def measured(condition: ConditionReport) -> str:
    """What a condition was held against, for people."""
    return "not measured" if condition.value is None else shown(condition.value, condition.unit)


def _process(one: OfProcess, collected: Collected) -> ProcessReport:
    return ProcessReport(
        number=one.number,
        bots=sum(seat.process == one.number for seat in collected.seats),
        cpu=_rounded(one.cpu / one.seconds) if one.seconds > 0 else None,
        memory=one.memory,
        lag_p50=_rounded(one.lags.percentile(0.5)),
        lag_p99=_rounded(one.lags.percentile(0.99)),
        lag_max=_rounded(one.lags.max) if one.lags.count else None,
        ramp_lag_p99=_rounded(one.ramp_lags.percentile(0.99)),
        encoded=one.encoded,
        dropped=one.dropped,
        crashes=tuple(CrashReport(at=crash.at, text=crash.text, again=crash.again) for crash in one.crashes),
    )


def _bot(seat: Seat, collected: Collected) -> BotReport:
    bot = collected.bots[seat.number]
    values = {metric.name: _rounded(metric.of(bot)) for metric in METRICS if metric.name != "freezes"}
    return BotReport(
        name=seat.name,
        room=seat.room,
        process=seat.process,
        state=bot.state,
        trouble=collected.trouble(seat),
        calls=bot.calls,
        lost_calls=bot.lost_calls,
        seconds=round(bot.seconds, 2),
        packets=bot.packets,
        packets_lost=bot.lost,
        packets_repaired=bot.repaired,
        frames=bot.frames,
        freezes=bot.freezes,
        frozen=round(bot.frozen, 3),
        **values,
    )


def _troubles(bots: list[BotReport]) -> tuple[Trouble, ...]:
    """The same trouble of many bots is one: names that are theirs alone are left out of it."""
    found = Counter(_general(bot.trouble, bot.name) for bot in bots if bot.trouble)
    return tuple(Trouble(text=text, bots=count) for text, count in found.most_common(MAX_TROUBLES))


def _general(text: str, name: str) -> str:
    return re.sub(r"\bbot-\d+", "another bot", text.replace(name, "it"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
