"""One thread that writes for all recordings of a directory.

The event loop only fills queues. The thread looks at them ten times a second instead of being woken by each frame, and
one thread for all recordings wakes once for all: that costs neither side anything, and a file lags by a tenth of a
second. A disk that hangs stops all of them; they share it in any case.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from peer.rtc.ticks import tick_after

AFTER_TICK: Final = 0.005
"""Seconds after each common tick at which the thread looks at the queues: the loop has been at work then, and what it
has queued is still in the processor's caches."""
EXTRA: Final = 1.0
"""Seconds that all recordings which end together may take longer for what is not needed to play their files."""


def to_next_look(now: float) -> float:
    """Seconds for which the thread sleeps."""
    return tick_after(now) + AFTER_TICK - now


class Job(Protocol):
    """One recording, as the thread sees it."""

    def work(self, until: float) -> bool:
        """Write what is there; False when the recording is over. Never raises.

        `until` (monotonic seconds): how long what is left to do at its end may take.
        """
        ...


class WritingThread:
    """Runs while there is a recording. `add` and `wake` belong to the event loop."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._lock: Final = threading.Lock()
        self._jobs: list[Job] = []
        self._wake: Final = threading.Event()
        self._thread: threading.Thread | None = None
        self._running = False

    def add(self, job: Job) -> None:
        """Have `job` work from now on until it is over."""
        with self._lock:
            self._jobs.append(job)
            if not self._running:
                self._running = True
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Do not wait for the next look: a recording is to end."""
        self._wake.set()

    def over(self, job: Job) -> bool:
        """Whether `job` is done with, and the thread too where it was the last."""
        with self._lock:
            if self._jobs:
                return job not in self._jobs
            return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wake.wait(to_next_look(time.monotonic()))
            self._wake.clear()
            until = time.monotonic() + EXTRA
            for job in tuple(self._jobs):
                if not job.work(until) and self._was_last(job):
                    return

    def _was_last(self, job: Job) -> bool:
        with self._lock:
            self._jobs.remove(job)
            self._running = bool(self._jobs)
            return not self._jobs
