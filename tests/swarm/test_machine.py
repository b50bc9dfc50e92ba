"""What the machine tells of itself, and what becomes of it where it tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peer.swarm import machine
from peer.swarm.machine import Reading

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("stat", "snmp", "snmp6"):
        monkeypatch.setattr(machine, f"_{name.upper()}", tmp_path / name)
    return tmp_path


def write(proc: Path, idle: int, busy: int, full: int) -> None:
    (proc / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0\n")
    (proc / "snmp").write_text(f"Ip: A\nIp: 1\nUdp: InDatagrams RcvbufErrors\nUdp: 5 {full}\n")
    (proc / "snmp6").write_text(f"Udp6InDatagrams 7\nUdp6RcvbufErrors {full}\n")


def test_between_two_readings(proc: Path) -> None:
    write(proc, 1000, 1000, 5)
    before = Reading.now()
    write(proc, 1100, 1300, 6)
    after = Reading.now()
    found = before.until(after)
    assert (found.busy, found.udp_full, found.cores) == (0.75, 2, machine.cores())
    assert before.busy_until(before) is None, "no time has passed"


def test_where_nothing_is_told(proc: Path) -> None:
    found = Reading.now().until(Reading.now())
    assert (found.busy, found.udp_full) == (None, None)
    (proc / "stat").write_text("")
    (proc / "snmp").write_text("Udp: what\nUdp:\n")
    assert Reading.now() == Reading(None, None, None)


def test_this_machine() -> None:
    assert machine.cores() >= 1 and Reading.now().until(Reading.now()).cores >= 1
