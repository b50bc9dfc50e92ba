"""Who shares an encoder: receivers whose paths take about as much, on few rungs, and without moving to and fro."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ladder import DOWN, FLOOR, MOST, UP, bitrate_of, floor_of, places, rung_for

LIMITS = st.dictionaries(st.integers(0, 20), st.floats(0, 1e8), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("limit", "rung"),
    [(0, 0), (FLOOR - 1, 0), (FLOOR, 0), (2 * FLOOR - 1, 0), (2 * FLOOR, 1), (4 * FLOOR, 2), (5 * FLOOR, 2)],
)
def test_a_rung_is_an_octave(limit: int, rung: int) -> None:
    assert rung_for(limit) == rung
    assert limit < floor_of(rung + 1) and (rung == 0 or limit >= floor_of(rung))


def test_who_comes_to_the_edge_stays_for_a_while() -> None:
    floor, ceiling = floor_of(3), floor_of(4)
    assert rung_for(floor * DOWN + 1, 3) == rung_for(ceiling * UP - 1, 3) == 3
    assert rung_for(floor * DOWN - 1, 3) == 2 and rung_for(ceiling * UP + 1, 3) == 4


def test_those_whose_paths_take_about_as_much_share_one() -> None:
    assert places({"a": 800_000, "b": 900_000, "c": 300_000}, {}) == {"a": 3, "b": 3, "c": 2}


def test_the_rungs_in_between_give_way() -> None:
    limits = {each: float(floor_of(each)) for each in range(6)}
    placed = places(limits, {})
    assert len(set(placed.values())) == MOST
    assert placed[0] == 0 and all(placed[each] <= each for each in limits)


@given(LIMITS, st.integers(1, 4))
def test_nobody_is_sent_more_than_its_path_takes_by_much(limits: dict[int, float], most: int) -> None:
    placed = places(limits, {}, most)
    assert set(placed) == set(limits) and len(set(placed.values())) <= most
    for each, rung in placed.items():
        assert rung == 0 or floor_of(rung) <= limits[each]
        together = {other: limits[other] for other in limits if placed[other] == rung}
        assert bitrate_of(together) <= limits[each]


@given(LIMITS)
def test_who_is_in_the_right_place_stays(limits: dict[int, float]) -> None:
    placed = places(limits, {}, 99)
    assert places(limits, placed, 99) == placed
    wobbled = {each: limit * (0.95 if each % 2 else 1.05) for each, limit in limits.items()}
    assert places(wobbled, placed, 99) == placed
