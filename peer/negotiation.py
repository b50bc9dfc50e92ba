"""Who offers, who answers, who gives way: the state of one call's negotiation. Pure.

The rules are those of docs/protocol.md and of W3C "perfect negotiation" (webrtc-pc section 10.7): of two offers that
cross, the impolite side's stands, and the polite side takes its own back. Candidates that come before the description
they belong to wait; those of an offer that was ignored are dropped with it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.messages import IceCandidate, Member

MAX_EARLY_CANDIDATES = 100
"""Candidates that may wait for their description; a remote that sends more is not sane, the rest is dropped."""


def gives_way(own: Member, other: Member) -> bool:
    """Whether `own` is the polite side of the two, whose offer does not stand when both offer at once."""
    if own.polite != other.polite:
        return own.polite
    return own.id > other.id


class Verdict(Enum):
    """What to do with a description that came."""

    ANSWER = auto()
    """It is an offer; one of ours that it crosses is rolled back."""
    APPLY = auto()
    IGNORE = auto()
    """It crossed an offer of ours that stands, or answers nothing."""


class State(Enum):
    """The signaling state (webrtc-pc section 4.3.1), as far as it matters here."""

    STABLE = auto()
    HAVE_LOCAL_OFFER = auto()
    HAVE_REMOTE_OFFER = auto()
    CLOSED = auto()


class Negotiation:
    """The negotiation of one session with one other participant, who is given way to or not."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.state = State.STABLE
        self._described = False
        self._ignoring = False
        self._early: list[IceCandidate | None] = []

    def offered(self) -> None:
        """We sent an offer."""
        self.state = State.HAVE_LOCAL_OFFER

    def description(self, kind: str, *, polite: bool) -> Verdict:
        """A description of `kind` "offer" or "answer" came from the other side; `polite`: whether we give way."""
        if self.state is State.CLOSED:
            return Verdict.IGNORE
        if kind == "offer":
            self._ignoring = self.state is State.HAVE_LOCAL_OFFER and not polite
            if self._ignoring:
                return Verdict.IGNORE
            self.state = State.HAVE_REMOTE_OFFER
            return Verdict.ANSWER
        if self.state is not State.HAVE_LOCAL_OFFER:
            return Verdict.IGNORE
        self._ignoring = False  # the candidates that follow are of this answer
        return Verdict.APPLY

    def settled(self) -> list[IceCandidate | None]:
        """Offer and answer are both in place; returns the candidates that waited for it."""
        self.state = State.STABLE
        self._described = True
        early, self._early = self._early, []
        return early

    def gave_up(self) -> None:
        """A later description could not be used, or an offer was taken back: what was agreed before goes on."""
        if self.state is not State.CLOSED:
            self.state = State.STABLE

    def candidate(self, candidate: IceCandidate | None) -> bool:
        """A candidate came; True if it is to be used now."""
        if self.state is State.CLOSED or self._ignoring:
            return False
        if self._described:
            return True
        if len(self._early) < MAX_EARLY_CANDIDATES:
            self._early.append(candidate)
        return False

    def close(self) -> None:
        self.state = State.CLOSED
        self._early.clear()
