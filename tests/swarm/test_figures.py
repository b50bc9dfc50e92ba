"""How the statistics of calls add up to the figures of a bot."""

from __future__ import annotations

import pytest

from peer.swarm.figures import STANDING, CallTally, Counter, Figures, add_up
from tests.swarm.samples import inbound, outbound, stats


def figures(*tallies: CallTally) -> Figures:
    found = Figures(number=0)
    add_up(found, list(tallies))
    return found


def test_a_call_with_sound_and_pictures() -> None:
    tally = CallTally(10.0)
    tally.look(stats(11.0))
    sound = inbound("audio", packets_received=50, bytes_received=2000, jitter=0.5)
    tally.look(stats(12.0, sound, inbound(packets_lost=4, packets_repaired=3), sent=outbound(round_trip_time=0.03)))
    tally.look(stats(13.0, sound, inbound(packets_received=150, frames_received=60), sent=outbound(bytes_sent=30_000)))
    found = figures(tally)
    assert (found.packets, found.frames, found.bytes_in, found.bytes_out) == (200, 60, 12_000, 30_000)
    assert (found.seconds, found.watched) == (3.0, 2.0), "watched since the look before the first frame"
    assert found.jitter == pytest.approx(0.004), "of the pictures, where there are any"
    assert found.rtt == pytest.approx((0.01 + 0.03 + 0.01) / 3), "by RTCP, else by ICE"


def test_another_connection_of_the_call_counts_from_nothing() -> None:
    counter = Counter()
    for value in (5, 7, 2, 3):
        counter.read(value)
    assert counter.value == 10


def test_what_is_lost_and_comes_after_all() -> None:
    tally = CallTally(0.0)
    tally.look(stats(1.0, inbound(packets_lost=-2)))
    assert figures(tally).lost == 0


def test_pictures_that_stand_count_before_the_next_one_comes() -> None:
    tally = CallTally(0.0)
    for second in range(4):
        tally.look(stats(float(second), inbound(frames_received=30)))
    found = figures(tally)
    assert (found.freezes, found.frozen, found.watched) == (1, 3.0, 3.0)
    tally.look(stats(4.0, inbound(frames_received=31, freeze_count=1, total_freezes_duration=3.4)))
    found = figures(tally)
    assert (found.freezes, found.frozen) == (1, pytest.approx(3.4)), "then they are counted where they are received"


def test_pauses_are_freezes_too() -> None:
    tally = CallTally(0.0)
    tally.look(stats(1.0, inbound(pause_count=1, total_pauses_duration=6.0)))
    assert (figures(tally).freezes, figures(tally).frozen) == (1, 6.0)


def test_who_holds_the_call_freezes_nothing() -> None:
    tally = CallTally(0.0)
    tally.look(stats(0.0, inbound()))
    for second in range(1, 10):
        tally.look(stats(float(second), inbound(active=False)))
    found = figures(tally)
    assert (found.freezes, found.watched) == (0, 0.0)
    tally.look(stats(10.0, inbound()))
    tally.look(stats(10.0 + STANDING / 2, inbound()))
    assert figures(tally).freezes == 0, "the pause is over, and what came after it is not late yet"


def test_calls_add_up() -> None:
    one, other = CallTally(0.0), CallTally(2.0)
    for tally in (one, other):
        tally.look(stats(4.0, inbound()))
    found = figures(one, other)
    assert (found.packets, found.seconds) == (200, 6.0)
    assert figures().jitter is None


def test_what_went_wrong_is_cut() -> None:
    found = Figures(number=0)
    found.failed("x" * 1000)
    assert found.state == "failed" and len(found.error) == 300
