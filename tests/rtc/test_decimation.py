"""Of the pictures that come so many are taken as are wanted in a second, evenly."""

from __future__ import annotations

import random

import pytest

from peer.rtc.decimation import Decimation


def taken(fps: float, times: list[float]) -> list[bool]:
    decimation = Decimation(fps)
    return [decimation.takes(at) for at in times]


def every(rate: float, seconds: float, start: float = 1000.0) -> list[float]:
    return [start + number / rate for number in range(round(rate * seconds))]


def test_twenty_of_thirty_are_two_of_three() -> None:
    found = taken(20, every(30, 1))
    assert sum(found) == 20
    assert all(sum(found[at : at + 3]) == 2 for at in range(len(found) - 2))


@pytest.mark.parametrize(("fps", "rate"), [(15, 30), (10, 30), (1, 30), (25, 30), (24, 60), (29, 30), (7.5, 25)])
def test_there_are_as_many_as_are_wanted_evenly(fps: float, rate: float) -> None:
    found = taken(fps, every(rate, 20))
    assert abs(sum(found) - 20 * fps) <= 1
    numbers = [number for number, each in enumerate(found) if each]
    assert {b - a for a, b in zip(numbers, numbers[1:], strict=False)} <= {int(rate / fps), -int(-rate // fps)}


@pytest.mark.parametrize("rate", [20, 15, 5])
def test_nothing_is_left_out_of_what_is_slow_enough(rate: float) -> None:
    assert all(taken(20, every(rate, 10)))


def test_a_source_that_is_not_exact_costs_no_pictures() -> None:
    chance = random.Random(1)
    for fps, rate in ((20, 30), (30, 30), (15, 30)):
        times = [at + chance.uniform(-0.01, 0.01) for at in every(rate, 60)]
        assert abs(sum(taken(fps, times)) - 60 * fps) <= 3


def test_after_a_pause_no_more_than_one_is_made_up_for() -> None:
    decimation = Decimation(10)
    assert [decimation.takes(at) for at in every(30, 1)].count(True) == 10
    assert [decimation.takes(at) for at in every(30, 1, start=1060.0)].count(True) in (10, 11)


def test_a_time_that_runs_backwards_begins_anew() -> None:
    decimation = Decimation(10)
    assert decimation.takes(1000.0)
    assert decimation.takes(5.0)
    assert not decimation.takes(5.05)
    assert decimation.takes(5.1)
