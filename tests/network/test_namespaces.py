"""A run leaves nothing behind: no namespace, no process, also when it is interrupted; and touches nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.network import namespaces
from tests.network.namespaces import FILES, NAMED, LabError, Namespaces, inside, remove_abandoned, run

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("laboratory")]

ROOT = Path(__file__).parents[2]
DEAD_PID = 2**22 + 1
"""Above the highest that Linux gives."""


def present(prefix: str) -> list[str]:
    return [path.name for folder in (NAMED, FILES) if folder.is_dir() for path in folder.glob(f"{prefix}*")]


def test_closing_ends_the_processes_and_removes_the_files() -> None:
    made = Namespaces()
    full = made.add("a", {"hosts": "127.0.0.1 localhost\n"})
    with subprocess.Popen(["ip", "netns", "exec", full, "sleep", "60"]) as process:
        while str(process.pid) not in run("ip", "netns", "pids", full).split():
            assert process.poll() is None
        made.close()
        assert process.wait(10) == -signal.SIGKILL
    assert present(made.prefix) == []


def test_a_socket_stays_where_it_was_made() -> None:
    made = Namespaces()
    try:
        full = made.add("a")
        assert inside(full, lambda: os.readlink("/proc/thread-self/ns/net")) != os.readlink("/proc/self/ns/net")
        assert os.readlink("/proc/thread-self/ns/net") == os.readlink("/proc/self/ns/net")
        with pytest.raises(ZeroDivisionError):
            inside(full, lambda: 1 // 0)
    finally:
        made.close()


def test_what_fails_says_what_and_why() -> None:
    with pytest.raises(LabError, match="ip netns del peerlab-nobody"):
        run("ip", "netns", "del", "peerlab-nobody")


def test_only_what_was_left_by_a_dead_process_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "PREFIX", "peerlabtest")
    alive = Namespaces()
    other = f"other{os.getpid()}"
    dead = f"peerlabtest{DEAD_PID}.1-a"
    try:
        kept = alive.add("a")
        run("ip", "netns", "add", dead)
        run("ip", "netns", "add", other)
        assert remove_abandoned() == [dead]
        assert {kept, other} <= set(present(""))
    finally:
        alive.close()
        subprocess.run(["ip", "netns", "del", other], check=False)
        subprocess.run(["ip", "netns", "del", dead], check=False, capture_output=True)


def test_an_interrupted_run_leaves_nothing() -> None:
    command = [sys.executable, "-m", "tests.network", "--engine", "ice", "--only", "disturbances", "--match", "10 s"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        prefix = f"{namespaces.PREFIX}{process.pid}."
        deadline = time.monotonic() + 30
        while not any("-h" in name for name in present(prefix)):  # until a host is there
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    assert present(prefix) == []
