"""What counts as good."""

from __future__ import annotations

from dataclasses import replace

from tests.doctor.samples import STUN, TURN, failed


def test_a_stun_server_is_good_when_it_answers_a_turn_server_when_it_carries() -> None:
    assert STUN.good and TURN.good and TURN.carries
    assert not failed(STUN).good and not failed(TURN).good
    assert not replace(TURN, carried=None).good


def test_a_name_that_is_still_being_looked_up() -> None:
    assert failed(STUN, text="its name could not be looked up in time").looking_up
    assert not failed(STUN, text="the name is not found").looking_up and not STUN.looking_up
