"""Rooms: who is in which, and who is to be told what. No I/O, no clock, no ids of its own making.

Every method either returns deliveries (to whom, which message) or raises ProtocolError and changes nothing. Callers
over plain HTTP are guests: they are nobody's member, hear only from the one they call, and have ids that start with
`http-`.

A member that asked for it keeps its seat for `grace` seconds after its connection was lost. What it is told is numbered
and kept until it says that it got it (`Backlog`); what it says is numbered too, and taken once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from signaling.backlog import Backlog
from signaling.codes import Code, ProtocolError
from signaling.delivery import Delivery, broadcast
from signaling.messages import (
    ACK_EVERY,
    VERSION,
    Away,
    Back,
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    ErrorMessage,
    IceServer,
    Join,
    Joined,
    Left,
    Member,
    MessageTo,
    Resume,
    Resumed,
    Welcome,
    passed_on,
)
from signaling.permissions import Permissions, check_call, check_moderator
from signaling.roomstate import RoomState
from signaling.seats import (
    Absence,
    Keep,
    Place,
    Seat,
    acknowledged,
    digest,
    exported,
    others_of,
    proves,
    repeated,
    tell,
    tell_one,
)

if TYPE_CHECKING:
    from signaling.credentials import Grants
    from signaling.messages import ServerMessage

__all__ = ["GUEST_PREFIX", "Addressed", "Delivery", "Keep", "Rooms"]

GUEST_PREFIX: Final = "http-"

Addressed: TypeAlias = DescriptionTo | CandidateTo | ByeTo | MessageTo


class Rooms:
    """All rooms of a server. A room exists while somebody is in it and has at most `size` members."""

    def __init__(self, size: int, keep: Keep | None = None) -> None:
        self._size = size
        self._keep = keep or Keep()
        self.permissions = Permissions()
        self._rooms: dict[str, Place] = {}
        self._seats: dict[str, Seat] = {}
        self._away: dict[str, Seat] = {}
        self._guests: dict[str, str] = {}  # guest id -> the member it calls

    @property
    def room_count(self) -> int:
        """How many rooms have somebody in them."""
        return len(self._rooms)

    @property
    def member_count(self) -> int:
        """How many members all rooms have, guests not counted."""
        return len(self._seats)

    @property
    def guest_count(self) -> int:
        """How many guests wait for an answer."""
        return len(self._guests)

    def find(self, room: str, name: str) -> Member | None:
        """The member called `name` in `room`."""
        place = self._rooms.get(room)
        return place.seats[place.ids[name]].member if place is not None and name in place.ids else None

    def has(self, member_id: str) -> bool:
        """Whether a member of this id is in some room, present or away."""
        return member_id in self._seats

    def ids_of(self, room: str) -> list[str]:
        """The ids of the members of a room, present or away."""
        return list(self._rooms[room].seats) if room in self._rooms else []

    def taken(self, member_id: str) -> int:
        """The number of the last message of a member that was taken."""
        return self._seats[member_id].taken

    def listing(self) -> list[tuple[str, int]]:
        """Name of each room and how many members it has, by name."""
        return sorted((name, len(room.seats)) for name, room in self._rooms.items())

    def members_of(self, room: str) -> list[Member]:
        """Who is in a room; nobody is in one that does not exist."""
        place = self._rooms.get(room)
        return [seat.member for seat in place.seats.values()] if place is not None else []

    def whereabouts(self, member_id: str) -> tuple[str, str] | None:
        """The room and the name of a member."""
        seat = self._seats.get(member_id)
        return (seat.room.name, seat.member.name) if seat is not None else None

    def place_of(self, join: Join, grants: Grants | None = None) -> str | None:
        """The id of the member whose place the join takes over; mostly None.

        It is the same client, or the member is away and the newcomer has as much right to the name: a program that was
        killed and is started again knows nothing of the place it had.
        """
        room = self._rooms.get(join.room)
        held = room.ids.get(join.name) if room is not None else None
        if held is None:
            return None
        seat, theirs = self._seats[held], self.permissions.of(held)
        same = join.secret is not None and proves(join.secret, seat.proof)
        free = theirs is None or (grants is not None and grants.bearer == theirs.bearer)
        return held if same or (seat.away is not None and free) else None

    def join(
        self, new_id: str, join: Join, grants: Grants | None = None, ice_servers: list[IceServer] | None = None
    ) -> list[Delivery]:
        """Lets the participant `new_id` in, who is told these ICE servers. Raises ProtocolError: name-taken, room-full.

        Whether the grants are for this room and name has been checked.
        """
        room = self._rooms.get(join.room) or Place(join.room)
        if join.name in room.ids:
            text = f"Somebody called {join.name!r} is in the room; join under another name."
            raise ProtocolError(Code.NAME_TAKEN, text)
        if len(room.seats) >= self._size:
            text = f"The room has {self._size} members, which is all it may have; try later or take another room."
            raise ProtocolError(Code.ROOM_FULL, text)
        others = list(room.seats.values())
        can = grants.can if grants is not None else None
        member = Member(new_id, join.name, join.polite, can if can is not None else msgspec.UNSET)
        proof = digest(join.secret) if join.secret is not None else None
        resumable = join.resume and proof is not None
        backlog = self._backlog() if resumable or self._keep.everybody else None
        seat = Seat(member, room, proof, backlog, resumable)
        self._rooms[join.room] = room
        room.seats[new_id] = self._seats[new_id] = seat
        room.ids[join.name] = new_id
        self.permissions.set(new_id, grants)
        present, grace = [other.member for other in others], self._keep.grace if resumable else None
        welcome = Welcome(VERSION, new_id, join.room, join.name, present, ice_servers or [], can, grace)
        told = tell([seat], welcome)
        for other in others:
            if other.away is not None:
                told += tell([seat], Away(other.member, other.away.reason))
        return told + tell(others, Joined(member))

    def leave(self, member_id: str, reason: str) -> list[Delivery]:
        """Takes a participant out; everybody in the room and every guest of it learns `reason`. Twice is harmless."""
        seat = self._seats.pop(member_id, None)
        if seat is None:
            return []
        self._away.pop(member_id, None)
        self.permissions.forget(member_id)
        room = seat.room
        del room.seats[member_id], room.ids[seat.member.name]
        if not room.seats:
            del self._rooms[room.name]
        left = Left(seat.member, reason)
        guests = [guest for guest, host in self._guests.items() if host == member_id]
        return tell(room.seats.values(), left) + broadcast(guests, left)

    # A connection is lost, and comes back

    def suspend(self, member_id: str, reason: str, now: float) -> list[Delivery]:
        """The connection of a participant is lost: it is away if it can resume, and leaves if it cannot."""
        seat = self._seats.get(member_id)
        if seat is None or not seat.resumable:
            return self.leave(member_id, reason)
        if seat.away is not None:
            return []
        seat.away = Absence(reason, now + self._keep.grace)
        self._away[member_id] = seat
        return tell(others_of(seat), Away(seat.member, reason))

    def resume(self, resume: Resume) -> list[Delivery]:
        """A participant is back over another connection: what it missed follows. Raises ProtocolError: cannot-resume.

        Nothing is lost by asking: the seat stays, so that who is refused can take it over with a join.
        """
        seat = self._seats.get(resume.id)
        known = seat is not None and seat.room.name == resume.room and proves(resume.secret, seat.proof)
        if seat is None or seat.backlog is None or not (seat.resumable and known):
            raise ProtocolError(Code.CANNOT_RESUME, "There is no such place any more; join, on this connection.")
        missed = seat.backlog.since(resume.got)
        if missed is None:
            raise ProtocolError(Code.CANNOT_RESUME, "You missed more than is kept; join, on this connection.")
        seat.backlog.acknowledge(resume.got)
        seat.acknowledged = seat.taken
        return [Delivery(resume.id, Resumed(seat.taken)), *repeated(seat, missed), *self._back(seat)]

    def reattach(self, member_id: str, got: int) -> list[Delivery] | None:
        """What a participant was told after the number `got`, for the node that holds its connection all the while.

        None: it is no member, or not all of it is kept.
        """
        seat = self._seats.get(member_id)
        missed = seat.backlog.since(got) if seat is not None and seat.backlog is not None else None
        return None if seat is None or missed is None else [*repeated(seat, missed), *self._back(seat)]

    def _back(self, seat: Seat) -> list[Delivery]:
        if seat.away is None:
            return []
        seat.away = None
        del self._away[seat.member.id]
        return tell(others_of(seat), Back(seat.member))

    def expire(self, now: float, room: str | None = None) -> list[Delivery]:
        """Takes those out who were away for too long, of one room or of all."""
        over = [
            (member_id, seat.away.reason)
            for member_id, seat in self._away.items()
            if seat.away and seat.away.until <= now and room in {None, seat.room.name}
        ]
        return [delivery for member_id, reason in over for delivery in self.leave(member_id, reason)]

    @property
    def next_expiry(self) -> float | None:
        """When `expire` has something to do; None while nobody is away."""
        return min((seat.away.until for seat in self._away.values() if seat.away), default=None)

    def overdue(self, now: float) -> set[str]:
        """The rooms in which `expire` has something to do."""
        return {seat.room.name for seat in self._away.values() if seat.away and seat.away.until <= now}

    def acknowledge(self, member_id: str, got: int) -> None:
        """A participant got everything up to the number `got`."""
        seat = self._seats.get(member_id)
        if seat is not None and seat.backlog is not None:
            seat.backlog.acknowledge(got)

    # Messages

    def relay(self, member_id: str, message: Addressed) -> list[Delivery]:
        """Passes a message on to its target. Raises ProtocolError: unknown-target, not-allowed.

        A message with a number that was taken before is dropped: it is sent again after a resume. What a member still
        says to a guest that is gone (its last candidates, a hang-up of the call that goes on without this server) is no
        mistake: it is dropped. Only an answer that comes too late is refused.
        """
        seat, to = self._seats[member_id], message.to
        if message.n is not None:
            if message.n <= seat.taken:
                return []
            seat.taken = message.n
        target = seat.room.seats.get(to)
        if target is None or target is seat:
            return self._relay_to_guest(seat, message)
        self.permissions.check(member_id, message)
        told = tell_one(target, passed_on(message, member_id))
        return told if seat.taken - seat.acknowledged < ACK_EVERY else told + acknowledged(seat)

    def _relay_to_guest(self, seat: Seat, message: Addressed) -> list[Delivery]:
        to, member_id = message.to, seat.member.id
        if self._guests.get(to) == member_id:
            self.permissions.check(member_id, message)
            return [Delivery(to, passed_on(message, member_id)), *acknowledged(seat)]
        if to not in self._guests and to.startswith(GUEST_PREFIX) and isinstance(message, CandidateTo | ByeTo):
            return acknowledged(seat)
        raise _absent(to, None if isinstance(message, MessageTo) else message.session)

    def take(self, member_id: str, number: int | None) -> bool:
        """Whether a message of a participant, by its number, is to be taken: it was not before."""
        seat = self._seats[member_id]
        if number is not None:
            if number <= seat.taken:
                return False
            seat.taken = number
        return True

    def check_kick(self, member_id: str, to: str) -> None:
        """Whether a member may send another one away. Raises ProtocolError: not-allowed, unknown-target."""
        check_moderator(self.permissions.of(member_id))
        if to == member_id or to not in self._seats[member_id].room.seats:
            raise _absent(to, None)

    def tell(self, member_id: str, message: ServerMessage) -> list[Delivery]:
        """Tells one member something of the server's own."""
        seat = self._seats.get(member_id)
        return tell([seat], message) if seat is not None else []

    def refuse(self, member_id: str, error: ProtocolError) -> list[Delivery]:
        """Tells a participant that a message of its was refused."""
        return self.tell(member_id, ErrorMessage(error.code.value, error.message, error.to, error.session))

    def admit_guest(self, guest_id: str, room: str, name: str, grants: Grants | None = None) -> Member:
        """Lets a guest call the member `name` of `room`, and returns that.

        Raises ProtocolError: unknown-target, not-allowed.
        """
        host = self.find(room, name)
        if host is None:
            raise ProtocolError(Code.UNKNOWN_TARGET, "Nobody of that name is in the room; check both, or try later.")
        check_call(grants, self.permissions.of(host.id))
        self._guests[guest_id] = host.id
        return host

    def call_as_guest(self, guest_id: str, message: DescriptionFrom | CandidateFrom | ByeFrom) -> list[Delivery]:
        """Passes an offer, a candidate or a bye of a guest on to the member it calls, if that is still there."""
        host = self._guests[guest_id]
        return tell([self._seats[host]], message) if host in self._seats else []

    def dismiss_guest(self, guest_id: str) -> None:
        """Forgets a guest. Twice is harmless."""
        self._guests.pop(guest_id, None)
        self.permissions.forget(guest_id)

    # A room moves to another node

    def export(self, room: str) -> RoomState:
        """All there is to know of a room."""
        seats = self._rooms[room].seats.values() if room in self._rooms else ()
        here = set(self.ids_of(room))
        guests = {guest: host for guest, host in self._guests.items() if host in here}
        known = self.permissions
        states = [exported(one, known.of(one.member.id), known.calls_of(one.member.id)) for one in seats]
        return RoomState(room, states, guests, known.banned_from(room))

    def adopt(self, state: RoomState) -> None:
        """Goes on with a room that was exported."""
        self.forget(state.room)
        room = Place(state.room)
        for one in state.seats:
            backlog = self._backlog()
            backlog.restore(one.last, one.kept)
            seat = Seat(one.member, room, one.proof, backlog, one.resumable, one.taken, one.acknowledged)
            room.seats[one.member.id] = self._seats[one.member.id] = seat
            room.ids[one.member.name] = one.member.id
            self.permissions.restore(one.member.id, one.grants, one.calls)
            if one.away is not None:
                seat.away = Absence(*one.away)
                self._away[one.member.id] = seat
        if room.seats:
            self._rooms[state.room] = room
        self._guests.update(state.guests)
        self.permissions.ban_again(state.room, state.banned)

    def forget(self, room: str) -> None:
        """Another node has the room now: nobody is told anything."""
        for member_id in self.ids_of(room):
            self._seats.pop(member_id)
            self._away.pop(member_id, None)
            self.permissions.forget(member_id)
        self._rooms.pop(room, None)
        self.permissions.pardon(room)
        self._guests = {guest: host for guest, host in self._guests.items() if host in self._seats}

    def _backlog(self) -> Backlog:
        return Backlog(self._keep.messages, self._keep.bytes)


def _absent(to: str, session: str | None) -> ProtocolError:
    text = f"Nobody else with the id {to!r} is in the room; take one from welcome or joined."
    return ProtocolError(Code.UNKNOWN_TARGET, text, to=to, session=session)
