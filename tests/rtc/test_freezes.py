"""What counts as a freeze, and what as a pause."""

from __future__ import annotations

import pytest

from peer.rtc.freezes import Freezes


def shown(*seconds: float, rate: float = 30, steady: int = 60) -> Freezes:
    """A steady stream, then frames that stand for so long."""
    made, now = Freezes(), 100.0
    for pause in (*[1 / rate] * steady, *seconds, 1 / rate):
        made.frame(now)
        now += pause
    made.frame(now)
    return made


@pytest.mark.parametrize(
    ("rate", "seconds", "freezes"),
    [(30, 0.18, 0), (30, 0.19, 1), (30, 4.9, 1), (5, 0.5, 0), (5, 0.61, 1), (1, 2.9, 0), (1, 3.1, 1)],
)
def test_thrice_the_usual_time_and_150_ms_more_is_a_freeze(rate: float, seconds: float, freezes: int) -> None:
    found = shown(seconds, rate=rate)
    assert (found.freezes, found.pauses) == (freezes, 0)
    assert found.frozen == pytest.approx(seconds * freezes)


def test_more_than_five_seconds_are_a_pause() -> None:
    found = shown(5.1, 0.5, 60)
    assert (found.freezes, found.frozen) == (1, pytest.approx(0.5))
    assert (found.pauses, found.paused) == (2, pytest.approx(65.1))


def test_a_slower_rate_is_usual_after_a_while() -> None:
    assert shown(*[0.5] * 100).freezes < 30


def test_the_first_frames_are_none() -> None:
    assert shown(1.0, steady=0).freezes == 0
