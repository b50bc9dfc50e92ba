"""Rooms: who is in which, and who is to be told what. No I/O, no clock, no ids of its own making.

Every method either returns deliveries (to whom, which message) or raises ProtocolError and changes nothing. Callers
over plain HTTP are guests: they are nobody's member, hear only from the one they call, and have ids that start with
`http-`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from signaling.codes import Code, ProtocolError
from signaling.messages import (
    VERSION,
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    IceServer,
    Join,
    Joined,
    Left,
    Member,
    MessageFrom,
    MessageTo,
    ServerMessage,
    Welcome,
)
from signaling.permissions import Permissions, check_call, check_moderator

if TYPE_CHECKING:
    from signaling.credentials import Grants

GUEST_PREFIX: Final = "http-"

Addressed: TypeAlias = DescriptionTo | CandidateTo | ByeTo | MessageTo


@dataclass(frozen=True)
class Delivery:
    """`message` goes to the participant or guest `to`."""

    to: str
    message: ServerMessage


@dataclass
class _Room:
    name: str
    members: dict[str, Member] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)  # name of a member -> its id
    secrets: dict[str, str] = field(default_factory=dict)  # id of a member -> what it takes its place over with


class Rooms:
    """All rooms of a server. A room exists while somebody is in it and has at most `size` members."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.permissions = Permissions()
        self._rooms: dict[str, _Room] = {}
        self._room_of: dict[str, _Room] = {}  # member id -> its room
        self._guests: dict[str, str] = {}  # guest id -> the member it calls

    @property
    def room_count(self) -> int:
        """How many rooms have somebody in them."""
        return len(self._rooms)

    @property
    def member_count(self) -> int:
        """How many members all rooms have, guests not counted."""
        return len(self._room_of)

    @property
    def guest_count(self) -> int:
        """How many guests wait for an answer."""
        return len(self._guests)

    def find(self, room: str, name: str) -> Member | None:
        """The member called `name` in `room`."""
        place = self._rooms.get(room)
        return place.members[place.ids[name]] if place is not None and name in place.ids else None

    def whereabouts(self, member_id: str) -> tuple[str, str] | None:
        """The room and the name of a member."""
        room = self._room_of.get(member_id)
        return (room.name, room.members[member_id].name) if room is not None else None

    def place_of(self, join: Join) -> str | None:
        """The id of the member whose place the join takes over, since it is the same client; mostly None."""
        room = self._rooms.get(join.room)
        held = room.ids.get(join.name) if room is not None else None
        if room is None or held is None or join.secret is None or room.secrets.get(held) != join.secret:
            return None
        return held

    def join(
        self, new_id: str, join: Join, grants: Grants | None = None, ice_servers: list[IceServer] | None = None
    ) -> list[Delivery]:
        """Lets the participant `new_id` in, who is told these ICE servers. Raises ProtocolError: name-taken, room-full.

        Whether the grants are for this room and name has been checked.
        """
        room = self._rooms.get(join.room) or _Room(join.room)
        if join.name in room.ids:
            text = f"Somebody called {join.name!r} is in the room; join under another name."
            raise ProtocolError(Code.NAME_TAKEN, text)
        if len(room.members) >= self._size:
            text = f"The room has {self._size} members, which is all it may have; try later or take another room."
            raise ProtocolError(Code.ROOM_FULL, text)
        others = list(room.members.values())
        can = grants.can if grants is not None else None
        member = Member(new_id, join.name, join.polite, can if can is not None else msgspec.UNSET)
        self._rooms[join.room] = self._room_of[new_id] = room
        room.members[new_id] = member
        room.ids[join.name] = new_id
        if join.secret is not None:
            room.secrets[new_id] = join.secret
        self.permissions.set(new_id, grants)
        welcome = Welcome(VERSION, new_id, join.room, join.name, others, ice_servers or [], can)
        return [Delivery(new_id, welcome), *(Delivery(other.id, Joined(member)) for other in others)]

    def leave(self, member_id: str, reason: str) -> list[Delivery]:
        """Takes a participant out; everybody in the room and every guest of it learns `reason`. Twice is harmless."""
        room = self._room_of.pop(member_id, None)
        if room is None:
            return []
        member = room.members.pop(member_id)
        del room.ids[member.name]
        room.secrets.pop(member_id, None)
        self.permissions.forget(member_id)
        if not room.members:
            del self._rooms[room.name]
        left = Left(member, reason)
        guests = [guest for guest, host in self._guests.items() if host == member_id]
        return [Delivery(one, left) for one in (*room.members, *guests)]

    def relay(self, member_id: str, message: Addressed) -> list[Delivery]:
        """Passes a message on to its target. Raises ProtocolError: unknown-target, not-allowed.

        What a member still says to a guest that is gone (its last candidates, a hang-up of the call that goes on
        without this server) is no mistake: it is dropped. Only an answer that comes too late is refused.
        """
        to = message.to
        if to in self._guests:
            if self._guests[to] == member_id:
                self.permissions.check(member_id, message)
                return [Delivery(to, _passed_on(message, member_id))]
        elif to.startswith(GUEST_PREFIX) and isinstance(message, CandidateTo | ByeTo):
            return []
        self._check_present(member_id, to, None if isinstance(message, MessageTo) else message.session)
        self.permissions.check(member_id, message)
        return [Delivery(to, _passed_on(message, member_id))]

    def check_kick(self, member_id: str, to: str) -> None:
        """Whether a member may send another one away. Raises ProtocolError: not-allowed, unknown-target."""
        check_moderator(self.permissions.of(member_id))
        self._check_present(member_id, to)

    def _check_present(self, member_id: str, to: str, session: str | None = None) -> None:
        if to not in self._room_of[member_id].members or to == member_id:
            text = f"Nobody else with the id {to!r} is in the room; take one from welcome or joined."
            raise ProtocolError(Code.UNKNOWN_TARGET, text, to=to, session=session)

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
        return [Delivery(host, message)] if host in self._room_of else []

    def dismiss_guest(self, guest_id: str) -> None:
        """Forgets a guest. Twice is harmless."""
        self._guests.pop(guest_id, None)
        self.permissions.forget(guest_id)


def _passed_on(message: Addressed, sender: str) -> ServerMessage:
    match message:
        case DescriptionTo(_, session, description, replaces, texts, about):
            return DescriptionFrom(sender, session, description, replaces=replaces, texts=texts, about=about)
        case CandidateTo(_, session, candidate):
            return CandidateFrom(sender, session, candidate)
        case ByeTo(_, session, reason, text):
            return ByeFrom(sender, session, reason, text)
        case MessageTo(_, data):
            return MessageFrom(sender, data)
