"""Whether a path takes more than what is sent: a few packets close together, and how close they come. Pure.

What is sent for a probe is packets that went out before, as retransmissions (RFC 4588): receivers drop what they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.sentpackets import Arrived

_SENT, _CLUSTER = 0, 3
FACTOR: Final = 2.0
"""Times the estimate that is tried."""
DURATION: Final = 0.03
"""Seconds that a probe takes ..."""
MIN_PACKETS: Final = 5
"""... with this many packets at least."""
FIRST: Final = 0.5
"""Seconds after the first report until the first probe."""
INTERVAL: Final = 2.0
"""Seconds from a probe that showed nothing to the next; each time half as long again ..."""
MAX_INTERVAL: Final = 4.5
"""... up to this: a path that was widened is found within that time."""
SETTLE: Final = 0.4
"""Seconds after a probe was answered within which its queue is gone."""
ANSWER: Final = 1.0
"""Seconds for which reports of a probe are waited for."""
THROUGH: Final = 0.9
"""Part of the rate at which it left: a probe that comes at that met no limit."""
SEEN: Final = 0.8
"""Of its packets; with fewer, it says nothing."""
FURTHER: Final = 0.7
"""Part of the rate that was tried: from that on, it is worth while to try more at once."""
USED: Final = 0.65
"""Part of the estimate that is sent by who would send more; who sends less needs no more ..."""
PEAK_TIME: Final = 30.0
"""... unless more was sent lately: seconds in which half of that is forgotten ..."""
WORTH: Final = 2_500_000
"""... or less is known to pass than a picture of 720 lines takes: who shares an encoder with a slower one, or has a
picture that stands still, would otherwise never learn of more."""


@dataclass(slots=True)
class Probe:
    """A probe that is on."""

    cluster: int
    rate: float
    """Bits per second to send at."""
    size: int
    """Bytes to send in all."""
    began: float
    sent: int = 0
    """Bytes, by now ..."""
    packets: int = 0
    """... in so many packets."""

    @property
    def over(self) -> bool:
        return self.sent >= self.size and self.packets >= MIN_PACKETS


class Shown(NamedTuple):
    """What came of a probe."""

    rate: float
    """Bits per second at which it came through."""
    limited: bool
    """Whether that is all, just then: with others on the path, more than it takes of ours for long."""


class Prober:
    """Says when to probe, and what came of it."""

    def __init__(self) -> None:
        self.probe: Probe | None = None
        """The one whose packets are on their way, or leave now."""
        self._due: float | None = None
        self._interval = INTERVAL
        self._cluster = 0
        self._settled = float("-inf")
        self._seen: list[Arrived] = []
        self._peak = 0.0
        """Bits per second that were sent lately, at most ..."""
        self._asked = 0.0
        """... when that was noted last."""

    @property
    def sending(self) -> bool:
        return self.probe is not None and not self.probe.over

    def on(self, now: float) -> bool:
        """Whether the queue on the way may be that of a probe."""
        return self.probe is not None or now < self._settled

    def wanted(self, estimate: float, sending: float, now: float, *, calm: bool) -> Probe | None:
        """A probe that begins now; `calm`: there is no queue on the way, and nothing gets lost."""
        if self._due is None:
            self._due = now + FIRST
        self._peak = max(sending, self._peak * 0.5 ** ((now - self._asked) / PEAK_TIME))
        self._asked = now
        if self.probe is not None or now < self._due:
            return None
        if not calm or estimate > max(sending / USED, self._peak, WORTH):
            self._due = max(self._due, now + 0.2)
            return None
        self._cluster += 1
        rate = FACTOR * estimate
        self.probe = Probe(self._cluster, rate, int(rate * DURATION / 8), now)
        self._seen = []
        return self.probe

    def take(self, arrived: Sequence[Arrived], now: float) -> Shown | None:
        """Packets that came, in the order of sending; what the probe showed, once it is known."""
        probe = self.probe
        if probe is None:
            return None
        self._seen += [packet for packet in arrived if packet[_CLUSTER] == probe.cluster]
        complete = probe.over and (
            len(self._seen) >= probe.packets
            or (arrived and arrived[-1][_CLUSTER] == 0 and arrived[-1][_SENT] > probe.began)
        )
        if not complete and now - probe.began < ANSWER:
            return None
        rate = _rate(self._seen) if len(self._seen) >= max(MIN_PACKETS, SEEN * probe.packets) else None
        self.probe = None
        self._settled = now + SETTLE
        if rate is not None and rate >= FURTHER * probe.rate:
            self._interval, self._due = INTERVAL, now
        else:
            self._due, self._interval = now + self._interval, min(1.5 * self._interval, MAX_INTERVAL)
        return Shown(min(rate, probe.rate), rate < THROUGH * probe.rate) if rate is not None else None

    def later(self, now: float) -> None:
        """Something else showed that there is no more to be had; what is tried is given up."""
        self.probe = None
        if self._due is not None:
            self._due = max(self._due, now + INTERVAL)
            self._interval = INTERVAL


def _rate(seen: Sequence[Arrived]) -> float | None:
    """Bits per second at which packets came, or left where that was less."""
    left, at, sizes, _ = zip(*seen, strict=True)
    leaving_for, coming_for = max(left) - min(left), max(at) - min(at)
    if leaving_for <= 0.005:
        return None
    size = 8 * sum(sizes)
    leaving: float = (size - 8 * sizes[-1]) / leaving_for
    coming: float = (size - 8 * sizes[at.index(min(at))]) / max(coming_for, 0.001)
    if coming > 2 * leaving:  # they were held up on the way and came as one, or the times are made up
        return None
    return 0.95 * coming if coming < THROUGH * leaving else min(coming, leaving)
