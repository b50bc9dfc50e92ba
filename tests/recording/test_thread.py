"""One thread for all recordings: it works for each until it is over, and ends with the last."""

from __future__ import annotations

import threading
import time

import pytest

from peer.recording import thread
from peer.recording.thread import EXTRA, WritingThread

DEADLINE = 10.0


class Recording:
    """Is over when it is told to be."""

    def __init__(self) -> None:
        self.worked = threading.Event()
        self.threads: set[int] = set()
        self.until: list[float] = []
        self.ending = False

    def work(self, until: float) -> bool:
        self.threads.add(threading.get_ident())
        self.until.append(until)
        self.worked.set()
        return not self.ending

    def wait(self) -> None:
        self.worked.clear()
        assert self.worked.wait(DEADLINE)


def ended(writing: WritingThread) -> None:
    assert writing._thread is not None
    writing._thread.join(DEADLINE)
    assert not writing._thread.is_alive()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "to_next_look", lambda _: 0.001)


def test_it_works_for_all_until_each_is_over_and_starts_again() -> None:
    writing, one, two = WritingThread("test"), Recording(), Recording()
    assert writing.over(one)
    writing.add(one)
    writing.add(two)
    one.wait()
    two.wait()
    assert one.threads == two.threads and len(one.threads) == 1
    one.ending = True
    two.wait()
    two.wait()  # the look after the one in which it ended
    assert writing.over(one) and not writing.over(two)
    two.ending = True
    ended(writing)
    assert writing.over(two)
    assert "test" not in [each.name for each in threading.enumerate()]
    again = Recording()
    writing.add(again)
    again.wait()
    again.ending = True
    ended(writing)


def test_an_end_does_not_wait_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "to_next_look", lambda _: 1000.0)
    writing, job = WritingThread("test"), Recording()
    job.ending = True
    writing.add(job)
    writing.wake()
    ended(writing)
    assert writing.over(job)


def test_recordings_that_end_together_share_what_that_may_take() -> None:
    writing, jobs = WritingThread("test"), [Recording(), Recording()]
    for job in jobs:
        job.ending = True
    before = time.monotonic()
    with writing._lock:  # both are there when the thread looks
        writing._jobs += jobs[:1]
    writing.add(jobs[1])
    ended(writing)
    assert jobs[0].until == jobs[1].until
    assert before + EXTRA <= jobs[0].until[0]
