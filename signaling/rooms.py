"""Rooms: who is in which, and who is to be told what. No I/O, no clock, no ids of its own making.

Every method either returns deliveries (to whom, which message) or raises ProtocolError and changes nothing. Callers
over plain HTTP are guests: they are nobody's member, hear only from the one they call, and have ids that start with
`http-`.

A member that asked for it keeps its seat for `grace` seconds after its connection was lost. What it is told is numbered
and kept until it says that it got it (`Backlog`); what it says is numbered too, and taken once.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from signaling.backlog import Backlog
from signaling.codes import Code, ProtocolError
from signaling.delivery import Delivery, broadcast
from signaling.messages import (
    ACK_EVERY,
    VERSION,
    Ack,
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
    MessageFrom,
    MessageTo,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GUEST_PREFIX", "Addressed", "Delivery", "Keep", "Rooms"]

GUEST_PREFIX: Final = "http-"

Addressed: TypeAlias = DescriptionTo | CandidateTo | ByeTo | MessageTo


@dataclass(frozen=True)
class Keep:
    """What is kept for a member that lost its connection: for `grace` seconds, so many messages and bytes."""

    grace: float = 30.0
    messages: int = 256
    bytes: int = 256 * 1024


@dataclass(slots=True)
class _Seat:
    member: Member
    room: _Room
    proof: bytes | None  # a digest of what the member shows to take its place over, or to resume it
    backlog: Backlog | None  # None: it cannot resume
    taken: int = 0  # the number of its last message that was taken
    acknowledged: int = 0  # what it was told of that
    away: _Absence | None = None


@dataclass(frozen=True, slots=True)
class _Absence:
    reason: str
    until: float


@dataclass(slots=True)
class _Room:
    name: str
    seats: dict[str, _Seat] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)  # name of a member -> its id


class Rooms:
    """All rooms of a server. A room exists while somebody is in it and has at most `size` members."""

    def __init__(self, size: int, ice_servers: tuple[IceServer, ...] = (), keep: Keep | None = None) -> None:
        self._size = size
        self._ice_servers = list(ice_servers)
        self._keep = keep or Keep()
        self._rooms: dict[str, _Room] = {}
        self._seats: dict[str, _Seat] = {}
        self._away: dict[str, _Seat] = {}
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

    def place_of(self, join: Join) -> str | None:
        """The id of the member whose place the join takes over, since it is the same client; mostly None."""
        room = self._rooms.get(join.room)
        held = room.ids.get(join.name) if room is not None else None
        if held is None or join.secret is None or not _proves(join.secret, self._seats[held].proof):
            return None
        return held

    def join(self, new_id: str, join: Join) -> list[Delivery]:
        """Lets the participant `new_id` in. Raises ProtocolError: name-taken, room-full."""
        room = self._rooms.get(join.room) or _Room(join.room)
        if join.name in room.ids:
            text = f"Somebody called {join.name!r} is in the room; join under another name."
            raise ProtocolError(Code.NAME_TAKEN, text)
        if len(room.seats) >= self._size:
            text = f"The room has {self._size} members, which is all it may have; try later or take another room."
            raise ProtocolError(Code.ROOM_FULL, text)
        others = list(room.seats.values())
        member = Member(new_id, join.name, join.polite)
        proof = _digest(join.secret) if join.secret is not None else None
        resumable = join.resume and proof is not None
        backlog = Backlog(self._keep.messages, self._keep.bytes) if resumable else None
        seat = _Seat(member, room, proof, backlog)
        self._rooms[join.room] = room
        room.seats[new_id] = self._seats[new_id] = seat
        room.ids[join.name] = new_id
        present, grace = [other.member for other in others], self._keep.grace if resumable else None
        welcome = Welcome(VERSION, new_id, join.room, join.name, present, self._ice_servers, grace)
        told = _tell([seat], welcome)
        for other in others:
            if other.away is not None:
                told += _tell([seat], Away(other.member, other.away.reason))
        return told + _tell(others, Joined(member))

    def leave(self, member_id: str, reason: str) -> list[Delivery]:
        """Takes a participant out; everybody in the room and every guest of it learns `reason`. Twice is harmless."""
        seat = self._seats.pop(member_id, None)
        if seat is None:
            return []
        self._away.pop(member_id, None)
        room = seat.room
        del room.seats[member_id], room.ids[seat.member.name]
        if not room.seats:
            del self._rooms[room.name]
        left = Left(seat.member, reason)
        guests = [guest for guest, host in self._guests.items() if host == member_id]
        return _tell(room.seats.values(), left) + broadcast(guests, left)

    # A connection is lost, and comes back

    def suspend(self, member_id: str, reason: str, now: float) -> list[Delivery]:
        """The connection of a participant is lost: it is away if it can resume, and leaves if it cannot."""
        seat = self._seats.get(member_id)
        if seat is None or seat.backlog is None:
            return self.leave(member_id, reason)
        if seat.away is not None:
            return []
        seat.away = _Absence(reason, now + self._keep.grace)
        self._away[member_id] = seat
        return _tell(_others(seat), Away(seat.member, reason))

    def resume(self, resume: Resume) -> list[Delivery]:
        """A participant is back over another connection: what it missed follows. Raises ProtocolError: cannot-resume.

        Nothing is lost by asking: the seat stays, so that who is refused can take it over with a join.
        """
        seat = self._seats.get(resume.id)
        known = seat is not None and seat.room.name == resume.room and _proves(resume.secret, seat.proof)
        if seat is None or seat.backlog is None or not known:
            raise ProtocolError(Code.CANNOT_RESUME, "There is no such place any more; join, on this connection.")
        missed = seat.backlog.since(resume.got)
        if missed is None:
            raise ProtocolError(Code.CANNOT_RESUME, "You missed more than is kept; join, on this connection.")
        seat.backlog.acknowledge(resume.got)
        seat.acknowledged = seat.taken
        told = [Delivery(resume.id, Resumed(seat.taken))]
        told += [Delivery(resume.id, number=number, payload=payload) for number, payload in missed]
        if seat.away is not None:
            seat.away = None
            del self._away[resume.id]
            told += _tell(_others(seat), Back(seat.member))
        return told

    def expire(self, now: float) -> list[Delivery]:
        """Takes those out who were away for too long."""
        over = [(one, seat.away.reason) for one, seat in self._away.items() if seat.away and seat.away.until <= now]
        return [delivery for member_id, reason in over for delivery in self.leave(member_id, reason)]

    @property
    def next_expiry(self) -> float | None:
        """When `expire` has something to do; None while nobody is away."""
        return min((seat.away.until for seat in self._away.values() if seat.away), default=None)

    def acknowledge(self, member_id: str, got: int) -> None:
        """A participant got everything up to the number `got`."""
        seat = self._seats.get(member_id)
        if seat is not None and seat.backlog is not None:
            seat.backlog.acknowledge(got)

    # Messages

    def relay(self, member_id: str, message: Addressed) -> list[Delivery]:
        """Passes a message on to its target. Raises ProtocolError (unknown-target).

        A message with a number that was taken before is dropped: it is sent again after a resume. What a member still
        says to a guest that is gone (its last candidates, a hang-up of the call that goes on without this server) is no
        mistake: it is dropped. Only an answer that comes too late is refused.
        """
        seat, to = self._seats[member_id], message.to
        if message.n is not None:
            if message.n <= seat.taken:
                return []
            seat.taken = message.n
        if to in self._guests:
            if self._guests[to] == member_id:
                return [Delivery(to, _passed_on(message, member_id)), *_acknowledged(seat)]
        elif to.startswith(GUEST_PREFIX) and isinstance(message, CandidateTo | ByeTo):
            return _acknowledged(seat)
        target = seat.room.seats.get(to)
        if target is None or target is seat:
            session = None if isinstance(message, MessageTo) else message.session
            text = f"Nobody else with the id {to!r} is in the room; take one from welcome or joined."
            raise ProtocolError(Code.UNKNOWN_TARGET, text, to=to, session=session)
        return _tell([target], _passed_on(message, member_id)) + _acknowledged(seat)

    def refuse(self, member_id: str, error: ProtocolError) -> list[Delivery]:
        """Tells a participant that a message of its was refused."""
        seat = self._seats[member_id]
        return _tell([seat], ErrorMessage(error.code.value, error.message, error.to, error.session))

    def admit_guest(self, guest_id: str, room: str, name: str) -> Member:
        """Lets a guest call the member `name` of `room`, and returns that. Raises ProtocolError (unknown-target)."""
        host = self.find(room, name)
        if host is None:
            raise ProtocolError(Code.UNKNOWN_TARGET, "Nobody of that name is in the room; check both, or try later.")
        self._guests[guest_id] = host.id
        return host

    def call_as_guest(self, guest_id: str, message: DescriptionFrom | ByeFrom) -> list[Delivery]:
        """Passes an offer or a bye of a guest on to the member it calls, if that is still there."""
        host = self._guests[guest_id]
        return _tell([self._seats[host]], message) if host in self._seats else []

    def dismiss_guest(self, guest_id: str) -> None:
        """Forgets a guest. Twice is harmless."""
        self._guests.pop(guest_id, None)


def _tell(seats: Iterable[_Seat], message: ServerMessage) -> list[Delivery]:
    """`message` for these; those who are away get it when they are back."""
    payload = encode(message).encode()
    told = []
    for seat in seats:
        number = seat.backlog.append(payload) if seat.backlog is not None else 0
        if seat.away is None:
            told.append(Delivery(seat.member.id, message, number, payload))
    return told


def _others(seat: _Seat) -> list[_Seat]:
    return [other for other in seat.room.seats.values() if other is not seat]


def _acknowledged(seat: _Seat) -> list[Delivery]:
    """Now and then, how far the messages of a participant were taken."""
    if seat.taken - seat.acknowledged < ACK_EVERY:
        return []
    seat.acknowledged = seat.taken
    return [Delivery(seat.member.id, Ack(seat.taken))]


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _proves(secret: str, proof: bytes | None) -> bool:
    return proof is not None and hmac.compare_digest(_digest(secret), proof)


def _passed_on(message: Addressed, sender: str) -> ServerMessage:
    match message:
        case DescriptionTo(_, session, description, replaces, texts):
            return DescriptionFrom(sender, session, description, replaces=replaces, texts=texts)
        case CandidateTo(_, session, candidate):
            return CandidateFrom(sender, session, candidate)
        case ByeTo(_, session, reason, text):
            return ByeFrom(sender, session, reason, text)
        case MessageTo(_, data):
            return MessageFrom(sender, data)
