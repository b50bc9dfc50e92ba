"""How much arrives and how late is told of what a receiver says, within what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.acknowledged import BASE_WINDOW, RATE_WINDOW, SHORT_WINDOW, Acknowledged

if TYPE_CHECKING:
    from peer.rtc.sentpackets import Arrived


def packets(
    count: int, *, start: float = 10.0, every: float = 0.01, delay: float = 3.0, more: float = 0.0
) -> list[Arrived]:
    """One each `every` seconds; each takes `more` seconds longer than the one before."""
    return [(start + n * every, start + n * every + delay + n * more, 1000, 0) for n in range(count)]


def test_the_rate_is_that_of_the_last_half_second() -> None:
    made = Acknowledged()
    made.take(packets(20))
    assert made.rate() is None
    made.take(packets(200, start=10.2))
    assert made.rate() == pytest.approx(800_000, rel=0.05)
    made.take(packets(100, start=12.2, every=0.005))
    assert made.rate() == pytest.approx(1_600_000, rel=0.05)
    made.take(packets(10, start=12.7, every=0.02))
    assert made.newest_rate() == pytest.approx(8 * 1000 / 0.02, rel=0.2 * RATE_WINDOW / SHORT_WINDOW)


def test_the_queue_is_what_packets_take_longer_than_the_quickest_of_late() -> None:
    made = Acknowledged()
    made.take(packets(10, delay=-500.0))
    made.take(packets(10, start=11.0, delay=-499.8))
    assert made.queue == pytest.approx(0.2)
    for second in range(BASE_WINDOW + 2):
        made.take(packets(10, start=12.0 + second, delay=-499.8))
    assert made.queue == pytest.approx(0.0), "it is the path's own by now"


def test_packets_that_take_ever_longer_overuse_the_path() -> None:
    made = Acknowledged()
    assert made.take(packets(50)) == "normal"
    assert made.take(packets(50, start=10.5, more=0.003)) == "over"
    made.take(packets(25, start=11.0, delay=3.15, more=-0.003))
    assert made.take(packets(25, start=11.25, delay=3.075, more=-0.003)) == "under"


def test_what_leaves_together_is_one_group() -> None:
    """Else the packets of a picture, which come one after the other, would look like a queue that grows."""
    made = Acknowledged()
    for frame in range(50):
        start = 10 + frame / 30
        picture = [(start + n * 0.0001, start + 3 + n * 0.003, 1000, 0) for n in range(8)]
        assert made.take(picture) == "normal"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-1e6, 1e6), st.integers(1, 1500)), min_size=1, max_size=100))
def test_times_that_are_made_up_break_nothing(told: list[tuple[float, float, int]]) -> None:
    made, now, sent = Acknowledged(), 10.0, 0
    for later, at, size in told:
        now += later
        sent += size
        made.take([(now, at, size, 0)])
        rate = made.rate()
        assert rate is None or 0 <= rate <= 8 * sent / (0.9 * RATE_WINDOW)
        assert made.queue >= 0 and made.newest_rate() >= 0
