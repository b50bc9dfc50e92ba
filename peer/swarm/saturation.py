"""Whether a swarm was itself too much for the machine it ran on, which is no fault of the server's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.swarm.collected import OfProcess

LATE: Final = 0.020
"""Seconds (p99) by which an event loop may be late: media comes every 20 ms."""
BUSY: Final = 0.85
"""Part of a core that a process may use: what it sends and receives comes in bursts."""
FULL: Final = 0.95
"""Part of all cores that may be used."""
DROPPED: Final = 0.01
"""Part of the pictures that may be left out by encoders."""
TOLD: Final = 4
"""Reasons that are told of one kind."""


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """The machine while all bots were there."""

    cores: int
    busy: float | None = None
    """Part of the cores that anybody used; None where that cannot be known."""
    udp_full: int | None = None
    """Datagrams, of anybody here, that the kernel threw away because a socket's buffer was full."""


def reasons(processes: Sequence[OfProcess], machine: MachineFigures) -> list[str]:
    """Why the figures blame the swarm itself; empty where they do not."""
    found = []
    late = [(process, lag) for process in processes if (lag := process.lags.percentile(0.99) or 0.0) > LATE]
    found += [
        f"the event loop of process {one.number + 1} was late by {lag * 1000:.0f} ms (p99)" for one, lag in late[:TOLD]
    ]
    busy = [(one, one.cpu / one.seconds) for one in processes if one.seconds > 0 and one.cpu / one.seconds > BUSY]
    found += [f"process {one.number + 1} used {share:.0%} of a core" for one, share in busy[:TOLD]]
    if machine.busy is not None and machine.busy > FULL:
        own = sum(one.cpu / one.seconds for one in processes if one.seconds > 0)
        found.append(
            f"the machine's {machine.cores} cores were {machine.busy:.0%} busy, {own:.1f} of them with the swarm"
        )
    if machine.udp_full:
        found.append(f"{machine.udp_full} datagrams were thrown away here because sockets were not read in time")
    encoded, dropped = sum(one.encoded for one in processes), sum(one.dropped for one in processes)
    if encoded and dropped / encoded > DROPPED:
        found.append(f"encoders had no time for {dropped / encoded:.1%} of the pictures")
    return found


def ramp_reasons(processes: Sequence[OfProcess]) -> list[str]:
    """The same of the time when bots were beginning, which the times of joining and connecting are of."""
    late = [(process, lag) for process in processes if (lag := process.ramp_lags.percentile(0.99) or 0.0) > 5 * LATE]
    return [
        f"the event loop of process {one.number + 1} was late by {lag * 1000:.0f} ms (p99)" for one, lag in late[:TOLD]
    ]


def verdict(steady: Sequence[str], ramp: Sequence[str]) -> str:
    """The reasons in a sentence; "" where there is none."""
    if steady:
        return (
            f"the swarm itself was saturated ({'; '.join(steady)}), so the figures blame this machine, not the server; "
            "use fewer bots, more cores, pre-encoded files or --receive-only"
        )
    if ramp:
        return (
            f"the swarm itself was saturated while bots began ({'; '.join(ramp)}), so the times of joining, connecting "
            "and first frames blame this machine, not the server; begin fewer at a time with --ramp"
        )
    return ""
