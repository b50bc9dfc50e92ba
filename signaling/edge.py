"""The members whose connections this node holds: what was asked of the owners of their rooms and not answered yet.

Mail between nodes may be lost. So everything here is asked again until it is answered, and what members say and hear is
numbered, whether their clients know numbers or not. No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from signaling.backlog import numbered
from signaling.messages import ACK_EVERY, to_json
from signaling.nodewire import AnyRequest, Attach, Depart, Enter, Heard, Return, Say, Told

if TYPE_CHECKING:
    from signaling.credentials import Grants
    from signaling.ice_servers import IceServer
    from signaling.messages import Join, Kick, Resume, Token, TokenTaken
    from signaling.nodewire import Entered
    from signaling.rooms import Addressed

UNTAKEN: Final = 512  # messages of a member that may wait for the owner; a member with more is sent away


@dataclass(slots=True)
class EdgeSeat:
    """A member of this node. `numbers`: its client knows them, and may come back to its place."""

    id: str
    room: str
    name: str
    numbers: bool
    got: int = 0  # the number of the last message that went to the client
    told: int = 0  # what the owner knows of that, when the client does not say it itself
    said: int = 0  # the number of its last message that went to the owner
    asked: Enter | Attach | None = None  # has to be answered first
    untaken: deque[Say] = field(default_factory=deque)
    departs: Depart | None = None
    since: float = 0.0  # when the owner last answered, or was asked for the first time after it had answered everything

    @property
    def waits(self) -> bool:
        """Whether something was not answered yet."""
        return self.asked is not None or bool(self.untaken) or self.departs is not None


class Edge:
    """Makes the requests of the members of this node."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._seats: dict[str, EdgeSeat] = {}
        self._rooms: dict[str, dict[str, EdgeSeat]] = {}

    def get(self, member: str) -> EdgeSeat | None:
        """The member, if this node holds its connection, or has still to say that it departed."""
        return self._seats.get(member)

    @property
    def rooms(self) -> list[str]:
        """The rooms that members of this node are in."""
        return list(self._rooms)

    def enter(self, member: str, join: Join, grants: Grants | None, ice_servers: list[IceServer], now: float) -> Enter:
        """A client joins."""
        secret = _hidden(join.secret) if join.secret is not None else None
        join = msgspec.structs.replace(join, token=None, secret=secret)
        seat = self._add(EdgeSeat(member, join.room, join.name, numbers=join.resume and join.secret is not None))
        seat.asked, seat.since = Enter(join.room, self._node, member, join, grants, ice_servers), now
        return seat.asked

    def question(self, ticket: str, resume: Resume) -> Return:
        """A client asks for the place that it had."""
        return Return(resume.room, self._node, ticket, msgspec.structs.replace(resume, secret=_hidden(resume.secret)))

    def entered(self, answer: Entered, resume: Resume) -> None:
        """A client has the place that it asked for."""
        self._add(EdgeSeat(answer.member, resume.room, answer.name, True, got=resume.got, said=answer.taken))

    def say(self, seat: EdgeSeat, message: Addressed | Kick, now: float) -> Say | None:
        """What a member says, for the owner; None: it was said before."""
        number = seat.said + 1 if message.n is None else message.n
        plain = message if message.n is None else msgspec.structs.replace(message, n=None)
        return self._said(seat, number, numbered(to_json(plain), number), None, now)

    def renew(self, seat: EdgeSeat, token: Token, grants: Grants, told: TokenTaken, now: float) -> Say | None:
        """A member handed in another token, which grants this, and is to be told so."""
        number = seat.said + 1 if token.n is None else token.n
        return self._said(seat, number, to_json(told), grants, now)

    def _said(self, seat: EdgeSeat, number: int, text: bytes, grants: Grants | None, now: float) -> Say | None:
        if number <= seat.said:
            return None
        say = Say(seat.room, self._node, seat.id, seat.said, number, text, grants)
        seat.since = seat.since if seat.waits else now
        seat.said = number
        seat.untaken.append(say)
        return say

    def taken(self, seat: EdgeSeat, number: int, now: float) -> None:
        """The owner took what the member said up to this number."""
        seat.since = now
        if isinstance(seat.asked, Attach):
            seat.asked = None
        while seat.untaken and seat.untaken[0].n <= number:
            seat.untaken.popleft()

    def hear(self, seat: EdgeSeat, told: Told, now: float) -> tuple[bool, list[AnyRequest]]:
        """Whether a message for the member goes to its client, and what to ask the owner then."""
        if told.number == 0:
            return seat.numbers, []  # others know nothing of acknowledgements
        if told.number <= seat.got:
            return False, []  # it has come before
        if told.number > seat.got + 1:  # one was lost
            return False, [] if seat.asked is not None else [self.attach(seat, now)]
        seat.got = told.number
        if isinstance(seat.asked, Enter):
            seat.asked, seat.since = None, now
        if seat.numbers or seat.got - seat.told < ACK_EVERY:
            return True, []
        seat.told = seat.got
        return True, [Heard(seat.room, self._node, seat.id, seat.got)]

    def attach(self, seat: EdgeSeat, now: float) -> Attach:
        """Asks the owner what the member missed."""
        seat.since = seat.since if seat.waits else now
        seat.asked = Attach(seat.room, self._node, seat.id, seat.got)
        return seat.asked

    def overdue(self, before: float) -> set[str]:
        """The rooms whose owners have not answered something since that time."""
        return {seat.room for seat in self._seats.values() if seat.since < before and seat.waits}

    def depart(self, seat: EdgeSeat, reason: str, now: float, *, lost: bool) -> Depart:
        """The connection of a member ended."""
        seat.since = seat.since if seat.waits else now
        seat.departs = Depart(seat.room, self._node, seat.id, reason, lost)
        return seat.departs

    def again(self, room: str, now: float) -> list[AnyRequest]:
        """Everything that may be unknown to the owner of a room: it is another one, or mail was lost."""
        requests: list[AnyRequest] = []
        for seat in self._rooms.get(room, {}).values():
            requests.append(seat.asked if isinstance(seat.asked, Enter) else self.attach(seat, now))
            requests += seat.untaken
            seat.since = now
            if seat.departs is not None:
                requests.append(seat.departs)
        return requests

    def remove(self, member: str) -> None:
        """Forgets a member. Twice is harmless."""
        seat = self._seats.pop(member, None)
        if seat is not None:
            room = self._rooms[seat.room]
            del room[member]
            if not room:
                del self._rooms[seat.room]

    def _add(self, seat: EdgeSeat) -> EdgeSeat:
        self.remove(seat.id)
        self._seats[seat.id] = seat
        self._rooms.setdefault(seat.room, {})[seat.id] = seat
        return seat


def _hidden(secret: str) -> str:
    """What other nodes and the backplane get in the place of a client's secret."""
    return sha256(secret.encode()).hexdigest()
