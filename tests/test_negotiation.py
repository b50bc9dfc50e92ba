"""Who offers, who answers, who gives way; which candidates wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.negotiation import MAX_EARLY_CANDIDATES, Negotiation, State, Verdict, gives_way
from signaling.messages import IceCandidate, Member

ONE = IceCandidate("candidate:1 1 udp 1 192.0.2.1 5000 typ host", "0", 0)
TWO = IceCandidate("candidate:2 1 udp 1 192.0.2.1 5001 typ host", "0", 0)

polite_or_not = pytest.mark.parametrize("polite", [True, False], ids=["polite", "impolite"])
members = st.builds(Member, st.text(min_size=1, max_size=3), st.text(max_size=3), st.booleans())


def test_the_polite_side_gives_way() -> None:
    browser, bot = Member("a", "x", polite=True), Member("b", "y")
    assert gives_way(browser, bot) and not gives_way(bot, browser)


def test_between_equals_the_id_that_sorts_last_gives_way() -> None:
    for polite in (True, False):
        first, last = Member("a", "x", polite), Member("b", "y", polite)
        assert gives_way(last, first) and not gives_way(first, last)


@given(members, members)
def test_always_exactly_one_gives_way(one: Member, other: Member) -> None:
    if one.id != other.id:
        assert gives_way(one, other) != gives_way(other, one)


@polite_or_not
def test_an_offer_is_answered(polite: bool) -> None:
    negotiation = Negotiation("s")
    assert negotiation.description("offer", polite=polite) is Verdict.ANSWER
    assert negotiation.state is State.HAVE_REMOTE_OFFER
    assert negotiation.settled() == []
    assert negotiation.state is State.STABLE
    assert negotiation.description("offer", polite=polite) is Verdict.ANSWER, "and so is a later one"


@polite_or_not
def test_an_answer_is_applied_once(polite: bool) -> None:
    negotiation = Negotiation("s")
    assert negotiation.description("answer", polite=polite) is Verdict.IGNORE
    negotiation.offered()
    assert negotiation.description("answer", polite=polite) is Verdict.APPLY
    negotiation.settled()
    assert negotiation.description("answer", polite=polite) is Verdict.IGNORE


def test_the_impolite_side_passes_over_an_offer_that_meets_its_own_and_the_candidates_with_it() -> None:
    negotiation = Negotiation("s")
    negotiation.offered()
    assert negotiation.description("offer", polite=False) is Verdict.IGNORE
    assert not negotiation.candidate(ONE)
    assert negotiation.description("answer", polite=False) is Verdict.APPLY
    assert negotiation.settled() == []
    assert negotiation.candidate(ONE), "of the answer"
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER
    assert negotiation.candidate(TWO)


def test_the_polite_side_answers_an_offer_that_meets_its_own() -> None:
    negotiation = Negotiation("s")
    negotiation.offered()
    assert negotiation.description("offer", polite=True) is Verdict.ANSWER
    assert not negotiation.candidate(ONE), "it waits for the answer"
    assert negotiation.settled() == [ONE]
    assert negotiation.description("answer", polite=True) is Verdict.IGNORE, "to the offer that was taken back"


def test_an_offer_that_was_taken_back_meets_none() -> None:
    negotiation = Negotiation("s")
    negotiation.offered()
    negotiation.gave_up()
    assert negotiation.description("answer", polite=False) is Verdict.IGNORE
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER


def test_candidates_wait_for_the_description() -> None:
    negotiation = Negotiation("s")
    assert not negotiation.candidate(ONE)
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER
    assert not negotiation.candidate(TWO)
    assert not negotiation.candidate(None)
    assert negotiation.settled() == [ONE, TWO, None]
    assert negotiation.candidate(TWO)


def test_only_so_many_candidates_wait() -> None:
    negotiation = Negotiation("s")
    for _ in range(MAX_EARLY_CANDIDATES + 50):
        assert not negotiation.candidate(ONE)
    negotiation.description("offer", polite=False)
    assert len(negotiation.settled()) == MAX_EARLY_CANDIDATES


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_after_the_close_nothing_counts(kind: str) -> None:
    negotiation = Negotiation("s")
    negotiation.offered()
    negotiation.close()
    assert negotiation.state is State.CLOSED
    assert negotiation.description(kind, polite=True) is Verdict.IGNORE
    assert not negotiation.candidate(ONE)


def test_a_later_offer_that_cannot_be_used_leaves_what_was_agreed() -> None:
    negotiation = Negotiation("s")
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER
    negotiation.settled()
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER
    negotiation.gave_up()
    assert negotiation.state is State.STABLE and negotiation.candidate(ONE)
    assert negotiation.description("offer", polite=False) is Verdict.ANSWER
