"""Pacing, repetition and probing: when a pair is due."""

from __future__ import annotations

import random

import pytest

from peer.rtc.ice import schedule
from peer.rtc.ice.consent import Consent, Deadlines
from peer.rtc.ice.pairs import DORMANT, CheckList, Pair, PairState
from peer.rtc.ice.schedule import PACE, Schedule
from peer.rtc.ice.selection import Selection
from tests.rtc.ice.simulation import FakeBase, candidate


class Bench:
    """Pairs of one base, the first with the highest priority."""

    def __init__(self, count: int = 3) -> None:
        self.checklist = CheckList()
        self.selection = Selection(self.checklist, Consent(Deadlines()), "controlling", 0.3)
        self.schedule = Schedule(self.checklist, self.selection, random.Random(1))
        self.checklist.add_base(FakeBase(candidate("host", ("192.0.2.1", 1))), "controlling")
        for number in range(count):
            remote = candidate("host", ("192.0.2.2", 1 + number), local_preference=1000 - number)
            self.checklist.add_remote(remote, "controlling")
        self.pairs = list(self.checklist)

    def run(self, since: float, until: float) -> list[tuple[float, int]]:
        """When which pair was checked, with nobody answering."""
        found = []
        now = since
        while now <= until:
            for pair in self.schedule.due(now):
                self.schedule.sent(pair, now)
                found.append((now, self.pairs.index(pair)))
            following = self.schedule.next_time()
            now = max(now, following) if following > now else now + PACE / 10
        return found

    def works(self, pair: Pair, now: float) -> None:
        pair.state, pair.last_response, pair.unanswered, pair.round_trip_time = PairState.SUCCEEDED, now, 0, 0.05
        self.schedule.answered(pair, now)

    def nominate(self, pair: Pair, now: float) -> None:
        self.selection.selected = self.selection.nominated = pair
        self.works(pair, now)


def test_new_pairs_are_checked_at_once_by_priority_one_each_pace() -> None:
    bench = Bench(4)
    assert [number for _, number in bench.run(0.0, 0.05)] == [0, 1, 2, 3]
    times = [time for time, _ in Bench(4).run(0.0, 0.05)]
    assert times[0] == 0.0
    assert all(later - sooner >= PACE - 1e-9 for sooner, later in zip(times, times[1:], strict=False))


def test_a_check_without_an_answer_is_repeated_ever_more_slowly_up_to_a_limit() -> None:
    times = [time for time, _ in Bench(1).run(0.0, 4.0)]
    gaps = [round(later - sooner, 3) for sooner, later in zip(times, times[1:], strict=False)]
    assert gaps == [0.2, 0.4, 0.8, 0.8, 0.8, 0.8]


def test_after_the_deadline_unproven_pairs_are_checked_rarely() -> None:
    bench = Bench(1)
    bench.schedule.judged("failed", 15.0, had_path=False)
    times = [time for time, _ in bench.run(15.0, 25.0)]
    assert len(times) == 6 and times[1] - times[0] == schedule.RETRY_FAILED


def test_a_triggered_check_goes_first_but_not_twice_in_a_moment() -> None:
    bench = Bench(3)
    bench.schedule.trigger(bench.pairs[2], 0.0)
    bench.schedule.trigger(bench.pairs[2], 0.0)
    assert bench.schedule.next_time() == 0.0
    assert [number for _, number in bench.run(0.0, 0.025)] == [2, 0, 1]
    bench.schedule.trigger(bench.pairs[2], 0.03)
    assert [number for _, number in bench.run(0.03, 0.05)] == []
    bench.schedule.trigger(bench.pairs[2], 0.06)
    assert [number for _, number in bench.run(0.06, 0.07)] == [2]


def test_a_pair_that_is_known_to_work_is_not_triggered() -> None:
    bench = Bench(1)
    bench.works(bench.pairs[0], 1.0)
    bench.schedule.trigger(bench.pairs[0], 2.0)
    assert bench.schedule.due(2.0) == []


def test_a_triggered_pair_that_is_gone_is_skipped() -> None:
    bench = Bench(1)
    bench.schedule.trigger(bench.pairs[0], 0.0)
    bench.checklist.remove_base(bench.pairs[0].base)
    assert bench.schedule.due(0.0) == [] and bench.schedule.next_time() == DORMANT


