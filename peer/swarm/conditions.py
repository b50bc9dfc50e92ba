"""What `--fail-if` says, such as `join_p95>2s`: read, and held against what was measured. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.errors import UsageError
from peer.swarm.metrics import BY_NAME, COUNTS, STATISTICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from peer.swarm.metrics import Unit

UNITS: Final[dict[Unit, dict[str, float]]] = {
    "seconds": {"s": 1.0, "ms": 0.001},
    "ratio": {"%": 0.01, "": 1.0},
    "bits per second": {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6},
    "per second": {"/s": 1.0, "": 1.0},
    "number": {"": 1.0},
}
"""What may stand behind a number, and how much of the unit it is."""
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
}
SPREAD: Final = (*BY_NAME, "lag")
"""What has percentiles."""
_CONDITION: Final = re.compile(
    rf"\s*([a-z_]+?)(?:_({'|'.join(STATISTICS)}))?\s*(>=|<=|>|<)\s*(\d{{1,12}}(?:\.\d{{1,9}})?)\s*([A-Za-z%/]*)\s*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One that must not be true."""

    text: str
    """As it was written."""
    metric: str
    statistic: str
    """One of STATISTICS; `mean` where none was named; of what is but one number that number."""
    comparison: str
    limit: float
    """In the metric's unit."""

    def holds(self, value: float | None) -> bool:
        """Whether it is true; also of what was not measured: nobody knows that all is well."""
        return value is None or COMPARISONS[self.comparison](value, self.limit)


def parse_condition(text: str) -> Condition:
    """Read one. Raises UsageError for what cannot be, with what there is."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"--fail-if {text!r} cannot be read; write it like join_p95>2s or freeze_ratio>1%")
    name, statistic, comparison, number, suffix = match.groups()
    unit = unit_of(name)
    if unit is None:
        raise UsageError(f"--fail-if {text!r}: {name} is not measured; there are {', '.join([*BY_NAME, *COUNTS])}")
    if statistic and name not in SPREAD:
        raise UsageError(
            f"--fail-if {text!r}: {name} is one number and has no {statistic}; write {name}{comparison}..."
        )
    if suffix not in UNITS[unit]:
        units = " or ".join(f"{number}{known}" for known in UNITS[unit])
        raise UsageError(f"--fail-if {text!r}: {name} is {_words(unit)}; write {units}")
    return Condition(text.strip(), name, statistic or "mean", comparison, float(number) * UNITS[unit][suffix])


def unit_of(metric: str) -> Unit | None:
    """What a metric is measured in; None for one that there is not."""
    return BY_NAME[metric].unit if metric in BY_NAME else COUNTS.get(metric)


def value_of(
    condition: Condition, summaries: Mapping[str, Mapping[str, float | None]], counts: Mapping[str, float]
) -> float | None:
    """What the condition is about: of summaries by name of the metric and of the statistic, or of the counts."""
    if condition.metric in summaries:
        return summaries[condition.metric].get(condition.statistic)
    return counts.get(condition.metric)


def shown(value: float | None, unit: Unit) -> str:
    """A value for people."""
    if value is None:
        return "-"
    match unit:
        case "seconds":
            if value >= 1:
                return f"{value:.2f} s"
            return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"
        case "ratio":
            return f"{value * 100:.2f} %"
        case "bits per second":
            return f"{value / 1e6:.2f} Mbit/s" if value >= 1e6 else f"{value / 1e3:.0f} kbit/s"
        case "per second":
            return f"{value:.1f}/s"
        case _:
            return f"{value:g}" if float(value).is_integer() else f"{value:.2f}"


def _words(unit: Unit) -> str:
    return {
        "seconds": "a time",
        "ratio": "a share",
        "bits per second": "a bit rate",
        "per second": "a rate",
        "number": "a number",
    }[unit]
