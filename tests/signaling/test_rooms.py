"""Rooms: who is told what. The model test checks that everybody's picture of the room is the room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import messages as m
from signaling.codes import Code, ProtocolError
from signaling.rooms import Delivery, Rooms

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
