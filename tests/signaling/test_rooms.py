"""Rooms: who is told what. The model test checks that everybody's picture of the room is the room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import messages as m
from signaling.codes import Code, ProtocolError
from signaling.credentials import Grants
from signaling.rooms import Delivery, Keep, Rooms

OFFER = m.SessionDescription("offer", "v=0")


def rooms_with(*names: str, size: int = 10) -> Rooms:
    """A server whose room `lab` has these members; their ids are their names in capitals."""
    rooms = Rooms(size)
    for name in names:
        rooms.join(name.upper(), m.Join("lab", name, 1))
    return rooms


def refused(call: Any, *arguments: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        call(*arguments)
    return caught.value


def test_joining_tells_the_newcomer_and_the_others() -> None:
    server = m.IceServer(["stun:h"])
    rooms = Rooms(10)
    assert rooms.join("A", m.Join("lab", "a", 1, polite=True), None, [server]) == [
        Delivery("A", m.Welcome(1, "A", "lab", "a", [], [server]))
    ]
    assert rooms.join("B", m.Join("lab", "b", 1), None, [server]) == [
        Delivery("B", m.Welcome(1, "B", "lab", "b", [m.Member("A", "a", True)], [server])),
        Delivery("A", m.Joined(m.Member("B", "b", False))),
    ]
    assert len(rooms.join("C", m.Join("other", "a", 1))) == 1
    assert (rooms.room_count, rooms.member_count) == (2, 3)


def test_a_refused_join_changes_nothing() -> None:
    rooms = rooms_with("a", "b", size=2)
    assert refused(rooms.join, "X", m.Join("lab", "a", 1)).code is Code.NAME_TAKEN
    assert refused(rooms.join, "X", m.Join("lab", "c", 1)).code is Code.ROOM_FULL
    assert rooms.member_count == 2
    assert rooms.leave("X", "left") == []
    rooms.leave("A", "left")
    assert rooms.join("X", m.Join("lab", "a", 1))


def test_only_with_its_secret_does_a_client_take_its_place_over() -> None:
    rooms = Rooms(10)
    rooms.join("A", m.Join("lab", "a", 1, secret="s"))
    rooms.join("B", m.Join("lab", "b", 1))
    assert rooms.place_of(m.Join("lab", "a", 1, secret="s")) == "A"
    for stranger in (
        m.Join("lab", "a", 1),
        m.Join("lab", "a", 1, secret="t"),
        m.Join("lab", "b", 1, secret="s"),
        m.Join("lab", "c", 1, secret="s"),
        m.Join("other", "a", 1, secret="s"),
    ):
        assert rooms.place_of(stranger) is None
    rooms.leave("A", "left")
    assert rooms.place_of(m.Join("lab", "a", 1, secret="s")) is None


def test_leaving_tells_the_others_and_frees_the_name() -> None:
    rooms = rooms_with("a", "b")
    assert rooms.leave("A", "lost") == [Delivery("B", m.Left(m.Member("A", "a"), "lost"))]
    assert rooms.leave("A", "left") == []
    assert rooms.find("lab", "a") is None
    assert rooms.leave("B", "left") == []
    assert (rooms.room_count, rooms.member_count) == (0, 0)


@pytest.mark.parametrize(("sent", "got"), [
    (m.DescriptionTo("B", "s", OFFER), m.DescriptionFrom("A", "s", OFFER)),
    (m.CandidateTo("B", "s", m.IceCandidate("c")), m.CandidateFrom("A", "s", m.IceCandidate("c"))),
    (m.CandidateTo("B", "s", None), m.CandidateFrom("A", "s", None)),
    (m.ByeTo("B", "s", "error", "why"), m.ByeFrom("A", "s", "error", "why")),
    (m.MessageTo("B", [1]), m.MessageFrom("A", [1])),
])  # fmt: skip
def test_relay_swaps_target_and_sender(sent: Any, got: m.ServerMessage) -> None:
    assert rooms_with("a", "b").relay("A", sent) == [Delivery("B", got)]


@pytest.mark.parametrize("to", ["A", "C", "X", "http-gone"])
def test_nobody_is_reached_outside_of_the_room(to: str) -> None:
    rooms = rooms_with("a", "b")
    rooms.join("C", m.Join("other", "c", 1))
    error = refused(rooms.relay, "A", m.DescriptionTo(to, "s", OFFER))
    assert (error.code, error.to, error.session) == (Code.UNKNOWN_TARGET, to, "s")
    assert refused(rooms.relay, "A", m.MessageTo(to, 1)).session is None


def test_a_guest_calls_one_member_and_hears_from_it_only() -> None:
    rooms = rooms_with("a", "b")
    assert rooms.admit_guest("http-1", "lab", "a") == m.Member("A", "a")
    offer = m.DescriptionFrom("http-1", "s", OFFER, trickle=False, name="curl")
    assert rooms.call_as_guest("http-1", offer) == [Delivery("A", offer)]
    bye = m.ByeTo("http-1", "s", "busy")
    assert rooms.relay("A", bye) == [Delivery("http-1", m.ByeFrom("A", "s", "busy"))]
    assert refused(rooms.relay, "B", bye).code is Code.UNKNOWN_TARGET
    assert (rooms.guest_count, rooms.member_count) == (1, 2)
    assert rooms.leave("A", "left") == [
        Delivery("B", m.Left(m.Member("A", "a"), "left")),
        Delivery("http-1", m.Left(m.Member("A", "a"), "left")),
    ]
    assert rooms.call_as_guest("http-1", m.ByeFrom("http-1", "s", "cancelled")) == []


def test_what_is_said_to_a_guest_that_is_gone_is_dropped() -> None:
    rooms = rooms_with("a")
    rooms.admit_guest("http-1", "lab", "a")
    rooms.dismiss_guest("http-1")
    rooms.dismiss_guest("http-1")
    assert rooms.relay("A", m.CandidateTo("http-1", "s", None)) == []
    assert rooms.relay("A", m.ByeTo("http-1", "s", "hung-up")) == []
    assert rooms.guest_count == 0


@pytest.mark.parametrize(("room", "name"), [("lab", "b"), ("other", "a")])
def test_a_guest_needs_somebody_to_call(room: str, name: str) -> None:
    rooms = rooms_with("a")
    assert refused(rooms.admit_guest, "http-1", room, name).code is Code.UNKNOWN_TARGET
    assert rooms.guest_count == 0


# Coming back; as a whole it is in test_coming_back.py


def resumable(*names: str, keep: Keep | None = None) -> Rooms:
    rooms = Rooms(10, keep=keep)
    for name in names:
        rooms.join(name.upper(), m.Join("lab", name, 1, secret=f"secret of {name}", resume=True))
    return rooms


def resume(name: str, got: int = 2, **changes: str) -> m.Resume:
    fields: dict[str, Any] = {
        "room": "lab",
        "id": name.upper(),
        "secret": f"secret of {name}",
        "got": got,
        "version": 1,
    }
    return m.Resume(**fields | changes)


def test_who_may_come_back_is_told_for_how_long_and_numbered() -> None:
    rooms = resumable("a")
    assert rooms.join("B", m.Join("lab", "b", 1, secret="s", resume=True)) == [
        Delivery("B", m.Welcome(1, "B", "lab", "b", [m.Member("A", "a")], [], grace=30.0), 1),
        Delivery("A", m.Joined(m.Member("B", "b")), 2),
    ]
    assert rooms.relay("A", m.MessageTo("B", 1)) == [Delivery("B", m.MessageFrom("A", 1), 2)]
    assert rooms.refuse("A", ProtocolError(Code.UNKNOWN_TARGET, "Nobody.", to="X")) == [
        Delivery("A", m.ErrorMessage("unknown-target", "Nobody.", "X"), 3)
    ]


@pytest.mark.parametrize("fields", [{}, {"secret": "s"}, {"resume": True}])
def test_who_did_not_ask_for_it_leaves_at_once(fields: dict[str, Any]) -> None:
    rooms = rooms_with("a")
    [welcome, _] = rooms.join("B", m.Join("lab", "b", 1, **fields))
    assert (welcome.message, welcome.number) == (m.Welcome(1, "B", "lab", "b", [m.Member("A", "a")], []), 0)
    assert rooms.suspend("B", "lost", 0.0) == [Delivery("A", m.Left(m.Member("B", "b"), "lost"))]
    assert rooms.next_expiry is None
    with pytest.raises(ProtocolError):
        rooms.resume(resume("b", 0, secret=fields.get("secret", "s")))


def test_who_is_away_is_told_later_and_the_others_see_it_go_and_come() -> None:
    rooms = resumable("a", "b")
    a = m.Member("A", "a")
    assert rooms.suspend("A", "lost", 100.0) == [Delivery("B", m.Away(a, "lost"), 2)]
    assert rooms.suspend("A", "silent", 110.0) == []
    assert rooms.next_expiry == 130.0
    assert rooms.relay("B", m.MessageTo("A", "x")) == []
    [_, away, _] = rooms.join("C", m.Join("lab", "c", 1))
    assert away == Delivery("C", m.Away(a, "lost"))
    assert rooms.expire(129.9) == []
    assert rooms.resume(resume("a", 2)) == [
        Delivery("A", m.Resumed(0)),
        Delivery("A", m.MessageFrom("B", "x", n=None), 3),
        Delivery("A", m.Joined(m.Member("C", "c")), 4),
        Delivery("B", m.Back(a), 4),
        Delivery("C", m.Back(a)),
    ]
    assert rooms.next_expiry is None and rooms.expire(1000.0) == []
    assert rooms.resume(resume("a", 4)) == [Delivery("A", m.Resumed(0))], "not away: its old connection is dead"


def test_after_the_grace_the_place_is_gone() -> None:
    rooms = resumable("a", "b")
    rooms.suspend("A", "silent", 100.0)
    assert rooms.expire(130.0) == [Delivery("B", m.Left(m.Member("A", "a"), "silent"), 3)]
    assert not rooms.has("A") and rooms.has("B")
    assert refused(rooms.resume, resume("a", 2)).code is Code.CANNOT_RESUME


@pytest.mark.parametrize("changes", [{"room": "hall"}, {"id": "C"}, {"id": "B"}, {"secret": "t"}])
def test_nobody_else_comes_back_in_its_place(changes: dict[str, str]) -> None:
    rooms = resumable("a", "b")
    assert refused(rooms.resume, resume("a", 3)).code is Code.CANNOT_RESUME, "more than it was ever told"
    assert refused(rooms.resume, resume("a", **changes)).code is Code.CANNOT_RESUME
    assert rooms.resume(resume("a", 2))


def test_who_missed_more_than_is_kept_takes_its_place_over() -> None:
    rooms = resumable("a", "b", keep=Keep(messages=2))
    rooms.suspend("A", "lost", 0.0)
    for number in range(3):
        rooms.relay("B", m.MessageTo("A", number))
    assert refused(rooms.resume, resume("a", 2)).code is Code.CANNOT_RESUME
    assert rooms.place_of(m.Join("lab", "a", 1, secret="secret of a")) == "A"


def test_who_is_away_gives_its_name_to_who_has_as_much_right_to_it() -> None:
    rooms = resumable("a", "b")
    stranger = m.Join("lab", "a", 1, secret="another")
    assert rooms.place_of(stranger) is None
    rooms.suspend("A", "lost", 0.0)
    assert rooms.place_of(stranger) == rooms.place_of(m.Join("lab", "a", 1)) == "A"
    assert rooms.place_of(m.Join("lab", "b", 1)) is None
    ours, others = (Grants(room="*", name="*", expires=9.0, bearer=bearer) for bearer in ("ours", "other's"))
    rooms.permissions.set("A", ours)
    assert rooms.place_of(stranger) is rooms.place_of(stranger, others) is None
    assert rooms.place_of(stranger, ours) == "A"


def test_what_is_sent_again_is_taken_once() -> None:
    rooms = resumable("a", "b")
    assert len(rooms.relay("A", m.MessageTo("B", 1, n=1))) == 1
    assert rooms.relay("A", m.MessageTo("B", 1, n=1)) == []
    assert len(rooms.relay("A", m.MessageTo("B", 2, n=2))) == 1
    assert refused(rooms.relay, "A", m.MessageTo("X", 3, n=3)).to == "X"
    assert rooms.relay("A", m.MessageTo("X", 3, n=3)) == [], "refused is taken"
    assert rooms.resume(resume("a", 2))[0] == Delivery("A", m.Resumed(3))


def test_both_sides_acknowledge_now_and_then() -> None:
    rooms = resumable("a", "b")
    told = [one for n in range(1, 2 * m.ACK_EVERY + 1) for one in rooms.relay("A", m.MessageTo("B", n, n=n))]
    assert [one.message for one in told if one.to == "A"] == [m.Ack(m.ACK_EVERY), m.Ack(2 * m.ACK_EVERY)]
    rooms.acknowledge("B", 10)
    assert refused(rooms.resume, resume("b", 9)).code is Code.CANNOT_RESUME
    assert len(rooms.resume(resume("b", 10))) == 1 + 2 * m.ACK_EVERY + 1 - 10


steps = st.lists(
    st.tuples(st.sampled_from(["join", "leave"]), st.sampled_from("abcd"), st.sampled_from(["lab", "hall"])),
    max_size=40,
)


@given(steps)
def test_everybodys_picture_of_the_room_is_the_room(steps: list[tuple[str, str, str]]) -> None:
    rooms = Rooms(3)
    present: dict[str, tuple[str, str]] = {}  # id -> room, name
    pictures: dict[str, set[str]] = {}  # id -> the ids that it believes to be there with it
    for number, (action, name, room) in enumerate(steps):
        new_id = f"id{number}"
        try:
            if action == "join":
                deliveries = rooms.join(new_id, m.Join(room, name, 1))
                present[new_id] = (room, name)
            else:
                gone = next((one for one, place in present.items() if place == (room, name)), "nobody")
                deliveries = rooms.leave(gone, "left")
                present.pop(gone, None)
                pictures.pop(gone, None)
        except ProtocolError as error:
            others = [place for place in present.values() if place[0] == room]
            assert len(others) == 3 if error.code is Code.ROOM_FULL else (room, name) in others
            continue
        for delivery in deliveries:
            match delivery.message:
                case m.Welcome(members=members):
                    pictures[delivery.to] = {member.id for member in members}
                case m.Joined(member):
                    pictures[delivery.to].add(member.id)
                case m.Left(member):
                    pictures[delivery.to].remove(member.id)
        for one, (place, _) in present.items():
            assert pictures[one] == {other for other, (where, _) in present.items() if where == place and other != one}
    assert rooms.member_count == len(present)
    assert rooms.room_count == len({room for room, _ in present.values()})
