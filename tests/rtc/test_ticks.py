"""Common ticks lie on one grid, and the next one is never now."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ticks import TICK, tick_after


@given(st.floats(0, 1e8))
def test_the_next_tick_is_later_and_at_most_one_tick_away(time: float) -> None:
    tick = tick_after(time)
    assert time < tick <= time + TICK + 1e-6
    assert math.isclose(tick / TICK, round(tick / TICK), abs_tol=1e-4)
