"""In which language the client of a connection speaks: ours, or that of a client written for another server. Pure.

A dialect translates between what its client sends and gets and the messages of `signaling.messages`, which is all that
the hub ever hears: to everybody else in the room its client is a member like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from signaling.messages import ByeTo, Member, encode, parse_client

if TYPE_CHECKING:
    from signaling.messages import ClientMessage, DescriptionFrom, Join, ServerMessage, Welcome

Step: TypeAlias = "ClientMessage | str"
"""What follows from something: a message for the hub in the name of the client, or a text frame for the client."""


class Dialect(Protocol):
    """The language of one connection. `now` is Unix time in seconds; steps are carried out in their order."""

    def opened(self) -> list[Step]:
        """What follows from the connection being there. Raises ProtocolError, which ends it."""

    def read(self, text: str, now: float, *, max_bytes: int) -> list[Step]:
        """What follows from a text frame of the client. Raises ProtocolError, as `parse_client`."""

    def write(self, message: ServerMessage, now: float) -> list[Step]:
        """What follows from a message for the client."""

    def renamed(self, join: Join) -> Join | None:
        """What to try instead of a join whose name is taken; None: the client has to be told."""


class OwnDialect:
    """The protocol of docs/protocol.md."""

    def opened(self) -> list[Step]:
        return []

    def read(self, text: str, now: float, *, max_bytes: int) -> list[Step]:
        return [parse_client(text, max_bytes=max_bytes)]

    def write(self, message: ServerMessage, now: float) -> list[Step]:
        return [encode(message)]

    def renamed(self, join: Join) -> Join | None:
        return None


class Roster:
    """Who is in the room of a client, as its dialect heard of it."""

    def __init__(self, welcome: Welcome) -> None:
        self.own = Member(welcome.id, welcome.name)
        self.others = {member.id: member for member in welcome.members}

    def joined(self, member: Member) -> None:
        self.others[member.id] = member

    def left(self, member: Member) -> None:
        self.others.pop(member.id, None)

    def name_of(self, sender: str, said: str | None = None) -> str:
        """The name of who sent a message; one who calls over plain HTTP is no member, and says its name itself."""
        member = self.others.get(sender)
        return member.name if member is not None else said or sender

    def gives_way(self, other: str) -> bool:
        """Whether the offer of our client gives way to one of `other` that crosses it (docs/protocol.md)."""
        member = self.others.get(other)
        if member is None:
            return False
        return self.own.polite if self.own.polite != member.polite else self.own.id > other


def refused_over_http(offer: DescriptionFrom) -> ByeTo:
    """The answer to a caller who wants all candidates within the answer: these clients never say which is the last."""
    return ByeTo(offer.sender, offer.session, "declined", "this client takes no calls over plain HTTP")
