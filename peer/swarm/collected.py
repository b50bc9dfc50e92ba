"""All that the processes of a swarm told, put together while it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from peer.swarm.figures import MAX_ERROR, Figures
from peer.swarm.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.swarm.plan import Seat
    from peer.swarm.wire import Report

MAX_POINTS: Final = 600
"""Points of the course; when there are more, each two become one."""
MAX_CRASHES: Final = 50
"""Crashes that are told of, of each process."""
TELL: Final = 1.0
"""Seconds between two reports of a process."""
STALE: Final = 5.0
"""Seconds after which what a process told last is no more what flows."""


class Point(Struct, kw_only=True, rename="camel"):
    """The swarm at one time."""

    at: float
    """Seconds since the beginning; what flows is as the processes told last."""
    begun: int
    """Bots that began by then, like the next three."""
    joined: int
    in_call: int
    failed: int
    bitrate_in: float
    """Bits per second that all of them received."""
    bitrate_out: float
    fps: float
    """Frames of video that all of them received in a second."""
    loss: float
    """Part of the packets that never came."""
    lag: float
    """Seconds by which the event loop that was worst was late (p99)."""
    cpu: float
    """Cores that the swarm used."""
    machine: float | None
    """Part of the machine's cores that anybody used."""
    latency: float | None
    """Seconds from a test picture's making to its decoding (p95)."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that ended by itself."""

    at: float
    """Seconds since the beginning."""
    text: str
    again: bool
    """Whether another took its place."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all bots of a process."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames: int = 0
    packets: int = 0
    lost: int = 0

    @classmethod
    def of(cls, bots: Sequence[Figures]) -> Totals:
        return cls(
            sum(bot.bytes_in for bot in bots),
            sum(bot.bytes_out for bot in bots),
            sum(bot.frames for bot in bots),
            sum(bot.packets for bot in bots),
            sum(bot.lost for bot in bots),
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """The same in a second, by the process's own clock: its reports and the points of the course are not in step."""

    bytes_in: float = 0.0
    bytes_out: float = 0.0
    frames: float = 0.0
    packets: float = 0.0
    lost: float = 0.0

    @classmethod
    def between(cls, before: Totals, now: Totals, seconds: float) -> Flow:
        if seconds <= 0:
            return cls()
        return cls(
            # Never less than nothing: packets that were thought lost may come after all.
            max(0, now.bytes_in - before.bytes_in) / seconds,
            max(0, now.bytes_out - before.bytes_out) / seconds,
            max(0, now.frames - before.frames) / seconds,
            max(0, now.packets - before.packets) / seconds,
            max(0, now.lost - before.lost) / seconds,
        )


@dataclass(slots=True)
class OfProcess:
    """What one process told of itself."""

    number: int
    ramp_lags: Histogram = field(default_factory=Histogram)
    """By how much its event loop was late while bots were beginning and connecting, in seconds."""
    lags: Histogram = field(default_factory=Histogram)
    """... and after."""
    cpu: float = 0.0
    """Seconds of processor time, since then."""
    seconds: float = 0.0
    """Of what."""
    cores: float = 0.0
    """Cores it used when it told last."""
    memory: int = 0
    """Bytes, at most."""
    encoded: int = 0
    dropped: int = 0
    crashes: list[Crash] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    """Lags since the last point of the course."""
    totals: Totals = Totals()
    flow: Flow = Flow()
    """As it told last ..."""
    told_at: float = 0.0
    """... at this time."""


