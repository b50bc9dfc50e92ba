"""Nomination and failover, one decision at a time."""

from __future__ import annotations

import pytest

from peer.rtc.ice.consent import Consent, Deadlines
from peer.rtc.ice.pairs import UNANSWERED, CheckList, Pair, PairState
from peer.rtc.ice.selection import BY_THE_OTHER_SIDE, Selection
from tests.rtc.ice.simulation import FakeBase, candidate

THEIRS = ("192.0.2.2", 2000)


class Bench:
    """A direct and a relayed pair, none of which has been answered yet."""

    def __init__(self, role: str = "controlling", window: float = 0.3) -> None:
        self.pairs = CheckList()
        self.consent = Consent(Deadlines())
        self.consent.start(0.0)
        self.selection = Selection(self.pairs, self.consent, role, window)
        bases = [FakeBase(candidate("host", ("192.0.2.1", 1))), FakeBase(candidate("relay", ("198.51.100.1", 2)))]
        for base in bases:
            self.pairs.add_base(base, role)
        self.pairs.add_remote(candidate("host", THEIRS), role)
        self.direct, self.relayed = self.pairs
        assert (self.direct.cost, self.relayed.cost) == (0, 1)

    def answer(self, pair: Pair, now: float, *, nominating: bool = False) -> None:
        pair.state = PairState.SUCCEEDED
        pair.last_response = now
        pair.unanswered = 0
        self.selection.answered(pair, now, nominating=nominating)
        self.selection.nominate(now)

    def nominate(self, pair: Pair, now: float) -> None:
        self.answer(pair, now)
        assert self.selection.nominating is pair
        self.answer(pair, now, nominating=True)
        assert self.selection.nominated is pair


def test_a_direct_path_is_nominated_at_once_and_confirmed_by_its_answer() -> None:
    bench = Bench()
    bench.answer(bench.direct, 1.0)
    assert bench.selection.selected is bench.selection.nominating is bench.direct
    assert bench.selection.nominated is None and bench.consent.last_granted == 1.0
    bench.answer(bench.direct, 1.1, nominating=True)
    assert bench.direct.nominated and bench.selection.nominating is None
    assert bench.selection.reason == "the first direct UDP path that works"


def test_a_relay_has_to_wait_and_gives_way_within_the_window() -> None:
    bench = Bench()
    bench.answer(bench.relayed, 1.0)
    assert bench.selection.selected is bench.relayed and bench.selection.nominating is None
    assert bench.selection.window_ends(1.0) == 1.3
    bench.answer(bench.direct, 1.2)
    assert bench.selection.selected is bench.selection.nominating is bench.direct
    assert bench.selection.window_ends(1.2) is None


def test_a_relay_is_nominated_when_the_window_is_over_and_replaced_later() -> None:
    bench = Bench()
    bench.answer(bench.relayed, 1.0)
    bench.selection.nominate(1.3)
    assert bench.selection.nominating is bench.relayed
    bench.answer(bench.relayed, 1.4, nominating=True)
    assert "relayed UDP" in bench.selection.reason
    bench.answer(bench.direct, 9.0)
    assert bench.selection.nominating is bench.direct and bench.selection.selected is bench.relayed
    bench.answer(bench.direct, 9.1, nominating=True)
    assert bench.selection.selected is bench.direct and not bench.relayed.nominated


def test_without_a_window_nothing_is_waited_for() -> None:
    bench = Bench(window=0.0)
    bench.answer(bench.relayed, 1.0)
    assert bench.selection.nominating is bench.relayed


def test_an_answer_that_was_meant_for_another_nomination_confirms_nothing() -> None:
    bench = Bench()
    bench.answer(bench.direct, 1.0)
    bench.selection.set_role("controlled")
    bench.answer(bench.direct, 1.1, nominating=True)
    assert bench.selection.nominated is None and bench.selection.nominating is None


def test_the_controlled_side_follows_the_other() -> None:
    bench = Bench("controlled")
    bench.selection.announce(bench.direct, 0.9)
    bench.answer(bench.relayed, 1.0)
    assert bench.selection.nominated is None and bench.selection.selected is bench.relayed
    bench.answer(bench.direct, 1.1)
    assert bench.selection.nominated is bench.selection.selected is bench.direct
    bench.selection.announce(bench.relayed, 2.0)
    assert bench.selection.nominated is bench.selection.selected is bench.relayed
    assert bench.selection.reason == BY_THE_OTHER_SIDE


def test_a_nomination_by_who_is_controlled_is_ignored() -> None:
    bench = Bench()
    bench.answer(bench.relayed, 1.0)
    bench.selection.announce(bench.relayed, 1.0)
    assert bench.selection.nominated is None


@pytest.mark.parametrize("role", ["controlling", "controlled"])
def test_a_silent_pair_is_stood_in_for_by_one_that_has_just_answered(role: str) -> None:
    bench = Bench(role)
    if role == "controlling":
        bench.nominate(bench.direct, 1.0)
    else:
        bench.answer(bench.direct, 1.0)
        bench.selection.announce(bench.direct, 1.0)
    bench.answer(bench.relayed, 1.1)
    bench.direct.unanswered = UNANSWERED
    bench.selection.nominate(5.0)
    assert bench.selection.nominating is None, "an answer of four seconds ago proves nothing"
    bench.answer(bench.relayed, 5.0)
    assert bench.selection.selected is bench.relayed and "stands in" in bench.selection.reason
    assert bench.selection.nominating is (bench.relayed if role == "controlling" else None)
    bench.answer(bench.direct, 5.1)
    assert bench.selection.selected is bench.direct


def test_a_pair_that_went_away_is_forgotten() -> None:
    bench = Bench()
    bench.nominate(bench.direct, 1.0)
    bench.answer(bench.relayed, 1.1)
    bench.pairs.remove_base(bench.direct.base)
    bench.selection.lost(1.2)
    assert bench.selection.nominated is None and bench.selection.selected is bench.relayed
    assert bench.consent.judge(1.8) == "connected"
    bench.pairs.remove_base(bench.relayed.base)
    bench.selection.lost(1.9)
    assert bench.selection.selected is None and bench.consent.judge(2.5) == "disconnected"
