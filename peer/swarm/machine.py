"""How busy the machine is, and what its kernel throws away."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from peer.swarm.saturation import MachineFigures

_STAT, _SNMP, _SNMP6 = Path("/proc/stat"), Path("/proc/net/snmp"), Path("/proc/net/snmp6")


@dataclass(frozen=True, slots=True)
class Reading:
    """At one moment; None where the system does not tell."""

    busy: int | None
    """Ticks that cores were busy for."""
    all: int | None
    udp_full: int | None

    @classmethod
    def now(cls) -> Reading:
        times = _cpu_times()
        # user nice system idle iowait irq softirq steal: what another machine on the same iron took is not idle either
        idle = times[3] + times[4] if len(times) > 4 else 0
        return cls(sum(times) - idle if times else None, sum(times) if times else None, _udp_full())

    def busy_until(self, later: Reading) -> float | None:
        """Part of the cores that was busy between two readings."""
        if self.busy is None or later.busy is None or self.all is None or later.all is None or later.all <= self.all:
            return None
        return (later.busy - self.busy) / (later.all - self.all)

    def until(self, later: Reading) -> MachineFigures:
        """What happened between two readings."""
        full = None if self.udp_full is None or later.udp_full is None else max(0, later.udp_full - self.udp_full)
        return MachineFigures(cores(), self.busy_until(later), full)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_times() -> list[int]:
    try:
        first = _STAT.read_text("ascii").splitlines()[0].split()
        return [int(word) for word in first[1:9]]
    except (OSError, ValueError, IndexError):
        return []


def _udp_full() -> int | None:
    """Of IPv4 and IPv6."""
    try:
        names, values = (line.split() for line in _SNMP.read_text("ascii").splitlines() if line.startswith("Udp:"))
        total = int(values[names.index("RcvbufErrors")])
        for line in _SNMP6.read_text("ascii").splitlines() if _SNMP6.exists() else ():
            if line.startswith("Udp6RcvbufErrors"):
                total += int(line.split()[1])
        return total
    except (OSError, ValueError, IndexError):
        return None
