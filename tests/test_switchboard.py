"""Who gets the messages of a session, and what an offer of an unknown session is: a call, a crossing, a replacement."""

from __future__ import annotations

from typing import Any

import pytest

from peer import switchboard
from peer.switchboard import Switchboard
from signaling.messages import ByeFrom, CandidateFrom, DescriptionFrom, Member, SessionDescription

OFFER = SessionDescription("offer", "v=0")


class Stub:
    """A call that writes down what it is told."""

    def __init__(
        self, remote: Any, session: str, *, is_open: bool = False, dialling: bool = False, polite: bool = False
    ) -> None:
        self.remote, self.session, self.open, self.dialling = remote, session, is_open, dialling
        self.polite = polite
        self.told: list[tuple[str, Any]] = []

    def deliver(self, message: Any) -> None:
        self.told.append(("deliver", message))

    def cancelled(self, message: Any) -> None:
        self.told.append(("cancelled", message))

    def adopt(self, offer: DescriptionFrom) -> None:
        self.session = offer.session
        self.told.append(("adopt", offer))

    def renewed(self, offer: DescriptionFrom) -> None:
        self.session = offer.session
        self.told.append(("renewed", offer))


class Room:
    """What a switchboard needs of its room."""

    def __init__(self, own: str = "b") -> None:
        self.own = Member(own, "me")
        self.members = {"c": Member("c", "carol"), "a": Member("a", "alice")}
        self.board: Switchboard = Switchboard(self)  # type: ignore[arg-type]
        self.rings: list[Any] = []
        self.refused: list[DescriptionFrom] = []

    def member(self, member_id: str) -> Member | None:
        return self.members.get(member_id)

    def new_call(self, remote: Any, session: str) -> Any:
        return Stub(remote, session)

    def rang(self, call: Any) -> None:
        self.rings.append(call)

    def busy(self, offer: DescriptionFrom) -> None:
        self.refused.append(offer)


class Remote:
    def __init__(self, member: str) -> None:
        self.member = member


def offer(sender: str, session: str, **more: Any) -> DescriptionFrom:
    return DescriptionFrom(sender, session, OFFER, **more)


def test_an_offer_of_an_unknown_session_rings_once() -> None:
    room = Room()
    room.board.route(offer("c", "s1"))
    room.board.route(offer("c", "s1"))
    (call,) = room.rings
    assert [kind for kind, _ in call.told] == ["deliver", "deliver"]
    assert room.board.ringing_from(room.members["c"]) is call
    room.board.route(ByeFrom("c", "s1", "cancelled"))
    assert call.told[-1][0] == "cancelled"


def test_nobody_else_speaks_in_a_session() -> None:
    room = Room()
    room.board.route(offer("c", "s1"))
    room.board.route(ByeFrom("a", "s1", "hung-up"))
    room.board.route(CandidateFrom("a", "s1", None))
    assert len(room.rings[0].told) == 1


def test_late_messages_of_what_is_over_begin_nothing() -> None:
    room = Room()
    room.board.route(offer("c", "s1"))
    room.board.ended(room.rings[0])
    room.board.closed(room.rings[0])
    room.board.route(offer("c", "s1"))
    room.board.route(CandidateFrom("c", "s2", None))
    assert len(room.rings) == 1 and not room.board.ringing


@pytest.mark.parametrize(("sender", "gives_way"), [("a", True), ("c", False)])
def test_of_crossing_calls_the_impolite_sides_stands(sender: str, gives_way: bool) -> None:
    room = Room()
    call: Any = Stub(Remote(sender), "mine", dialling=True)
    room.board.add(call)
    room.board.route(offer(sender, "theirs"))
    assert room.rings == []
    assert call.session == ("theirs" if gives_way else "mine")
    assert list(room.board.calls) == [call.session]


@pytest.mark.parametrize(("sender", "gives_way"), [("a", True), ("c", False)])
def test_another_connection_takes_the_place_of_a_broken_one(sender: str, gives_way: bool) -> None:
    room = Room()
    call: Any = Stub(Remote(sender), "first", is_open=True, polite=gives_way)
    room.board.add(call)
    room.board.route(offer(sender, "second", replaces="first"))
    assert call.session == "second" and room.board.calls == {"second": call}
    room.board.route(offer(sender, "first"))  # late
    assert room.rings == []
    # Both begin one at once: ours is "third" by now, theirs replaces what is no more.
    call.session = "third"
    room.board.renewed(call, "second")
    room.board.route(offer(sender, "fourth", replaces="second"))
    assert call.session == ("fourth" if gives_way else "third")
    assert room.rings == []


def test_a_replacement_for_no_call_is_a_call() -> None:
    room = Room()
    room.board.route(offer("c", "s2", replaces="s1"))
    assert len(room.rings) == 1


def test_too_many_rings_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "MAX_RINGS", 2)
    room = Room()
    for number in range(4):
        room.board.route(offer("c", f"s{number}"))
    assert len(room.rings) == 2 and [each.session for each in room.refused] == ["s2", "s3"]


def test_a_guest_is_nobody_to_give_way_to() -> None:
    room = Room()
    assert not room.board.gives_way("http-1")
    room.board.route(offer("http-1", "s1", name="curl"))
    assert room.rings[0].remote.name == "curl"
