"""A bad network that is bad in the same way each time: loss, delay, jitter, reordering and duplicates from a seed.

Pure: packets with their sending times in, packets with their arrival times out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How bad it is. Probabilities from 0 to 1, times in seconds."""

    loss: float = 0.0
    """Probability that a packet is lost."""
    burst: float = 1.0
    """Mean number of packets that are lost in a row; 1 = each packet is lost or not by itself."""
    duplicate: float = 0.0
    """Probability that a packet arrives twice."""
    delay: float = 0.0
    """What every packet needs at least."""
    jitter: float = 0.0
    """What a packet needs in addition at most, evenly distributed; more than the packets' distance reorders them."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, from 0 to 1")
        if self.burst < 1 or self.delay < 0 or self.jitter < 0:
            raise ValueError("burst is at least 1, delay and jitter are not negative")


@dataclass(frozen=True, order=True)
class Arrival(Generic[T]):
    """One packet at the far end; arrivals sort by time."""

    time: float
    order: int
    packet: T


def deliver(packets: Iterable[tuple[float, T]], conditions: Conditions) -> list[Arrival[T]]:
    """The arrivals of (sending time, packet) pairs, in the order of their arrival."""
    chance = random.Random(conditions.seed)
    arrivals: list[Arrival[T]] = []
    lost = _losses(conditions, chance)
    for sent, packet in packets:
        # Drawn for every packet, lost or not: the fate of one does not depend on the settings of another.
        late, again, later = chance.random(), chance.random(), chance.random()
        if next(lost):
            continue
        arrivals.append(Arrival(sent + conditions.delay + late * conditions.jitter, len(arrivals), packet))
        if again < conditions.duplicate:
            arrivals.append(Arrival(sent + conditions.delay + later * conditions.jitter, len(arrivals), packet))
    return sorted(arrivals)


def _losses(conditions: Conditions, chance: random.Random) -> Iterator[bool]:
    """Independent losses, or Gilbert's model: in the good state nothing is lost, in the bad one everything."""
    if conditions.burst == 1 or conditions.loss == 1:
        while True:
            yield chance.random() < conditions.loss
    leave_bad = 1 / conditions.burst
    enter_bad = min(1.0, leave_bad * conditions.loss / (1 - conditions.loss))
    bad = False
    while True:
        bad = chance.random() >= leave_bad if bad else chance.random() < enter_bad
        yield bad
