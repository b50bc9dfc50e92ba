"""Counting: buckets hold what is not above their bound."""

from __future__ import annotations

from signaling.codes import Code
from signaling.counters import Counters, Histogram


def test_a_histogram_is_cumulated_when_it_is_read() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulated() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert histogram.sum == 7.65


def test_every_code_has_a_count_from_the_beginning() -> None:
    counters = Counters()
    assert counters.refused == dict.fromkeys(Code, 0)
    counters.state("redis_up", "Whether Redis answers.", lambda: 1.0)
    assert counters.states["redis_up"][1]() == 1.0
