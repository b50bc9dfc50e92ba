"""How often frames are handed on, and how long they were held before."""

from __future__ import annotations

import pytest

from peer.rtc.playout import MAX_RATE, Playout


def test_the_rate_is_that_of_the_last_second() -> None:
    played = Playout()
    assert played.frames_per_second(0.0) == 0
    for number in range(90):
        played.picture(number / 30, number / 30)
    assert played.frames_per_second(89 / 30) == 30
    assert played.frames_per_second(89 / 30 + 0.55) in (13, 14)
    assert played.frames_per_second(89 / 30 + 1.01) == 0


def test_what_is_remembered_of_a_flood_is_bounded() -> None:
    played = Playout()
    for _ in range(10 * MAX_RATE):
        played.picture(1.0, 1.0)
    assert played.frames_per_second(1.0) == MAX_RATE


def test_the_delay_is_that_of_each_picture_in_all() -> None:
    played = Playout()
    for arrival, now in ((1.0, 1.0), (1.1, 1.35), (1.2, 1.35)):
        played.picture(arrival, now)
    assert (played.delay, played.emitted) == (pytest.approx(0.4), 3)
    assert played.freezes.freezes == 0


def test_the_delay_of_sound_is_that_of_each_sample() -> None:
    played = Playout()
    played.sound(960, 1.0, 1.05)
    played.sound(480, 1.1, 1.1)
    assert (played.delay, played.emitted) == (pytest.approx(48.0), 1440)
    assert played.frames_per_second(1.1) == 0
