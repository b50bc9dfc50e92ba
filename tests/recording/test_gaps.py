"""What is missing is told with its cause; what only looks like it (DTX, a still screen, late tracks) is not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.gaps import MAX_INTERRUPTIONS, SILENCE, Stretch, TrackGaps, explained


def fed(track: TrackGaps, *times: float, lost_before: float | None = None) -> list[Stretch]:
    found: list[Stretch] = []
    for time in times:
        found += track.frame(time, complete_before=time != lost_before)
    return found


def steady(start: float, end: float, step: float = 0.02) -> list[float]:
    return [start + index * step for index in range(round((end - start) / step))]


@pytest.mark.parametrize("step", [0.02, 1 / 30, 0.4, 1.0], ids=["sound", "pictures", "DTX", "still screen"])
def test_regular_frames_miss_nothing(step: float) -> None:
    assert fed(TrackGaps(), *steady(0, 60, step)) == []


def test_a_late_beginning_is_no_gap() -> None:
    track = TrackGaps()
    track.interrupted("disconnected", 0)
    track.resumed("disconnected", 90)
    assert fed(track, 100, 100.02) == []


def test_lost_frames_are_told_however_short() -> None:
    assert fed(TrackGaps(), 1.0, 1.02, 1.06, lost_before=1.06) == [(1.02, 1.06, "lost")]
    assert fed(TrackGaps(), 1.0, 9.0, lost_before=9.0) == [(1.0, 9.0, "lost")]


def test_silence_of_a_track_that_lost_nothing_means_muted() -> None:
    assert fed(TrackGaps(), 0, SILENCE) == []
    assert fed(TrackGaps(), 0, SILENCE + 0.1) == [(0, SILENCE + 0.1, "muted")]


def test_a_hold_and_what_is_beside_it() -> None:
    track = TrackGaps()
    assert fed(track, *steady(0, 5)) == []
    track.interrupted("paused", 5.1)
    assert fed(track, 5.0, 5.02) == [], "what was on its way"
    track.resumed("paused", 9)
    assert fed(track, 9.4) == [(5.02, 9.4, "paused")]
    assert fed(track, *steady(9.42, 12), 20) == [(pytest.approx(11.98, abs=0.03), 20, "muted")], "the hold is over"


def test_a_short_hold_counts_and_a_tiny_one_does_not() -> None:
    for length, expected in ((0.5, [Stretch(5, 5.6, "paused")]), (0.1, [])):
        track = TrackGaps()
        fed(track, 5)
        track.interrupted("paused", 5.05)
        track.resumed("paused", 5.05 + length)
        assert fed(track, 5.6) == expected


def test_a_short_outage_does_not_explain_a_long_silence() -> None:
    outage = [Stretch(30, 32, "disconnected")]
    assert explained(0, 60, outage) == [(0, 30, "muted"), (30, 32, "disconnected"), (32, 60, "muted")]
    assert explained(29.2, 32.9, outage) == [(29.2, 32.9, "disconnected")]
    assert explained(27.5, 32.5, outage) == [(30, 32.5, "disconnected")], "2.5 s before it are no silence yet"
    assert explained(27.5, 32.5, outage, "lost") == [(27.5, 30, "lost"), (30, 32.5, "disconnected")]


def test_an_outage_within_a_hold_tells_both() -> None:
    found = explained(0, 10, [Stretch(0.5, 9.5, "paused"), Stretch(4, 6, "disconnected")])
    assert found == [(0, 10, "paused")], "what began first explains it all"
    found = explained(0, 10, [Stretch(0.5, 5, "disconnected"), Stretch(4, math.inf, "paused")])
    assert found == [(0, 5, "disconnected"), (5, 10, "paused")]


def test_what_we_left_out() -> None:
    track = TrackGaps()
    fed(track, 1.0)
    track.dropped()
    assert fed(track, 1.1, 1.12) == [(1.0, 1.1, "disk")]


def test_the_end() -> None:
    track = TrackGaps()
    assert track.until(10) == (), "it never began"
    fed(track, 1, 2)
    assert track.until(2) == () and track.until(4) == []
    assert track.until(20) == [(2, 20, "muted")]
    assert track.until(2.5, "disk") == [(2, 2.5, "disk")]
    track.cut(1.5)
    assert track.until(2.5, "disk") == [(1.5, 2.5, "disk")]
    track.interrupted("disconnected", 1.6)
    assert track.until(20) == [(1.5, 20, "disconnected")]


def test_interruptions_are_bounded_and_not_doubled() -> None:
    track = TrackGaps()
    fed(track, 0)
    track.interrupted("paused", 1)
    track.interrupted("paused", 5)
    track.resumed("paused", 0.5)
    assert fed(track, 1.5) == [], "it was over before it began"
    for index in range(2 * MAX_INTERRUPTIONS):
        track.interrupted("paused", 2 + index)
        track.resumed("paused", 2.5 + index)
    # Each explains half a second, and the half beside it; those that are not kept are silence like any other.
    assert sum(each.cause == "paused" for each in track.until(1000)) == MAX_INTERRUPTIONS


def test_times_that_go_back_are_nothing() -> None:
    assert fed(TrackGaps(), 5.0, 4.9, 5.02, lost_before=4.9) == []


times = st.floats(0, 100, allow_nan=False)
interruptions = st.lists(
    st.builds(
        lambda start, length, cause: Stretch(start, start + length, cause),
        times,
        st.floats(0, 50),
        st.sampled_from(["paused", "disconnected"]),
    ),
    max_size=8,
)


@given(times, times, interruptions, st.sampled_from([None, "lost", "disk"]))
def test_stretches_are_in_order_and_inside(one: float, two: float, found: list[Stretch], otherwise: object) -> None:
    start, end = sorted((one, two))
    told = explained(start, end, found, otherwise)  # type: ignore[arg-type]
    at = start
    for stretch in told:
        assert at <= stretch.start <= stretch.end <= end
        at = stretch.end
    if otherwise and end > start:
        assert sum(each.end - each.start for each in told) == pytest.approx(end - start), "nothing is left unexplained"
