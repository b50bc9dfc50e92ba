"""The estimate of what a path takes, on simulated links: a queue of limited rate, jitter, senders that obey."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.bandwidth import FIRST, HEADROOM, BandwidthEstimator

if TYPE_CHECKING:
    from collections.abc import Callable

FPS, UPDATE = 30, 0.1


@dataclass
class Link:
    """30 pictures a second over a queue that empties at `capacity(time)` bits per second and holds half a second."""

    capacity: Callable[[float], float]
    wanted: Callable[[int | None], float]
    """Bits per second that the sender sends, by the estimate it was told last."""
    jitter: float = 0.0
    estimator: BandwidthEstimator = field(default_factory=BandwidthEstimator)
    estimates: list[tuple[float, int]] = field(default_factory=list)
    queued: list[tuple[float, float]] = field(default_factory=list)
    """Seconds that the queue would take to empty, at each update."""
    overused: int = 0

    def run(self, seconds: float, start: float = 0.0) -> Link:
        chance, free, estimate, due = random.Random(1), 0.0, None, UPDATE
        on_the_way: list[tuple[float, float, int]] = []
        for number in range(int(seconds * FPS)):
            now = number / FPS
            bits = self.wanted(estimate) / FPS
            packets = int(bits / 9600) + 1
            for place in range(packets):
                sent = now + 0.0003 * place
                if free - sent < 0.5:
                    free = max(free, sent) + bits / packets / self.capacity(sent)
                    on_the_way.append((free + 0.02 + self.jitter * chance.random(), sent, int(bits / packets / 8)))
            on_the_way.sort()
            while on_the_way and on_the_way[0][0] <= now:
                at, sent, size = on_the_way.pop(0)
                self.estimator.arrived(int((start + sent) * (1 << 18)) & 0xFFFFFF, at, size)
            if now >= due:
                due += UPDATE
                estimate = self.estimator.update(now)
                self.overused += self.estimator.usage == "over"
                self.queued.append((now, max(0.0, free - now)))
                if estimate is not None:
                    self.estimates.append((now, estimate))
        return self

    def after(self, time: float) -> list[int]:
        return [estimate for at, estimate in self.estimates if at >= time]


@pytest.mark.parametrize("jitter", [0.0, 0.010])
def test_a_path_that_is_not_filled_is_not_overused(jitter: float) -> None:
    link = Link(lambda _: 10e6, lambda _: 800e3, jitter).run(30)
    assert link.overused == 0
    assert link.estimates[0][0] == pytest.approx(FIRST, abs=0.3)
    assert 800e3 < link.after(20)[0] <= HEADROOM * 900e3, "no more than was nearly tried"


def test_a_sender_that_obeys_fills_a_path_and_keeps_its_queue_short() -> None:
    link = Link(lambda _: 1e6, lambda estimate: min(2.5e6, estimate or 600e3)).run(60)
    used = [min(1e6, estimate) for estimate in link.after(15)]
    assert sum(used) / len(used) > 0.85e6
    waiting = sorted(queued for at, queued in link.queued if at > 15)
    assert waiting[int(0.95 * len(waiting))] < 0.2


def test_a_path_that_narrows_is_followed_and_taken_again_when_it_widens() -> None:
    def capacity(at: float) -> float:
        return 1.5e6 if at < 30 else 0.5e6 if at < 60 else 2e6

    link = Link(capacity, lambda estimate: min(1.8e6, estimate or 600e3)).run(110)
    assert all(estimate < 0.65e6 for at, estimate in link.estimates if 36 < at < 60)
    assert max(queued for at, queued in link.queued if 40 < at < 60) < 0.3
    assert max(link.after(85)) > 1.5e6


def test_send_times_wrap() -> None:
    wrapped = Link(lambda _: 10e6, lambda _: 800e3).run(20, start=55)
    assert wrapped.overused == 0
    assert wrapped.after(0) == Link(lambda _: 10e6, lambda _: 800e3).run(20).after(0)


def test_a_burst_after_a_stall_is_no_overuse() -> None:
    """All of 200 ms at once, as a radio that was away delivers them: they belong together."""
    estimator = BandwidthEstimator()
    for second in range(20):
        for number in range(30):
            sent = second + number / 30
            at = second + 0.2 if sent < second + 0.2 else sent
            estimator.arrived(int(sent * (1 << 18)), at + 0.02 + 1e-4 * number, 3000)
        estimator.update(second + 1.0)
        assert estimator.usage != "over"


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 0xFFFFFF), st.floats(0, 1), st.integers(0, 2000)), max_size=30),
            st.floats(0, 100),
        ),
        max_size=30,
    )
)
def test_whatever_a_sender_claims_there_is_an_estimate_or_none(
    batches: list[tuple[list[tuple[int, float, int]], float]],
) -> None:
    estimator, now = BandwidthEstimator(), 0.0
    for packets, pause in batches:
        now += pause
        for sent, at, size in packets:
            estimator.arrived(sent, now + at, size)
        estimate = estimator.update(now)
        assert estimate is None or 0 <= estimate < 1e12
