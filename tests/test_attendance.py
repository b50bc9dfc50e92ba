"""Whom a recorder calls, and when: the newcomers who do not call, and again those whose call went wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.attendance import DELAYS, GRACE, REMEMBERED, Attendance


def test_a_newcomer_has_a_moment_to_call_by_itself() -> None:
    attendance = Attendance()
    attendance.came("alice", 10.0)
    assert attendance.due(10.0) == [] and attendance.next_due() == 10.0 + GRACE
    assert attendance.due(10.0 + GRACE) == ["alice"]
    attendance.began("alice")
    assert attendance.due(99.0) == [] and attendance.next_due() is None


def test_whoever_is_there_already_is_called_at_once() -> None:
    attendance = Attendance()
    attendance.came("alice", 10.0, grace=0.0)
    assert attendance.due(10.0) == ["alice"]


def test_only_those_who_are_wanted_are_called() -> None:
    attendance = Attendance(["alice"])
    for name in ("alice", "bob"):
        attendance.came(name, 0.0, grace=0.0)
        attendance.over(name, "lost", 0.0)
        attendance.left("bob", on_purpose=True)
        attendance.began("bob")
    assert attendance.wanted("alice") and not attendance.wanted("bob")
    assert attendance.due(99.0) == ["alice"]


@pytest.mark.parametrize("reason", ["hung up", "declined"])
def test_who_does_not_want_it_is_left_alone_until_it_has_left_and_come_back(reason: str) -> None:
    attendance = Attendance()
    attendance.came("alice", 0.0)
    attendance.began("alice")
    attendance.over("alice", reason, 5.0)
    assert attendance.next_due() is None
    for on_purpose, due in ((False, None), (True, 50.0)):  # a broken connection changes nobody's mind
        attendance.left("alice", on_purpose=on_purpose)
        attendance.came("alice", 50.0, grace=0.0)
        assert attendance.next_due() == due


def test_a_call_that_went_wrong_is_made_again_less_and_less_often_and_then_no_more() -> None:
    attendance, now = Attendance(), 0.0
    attendance.came("alice", now, grace=0.0)
    waited = []
    while (due := attendance.next_due()) is not None:
        waited.append(due - now)
        now = due
        attendance.began("alice")
        attendance.over("alice", "busy", now)
    assert waited == [0.0, *DELAYS]


def test_a_call_that_came_about_makes_up_for_those_that_did_not() -> None:
    attendance = Attendance()
    attendance.came("alice", 0.0)
    for _ in range(10):
        attendance.began("alice")
        attendance.over("alice", "lost", 0.0, connected=True)
    assert attendance.next_due() == DELAYS[0]


def test_who_has_left_is_not_called_again() -> None:
    attendance = Attendance()
    attendance.came("alice", 0.0)
    attendance.began("alice")
    attendance.left("alice", on_purpose=True)
    attendance.over("alice", "left", 1.0, connected=True)
    assert attendance.next_due() is None
    attendance.came("alice", 2.0)
    assert attendance.next_due() == 2.0 + GRACE


def test_nobody_is_called_while_a_call_is_on() -> None:
    attendance = Attendance()
    attendance.came("alice", 0.0)
    attendance.began("alice")
    attendance.began("alice")  # it called anew before the old call was over
    attendance.came("alice", 1.0)  # its connection to the server was another for a moment
    attendance.over("alice", "lost", 2.0, connected=True)
    assert attendance.next_due() is None
    attendance.over("alice", "lost", 3.0, connected=True)
    assert attendance.next_due() == 3.0 + DELAYS[0]


def test_what_is_remembered_is_bounded() -> None:
    attendance = Attendance()
    for number in range(REMEMBERED + 5):
        attendance.came(str(number), 0.0, grace=0.0)
        attendance.left(str(number), on_purpose=False)
    attendance.came("5", 1.0, grace=0.0)
    assert len(vars(attendance)["_guests"]) == REMEMBERED


_HAPPENINGS = st.lists(st.tuples(st.sampled_from("came left lost began over declined".split()), st.sampled_from("ab")))


@given(_HAPPENINGS)
def test_whatever_happens_only_those_are_called_who_are_here_and_not_in_a_call(
    happenings: list[tuple[str, str]],
) -> None:
    attendance, here, calls = Attendance(), set(), dict.fromkeys("ab", 0)
    for now, (what, name) in enumerate(happenings):
        match what:
            case "came":
                attendance.came(name, now)
                here.add(name)
            case "left" | "lost":
                attendance.left(name, on_purpose=what == "left")
                here.discard(name)
            case "began" if name in here:
                attendance.began(name)
                calls[name] += 1
            case "over" | "declined" if calls[name]:
                attendance.over(name, "declined" if what == "declined" else "lost", now)
                calls[name] -= 1
        assert all(each in here and not calls[each] for each in attendance.due(1e9))
