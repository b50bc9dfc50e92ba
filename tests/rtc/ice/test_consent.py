"""The judge: time to connect, silence, and the difference between being heard and agreeing to hear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice.consent import CUT_GRACE, DEAF, Consent, Deadlines

DEADLINES = Deadlines(connect_timeout=15.0, disconnected_after=2.5, lost_after=30.0)


def started(at: float = 0.0) -> Consent:
    consent = Consent(DEADLINES)
    consent.start(at)
    return consent


def test_nothing_counts_before_the_start() -> None:
    consent = Consent(DEADLINES)
    assert consent.judge(100.0) == "new" and consent.deadline(100.0) is None
    consent.heard(100.0)
    consent.cut(100.0)
    assert consent.judge(200.0) == "new" and consent.silence(200.0) == 0.0


def test_the_time_to_connect_runs_once() -> None:
    consent = started(0.0)
    consent.start(10.0)
    assert consent.deadline(1.0) == 15.0
    assert (consent.judge(14.9), consent.judge(15.0)) == ("checking", "failed")
    assert consent.deadline(15.0) is None
    consent.granted(16.0)
    assert consent.judge(16.0) == "connected"


def test_it_can_be_given_up_before_there_is_a_path_only() -> None:
    consent = started(0.0)
    consent.give_up(1.0)
    assert consent.judge(1.0) == "failed"
    consent.granted(2.0)
    consent.give_up(3.0)
    assert consent.judge(3.0) == "connected"


@pytest.mark.parametrize(
    ("silence", "state"),
    [(0.0, "connected"), (2.4, "connected"), (2.5, "disconnected"), (29.9, "disconnected"), (30.0, "failed")],
)
def test_silence_is_judged_by_its_length(silence: float, state: str) -> None:
    consent = started()
    consent.granted(1.0)
    assert consent.judge(1.0 + silence) == state
    assert consent.silence(1.0 + silence) == pytest.approx(silence)


def test_media_puts_disconnected_off_but_not_for_ever() -> None:
    consent = started()
    consent.granted(0.0)
    deaf = DEAF * DEADLINES.disconnected_after
    for tenth in range(int(deaf * 10)):
        consent.heard(tenth / 10)
        assert consent.judge(tenth / 10) == "connected"
    consent.heard(deaf)
    assert consent.judge(deaf) == "disconnected"
    consent.heard(30.0)
    assert consent.judge(30.0) == "failed"


def test_what_is_older_than_what_is_known_changes_nothing() -> None:
    consent = started()
    consent.granted(5.0)
    consent.heard(3.0)
    consent.granted(4.0)
    assert consent.last_heard == consent.last_granted == 5.0


def test_a_cut_is_noticed_a_moment_later() -> None:
    consent = started()
    consent.granted(5.0)
    consent.cut(5.1)
    assert consent.judge(5.1) == "connected" and consent.judge(5.1 + CUT_GRACE + 0.001) == "disconnected"
    consent.granted(6.0)
    consent.cut(7.5)
    consent.cut(7.6)
    assert consent.judge(8.1) == "disconnected"


@given(st.lists(st.tuples(st.sampled_from(["granted", "heard", "cut", "wait"]), st.floats(0, 40)), max_size=20))
def test_the_judgement_never_changes_before_the_deadline_that_was_told(steps: list[tuple[str, float]]) -> None:
    consent = started(0.0)
    now = 0.0
    for step, after in steps:
        now += after
        if step != "wait":
            getattr(consent, step)(now)
        state, deadline = consent.judge(now), consent.deadline(now)
        if deadline is None:
            assert consent.judge(now + 1000) == state
        else:
            assert deadline > now
            assert consent.judge(now + (deadline - now) * 0.999) == state
