"""The report of a swarm as one page that needs nothing else: no script, no style sheet, no font from anywhere. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from peer.swarm.charts import Line, distribution, over_time
from peer.swarm.conditions import shown
from peer.swarm.report import measured
from peer.swarm.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.swarm.report import BotReport, SwarmReport

DISTRIBUTIONS: Final = (
    ("join", "Joining the room"),
    ("connect", "Connecting"),
    ("first_frame", "First frame"),
    ("rtt", "Round-trip time"),
    ("jitter", "Jitter"),
    ("fps", "Frames per second in a call"),
    ("bitrate_in", "Received in a call"),
    ("loss", "Packets lost"),
    ("freeze_ratio", "Time frozen"),
)
"""What is drawn of the bots, where it was measured."""


def page(report: SwarmReport) -> str:
    """The whole page; everything that others chose (names, errors) is escaped."""
    parts = (
        _head(report),
        _verdict(report),
        _tiles(report),
        _section("While it ran", f'<div class="charts">{"".join(_course(report))}</div>' if report.course else ""),
        _section("The bots", f'<div class="charts">{"".join(_distributions(report))}</div>'),
        _section("Figures", _metrics(report)),
        _section("What went wrong", _troubles(report)),
        _section("The swarm itself", _processes(report)),
        _section(f"All {len(report.bots)} bots", _bots(report.bots), closed=len(report.bots) > 20),
    )
    title = escape(f"Swarm of {report.plan.bots} bots, {report.started[:10]}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _head(report: SwarmReport) -> str:
    plan = report.plan
    rooms = f"room {plan.room}" if plan.rooms == 1 else f"{plan.rooms} rooms"
    if plan.script is not None:
        what = f"each runs {plan.script}"
    elif plan.to is not None:
        what = f"each calls {plan.to}"
    else:
        what = {
            "pairs": "calling each other in pairs",
            "mesh": "all calling all of their room",
            "none": "being called",
        }[plan.calls]
    sends = "sending nothing" if plan.receive_only else f"video {plan.video}, audio {plan.audio}"
    details = (
        f"{plan.bots} bots in {rooms}, {what}; {sends}; {plan.ramp:g} begin in a second, {plan.processes} processes"
    )
    took = f"{report.started[:19].replace('T', ' ')} UTC, {report.seconds:.0f} s"
    took += ", interrupted" if report.interrupted else ""
    return f"<header><h1>{escape(plan.url)}</h1><p>{escape(details)}</p><p>{escape(took)}</p></header>"


def _verdict(report: SwarmReport) -> str:
    parts = []
    if report.saturation.text:
        kind = "bad" if report.saturation.saturated else "warn"
        parts.append(f'<p class="note {kind}"><b>Mind the figures:</b> {escape(report.saturation.text)}.</p>')
    for condition in report.conditions:
        kind, word = ("bad", "failed") if condition.failed else ("good", "held")
        limit = f"--fail-if {condition.text}"
        parts.append(f'<p class="note {kind}"><b>{word}</b> <code>{escape(limit)}</code> {measured(condition)}</p>')
    return "".join(parts)


def _tiles(report: SwarmReport) -> str:
    totals, metrics = report.totals, report.metrics
    tiles = [
        (f"{totals.connected}/{report.plan.bots}", "bots were in a call", totals.connected < report.plan.bots),
        (str(totals.failed), "failed", totals.failed > 0),
        (str(totals.lost_calls), "calls broke", totals.lost_calls > 0),
    ]
    for name, statistic, words in (
        ("join", "p95", "to join (p95)"),
        ("first_frame", "p95", "to the first frame (p95)"),
        ("loss", "mean", "of the packets lost"),
        ("freeze_ratio", "mean", "of the time frozen"),
        ("latency", "p95", "latency (p95)"),
        ("bitrate_in", "mean", "received in a call"),
    ):
        if (one := metrics.get(name)) is not None and (value := getattr(one, statistic)) is not None:
            tiles.append((shown(value, one.unit), words, False))
    made = (f'<div class="{"bad" if bad else ""}"><b>{escape(n)}</b>{escape(words)}</div>' for n, words, bad in tiles)
    return f'<div class="tiles">{"".join(made)}</div>'


def _course(report: SwarmReport) -> Iterable[str]:
    points = report.course
    times = [point.at for point in points]
    ramp = (report.plan.bots - 1) / report.plan.ramp
    yield over_time(
        "Bots",
        "number",
        times,
        [
            Line("begun", [point.begun for point in points]),
            Line("in a call", [point.in_call for point in points]),
            Line("failed", [point.failed for point in points]),
        ],
        ramp=ramp,
    )
    yield over_time(
        "Bit rate of all bots",
        "bits per second",
        times,
        [
            Line("received", [point.bitrate_in for point in points]),
            Line("sent", [point.bitrate_out for point in points]),
        ],
        ramp=ramp,
    )
    yield over_time("Frames received by all bots", "per second", times, [Line("", [p.fps for p in points])], ramp=ramp)
    yield over_time("Packets lost", "ratio", times, [Line("", [point.loss for point in points])], ramp=ramp)
    if any(point.latency is not None for point in points):
        latency = [Line("", [point.latency for point in points])]
        yield over_time("Latency, picture made to picture decoded (p95)", "seconds", times, latency, ramp=ramp)
    lag = [Line("", [point.lag for point in points])]
    yield over_time("The swarm itself: event loop late by (p99)", "seconds", times, lag, ramp=ramp)
    cpu = [Line("this swarm", [point.cpu for point in points])]
    if any(point.machine is not None for point in points):
        cores = report.machine.cores
        cpu.append(
            Line("everybody", [None if point.machine is None else point.machine * cores for point in points]),
        )
    yield over_time(f"The swarm itself: cores used, of {report.machine.cores}", "number", times, cpu, ramp=ramp)


def _distributions(report: SwarmReport) -> Iterable[str]:
    for name, title in DISTRIBUTIONS:
        values = [value for bot in report.bots if (value := getattr(bot, name)) is not None]
        if any(values):
            yield distribution(f"{title} ({len(values)} bots)", report.metrics[name].unit, values)


def _metrics(report: SwarmReport) -> str:
    rows = []
    for name, one in report.metrics.items():
        values = (shown(value, one.unit) for value in (one.mean, one.p50, one.p95, one.p99, one.max))
        rows.append([f"<code>{name}</code>", escape(one.about), *map(escape, values), str(one.count)])
    return _table(("metric", "what it is", "mean", "p50", "p95", "p99", "max", "of"), rows, words=2)


def _troubles(report: SwarmReport) -> str:
    rows = [[str(trouble.bots), escape(trouble.text)] for trouble in report.troubles]
    crashes = [
        f"<li>process {process.number + 1} {escape(crash.text)} after {crash.at:.0f} s"
        f"{'; another took its place' if crash.again else ''}</li>"
        for process in report.processes
        for crash in process.crashes
    ]
    listed = f"<ul>{''.join(crashes)}</ul>" if crashes else ""
    return listed + (_table(("bots", "trouble"), rows, words=2) if rows else "")


def _processes(report: SwarmReport) -> str:
    rows = []
    for one in report.processes:
        times = (one.lag_p50, one.lag_p99, one.lag_max, one.ramp_lag_p99)
        cpu = "-" if one.cpu is None else f"{one.cpu:.0%}"
        left_out = f"{one.dropped} of {one.encoded}"
        lags = [shown(value, "seconds") for value in times]
        rows.append([str(one.number + 1), str(one.bots), cpu, f"{one.memory / 1e6:.0f} MB", *lags, left_out])
    headings = ("process", "bots", "of a core", "memory", "late p50", "late p99", "late at most", "in the ramp p99")
    machine = report.machine
    busy = "" if machine.busy is None else f" {machine.busy:.0%} busy;"
    full = "" if machine.udp_full is None else f" {machine.udp_full} datagrams thrown away because of full buffers"
    return _table((*headings, "pictures left out"), rows) + f"<p>{machine.cores} cores;{busy}{full}</p>"


def _bots(bots: Sequence[BotReport]) -> str:
    rows = []
    for bot in bots:
        seconds = (bot.join, bot.connect, bot.first_frame, bot.jitter, bot.rtt, bot.latency)
        rows.append(
            [
                escape(bot.name),
                escape(bot.room),
                escape(bot.state),
                *(shown(value, "seconds") for value in seconds),
                *(shown(value, "ratio") for value in (bot.loss, bot.repaired, bot.freeze_ratio)),
                shown(bot.fps, "per second"),
                *(shown(value, "bits per second") for value in (bot.bitrate_in, bot.bitrate_out)),
                f"<em>{escape(bot.trouble)}</em>" if bot.trouble else "",
            ]
        )
    headings = (
        "bot",
        "room",
        "state",
        "join",
        "connect",
        "first frame",
        "jitter",
        "rtt",
        "latency",
        "lost",
        "repaired",
    )
    return _table((*headings, "frozen", "fps", "in", "out", "trouble"), rows, words=3)


def _section(title: str, body: str, *, closed: bool = False) -> str:
    """Nothing where there is nothing to show."""
    if not body:
        return ""
    if closed:
        return f"<details><summary>{escape(title)}</summary>{body}</details>"
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """`rows` are HTML already; the first `words` columns are text, and so is a trouble, the others numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        text = [place < words or headings[place] == "trouble" for place in range(len(row))]
        return "".join(f"<{tag}{' class=w' if t else ''}>{cell}</{tag}>" for t, cell in zip(text, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = cells("th", [escape(heading) for heading in headings])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
