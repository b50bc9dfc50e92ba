"""The tables of `peer swarm`: how it is, and what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.cli import output
from peer.swarm.conditions import shown
from peer.swarm.report import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from peer.swarm.report import BotReport, SwarmReport
    from peer.swarm.swarm import Swarm

FEW: Final = 20
"""Bots that all have a line at the end; of more only those that fared worst."""
WORST: Final = 5


def running(swarm: Swarm, height: int) -> RenderableType:
    """The swarm at this moment, in half of the terminal's height at most."""
    from rich.console import Group

    plan, collected = swarm.plan, swarm.collected
    if swarm.began is None:
        return f"starting {len(collected.processes)} processes"
    end = collected.complete_at + plan.seconds
    in_call, bad = collected.count("in call"), collected.count("failed", "crashed")
    head = (
        f"{swarm.seconds:.0f} of {end:.0f} s   {len(collected.bots) - collected.count('waiting')} of {plan.bots} bots, "
        f"{collected.count('joined', 'calling', 'in call')} in a room, {in_call} in a call, {bad} failed"
    )
    lines: list[RenderableType] = [head]
    if collected.points:
        now = collected.points[-1]
        latency = f"   latency {shown(now.latency, 'seconds')}" if now.latency is not None else ""
        lines.append(
            f"in {shown(now.bitrate_in, 'bits per second')}   out {shown(now.bitrate_out, 'bits per second')}   "
            f"{now.fps:.0f} frames/s   lost {shown(now.loss, 'ratio')}{latency}"
        )
    lines.append(_process_table(swarm, max(1, height // 2 - len(lines) - 1)))
    return Group(*lines)


def _process_table(swarm: Swarm, most: int) -> Table:
    table = _table("process", "bots", "in a call", "lag p99", "cpu", "memory", "left out", "crashes")
    for one in swarm.collected.processes[:most]:
        own = [seat.number for seat in swarm.collected.seats if seat.process == one.number]
        states = [swarm.collected.bots[number].state for number in own]
        lags = one.lags if one.lags.count else one.ramp_lags
        table.add_row(
            *(str(one.number + 1), str(len(own)), str(states.count("in call"))),
            *(shown(lags.percentile(0.99), "seconds"), f"{one.cores:.0%}", f"{one.memory / 1e6:.0f} MB"),
            *(str(one.dropped), str(len(one.crashes))),
        )
    return table


def print_report(report: SwarmReport) -> None:
    """What a swarm came to."""
    totals = report.totals
    output.say(
        f"{totals.begun} of {report.plan.bots} bots in {report.plan.rooms} room{'s' if report.plan.rooms > 1 else ''} "
        f"and {len(report.processes)} process{'es' if len(report.processes) > 1 else ''}, {report.seconds:.0f} s: "
        f"{totals.joined} joined, {totals.connected} connected, {totals.failed} failed, {totals.lost_calls} calls lost"
    )
    for trouble in report.troubles[:WORST]:
        output.say(f"  {trouble.bots} x {trouble.text}")
    table = _table("", "mean", "p50", "p95", "p99", "max", "of")
    for name, one in report.metrics.items():
        cells = [shown(value, one.unit) for value in (one.mean, one.p50, one.p95, one.p99, one.max)]
        table.add_row(name, *cells, str(one.count))
    output.print_table(table)
    chosen = report.bots if len(report.bots) <= FEW else _worst(report.bots)
    if len(report.bots) > FEW and chosen:
        output.say(f"the {len(chosen)} that fared worst, all of them are in the report:")
    if chosen:
        output.print_table(_bot_table(chosen))
    for condition in report.conditions:
        output.say(f"{'FAILED' if condition.failed else 'ok'}: {condition.text} ({measured(condition)})")


def _bot_table(bots: Sequence[BotReport]) -> Table:
    from rich.text import Text

    headings = ("bot", "state", "join", "connect", "first", "lost", "frozen", "rtt", "latency", "fps", "in", "out")
    table = _table(*headings, "trouble")
    for bot in bots:
        table.add_row(
            *(bot.name, bot.state),
            *(shown(value, "seconds") for value in (bot.join, bot.connect, bot.first_frame)),
            *(shown(value, "ratio") for value in (bot.loss, bot.freeze_ratio)),
            *(shown(value, "seconds") for value in (bot.rtt, bot.latency)),
            shown(bot.fps, "per second"),
            *(shown(value, "bits per second") for value in (bot.bitrate_in, bot.bitrate_out)),
            Text(bot.trouble),
        )
    return table


def _worst(bots: Sequence[BotReport]) -> list[BotReport]:
    """Those that failed, then those whose pictures stood for longest, or that lost most."""
    ranked = sorted(bots, key=lambda bot: (bool(bot.trouble), bot.freeze_ratio or 0.0, bot.loss or 0.0), reverse=True)
    return [bot for bot in ranked if bot.trouble or bot.freeze_ratio or bot.loss][:WORST]


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        last_text = heading == "trouble"
        table.add_column(heading, justify="left" if place == 0 or last_text else "right", no_wrap=not last_text)
    return table
