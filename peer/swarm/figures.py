"""What is known of one bot, and how the statistics of its calls add up to that. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from peer.rtc.stats import ConnectionStats, InboundStats, OutboundStats

State = Literal["waiting", "joining", "joined", "calling", "in call", "done", "failed", "crashed"]
"""`joined`: it is in the room and in fewer calls than it is to be in; `done`: its script has ended."""

STANDING: Final = 1.0
"""Seconds without a frame from which on pictures count as standing before the next one came."""
MAX_ERROR: Final = 300
"""Characters of an error that are kept."""


class Figures(Struct, kw_only=True):
    """One bot; seconds, bits and packets since it began, of all its calls together."""

    number: int
    state: State = "waiting"
    error: str = ""
    """What went wrong last."""
    join: float | None = None
    connect: float | None = None
    """Of the call that took longest, like the next."""
    first_frame: float | None = None
    calls: int = 0
    """Those it is in."""
    lost_calls: int = 0
    """Those that broke."""
    tries: int = 0
    """Calls that were tried again."""
    seconds: float = 0.0
    """In calls."""
    packets: int = 0
    """Received."""
    lost: int = 0
    repaired: int = 0
    frames: int = 0
    """Of video, received."""
    bytes_in: int = 0
    bytes_out: int = 0
    freezes: int = 0
    frozen: float = 0.0
    watched: float = 0.0
    """Seconds of video, to a second: from its first frame on, while the other side says that it sends."""
    jitter: float | None = None
    rtt: float | None = None
    latency: float | None = None
    """On average."""

    def failed(self, error: str) -> None:
        self.state, self.error = "failed", error[:MAX_ERROR]


@dataclass(slots=True)
class Mean:
    """Of what is looked at now and then."""

    count: int = 0
    sum: float = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.count += 1
            self.sum += value

    @property
    def value(self) -> float | None:
        return self.sum / self.count if self.count else None


@dataclass(slots=True)
class Counter:
    """A count that begins anew with another connection of the same call."""

    value: float = 0
    _last: float = 0

    def read(self, now: float) -> None:
        self.value += now - self._last if now >= self._last else now
        self._last = now


COUNTERS: Final = ("packets", "lost", "repaired", "frames", "bytes_in", "bytes_out", "freezes", "frozen")


@dataclass(slots=True)
class CallTally:
    """One call, looked at again and again."""

    begun: float
    """When media could flow."""
    seconds: float = 0.0
    watched: float = 0.0
    standing: float = 0.0
    """Seconds for which the picture has been the same by now, if that is too long."""
    jitter: Mean = field(default_factory=Mean)
    rtt: Mean = field(default_factory=Mean)
    counters: dict[str, Counter] = field(default_factory=lambda: {name: Counter() for name in COUNTERS})
    _moved: float | None = None
    """When there was a frame more than before."""
    _looked: float | None = None
    _held: bool = False
    """Whether the other side said, at the last look, that it sends nothing."""

    def look(self, stats: ConnectionStats) -> None:
        """Take the statistics of this moment."""
        now = stats.time
        self.seconds = max(0.0, now - self.begun)
        received = [entry for entry in stats.inbound if entry.packets_received]
        video = [entry for entry in received if entry.kind == "video"]
        self._count(received, video, stats.outbound)
        self._watch(video, now)
        main = (video or received)[:1]
        for entry in main:
            self.jitter.add(entry.jitter)
        self.rtt.add(_round_trip(stats))
        self._looked = now

    def _count(
        self, received: list[InboundStats], video: list[InboundStats], outbound: tuple[OutboundStats, ...]
    ) -> None:
        read = {
            "packets": sum(entry.packets_received for entry in received),
            "lost": sum(max(0, entry.packets_lost) for entry in received),
            "repaired": sum(entry.packets_repaired for entry in received),
            "frames": sum(entry.frames_received for entry in video),
            "bytes_in": sum(entry.bytes_received for entry in received),
            "bytes_out": sum(entry.bytes_sent for entry in outbound),
            "freezes": sum(entry.freeze_count + entry.pause_count for entry in video),
            "frozen": sum(entry.total_freezes_duration + entry.total_pauses_duration for entry in video),
        }
        frames = self.counters["frames"].value
        for name, counter in self.counters.items():
            counter.read(read[name])
        if self.counters["frames"].value != frames:
            self._moved, self.standing = None, 0.0

    def _watch(self, video: list[InboundStats], now: float) -> None:
        """How long there were pictures to be seen, and for how long they have been standing."""
        if not self.counters["frames"].value:
            return
        if not any(entry.active for entry in video):  # held, or muted: nobody expects any
            self._moved, self.standing, self._held = None, 0.0, True
            return
        if self._looked is not None and not self._held:
            self.watched += now - self._looked
        self._held = False
        if self._moved is None:
            self._moved = now
        standing = now - self._moved
        self.standing = standing if standing >= STANDING else 0.0


def add_up(figures: Figures, tallies: list[CallTally]) -> None:
    """Put what all calls of a bot came to into its figures."""
    for name in COUNTERS:
        total = sum(tally.counters[name].value for tally in tallies)
        setattr(figures, name, total if name == "frozen" else int(total))
    standing = [tally.standing for tally in tallies if tally.standing]
    figures.freezes += len(standing)
    figures.frozen += sum(standing)
    figures.seconds = sum(tally.seconds for tally in tallies)
    figures.watched = sum(tally.watched for tally in tallies)
    figures.jitter = _mean([tally.jitter for tally in tallies])
    figures.rtt = _mean([tally.rtt for tally in tallies])


def _mean(means: list[Mean]) -> float | None:
    total = Mean(sum(mean.count for mean in means), sum(mean.sum for mean in means))
    return total.value


def _round_trip(stats: ConnectionStats) -> float | None:
    """By RTCP where there is some, which comes more often than ICE's checks."""
    found = [entry.round_trip_time for entry in stats.outbound if entry.round_trip_time is not None]
    if found:
        return sum(found) / len(found)
    return stats.pair.round_trip_time if stats.pair is not None else None