def test_the_pair_in_use_is_asked_for_consent_and_sooner_when_it_does_not_answer() -> None:
    bench = Bench(1)
    bench.nominate(bench.pairs[0], 10.0)
    first = bench.schedule.next_time()
    assert 10.8 <= first <= 11.2
    bench.schedule.sent(bench.pairs[0], first)
    assert bench.schedule.next_time() == first + schedule.CONSENT_RETRY
    bench.pairs[0].round_trip_time = 0.5
    bench.schedule.sent(bench.pairs[0], first)
    assert bench.schedule.next_time() == first + 1.0


def test_what_is_no_better_than_the_nominated_pair_is_left_alone() -> None:
    bench = Bench(3)
    bench.run(0.0, 0.05)
    bench.nominate(bench.pairs[0], 1.0)
    bench.works(bench.pairs[1], 1.0)
    bench.schedule.narrow(1.0)
    assert bench.pairs[2].next_check == DORMANT
    assert 5.0 <= bench.pairs[1].next_check <= 7.0
    relay = FakeBase(candidate("relay", ("198.51.100.1", 2)))
    bench.checklist.add_base(relay, "controlling")
    bench.selection.nominated = bench.checklist.find(relay, ("192.0.2.2", 1))
    bench.pairs[2].next_check = 1.0
    bench.schedule.search_until(15.0)
    bench.schedule.narrow(1.0)
    assert bench.pairs[2].next_check == 1.0, "a direct path is better than a relay"
    assert len(bench.run(1.0, 14.0)) > 15
    bench.schedule.sent(bench.pairs[2], 15.0)
    assert bench.pairs[2].next_check == 15.0 + schedule.SEARCH, "for ever, but at leisure"


@pytest.mark.parametrize("sign", ["disconnected", "unanswered", "no pair"])
def test_silence_has_every_pair_probed_and_its_end_calms_them(sign: str) -> None:
    bench = Bench(2)
    bench.nominate(bench.pairs[0], 1.0)
    bench.schedule.narrow(1.0)
    assert bench.pairs[1].next_check == DORMANT
    bench.pairs[0].unanswered = 5 if sign == "unanswered" else 1
    if sign == "no pair":
        bench.selection.selected = bench.selection.nominated = None
    state = "disconnected" if sign == "disconnected" else "connected"
    bench.schedule.judged(state, 5.0, had_path=True)
    found = bench.run(5.0, 7.0)
    assert [number for _, number in found].count(0) >= 9
    assert [number for _, number in found].count(1) >= 4
    bench.nominate(bench.pairs[0], 7.0)
    bench.schedule.judged("connected", 7.0, had_path=True)
    assert bench.pairs[1].next_check == DORMANT and bench.pairs[0].next_check >= 7.8


def test_after_consent_expired_pairs_are_probed_more_slowly() -> None:
    bench = Bench(1)
    bench.nominate(bench.pairs[0], 1.0)
    bench.schedule.judged("failed", 40.0, had_path=True)
    assert 12 <= len(bench.run(40.0, 50.0)) <= 14


@pytest.mark.parametrize("had_path", [True, False])
def test_the_longer_it_has_failed_the_rarer_it_tries(*, had_path: bool) -> None:
    bench = Bench(1)
    if had_path:
        bench.nominate(bench.pairs[0], 1.0)
    bench.schedule.judged("failed", 40.0, had_path=had_path)
    times = [time for time, _ in bench.run(40.0, 4000.0)]
    bench.schedule.judged("failed", 4000.0, had_path=had_path)
    assert len(times) < 200
    assert times[-1] - times[-2] > 100
    assert all(
        later - sooner <= max(2.0, 0.06 * (later - 40.0)) for sooner, later in zip(times, times[1:], strict=False)
    )


def test_a_refusal_is_followed_by_a_pause() -> None:
    bench = Bench(1)
    bench.run(0.0, 0.0)
    bench.schedule.refused(bench.pairs[0], 0.05)
    assert bench.pairs[0].state is PairState.FAILED and bench.schedule.next_time() == 0.05 + schedule.RETRY_MOST
    bench.works(bench.pairs[0], 1.0)
    bench.schedule.refused(bench.pairs[0], 1.0)
    assert bench.pairs[0].state is PairState.SUCCEEDED


def test_a_nomination_is_repeated_quickly() -> None:
    bench = Bench(1)
    bench.works(bench.pairs[0], 1.0)
    bench.selection.nominating = bench.pairs[0]
    bench.schedule.sent(bench.pairs[0], 1.0)
    assert bench.pairs[0].next_check == 1.0 + schedule.PROBE
