"""What a swarm measures: names, units, what of each bot it is, and how it is summed up for all. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from peer.swarm.histogram import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peer.swarm.figures import Figures
    from peer.swarm.histogram import Histogram

Unit = Literal["seconds", "ratio", "bits per second", "per second", "number"]


@dataclass(frozen=True, slots=True)
class Metric:
    """Of each bot."""

    name: str
    unit: Unit
    about: str
    of: Callable[[Figures], float | None]
    """None where it was not measured."""
    part: Callable[[Figures], tuple[float, float]] | None = None
    """For ratios: what of what, so that all bots together have one too."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over all bots (of the latency: over all pictures). None where nothing was measured."""

    count: int
    mean: float | None
    """Of ratios: of everything together, not of the bots' ratios."""
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


STATISTICS: Final = ("mean", "p50", "p95", "p99", "max")
LATENCY: Final = "latency"

METRICS: Final = (
    Metric("join", "seconds", "into the room: the signaling server's doing", lambda bot: bot.join),
    Metric("connect", "seconds", "from calling, or answering, until media can flow", lambda bot: bot.connect),
    Metric("first_frame", "seconds", "from calling, or answering, to the first whole frame", lambda b: b.first_frame),
    Metric("loss", "ratio", "packets that never came, of all", lambda bot: _ratio(_loss(bot)), lambda bot: _loss(bot)),
    Metric(
        "repaired",
        "ratio",
        "packets that came when asked for again",
        lambda b: _ratio(_mended(b)),
        lambda b: _mended(b),
    ),
    Metric("jitter", "seconds", "of packets' arrivals (RFC 3550), on average", lambda bot: bot.jitter),
    Metric("rtt", "seconds", "round trip of the path, on average", lambda bot: bot.rtt),
    Metric("freezes", "number", "pictures that stood for too long", lambda bot: _seen(bot, float(bot.freezes))),
    Metric(
        "freeze_ratio",
        "ratio",
        "time in which pictures stood for too long",
        lambda bot: _ratio(_frozen(bot)),
        lambda bot: _frozen(bot),
    ),
    Metric(
        LATENCY, "seconds", "from a test picture's making to its decoding, of the bots that decode", lambda b: b.latency
    ),
    Metric(
        "fps",
        "per second",
        "frames of video received in each call",
        lambda bot: _seen(bot, _per(bot.frames, bot.watched)),
    ),
    Metric(
        "bitrate_in",
        "bits per second",
        "media received in each call",
        lambda bot: _called(bot, _per(bot.bytes_in * 8, bot.seconds)),
    ),
    Metric(
        "bitrate_out",
        "bits per second",
        "media sent in each call",
        lambda bot: _called(bot, _per(bot.bytes_out * 8, bot.seconds)),
    ),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}

COUNTS: Final[dict[str, Unit]] = {
    "failed": "number",
    "failed_ratio": "ratio",
    "lost_calls": "number",
    "crashes": "number",
    "lag": "seconds",
    "saturated": "number",
}
"""What there is of the swarm as a whole: bots that failed, calls that broke, processes that did; how late the event
loops were; 1 where the swarm itself was saturated, else 0."""


def summary(metric: Metric, bots: Sequence[Figures], latency: Histogram) -> Summary:
    """That metric over all bots."""
    if metric.name == LATENCY:
        return spread(latency)
    values = [value for bot in bots if (value := metric.of(bot)) is not None]
    mean = sum(values) / len(values) if values else None
    if metric.part is not None and values:
        parts = [metric.part(bot) for bot in bots]
        mean = _ratio((sum(part for part, _ in parts), sum(whole for _, whole in parts)))
    return Summary(
        len(values),
        mean,
        percentile(values, 0.50),
        percentile(values, 0.95),
        percentile(values, 0.99),
        max(values, default=None),
    )


def spread(durations: Histogram) -> Summary:
    """Of durations that were counted."""
    return Summary(
        durations.count,
        durations.mean,
        durations.percentile(0.50),
        durations.percentile(0.95),
        durations.percentile(0.99),
        durations.max if durations.count else None,
    )


def _ratio(parts: tuple[float, float]) -> float | None:
    part, whole = parts
    return part / whole if whole > 0 else None


def _per(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0


def _loss(bot: Figures) -> tuple[float, float]:
    return bot.lost, bot.packets + bot.lost


def _mended(bot: Figures) -> tuple[float, float]:
    return bot.repaired, bot.packets + bot.lost


def _frozen(bot: Figures) -> tuple[float, float]:
    return min(bot.frozen, bot.watched), bot.watched


def _seen(bot: Figures, value: float) -> float | None:
    """Only where there were pictures to be seen."""
    return value if bot.watched > 0 else None


def _called(bot: Figures, value: float) -> float | None:
    return value if bot.seconds > 0 else None
