"""Network namespaces of one run, made by their own prefix and removed by it, whatever happened in between."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

PREFIX = "peerlab"
CLONE_NEWNET = 0x40000000
NAMED = Path("/run/netns")
FILES = Path("/etc/netns")
"""`ip netns exec NAME` puts the files of FILES/NAME in the place of those of /etc."""

_count = 0


class LabError(Exception):
    """The laboratory could not be built: a command of the system failed."""


class Namespaces:
    """Makes namespaces `peerlab<pid>.<n>-NAME`; `close()` ends what runs in them and removes them."""

    def __init__(self) -> None:
        global _count
        _count += 1
        self.prefix = f"{PREFIX}{os.getpid()}.{_count}-"

    def full(self, name: str) -> str:
        return self.prefix + name

    def add(self, name: str, files: Mapping[str, str] | None = None) -> str:
        """A new namespace with loopback; `files` are seen in /etc by what `ip netns exec` runs there."""
        full = self.full(name)
        if files:
            folder = FILES / full
            folder.mkdir(parents=True)
            for path, text in files.items():
                (folder / path).write_text(text)
        run("ip", "netns", "add", full)
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def remove(self, name: str) -> None:
        _remove(self.full(name))

    def close(self) -> None:
        for full in _existing(self.prefix):
            _remove(full)


def run(*command: str, text: str | None = None) -> str:
    """Runs a command to its end. Raises LabError with what it said."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}\n{text or ''}")
    return done.stdout


def ip(namespace: str, *lines: str) -> None:
    """Carries out lines of `ip` in a namespace, all in one process."""
    run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")


def nft(namespace: str, rules: str) -> None:
    run("ip", "netns", "exec", namespace, "nft", "-f", "-", text=rules)


def sysctl(namespace: str, values: Mapping[str, str | int]) -> None:
    def write() -> None:
        for name, value in values.items():
            Path("/proc/sys/net", *name.split(".")).write_text(f"{value}\n")

    inside(namespace, write)


def inside(namespace: str, function: Callable[[], T]) -> T:
    """The result of a function that runs in the namespace: sockets that it makes stay there.

    A namespace belongs to a thread, so a thread of its own goes there and does not come back.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def there() -> None:
        try:
            enter(namespace)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter(namespace: str) -> None:
    """Moves the calling thread, and what it starts, into the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(NAMED / namespace, os.O_RDONLY)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
    finally:
        os.close(descriptor)


def remove_abandoned() -> list[str]:
    """Removes namespaces of runs whose process is gone; returns their names."""
    found = [full for full in _existing(PREFIX) if not Path("/proc", _owner(full)).exists()]
    for full in found:
        _remove(full)
    return found


def _owner(full: str) -> str:
    return full.removeprefix(PREFIX).partition(".")[0]


def _existing(prefix: str) -> list[str]:
    folders = [folder for folder in (NAMED, FILES) if folder.is_dir()]
    return sorted({path.name for folder in folders for path in folder.iterdir() if path.name.startswith(prefix)})


def _remove(full: str) -> None:
    if (NAMED / full).exists():
        _end_processes(full)
        subprocess.run(["ip", "netns", "del", full], capture_output=True, check=False, timeout=20)
    shutil.rmtree(FILES / full, ignore_errors=True)


def _end_processes(full: str) -> None:
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        listing = subprocess.run(
            ["ip", "netns", "pids", full], capture_output=True, text=True, check=False, timeout=20
        ).stdout
        # Zombies are listed too: whoever started them waits for them.
        alive = [int(pid) for pid in listing.split() if not _is_zombie(int(pid))]
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
