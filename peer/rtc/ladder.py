"""Which receivers of one source share an encoder: those whose paths take about as much. Pure.

A rung is an octave of bit rates, from its floor up to twice that. Its encoder gives what the slowest receiver on it
takes, so nobody gets less than half of what could be had. Who comes to the edge of a rung stays on it for a while: a
move costs a keyframe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

FLOOR: Final = 60_000
"""Bits per second at the foot of the ladder; a path that takes less is on the lowest rung, too."""
MOST: Final = 3
"""Rungs in use at once: each is another encoder at work. Beyond, those in between go down to the next below."""
DOWN: Final = 0.9
"""Part of a rung's floor below which a receiver leaves it downwards ..."""
UP: Final = 1.25
"""... and multiple of its ceiling above which it leaves upwards."""

R = TypeVar("R", bound="Hashable")


def rung_for(limit: float, before: int | None = None) -> int:
    """The rung, from 0, for a path that takes `limit` bits per second; `before`: where its receiver is."""
    if before is not None and floor_of(before) * DOWN <= limit <= floor_of(before + 1) * UP:
        return before
    return max(0, int(limit / FLOOR).bit_length() - 1)


def floor_of(rung: int) -> int:
    """Bits per second."""
    return FLOOR << rung


def places(limits: Mapping[R, float], before: Mapping[R, int], most: int = MOST) -> dict[R, int]:
    """The rung of each receiver. `limits`: bits per second; `before`: where they are, if they are anywhere."""
    placed = {each: rung_for(limit, before.get(each)) for each, limit in limits.items()}
    while len(used := sorted(set(placed.values()))) > most:
        # The upper of the two that are closest, and of several such pairs the uppermost: it has the most to lose in
        # bits, and the least that anybody sees.
        gap, upper = min((high - low, -high) for low, high in zip(used, used[1:], strict=False))
        for each, rung in placed.items():
            if rung == -upper:
                placed[each] = -upper - gap
    return placed


def bitrate_of(limits: Mapping[R, float]) -> float:
    """What the encoder of a rung gives to those who are on it."""
    return min(limits.values())
