"""What is reported lies on the line that the frames lie on, whatever held some of them up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.senderclock import MAX_REPORTS, WINDOW, MediaClock, RoundTrips, ntp_time


def ahead(shown: int | None, expected: float, rate: int) -> float:
    """Seconds."""
    assert shown is not None
    difference = (shown - round(expected)) & 0xFFFFFFFF
    return (difference - (1 << 32) if difference >> 31 else difference) / rate


def test_nothing_is_known_before_the_first_frame() -> None:
    clock = MediaClock(90000)
    assert clock.timestamp(5.0) is None
    clock.note(100, 5.0)
    assert clock.timestamp(5.5) == 100 + 45000


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32))
def test_frames_that_come_late_move_nothing(start: int, seed: int) -> None:
    chance, clock = random.Random(seed), MediaClock(90000)
    clock.note(start, 50.0)
    for number in range(1, 900):
        late = chance.choice([0.0, 0.0, 0.01, 0.3])
        clock.note((start + 3000 * number) & 0xFFFFFFFF, 50.0 + number / 30 + late)
    now = 50.0 + 900 / 30
    assert ahead(clock.timestamp(now), start + 3000 * 900, 90000) == pytest.approx(0, abs=2e-5)


def test_a_source_that_drifts_is_followed() -> None:
    clock = MediaClock(48000)
    for number in range(50 * 60):
        clock.note(960 * number, number * 0.02 * (1 + 200e-6))
    now = 60 * (1 + 200e-6)
    assert abs(ahead(clock.timestamp(now), 48000 * 60, 48000)) < 3 * WINDOW * 200e-6


def test_after_a_pause_only_what_comes_counts() -> None:
    """Timestamps that went on otherwise meanwhile, as those of another source do."""
    clock = MediaClock(90000)
    for number in range(30):
        clock.note(3000 * number, number / 30)
    clock.note(90000 + 45000, 100.0)
    assert ahead(clock.timestamp(100.0), 90000 + 45000, 90000) == pytest.approx(0, abs=2e-5)


def test_days_pass() -> None:
    clock = MediaClock(90000)
    for minute in range(3 * 24 * 60):
        clock.note(90000 * 60 * minute & 0xFFFFFFFF, 60.0 * minute)
    minute += 1
    assert ahead(clock.timestamp(60.0 * minute), 90000 * 60 * minute & 0xFFFFFFFF, 90000) == pytest.approx(0, abs=2e-5)


def test_a_round_trip_is_without_what_the_other_side_waited() -> None:
    trips = RoundTrips()
    trips.reported(0x1234_5678_9ABC_DEF0, 10.0)
    trips.answered(0x5678_9ABC, 65536 // 2, 10.6)
    assert trips.smoothed == pytest.approx(0.1)
    trips.answered(0x5678_9ABC, 0, 10.3)
    assert trips.smoothed == pytest.approx(0.85 * 0.1 + 0.15 * 0.3)


@pytest.mark.parametrize(("lsr", "dlsr"), [(0, 0), (7, 0), (0x5678_9ABC, 10 * 65536), (0x5678_9ABC, 0xFFFFFFFF)])
def test_what_cannot_be_is_no_round_trip(lsr: int, dlsr: int) -> None:
    trips = RoundTrips()
    trips.reported(0x1234_5678_9ABC_DEF0, 10.0)
    trips.answered(lsr, dlsr, 10.6)
    assert trips.smoothed is None


def test_only_the_last_reports_are_remembered() -> None:
    trips = RoundTrips()
    for number in range(1, MAX_REPORTS + 2):
        trips.reported(number << 16, float(number))
    trips.answered(1, 0, 20.0)
    assert trips.smoothed is None
    trips.answered(2, 0, 20.0)
    assert trips.smoothed == 18.0


def test_ntp_time_begins_in_1900() -> None:
    assert ntp_time(0.0) == 2_208_988_800 << 32
    assert ntp_time(0.5) & 0xFFFFFFFF == 1 << 31
