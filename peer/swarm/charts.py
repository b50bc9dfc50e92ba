"""Charts as inline SVG, coloured by the style sheet of the page that they stand in. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from peer.swarm.conditions import shown
from peer.swarm.histogram import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.swarm.metrics import Unit

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 78, 18, 12, 28
TICKS: Final = 4
"""Lines of the grid, about."""
SECONDS: Final = 7
"""Marks of a time, about."""
BARS: Final = 24


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn as one line; nothing where a value is None."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places on the paper."""

    x_most: float
    y_most: float

    def x(self, value: float) -> float:
        return round(LEFT + value / self.x_most * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - min(value, self.y_most) / self.y_most * (HEIGHT - TOP - BOTTOM), 1)


def over_time(title: str, unit: Unit, times: Sequence[float], lines: Sequence[Line], *, ramp: float = 0.0) -> str:
    """A figure of lines over seconds; the first `ramp` of them are shaded."""
    most = max([value for line in lines for value in line.values if value is not None], default=0.0)
    step = nice_step(most, unit)
    scale = _Scale(max([*times, 1.0]), max(step, math.ceil(most / step - 1e-9) * step))
    parts = [_rect("ramp", LEFT, TOP, scale.x(min(ramp, scale.x_most)) - LEFT, HEIGHT - TOP - BOTTOM)] if ramp else []
    parts += _grid(scale, step, unit)
    parts += _seconds(scale)
    for number, line in enumerate(lines):
        parts += [f'<path class="line c{number}" d="{path}"/>' for path in _paths(times, line.values, scale)]
    return _figure(title, parts, _legend([line.label for line in lines]) if len(lines) > 1 else "")


def distribution(title: str, unit: Unit, values: Sequence[float]) -> str:
    """A figure of bars: how many of the values are about how large; with the median and the 95th percentile."""
    most = max(values, default=0.0)
    step = nice_step(most, unit)
    scale_most = max(step, math.ceil(most / step - 1e-9) * step)
    counts = [0] * BARS
    for value in values:
        counts[min(BARS - 1, int(value / scale_most * BARS))] += 1
    count_step = max(1.0, nice_step(float(max(counts)), "number"))
    scale = _Scale(scale_most, max(count_step, math.ceil(max(counts) / count_step - 1e-9) * count_step))
    parts = _grid(scale, count_step, "number")
    wide = (WIDTH - LEFT - RIGHT) / BARS
    for place, count in enumerate(counts):
        if count:
            top = scale.y(count)
            low, high = (shown(scale_most * edge / BARS, unit) for edge in (place, place + 1))
            bar = _rect(
                "bar c0", LEFT + place * wide + 1, top, wide - 2, HEIGHT - BOTTOM - top, f"{low} to {high}: {count}"
            )
            parts.append(bar)
    parts += [_x_label(scale, at, tick(at, unit)) for at in _steps(scale_most, step)]
    said = []
    for share, name in ((0.5, "p50"), (0.95, "p95")):
        if (found := percentile(values, share)) is not None:
            parts.append(f'<path class="mark" d="M{scale.x(found)} {TOP}V{HEIGHT - BOTTOM}"/>')
            said.append(f"<span>{name} {escape(shown(found, unit))}</span>")
    return _figure(title, parts, "".join(said))


def tick(value: float, unit: Unit) -> str:
    """A round value as it stands beside an axis."""
    if value == 0:
        return "0"
    match unit:
        case "seconds":
            return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
        case "ratio":
            return f"{value * 100:g} %"
        case "bits per second":
            return f"{value / 1e6:g} Mbit/s" if value >= 1e6 else f"{value / 1e3:g} kbit/s"
        case "per second":
            return f"{value:g}/s"
        case _:
            return f"{value:g}"


def nice_step(most: float, unit: Unit, ticks: int = TICKS) -> float:
    """The distance of lines that people can read, so that about `ticks` of them reach up to `most`."""
    if most <= 0:
        return {"seconds": 0.01, "ratio": 0.01, "bits per second": 1000.0, "per second": 1.0, "number": 1.0}[unit]
    rough = most / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _steps(most: float, step: float) -> list[float]:
    return [number * step for number in range(round(most / step) + 1)]


def _grid(scale: _Scale, step: float, unit: Unit) -> list[str]:
    parts = []
    for at in _steps(scale.y_most, step):
        y = scale.y(at)
        parts.append(f'<path class="{"grid" if at else "axis"}" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(_text("y", LEFT - 8, y + 4, tick(at, unit)))
    return parts


def _seconds(scale: _Scale) -> list[str]:
    step = nice_step(scale.x_most, "number", SECONDS)
    return [_x_label(scale, at, f"{at:g} s") for at in _steps(math.floor(scale.x_most / step) * step, step)]


def _x_label(scale: _Scale, at: float, text: str) -> str:
    """The one at the right edge ends there."""
    return _text("n" if at >= scale.x_most * 0.999 else "x", min(scale.x(at), WIDTH - RIGHT), HEIGHT - 8, text)


def _paths(times: Sequence[float], values: Sequence[float | None], scale: _Scale) -> list[str]:
    """A path for each stretch without a hole."""
    paths: list[list[str]] = [[]]
    for time, value in zip(times, values, strict=True):
        if value is None:
            paths.append([])
        else:
            paths[-1].append(f"{scale.x(time)} {scale.y(value)}")
    return ["M" + "L".join(path if len(path) > 1 else path * 2) for path in paths if path]


def _legend(labels: Sequence[str]) -> str:
    return "".join(f'<span><i class="c{number}"></i>{escape(label)}</span>' for number, label in enumerate(labels))


def _figure(title: str, parts: Sequence[str], beside: str) -> str:
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(title)}<small>{beside}</small></figcaption>{drawing}</figure>"


def _rect(kind: str, x: float, y: float, width: float, height: float, title: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
    return f'<rect class="{kind}" {place}>{f"<title>{escape(title)}</title>" if title else ""}</rect>'


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
