"""Deadlines and silences, on a clock made of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.liveness import Liveness, Turn


def liveness() -> Liveness:
    return Liveness(connect_timeout=15, disconnected_after=4, lost_after=14)


def test_nothing_is_expected_before_the_start() -> None:
    watch = liveness()
    assert watch.look(1e9) is Turn.NONE
    assert watch.silence(1e9) == 0


def test_the_deadline_runs_from_the_first_start() -> None:
    watch = liveness()
    watch.start(100)
    watch.start(110)
    assert watch.look(115) is Turn.NONE
    assert watch.look(115.1) is Turn.TOO_LATE
    assert watch.look(116) is Turn.NONE, "it is told once"


def test_connected_in_time_ends_the_deadline() -> None:
    watch = liveness()
    watch.start(100)
    watch.connected(110)
    assert watch.look(113) is Turn.NONE
    assert watch.silence(113) == 3


def test_what_is_heard_before_the_connection_does_not_count() -> None:
    watch = liveness()
    watch.start(100)
    watch.heard(114)
    assert watch.look(115.1) is Turn.TOO_LATE


def test_a_silence_that_ends() -> None:
    watch = liveness()
    watch.connected(0)
    watch.heard(10)
    assert watch.look(14) is Turn.NONE
    assert watch.look(14.1) is Turn.DISCONNECTED
    assert watch.look(20) is Turn.NONE
    watch.heard(21)
    assert watch.look(21.1) is Turn.RECONNECTED
    assert watch.outage == 11
    assert watch.look(21.2) is Turn.NONE
    assert watch.look(25.2) is Turn.DISCONNECTED


def test_a_silence_that_stays_is_told_before_the_loss_and_the_loss_once() -> None:
    watch = liveness()
    watch.connected(0)
    assert [watch.look(now) for now in (3, 5, 13.9, 14.1, 20, 100)] == [
        Turn.NONE,
        Turn.DISCONNECTED,
        Turn.NONE,
        Turn.LOST,
        Turn.NONE,
        Turn.NONE,
    ]
    watch.heard(101)
    assert watch.look(101) is Turn.NONE, "over is over"


def test_after_giving_up_nothing_is_told() -> None:
    watch = liveness()
    watch.start(0)
    watch.give_up()
    assert watch.look(100) is Turn.NONE


def test_a_look_that_comes_late_tells_the_worst() -> None:
    watch = liveness()
    watch.connected(0)
    assert watch.look(60) is Turn.LOST


@given(st.lists(st.tuples(st.floats(0, 6), st.booleans()), max_size=60))
def test_turns_alternate_and_end(steps: list[tuple[float, bool]]) -> None:
    watch, now, turns = liveness(), 0.0, []
    watch.connected(0)
    for pause, heard in steps:
        now += pause
        if heard:
            watch.heard(now)
        turn = watch.look(now)
        if turn is not Turn.NONE:
            turns.append(turn)
    for before, after in zip(turns, turns[1:], strict=False):
        assert before is not after
        assert before is not Turn.LOST
    if turns and turns[-1] is Turn.RECONNECTED:
        assert watch.outage > 4
