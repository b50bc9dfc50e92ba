"""The rooms of this node: requests of edges in, answers out, and a journal to go on from elsewhere. No I/O, no clock.

`apply` is deterministic: whoever reads the journal of a room and applies its steps has the same room. The shell
(`signaling.cluster`) sends answers only after the steps they follow from are in the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signaling.codes import Code, ProtocolError
from signaling.messages import (
    MAX_RELAYED_BYTES,
    ByeTo,
    CandidateTo,
    DescriptionTo,
    Kick,
    MessageTo,
    parse_client,
    parse_server,
)
from signaling.nodewire import (
    Admit,
    Admitted,
    AnyAnswer,
    AnyRequest,
    Attach,
    Depart,
    Dismiss,
    Enter,
    Entered,
    Expel,
    Expire,
    Gone,
    GuestSays,
    Heard,
    NodeGone,
    Refused,
    Return,
    Say,
    Snapshot,
    Step,
    Taken,
    Told,
    pack,
    read_record,
)
from signaling.rate import RateLimit, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from signaling.credentials import Grants
    from signaling.delivery import Delivery
    from signaling.rooms import Rooms

Mail = tuple[str, AnyAnswer]
"""An answer, with the node it goes to."""


class Owner:
    """Applies requests to the rooms of this node. `banned` is told of who was sent away, perhaps more than once."""

    def __init__(
        self,
        rooms: Rooms,
        calls_per_second: int = 100,
        calls_at_once: int = 500,
        banned: Callable[[str, Grants], None] | None = None,
    ) -> None:
        self.rooms = rooms
        self._banned = banned
        self._calls_per_second = calls_per_second
        self._calls_at_once = calls_at_once
        self._calls: dict[str, RateLimit] = {}  # id of a member -> how many guests may call it
        self._handlers: dict[type, Callable[[Any, float], list[Mail]]] = {
            Enter: lambda request, _: self._enter(request),
            Return: lambda request, _: self._return(request),
            Attach: lambda request, _: self._attach(request),
            Say: lambda request, _: self._say(request),
            Heard: lambda request, _: self._heard(request),
            Depart: self._depart,
            Expel: lambda request, _: self._expel(request.id, request.code, request.text),
            Admit: self._admit,
            GuestSays: lambda request, _: self._guest_says(request),
            Dismiss: lambda request, _: self._dismiss(request),
            NodeGone: lambda request, _: self._node_gone(request),
            Expire: lambda request, now: self._addressed(self.rooms.expire(now, request.room)),
        }
        self._places: dict[str, str] = {}  # id of a member or guest -> its edge
        self._unsure: dict[str, set[str]] = {}  # room -> members that no edge attached since the room was taken over

    def apply(self, request: AnyRequest, now: float) -> list[Mail]:
        """Carries a request out; what cannot be is answered with `Refused` or passed over."""
        handle: Callable[[Any, float], list[Mail]] = self._handlers[type(request)]
        return handle(request, now)

    # Going on elsewhere

    def snapshot(self, room: str) -> bytes:
        """All there is to know of a room, for its journal."""
        state = self.rooms.export(room)
        known = {seat.member.id for seat in state.seats} | state.guests.keys()
        return pack(Snapshot(state, {one: node for one, node in self._places.items() if one in known}))

    def restore(self, room: str, records: Iterable[bytes]) -> None:
        """Goes on with a room from its journal. Raises ValueError for what is none."""
        self.forget(room)
        for record in map(read_record, records):
            if isinstance(record, Step):
                self.apply(record.request, record.now)
            else:
                self.rooms.adopt(record.state)
                self._places |= record.places
        self.doubt(room)

    def doubt(self, room: str) -> None:
        """Whether the members of a room are still there is for their edges to say."""
        self._unsure[room] = set(self.rooms.ids_of(room))

    def forget(self, room: str) -> None:
        """Another node has it."""
        state = self.rooms.export(room)
        for one in (*(seat.member.id for seat in state.seats), *state.guests):
            self._places.pop(one, None)
        self._unsure.pop(room, None)
        self.rooms.forget(room)

    def nodes_of(self, room: str) -> set[str]:
        """The edges of all members of a room."""
        return {self._places[one] for one in self.rooms.ids_of(room) if one in self._places}

    def unsure_of(self, room: str) -> list[str]:
        """Members that no edge has attached since the room was taken over; asked for once."""
        return sorted(self._unsure.pop(room, ()))

    # Requests

    def _enter(self, request: Enter) -> list[Mail]:
        new_id, join = request.id, request.join
        if self.rooms.has(new_id):  # asked twice: the answer got lost
            return self._attach(Attach(request.room, request.node, new_id, 0))
        try:
            self.rooms.permissions.check_join(request.grants, join.room, join.name)  # the edge does not know all bans
        except ProtocolError as error:
            return [(request.node, Refused(new_id, error.code.value, error.message))]
        before = self.rooms.place_of(join, request.grants)
        mail: list[Mail] = []
        if before is not None:
            edge = self._places.pop(before, None)
            mail = self._addressed(self.rooms.leave(before, Code.REPLACED.value))
            if edge is not None:
                mail.append((edge, Gone(before, Code.REPLACED.value)))
        try:
            deliveries = self.rooms.join(new_id, join, request.grants, request.ice_servers)
        except ProtocolError as error:
            return [*mail, (request.node, Refused(new_id, error.code.value, error.message))]
        self._places[new_id] = request.node
        return mail + self._addressed(deliveries)

    def _return(self, request: Return) -> list[Mail]:
        member = request.resume.id
        try:
            deliveries = self.rooms.resume(request.resume)
        except ProtocolError as error:
            return [(request.node, Refused(request.id, error.code.value, error.message))]
        before, grants = self._places.get(member), self.rooms.permissions.of(member)
        _, name = self.rooms.whereabouts(member) or ("", "")
        self._attached(request.room, member, request.node)
        mail: list[Mail] = [(request.node, Entered(request.id, member, name, self.rooms.taken(member), grants))]
        if before is not None and before != request.node:
            mail.append((before, Gone(member, Code.REPLACED.value)))
        return mail + self._addressed(deliveries)

    def _attach(self, request: Attach) -> list[Mail]:
        edge = self._places.get(request.id, request.node)  # none: the owner had given this edge up
        if edge != request.node:
            return [(request.node, Gone(request.id, Code.REPLACED.value))]
        deliveries = self.rooms.reattach(request.id, request.got)
        if deliveries is None:
            return [(request.node, Gone(request.id, Code.CANNOT_RESUME.value))]
        self._attached(request.room, request.id, request.node)
        return [*self._addressed(deliveries), (request.node, Taken(request.id, self.rooms.taken(request.id)))]

    def _attached(self, room: str, member: str, node: str) -> None:
        self._places[member] = node
        self._unsure.get(room, set()).discard(member)

    def _say(self, request: Say) -> list[Mail]:
        """Takes each message once and in order: one that came before, or before one that is missing, is not taken."""
        member = request.id
        if self._places.get(member) != request.node or not self.rooms.has(member):
            return []
        taken = self.rooms.taken(member)
        if not request.after <= taken < request.n:
            return [(request.node, Taken(member, taken))]
        if request.grants is not None:
            self.rooms.take(member, request.n)
            self.rooms.permissions.set(member, request.grants)
            told = self._addressed(self.rooms.tell(member, parse_server(request.text)))
        else:
            told = self._said(member, request)
        return [*told, (request.node, Taken(member, request.n))]

    def _said(self, member: str, request: Say) -> list[Mail]:
        try:
            message = parse_client(request.text, max_bytes=MAX_RELAYED_BYTES)  # it has grown by its number
            if isinstance(message, DescriptionTo | CandidateTo | ByeTo | MessageTo):
                return self._addressed(self.rooms.relay(member, message))
            self.rooms.take(member, request.n)
            if isinstance(message, Kick):
                self.rooms.check_kick(member, message.to)
                return self._send_away(message)
        except ProtocolError as error:
            self.rooms.take(member, request.n)
            return self._addressed(self.rooms.refuse(member, error))
        return []

    def _send_away(self, kick: Kick) -> list[Mail]:
        said = f": {kick.text}" if kick.text else ""
        return self._expel(kick.to, Code.KICKED.value, f"You were sent away from this room{said}.")

    def _expel(self, member: str, code: str, text: str) -> list[Mail]:
        whereabouts, grants = self.rooms.whereabouts(member), self.rooms.permissions.of(member)
        if code == Code.KICKED.value and whereabouts is not None and grants is not None:
            self.rooms.permissions.ban(whereabouts[0], grants)
            if self._banned is not None:
                self._banned(whereabouts[0], grants)
        mail = self._addressed(self.rooms.leave(member, code))
        edge = self._places.pop(member, None)
        return mail if edge is None else [*mail, (edge, Gone(member, code, text))]

    def _depart(self, request: Depart, now: float) -> list[Mail]:
        if self._places.get(request.id) != request.node:
            return [(request.node, Gone(request.id))]
        del self._places[request.id]
        if request.lost:
            told = self.rooms.suspend(request.id, request.reason, now)
        else:
            told = self.rooms.leave(request.id, request.reason)
        return [*self._addressed(told), (request.node, Gone(request.id))]

    def _admit(self, request: Admit, now: float) -> list[Mail]:
        try:
            self._check_calls(request, now)
            host = self.rooms.admit_guest(request.id, request.room, request.name, request.grants)
        except ProtocolError as error:
            return [(request.node, Refused(request.id, error.code.value, error.message))]
        self._places[request.id] = request.node
        return [(request.node, Admitted(request.id, host))]

    def _check_calls(self, request: Admit, now: float) -> None:
        host = self.rooms.find(request.room, request.name)
        if host is None:
            return
        self._calls = {one: limit for one, limit in self._calls.items() if self.rooms.has(one)}
        limit = self._calls.setdefault(host.id, RateLimit(self._calls_per_second, self._calls_at_once, now))
        if limit.judge(now) is not Verdict.TAKE:
            raise ProtocolError(Code.RATE_LIMITED, "Too many call this participant; try again in a second.")

    def _heard(self, request: Heard) -> list[Mail]:
        if self._places.get(request.id) == request.node:
            self.rooms.acknowledge(request.id, request.got)
        return []

    def _guest_says(self, request: GuestSays) -> list[Mail]:
        if self._places.get(request.id) != request.node:
            return []
        return self._addressed(self.rooms.call_as_guest(request.id, request.message))

    def _dismiss(self, request: Dismiss) -> list[Mail]:
        if self._places.get(request.id) == request.node:
            del self._places[request.id]
            self.rooms.dismiss_guest(request.id)
        return []

    def _node_gone(self, request: NodeGone) -> list[Mail]:
        mail: list[Mail] = []
        for member in self.rooms.ids_of(request.room):
            if member in request.ids or self._places.get(member) == request.gone:
                self._places.pop(member, None)
                mail += self._addressed(self.rooms.suspend(member, "silent", request.since))
        for guest in self.rooms.export(request.room).guests:
            if self._places.get(guest) == request.gone:
                del self._places[guest]
                self.rooms.dismiss_guest(guest)
        return mail

    def _addressed(self, deliveries: Iterable[Delivery]) -> list[Mail]:
        """To the edges of those who are to be told; what goes to nobody's edge waits in the backlog."""
        return [
            (self._places[one.to], Told(one.to, one.number, one.payload))
            for one in deliveries
            if one.to in self._places
        ]
