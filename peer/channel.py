"""The way to the others before there is a call: what a signaling channel does, and one that needs no server.

A channel is one membership of one room. It passes messages of docs/protocol.md, nothing more; who is in the room and
which calls run is kept by `peer.room`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

from peer.errors import SignalingError, Unreachable, UsageError
from signaling.messages import (
    ByeTo,
    CandidateTo,
    DescriptionTo,
    ErrorMessage,
    Joined,
    Leave,
    Left,
    Member,
    MessageTo,
    Welcome,
    check_label,
    passed_on,
)

if TYPE_CHECKING:
    from signaling.messages import ClientMessage, ServerMessage

INBOX = 1000
"""Messages that may wait in a memory channel; a receiver further behind is closed."""


class SignalingChannel(Protocol):
    """One membership of one room. Made by a `Connect`, which has already joined."""

    welcome: Welcome
    direction: str
    """What its calls may have: `sendrecv`, or media one way only (`sendonly`, `recvonly`)."""

    async def send(self, message: ClientMessage) -> None:
        """Pass a message on.

        Raises:
            Unreachable: the channel is closed or broken.
        """
        ...

    async def receive(self) -> ServerMessage:
        """The next message, in order.

        Raises:
            Unreachable: the channel is closed or broken; it stays so.
        """
        ...

    def abort(self) -> None:
        """Break the connection without leaving: `receive` raises, and the room is joined again over another."""
        ...

    async def close(self) -> None:
        """Leave the room. Idempotent, never raises."""
        ...


class Connect(Protocol):
    """Makes a channel: joins a room under a name. Called again when a channel broke."""

    async def __call__(self, room: str, name: str, before: SignalingChannel | None = None) -> SignalingChannel:
        """Join; `before` is a channel of ours that broke, whose place may be taken over.

        A channel with the very `welcome` of `before` goes on with its place: same id, and nothing was missed.

        Raises:
            SignalingError: refused: name taken, room full, ...
            Unreachable: no answer.
        """
        ...


class MemoryHub:
    """Rooms in memory: `hub.connect` is a `Connect` for `peer.join`, to test scripts without a server."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, MemoryChannel]] = {}
        self._ids = itertools.count(1)

    async def connect(self, room: str, name: str, before: SignalingChannel | None = None) -> SignalingChannel:
        try:
            check_label("room", room)
            check_label("name", name)
        except ValueError as error:
            raise UsageError(f"room {room!r} cannot be joined as {name!r}: {error}") from error
        members = self._rooms.setdefault(room, {})
        if any(channel.member.name == name for channel in members.values()):
            raise SignalingError(f"the name {name!r} is taken in room {room!r}; join under another", "name-taken")
        member = Member(f"m{next(self._ids):04}", name)
        present = [channel.member for channel in members.values()]
        channel = MemoryChannel(self, member, Welcome(1, member.id, room, name, present, []))
        for other in list(members.values()):  # one that does not read is taken out while it is told
            other.deliver(Joined(member))
        members[member.id] = channel
        return channel

    def target(self, room: str, member: str) -> MemoryChannel | None:
        return self._rooms.get(room, {}).get(member)

    def remove(self, channel: MemoryChannel, reason: str) -> None:
        members = self._rooms.get(channel.welcome.room, {})
        if members.pop(channel.member.id, None) is None:
            return
        if not members:
            del self._rooms[channel.welcome.room]
        for other in list(members.values()):
            other.deliver(Left(channel.member, reason))


class MemoryChannel:
    """A channel of a `MemoryHub`."""

    direction = "sendrecv"

    def __init__(self, hub: MemoryHub, member: Member, welcome: Welcome) -> None:
        self.member = member
        self.welcome = welcome
        self._hub = hub
        self._inbox: asyncio.Queue[ServerMessage | None] = asyncio.Queue()
        self._closed = False

    def deliver(self, message: ServerMessage) -> None:
        if self._inbox.qsize() >= INBOX:
            self._shut("slow-client")
        elif not self._closed:
            self._inbox.put_nowait(message)

    async def send(self, message: ClientMessage) -> None:
        if self._closed:
            raise Unreachable("the signaling channel is closed; join again")
        if isinstance(message, Leave):
            await self.close()
            return
        if not isinstance(message, (DescriptionTo, CandidateTo, ByeTo, MessageTo)):
            raise SignalingError(f"a {type(message).__name__} cannot be sent here; you have joined already")
        target = self._hub.target(self.welcome.room, message.to)
        if target is None or target is self:
            self.deliver(_unknown(message))
        else:
            target.deliver(passed_on(message, self.member.id))

    async def receive(self) -> ServerMessage:
        if self._closed and self._inbox.empty():
            raise Unreachable("the signaling channel is closed; join again")
        message = await self._inbox.get()
        if message is None:
            raise Unreachable("the signaling channel is closed; join again")
        return message

    async def close(self) -> None:
        self._shut("left")

    def abort(self) -> None:
        """The server seems to have vanished: the others see this member lost."""
        self._shut("lost")

    def _shut(self, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._hub.remove(self, reason)
            self._inbox.put_nowait(None)


def _unknown(message: DescriptionTo | CandidateTo | ByeTo | MessageTo) -> ErrorMessage:
    return ErrorMessage(
        "unknown-target",
        f"nobody with the id {message.to} is in the room; see who is",
        to=message.to,
        session=None if isinstance(message, MessageTo) else message.session,
    )
