"""Finds what a test left behind: tasks, threads, file descriptors (sockets, pipes, files), child processes, a priority.

`Resources.now()` before and after, `leaks()` between them; `settle()` gives what is being closed a bounded chance
to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockbuster import BlockBuster

COLLECT_EVERY = 20
"""Looks between two garbage collections: most of what is left is a thread about to end, and a collection takes long.

On a machine so busy that the time is over before as many looks, there is one all the same.
"""
SETTLE_SECONDS = 1.0

ALLOWED_THREADS = {
    "asyncio_": "threads of a loop's default executor; whoever runs the loop ends them with it",
    "pydevd": "a debugger",
}
"""Prefixes of the names of threads that may outlive a test, each with the reason."""

ALLOWED_CHILDREN = {
    "multiprocessing.resource_tracker": "Python keeps one for the life of the process as soon as shared memory is used",
}

# Asking for a file's name takes microseconds and happens in every import and traceback: only what can wait counts.
HARMLESS_CALLS = (
    *("os.access", "os.getcwd", "os.path.abspath", "os.path.islink", "os.path.ismount"),
    *("os.path.sameopenfile", "os.path.samestat", "os.readlink", "os.stat"),
)


@dataclass(frozen=True)
class Resources:
    """What the process holds at one moment."""

    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    children: frozenset[int]
    policy: int
    """By which the kernel schedules this thread; new threads and processes get the same."""

    @classmethod
    def now(cls) -> Resources:
        return cls(
            tasks=_tasks(),
            threads=frozenset(thread for thread in threading.enumerate() if not _allowed_thread(thread)),
            descriptors=frozenset(_descriptors()),
            children=frozenset(_children()),
            policy=os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else 0,
        )


def leaks(before: Resources, after: Resources) -> list[str]:
    """One line for each thing that is there after and was not before."""
    found = [f"task still running: {task!r}" for task in after.tasks - before.tasks]
    found += [
        f"thread still running: {thread.name!r} (daemon: {thread.daemon})" for thread in after.threads - before.threads
    ]
    found += [
        f"descriptor still open: {number} -> {target}" for number, target in after.descriptors - before.descriptors
    ]
    found += [f"child process still running: {pid} ({_command(pid)})" for pid in after.children - before.children]
    if after.policy != before.policy:
        found.append(f"scheduling policy changed from {before.policy} to {after.policy}")
    return sorted(found)


async def settle(before: Resources, *, seconds: float | None = None) -> list[str]:
    """What is left once the loop had its turns; waits `seconds` (SETTLE_SECONDS) at most, and only for a leak."""
    for _ in range(20):  # a closed transport lets go of its socket one or two turns later
        await asyncio.sleep(0)
        if not (found := leaks(before, Resources.now())):
            return []
    deadline = time.monotonic() + (SETTLE_SECONDS if seconds is None else seconds)
    turns = 0
    while found and (turns <= COLLECT_EVERY or time.monotonic() < deadline):
        turns += 1
        if turns % COLLECT_EVERY == 0:
            gc.collect()
        await asyncio.sleep(0.005)
        found = leaks(before, Resources.now())
    return found


def settle_without_loop(before: Resources, *, seconds: float | None = None) -> list[str]:
    """The same for a test that is no coroutine."""
    found = leaks(before, Resources.now())
    deadline = time.monotonic() + (SETTLE_SECONDS if seconds is None else seconds)
    turns = 0
    while found and (turns <= COLLECT_EVERY or time.monotonic() < deadline):
        turns += 1
        if turns % COLLECT_EVERY == 0:
            gc.collect()
        time.sleep(0.005)
        found = leaks(before, Resources.now())
    return found


def end_children(before: Resources) -> None:
    """Kills the child processes that came since `before`, so that one careless test cannot disturb the others."""
    for pid in frozenset(_children()) - before.children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextlib.contextmanager
def no_blocking_calls(*packages: str) -> Iterator[BlockBuster]:
    """Makes calls that can wait (sleep, files, blocking sockets, locks) raise when `packages` make them on a loop."""
    from blockbuster import BlockBuster

    guard = BlockBuster(list(packages))
    for name in HARMLESS_CALLS:
        del guard.functions[name]
    guard.activate()
    try:
        yield guard
    finally:
        guard.deactivate()


def _tasks() -> frozenset[asyncio.Task[Any]]:
    try:
        return frozenset(asyncio.all_tasks() - {asyncio.current_task()})
    except RuntimeError:  # no loop runs here
        return frozenset()


def _allowed_thread(thread: threading.Thread) -> bool:
    return thread.name.startswith(tuple(ALLOWED_THREADS)) or thread is threading.main_thread()


def _descriptors() -> Iterator[tuple[int, str]]:
    """Number and target (`socket:[1234]`, a path) of every open descriptor; nothing where there is no /proc."""
    folder = "/proc/self/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return
    for number in numbers:
        with contextlib.suppress(OSError):  # the one that listed the folder is gone
            target = os.readlink(f"{folder}/{number}")
            if not target.endswith("/fd"):
                yield int(number), target


def _children() -> Iterator[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there is none: the quick way out of nearly every test
        return
    for thread in os.listdir("/proc/self/task"):
        with (
            contextlib.suppress(OSError),
            open(f"/proc/self/task/{thread}/children") as listing,
        ):  # it may end meanwhile
            for pid in listing.read().split():
                if not any(name in _command(int(pid)) for name in ALLOWED_CHILDREN):
                    yield int(pid)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return "gone"
