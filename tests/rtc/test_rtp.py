"""Counters that wrap come out growing; reception statistics say what RFC 3550 A.3 and A.8 say."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.rtp import ReceptionStatistics, RunningTimestamps, Unwrapper, signed_difference


@pytest.mark.parametrize(
    ("value", "reference", "ahead"),
    [(5, 3, 2), (3, 5, -2), (2, 65534, 4), (65534, 2, -4), (7, 7, 0), (32767, 0, 32767), (32768, 0, -32768)],
)
def test_difference_is_taken_the_short_way_round(value: int, reference: int, ahead: int) -> None:
    assert signed_difference(value, reference, 16) == ahead


def test_difference_takes_grown_values_too() -> None:
    assert signed_difference(1, 65536 * 3 + 65535, 16) == 2


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-0x7FFF, 0x7FFF), max_size=50))
def test_unwrapping_follows_every_path_of_small_moves(start: int, moves: list[int]) -> None:
    unwrapper = Unwrapper(16)
    assert unwrapper.highest is None
    truth = highest = start
    assert unwrapper.unwrap(start) == start
    for move in moves:
        truth = highest + move
        assert unwrapper.nearest(truth & 0xFFFF) == truth
        assert unwrapper.unwrap(truth & 0xFFFF) == truth
        highest = max(highest, truth)
        assert unwrapper.highest == highest


def test_nearest_before_the_first_value_is_the_value() -> None:
    assert Unwrapper(32).nearest(0x1_0000_0005) == 5


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_after_a_restart_values_go_on_above(before: int, after: int) -> None:
    unwrapper = Unwrapper(32)
    unwrapper.restart()
    first = unwrapper.unwrap(before)
    assert first == before
    unwrapper.restart()
    second = unwrapper.unwrap(after)
    assert second > first
    assert second & 0xFFFFFFFF == after
    assert unwrapper.unwrap((after - 1) & 0xFFFFFFFF) == second - 1


def test_a_clock_rate_has_to_be_positive() -> None:
    with pytest.raises(ValueError, match="clock rate"):
        ReceptionStatistics(0)


def test_nothing_received_is_reported_as_nothing() -> None:
    statistics = ReceptionStatistics(90000)
    assert statistics.expected == statistics.lost == 0
    assert statistics.report() == (0, 0, 0, 0)


def test_in_order_packets_lose_nothing() -> None:
    statistics = ReceptionStatistics(8000)
    for index in range(100):
        statistics.add((65500 + index) & 0xFFFF, index * 160, index * 0.02)
    report = statistics.report()
    assert (report.fraction_lost, report.cumulative_lost) == (0, 0)
    assert report.highest_sequence == 65599
    assert report.jitter == 0
    assert statistics.received == statistics.expected == 100


def test_fraction_lost_covers_the_time_since_the_previous_report() -> None:
    statistics = ReceptionStatistics(8000)
    for seq in [*range(100), *range(125, 200)]:
        statistics.add(seq, seq * 160, seq * 0.02)
    assert statistics.report()[:3] == (25 * 256 // 200, 25, 199)
    for seq in range(200, 300):
        statistics.add(seq, seq * 160, seq * 0.02)
    assert statistics.report()[:3] == (0, 25, 299)
    assert statistics.lost == 25


def test_late_packets_fill_gaps_and_duplicates_count_below_zero() -> None:
    statistics = ReceptionStatistics(8000)
    for seq in (0, 2, 1, 3, 3, 3):
        statistics.add(seq, seq * 160, seq * 0.02)
    assert statistics.report()[:3] == (0, -2, 3)


def test_jitter_follows_the_formula() -> None:
    generator = random.Random(1)
    statistics = ReceptionStatistics(90000)
    expected, transit = 0.0, 0.0
    start = 0xFFFFFFFF - 90000
    for index in range(500):
        arrival = index / 30 + generator.uniform(0, 0.010)
        statistics.add(index, (start + index * 3000) & 0xFFFFFFFF, arrival)
        now = arrival * 90000 - index * 3000
        if index:
            expected += (abs(now - transit) - expected) / 16
        transit = now
    assert statistics.report().jitter == pytest.approx(expected, abs=1)
    assert statistics.jitter_seconds == pytest.approx(expected / 90000, rel=1e-6)


def test_jitter_takes_timestamps_that_go_back() -> None:
    statistics = ReceptionStatistics(90000)
    for seq, timestamp in ((0, 3000), (1, 0), (2, 3000)):
        statistics.add(seq, timestamp, 0.0)
    assert statistics.report().jitter == int(3000 / 16 * 15 / 16 + 3000 / 16)


def test_one_stray_packet_changes_nothing_two_in_a_row_start_anew() -> None:
    statistics = ReceptionStatistics(90000)
    for seq in range(10):
        statistics.add(seq, 0, 0.0)
    statistics.add(30000, 0, 0.0)
    statistics.add(10, 0, 0.0)
    assert statistics.report()[:3] == (0, 0, 10)
    statistics.add(30000, 0, 0.0)
    statistics.add(30001, 0, 0.0)
    statistics.add(30002, 0, 0.0)
    assert statistics.received == 2
    assert statistics.report()[:3] == (0, 0, 30002)


def test_reports_stay_within_their_fields() -> None:
    statistics = ReceptionStatistics(1)
    statistics.add(0, 0, 0.0)
    statistics.add(2999, 0, 1e15)
    report = statistics.report()
    assert report.jitter == 0xFFFFFFFF
    assert report.fraction_lost <= 255


def test_timestamps_of_sources_that_take_turns_go_on_as_time_does() -> None:
    timestamps = RunningTimestamps()
    assert timestamps.take("camera", 1000, 90000, 5.0) == 1000
    assert timestamps.take("camera", 4000, 90000, 5.0) == 4000, "what one source says is believed"
    assert timestamps.take("screen", 0, 90000, 5.5) == 4000 + 45000
    assert timestamps.take("screen", 3000, 90000, 5.6) == 4000 + 45000 + 3000
    assert timestamps.take("camera", 9000, 90000, 5.6) == 4000 + 45000 + 3000 + 1, "never the same twice"


def test_what_is_no_frame_has_a_timestamp_too() -> None:
    timestamps = RunningTimestamps()
    assert timestamps.at(8000, 5.0) == 0 and timestamps.at(8000, 6.0) == 8000
    assert timestamps.take("sound", 100, 8000, 7.0) == 16000, "it goes on from there"
    assert timestamps.at(8000, 7.01) == 16080
    assert timestamps.take("sound", 260, 8000, 7.03) == 16160, "as if nothing had been"


def test_what_a_source_gives_once_more_follows_upon_the_last() -> None:
    timestamps = RunningTimestamps()
    assert timestamps.take("file", 90000, 90000, 5.0) == 90000
    assert [timestamps.take("file", each, 90000, 5.0) for each in (60000, 70000)] == [90001, 90002]
    assert timestamps.take("file", 93000, 90000, 5.1) == 93000


def test_a_clock_that_was_set_back_counts_as_another() -> None:
    timestamps = RunningTimestamps()
    assert timestamps.take("track", 90000 * 60, 90000, 5.0) == 90000 * 60
    assert timestamps.take("track", 0, 90000, 5.5) == 90000 * 60 + 45000
    assert timestamps.take("track", 3000, 90000, 5.6) == 90000 * 60 + 48000


def test_timestamps_wrap() -> None:
    timestamps = RunningTimestamps()
    assert timestamps.take("one", 0xFFFFFFFF, 8000, 0.0) == 0xFFFFFFFF
    assert timestamps.take("two", 5, 8000, 1.0) == 7999
    assert timestamps.take("two", 6, 8000, 1.0) == 8000
    assert timestamps.take("two", 0xFFFFFFFF - 7994, 8000, 2.0) == 0xFFFFFFFF and timestamps.at(8000, 2.001) == 7
