"""Shared limits: a burst, the average, how long to wait; and tables that never grow beyond their size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.throttle import Tally, Throttle


def test_a_burst_then_the_average() -> None:
    throttle = Throttle(per_second=2, burst=3)
    assert [throttle.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert throttle.take("a", 0.25) == pytest.approx(0.25)
    assert throttle.take("a", 0.5) == 0
    assert throttle.take("a", 0.5) == pytest.approx(0.5)
    assert throttle.take("b", 0.5) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=200), st.floats(0.1, 20), st.integers(1, 9)
)
def test_never_more_than_the_burst_and_the_average(events: list[tuple[str, float]], rate: float, burst: int) -> None:
    throttle = Throttle(rate, burst)
    now, taken = 100.0, dict.fromkeys("abc", 0)
    for key, pause in events:
        now += pause
        wait = throttle.take(key, now)
        taken[key] += wait == 0
        assert wait == 0 or throttle.take(key, now + wait * 0.99) > 0
    assert max(taken.values()) <= burst + (now - 100.0) * rate + 1e-3


def test_a_refusal_costs_nothing() -> None:
    throttle = Throttle(per_second=1, burst=1)
    assert throttle.take("a", 0.0) == 0
    assert all(throttle.take("a", 0.5) == 0.5 for _ in range(100))
    assert throttle.take("a", 1.0) == 0


def test_who_is_quiet_is_forgotten() -> None:
    throttle = Throttle(per_second=1, burst=5)
    for number in range(100):
        throttle.take(str(number), 0.0)
    assert len(throttle) == 100
    throttle.take("new", 1.0)
    assert len(throttle) == 1


def test_a_full_table_forgets_the_one_used_longest_ago() -> None:
    throttle = Throttle(per_second=0.001, burst=1, size=3)
    for key in "abcad":
        throttle.take(key, 0.0)
    assert len(throttle) == 3
    assert throttle.take("d", 0.0) > 0
    assert throttle.take("a", 0.0) == 0  # a refusal did not keep it


def test_a_tally_counts_those_who_are_there() -> None:
    tally = Tally(2)
    assert [tally.take("a"), tally.take("a"), tally.take("a"), tally.take("b")] == [True, True, False, True]
    tally.give_back("a")
    assert tally.take("a")
    for key in "aab":
        tally.give_back(key)
    assert len(tally) == 0
