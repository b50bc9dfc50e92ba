"""Common ticks lie on one grid, and the next one is never now."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ticks import PHASES, TICK, TOGETHER, Numbers, tick_after


@given(st.floats(0, 1e8))
def test_the_next_tick_is_later_and_at_most_one_tick_away(time: float) -> None:
    tick = tick_after(time)
    assert time < tick <= time + TICK + 1e-6
    assert math.isclose(tick / TICK, round(tick / TICK), abs_tol=1e-4)


@given(st.floats(0, 1e8), st.integers(0, 10_000))
def test_many_connections_have_ticks_of_their_own(time: float, number: int) -> None:
    tick = tick_after(time, number)
    assert time < tick <= time + TICK + 1e-6
    same = number - number % TOGETHER
    assert {tick_after(time, each) for each in range(same, same + TOGETHER)} == {tick}
    assert abs(tick_after(time, number + TOGETHER) - tick) % TICK > TICK / len(PHASES) / 2


def test_a_number_that_was_given_back_is_the_next() -> None:
    numbers = Numbers()
    assert [numbers.take() for _ in range(4)] == [0, 1, 2, 3]
    numbers.give_back(2)
    numbers.give_back(1)
    assert [numbers.take() for _ in range(3)] == [1, 2, 4]
