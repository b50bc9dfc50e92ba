"""Percentiles of values, and of durations that were counted to a millisecond."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.swarm.histogram import BIN, BINS, Histogram, percentile


def test_of_nothing_there_is_none() -> None:
    empty = Histogram()
    assert empty.percentile(0.5) is empty.mean is percentile([], 0.5) is None


def test_the_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 0.99, 1.0)] == [1.0, 50.0, 95.0, 99.0, 100.0]
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0 and percentile([7.0], 0.99) == 7.0


def test_what_is_out_of_range_is_counted_at_its_end() -> None:
    found = Histogram([-1.0, BINS * BIN * 2])
    assert (found.count, found.percentile(0.1), found.max) == (2, BIN, BINS * BIN * 2)


@given(st.lists(st.floats(0, 15), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_as_of_the_values_themselves_but_for_a_millisecond(values: list[float], share: float) -> None:
    exact, found = percentile(values, share), Histogram(values).percentile(share)
    assert exact is not None and found is not None
    assert exact - 1e-9 <= found <= exact + BIN + 1e-9
    assert found <= max(values)
