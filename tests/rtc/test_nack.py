"""Which missing packets are asked for, and when."""

from __future__ import annotations

import math

import pytest

from peer.rtc.nack import ANSWER_SECONDS, FEW, MAX_TRIES, MissingPackets


def test_nothing_missing_asks_for_nothing() -> None:
    missing = MissingPackets()
    assert not missing
    assert missing.due(100.0, 0.1) == []
    assert missing.wakeup(100.0) == math.inf


def test_gaps_are_kept_in_order() -> None:
    missing = MissingPackets()
    missing.notice(5, 8, 1.0)
    missing.notice(10, 11, 2.0)
    assert len(missing) == 4
    assert 6 in missing
    assert 8 not in missing
    assert (missing.first(), missing.first_noticed()) == (5, 1.0)
    assert missing.below(7) == [5, 6]
    assert missing.expired(1.2, 0.2) == [5, 6, 7]
    assert missing.expired(1.19, 0.2) == []
    assert missing.expired(2.2, 0.2) == [5, 6, 7, 10]
    assert missing.found(5).tries == 0
    assert missing.first() == 6


def asked(missing: MissingPackets, rtt: float, start: float = 1.0) -> list[float]:
    """When something is asked for, in seconds from `start` on."""
    found = []
    now = missing.wakeup(start)
    while now < start + 0.4:
        if missing.due(now, rtt):
            found.append(round(now - start, 6))
        now = missing.wakeup(now)
    return found


@pytest.mark.parametrize(
    ("rtt", "times"),
    [
        (0.0, [0.01 + 0.02 * step for step in range(10)]),
        (0.02, [0.01 + 0.03 * step for step in range(10)]),
        (0.05, [0.01, 0.04, 0.07, 0.13, 0.19, 0.25, 0.31, 0.37]),
        (0.1, [0.01, 0.04, 0.12, 0.23, 0.34]),
        (0.3, [0.01, 0.04, 0.32]),
    ],
)
def test_time_makes_them_due(rtt: float, times: list[float]) -> None:
    """Each time that an answer should have come, and once soon after the first, where that is long."""
    missing = MissingPackets()
    missing.notice(5, 6, 1.0)
    assert asked(missing, rtt) == pytest.approx(times)
    assert missing.found(5).asked == 1.01


def test_where_many_are_missing_there_is_no_second_request_at_once() -> None:
    missing = MissingPackets()
    missing.notice(5, 5 + FEW + 1, 1.0)
    assert asked(missing, 0.1) == pytest.approx([0.01, 0.12, 0.23, 0.34])


def test_being_overtaken_makes_them_due() -> None:
    missing = MissingPackets()
    missing.notice(5, 7, 1.0)
    missing.arrived()
    assert missing.due(1.0, 0.1) == []
    missing.notice(8, 9, 1.0)
    missing.arrived()
    assert missing.wakeup(1.0) == 1.0
    assert missing.due(1.0, 0.1) == [5, 6]
    assert missing.wakeup(1.0) == pytest.approx(1.01)
    missing.arrived()
    assert missing.due(1.0, 0.1) == [8]


def test_intervals_have_a_floor_and_tries_an_end() -> None:
    missing = MissingPackets()
    missing.notice(5, 6, 0.0)
    asked = [step for step in range(1000) if missing.due(step / 1000, 0.0)]
    assert asked[:3] == [10, 30, 50]
    assert len(asked) == MAX_TRIES
    assert missing.wakeup(1.0) == math.inf
    missing.notice(6, 7, 1.0)
    assert missing.due(1.01, 0.0) == [6]


def test_found_ones_are_not_asked_for() -> None:
    missing = MissingPackets()
    missing.notice(5, 7, 1.0)
    missing.found(5)
    assert missing.due(1.01, 0.1) == [6]
    missing.found(6)
    assert missing.due(2.0, 0.1) == []


def test_a_new_one_that_comes_by_itself_does_not_hurry_the_others() -> None:
    missing = MissingPackets()
    missing.notice(5, 6, 1.0)
    assert missing.due(1.01, 0.04) == [5]
    missing.notice(7, 8, 1.02)
    missing.found(7)
    missing.arrived()
    missing.arrived()
    assert missing.wakeup(1.02) > 1.02
    assert missing.due(1.02, 0.04) == []
    assert missing.wakeup(1.02) == pytest.approx(1.01 + 0.04 + ANSWER_SECONDS)
