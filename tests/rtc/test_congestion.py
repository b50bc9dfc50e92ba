"""Calls over simulated links: the rate follows what they take, queues stay short, and it comes back quickly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.arrivalreport import ArrivalReport
from peer.rtc.congestion import MUCH_LOSS, SILENCE, START, Congestion, Losses
from peer.rtc.delaybased import MAX_BITRATE, MIN_BITRATE
from peer.rtc.probing import WORTH
from tests.harness.examples import examples
from tests.rtc.bottleneck import Call, FileCall, Link, World

NARROWED = [(0.0, 2e6), (15.0, 5e5), (30.0, 3e5), (45.0, 2e6)]


@pytest.mark.parametrize(
    ("delay", "jitter"), [pytest.param(0.02, 0.0, marks=pytest.mark.slow), (0.05, 0.01), (0.15, 0.0)]
)
def test_a_link_that_is_narrowed_and_widened(delay: float, jitter: float) -> None:
    world = World()
    call = Call(world, Link(world, NARROWED, delay=delay, jitter=jitter))
    world.run(65)
    assert call.rate(5, 15) > 0.75 * 2e6
    assert call.rate(20, 30) > 0.7 * 5e5
    assert call.rate(35, 45) > 0.7 * 3e5
    assert call.waits_between(0, 65) < 0.25
    assert max(each.waited for each in call.between(17.5, 30)) < 0.25
    assert min(each.estimate for each in call.samples) > 1.5 * MIN_BITRATE
    assert call.reaches(0.9 * call.rate(5, 15), 45) < 10
    assert max(each.pacing for each in call.samples) < 40_000
    assert call.link.dropped < 100


@pytest.mark.parametrize("keyframes", [0.3, 0.75])
@pytest.mark.parametrize("rate", [2.5e6, 4e6])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_pictures_that_come_in_heaps_do_not_make_a_path_narrow(rate: float, keyframes: float, jitter: float) -> None:
    """As those of a file do: a large keyframe waits on the link, and is gone before the next."""
    world = World()
    call = FileCall(world, Link(world, [(0, rate)], jitter=jitter), bitrate=1.5e6, keyframes=keyframes)
    world.run(20)
    enough = [each.estimate > 1.3e6 for each in call.between(8, 20)]
    assert sum(enough) / len(enough) > 0.95
    assert call.samples[-1].estimate < rate


def test_one_whose_path_becomes_narrow_is_noticed() -> None:
    world = World()
    call = FileCall(world, Link(world, [(0, 3e6), (10, 5e5)]), bitrate=1.5e6, keyframes=0.6)
    world.run(13)
    assert call.samples[-1].estimate < 5e5


def test_a_fast_path_is_found_within_seconds() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 50e6)]), most=6e6)
    world.run(20)
    assert call.reaches(4e6, 0) < 4
    assert max(each.waited for each in call.samples) < 0.05
    assert max(each.estimate for each in call.samples) <= MAX_BITRATE


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_loss_by_chance_is_no_reason_to_send_less(loss: float) -> None:
    world = World()
    call = Call(world, Link(world, [(0, 3e6)], loss=loss))
    world.run(30)
    assert call.rate(5, 30) > 0.7 * 3e6


def test_much_loss_is() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 50e6)], loss=0.25))
    world.run(20)
    assert call.samples[-1].estimate < START


def test_a_link_without_a_queue_is_noticed_by_its_losses() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 1e6)], queue=0.03))
    world.run(40)
    assert 0.4e6 < call.rate(10, 40) < 1e6
    assert call.link.dropped < 0.15 * call.stream.counts.packets


@pytest.mark.parametrize("jitter", [0.0, 0.06])
def test_who_sends_little_keeps_what_it_could_send_and_learns_of_more(jitter: float) -> None:
    world = World()
    call = Call(world, Link(world, [(0, 50e6)], jitter=jitter), uses=0.02, keyframes=False)
    world.run(60)
    assert call.rate(10, 60) < 300_000
    assert min(each.estimate for each in call.samples) == START
    assert WORTH < call.samples[-1].estimate < 2 * WORTH, "and that is enough"
    assert call.stream.counts.bytes_probes < 200_000


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_what_much_loss_took_is_back_soon_after_it_is_over(seed: int) -> None:
    """As where a link was narrow for a while, and what its queue dropped was taken for loss by chance."""
    world = World(seed)
    call = Call(world, Link(world, [(0, 3e6)]))
    world.run(15)
    usual = call.rate(5, 15)
    call.link.loss = 0.4
    world.run(10)
    assert call.rate(20, 25) < 0.25 * usual
    call.link.loss = 0.0
    world.run(20)
    assert call.reaches(0.9 * usual, 25) < 6


def test_two_calls_share_a_link() -> None:
    world = World()
    link = Link(world, [(0, 2e6)])
    one = Call(world, link)
    world.run(10)
    two = Call(world, link)
    world.run(60)
    first, second = one.rate(30, 70), two.rate(30, 70)
    assert 0.25 < first / (first + second) < 0.75
    assert first + second > 0.75 * 2e6
    assert one.waits_between(10, 70) < 0.3


def test_reports_that_get_lost_do_no_harm() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 2e6)]), back=Link(world, [(0, 1e9)], loss=0.3))
    world.run(30)
    assert call.rate(5, 30) > 0.7 * 2e6
    assert call.waits_between(0, 30) < 0.25


def test_who_hears_nothing_any_more_sends_less_until_it_does() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 2e6)]))
    world.run(10)
    call.tells = False
    world.run(6)
    assert call.samples[-1].estimate <= call.samples[95].estimate / 8
    call.tells = True
    world.run(10)
    assert call.reaches(1.6e6, 16) < 8


def test_a_pause_is_no_silence() -> None:
    """The last packets got lost, so nothing will be told of them."""
    congestion = Congestion()
    number = congestion.leaves([1200], 1.0)
    assert congestion.take(ArrivalReport(number, 0, [0]), 1.1)
    congestion.leaves([1200], 1.2)
    for second in range(20):
        congestion.tick(2.0 + second)
    assert congestion.estimate == START
    for second in range(4):
        congestion.leaves([1200], 30.0 + second)
        congestion.tick(30.0 + second)
    assert congestion.estimate < START


def test_who_is_late_itself_does_not_take_others_for_silent() -> None:
    congestion = Congestion()
    assert congestion.take(ArrivalReport(congestion.leaves([1200], 1.0), 0, [0]), 1.1)
    for second in range(4):
        congestion.leaves([1200], 30.0 + second)
        congestion.tick(30.0 + second, 0.5)
    assert congestion.estimate == START


def test_reports_about_nothing_say_nothing() -> None:
    congestion = Congestion()
    assert not congestion.take(ArrivalReport(7, 0, [0, 0]), 1.0)
    congestion.leaves([1200], 1.0)
    assert congestion.take(ArrivalReport(0, 0, [None]), 1.1)


def test_sound_is_not_held_up_by_a_keyframe() -> None:
    world = World()
    call = Call(world, Link(world, NARROWED))
    world.run(65)
    waits = sorted(call.sound_waits)
    assert len(waits) > 0.99 * 50 * 65
    assert waits[len(waits) // 2] < 0.03


def test_a_stream_that_does_not_follow_is_not_drowned_in_retransmissions() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 3e5)], queue=0.3))
    call.limit = lambda bitrate, lasting: None  # type: ignore[method-assign]
    call.bitrate = 1.5e6
    world.run(20)
    assert call.link.dropped > 1000
    assert 8 * call.stream.counts.bytes_again / 20 < 0.4 * 3e5


@pytest.mark.parametrize("remb", [None, 250_000, 5_000_000])
def test_without_transport_wide_feedback_the_receivers_estimate_counts(remb: int | None) -> None:
    congestion = Congestion()
    assert congestion.estimate == START
    congestion.remb = remb
    assert congestion.estimate == (remb or START)
    for second in range(10):
        congestion.told_loss(0.2, 10.0 + second)
    lowered = congestion.estimate
    assert lowered < 0.6 * (remb or START) or lowered == MIN_BITRATE
    for second in range(100):
        congestion.told_loss(0.0, 20.0 + second)
    assert congestion.estimate == (remb or START)
    congestion.tick(1000.0)
    assert congestion.estimate == (remb or START)


def test_the_receivers_estimate_is_a_limit_where_there_is_ours() -> None:
    world = World()
    call = Call(world, Link(world, [(0, 5e6)]))
    call.outgoing.remb(300_000, world.now)
    world.run(10)
    assert call.samples[-1].estimate == 300_000 and call.rate(2, 10) < 400_000


def test_what_losses_set_is_lifted_again() -> None:
    losses = Losses()
    losses.told(0.5, 1_000_000, 1.0)
    losses.told(0.5, 1_000_000, 1.1)
    assert losses.limit == 750_000, "once in a while only"
    losses.told(MUCH_LOSS, 700_000, 2.0)
    assert losses.limit == 750_000
    for second in range(30):
        losses.told(0.0, 700_000, 3.0 + second)
    assert losses.limit is None


def test_few_packets_say_nothing_of_losses() -> None:
    losses = Losses()
    for turn in range(10):
        losses.count(1, 1, 1_000_000, 1.0 + turn)
    assert losses.limit is None
    losses.count(10, 10, 1_000_000, 20.0)
    assert losses.limit == 750_000


@examples(30)
@given(st.integers(0, 2**32), st.floats(0.0, 1.0))
def test_forged_reports_are_bounded(seed: int, honest: float) -> None:
    """Whatever they say, the rate stays within bounds and nothing breaks."""
    forger, congestion, now = random.Random(seed), Congestion(), 100.0
    numbers: list[int] = []
    for _ in range(300):
        now += 0.01
        numbers.append(congestion.leaves([1200], now))
        if forger.random() < 0.3:
            base = numbers[-10:][0] if forger.random() < honest else forger.randrange(1 << 16)
            arrivals = [
                forger.choice([None, forger.randrange(-(1 << 20), 1 << 20)]) for _ in range(forger.randrange(20))
            ]
            congestion.take(ArrivalReport(base, forger.randrange(1 << 24), arrivals), now)
            congestion.probe(now)
        congestion.tick(now)
        assert MIN_BITRATE <= congestion.target <= congestion.estimate <= MAX_BITRATE
    assert congestion.estimate < 20 * START


def test_silence_is_one_only_where_reports_came_before() -> None:
    congestion = Congestion()
    for second in range(20):
        congestion.leaves([1200], float(second))
        congestion.tick(second + SILENCE)
    assert congestion.estimate == START