class Collected:
    """One swarm. Times are seconds since its beginning."""

    def __init__(self, seats: Sequence[Seat], processes: int, *, script: bool = False, settle: float = 0.0) -> None:
        """`settle`: seconds after the last bot began from which on processes are judged by what they do."""
        self.seats = seats
        self.script = script
        self._settle = settle
        self.bots = [Figures(number=seat.number) for seat in seats]
        self.processes = [OfProcess(number) for number in range(processes)]
        self.latency = Histogram()
        self.points: list[Point] = []
        self._every, self._tick = 1, 0
        self._recent = Histogram()

    @property
    def complete_at(self) -> float:
        """When the last bot is to have begun."""
        return self.seats[-1].at if self.seats else 0.0

    @property
    def settled_at(self) -> float:
        """When the swarm is at work."""
        return self.complete_at + self._settle

    def take(self, process: int, report: Report, at: float) -> None:
        """A process tells."""
        of = self.processes[process]
        for figures in report.bots:
            if 0 <= figures.number < len(self.bots):
                self.bots[figures.number] = figures
        steady = at > self.settled_at
        for lag in report.lags:
            (of.lags if steady else of.ramp_lags).add(lag)
        of.recent += report.lags
        for latency in report.latencies:
            self.latency.add(latency)
            self._recent.add(latency)
        of.cores = report.cpu / report.seconds if report.seconds > 0 else 0.0
        totals = Totals.of(report.bots)
        of.flow = Flow.between(of.totals, totals, report.seconds)
        of.totals, of.told_at = totals, at
        if steady and not report.last:  # the last one is of a moment
            of.cpu += report.cpu
            of.seconds += report.seconds
        of.memory = max(of.memory, report.memory)
        of.encoded += report.encoded
        of.dropped += report.dropped

    def crashed(self, process: int, text: str, at: float, *, again: bool) -> list[Seat]:
        """A process ended by itself, and its bots with it; gives their seats."""
        of = self.processes[process]
        if len(of.crashes) < MAX_CRASHES:
            of.crashes.append(Crash(round(at, 2), text[:MAX_ERROR], again))
        of.cores, of.totals, of.flow = 0.0, Totals(), Flow()
        seats = [seat for seat in self.seats if seat.process == process]
        for seat in seats:
            figures = self.bots[seat.number]
            figures.state, figures.error, figures.calls = "crashed", text[:MAX_ERROR], 0
        return seats

    def count(self, *states: str) -> int:
        """Bots in one of these states."""
        return sum(bot.state in states for bot in self.bots)

    @property
    def crashes(self) -> int:
        return sum(len(process.crashes) for process in self.processes)

    def trouble(self, seat: Seat) -> str:
        """What is wrong with a bot, if anything is."""
        bot = self.bots[seat.number]
        if bot.state in ("failed", "crashed"):
            return bot.error or bot.state
        if bot.state in ("in call", "done", "waiting") or (bot.state == "joined" and (self.script or not seat.expects)):
            return ""
        if bot.state == "joining":
            return "the signaling server has not let it in yet"
        whom = ", ".join(seat.calls[:3])
        missing = bot.error or (f"{whom} has not answered yet" if seat.calls else "nobody has called it")
        return f"in {bot.calls} of {seat.expects} calls: {missing}"

    def tick(self, at: float, machine: float | None = None) -> None:
        """Once a second: note how it is. `machine`: part of the machine's cores that were busy since the last time."""
        flows = [process.flow for process in self.processes if at - process.told_at < STALE]
        packets, lost = sum(flow.packets for flow in flows), sum(flow.lost for flow in flows)
        point = Point(
            at=round(at, 2),
            begun=len(self.bots) - self.count("waiting"),
            joined=self.count("joined", "calling", "in call"),
            in_call=self.count("in call"),
            failed=self.count("failed", "crashed"),
            bitrate_in=sum(flow.bytes_in for flow in flows) * 8,
            bitrate_out=sum(flow.bytes_out for flow in flows) * 8,
            fps=sum(flow.frames for flow in flows),
            loss=lost / (packets + lost) if packets > 0 else 0.0,
            lag=max((_lag(process, at) for process in self.processes), default=0.0),
            cpu=sum(process.cores for process in self.processes),
            machine=machine,
            latency=self._recent.percentile(0.95),
        )
        self._recent = Histogram()
        for process in self.processes:
            process.recent.clear()
        self._add(point)

    def _add(self, point: Point) -> None:
        self._tick += 1
        if len(self.points) >= 2 and self._tick % self._every:
            point = _merged(self.points.pop(), point)
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = [_merged(*pair) for pair in zip(self.points[::2], self.points[1::2], strict=False)]
            self._every *= 2


def _lag(process: OfProcess, at: float) -> float:
    """By how much its loop was late since the last point (p99); one that told nothing is late with that, at least."""
    found = Histogram(process.recent).percentile(0.99)
    return max(0.0, at - process.told_at - TELL) if found is None else found


def _merged(one: Point, other: Point) -> Point:
    """Two as one: how it is as of the later, what flowed on average, what was bad at its worst."""
    latencies = [point.latency for point in (one, other) if point.latency is not None]
    machines = [point.machine for point in (one, other) if point.machine is not None]
    return structs.replace(
        other,
        bitrate_in=(one.bitrate_in + other.bitrate_in) / 2,
        bitrate_out=(one.bitrate_out + other.bitrate_out) / 2,
        fps=(one.fps + other.fps) / 2,
        loss=(one.loss + other.loss) / 2,
        lag=max(one.lag, other.lag),
        cpu=(one.cpu + other.cpu) / 2,
        machine=sum(machines) / len(machines) if machines else None,
        latency=max(latencies, default=None),
    )
