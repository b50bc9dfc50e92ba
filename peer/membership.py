"""Being in a room of the signaling server, also across its absences: who is there, messages in and out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Protocol

from peer.errors import Error, NotHere, SignalingError, Unreachable
from peer.events import MemberAway, MemberBack
from signaling.messages import Away, Back, IceServersChanged, Joined, Left, Member, TokenTaken

if TYPE_CHECKING:
    from peer.channel import Connect, SignalingChannel
    from signaling.messages import ClientMessage, IceServer, ServerMessage

logger = logging.getLogger(__name__)

RETRY_FIRST, RETRY_LAST = 0.25, 4.0
"""Seconds between attempts to reach a signaling server that went away: doubled each time, with jitter."""
ATTEMPT = 4.0
"""Seconds of one attempt to come back: the network may be back long before a connection that waits for it notices."""
HURRY_AGAIN = 1.0
"""Seconds after an attempt to come back in which the next change of the network begins no other."""


class Listener(Protocol):
    """Who is told; plain calls on the event loop."""

    def member_joined(self, member: Member) -> None: ...
    def member_left(self, member: Member, reason: str) -> None: ...
    def presence_changed(self, event: MemberAway | MemberBack) -> None: ...
    def message_received(self, message: ServerMessage) -> None: ...
    def signaling_lost(self, text: str) -> None: ...
    def signaling_restored(self, seconds: float, *, complete: bool) -> None: ...
    def signaling_refused(self, error: SignalingError) -> None:
        """It will not let us in again; nothing comes any more."""


class Membership:
    """One place in one room. When the server goes away the place is resumed; where that cannot be, the room is joined
    again, under the same name; until it works."""

    def __init__(self, connect: Connect, channel: SignalingChannel, listener: Listener) -> None:
        self._connect = connect
        self._channel = channel
        self._listener = listener
        welcome = channel.welcome
        self.room = welcome.room
        self.own = Member(welcome.id, welcome.name)
        self.members: dict[str, Member] = {member.id: member for member in welcome.members}
        self._can = welcome.can
        self.ice_servers: list[IceServer] = welcome.ice_servers
        """What the server hands out."""
        self._hurry = asyncio.Event()
        self._hurried = -HURRY_AGAIN
        self._unsent = False  # something could not be sent since the server is away

    def may(self, right: str) -> bool:
        """Whether our token allows us this; without tokens, yes."""
        return self._can is None or right in self._can

    def may_call(self, name: str) -> bool:
        """Whether our token, and that of the member of this name, allow us to call them."""
        member = self.named(name)
        theirs = member.can if member is not None else None
        return self.may("call") and (not isinstance(theirs, list) or "be-called" in theirs)

    @property
    def direction(self) -> str:
        """Which way media may go: `sendrecv`, `sendonly` or `recvonly`."""
        return self._channel.direction

    def named(self, name: str) -> Member | None:
        """The member of that name."""
        return next((member for member in self.members.values() if member.name == name), None)

    def find(self, name: str) -> Member:
        """The member of that name. Raises NotHere."""
        member = self.named(name)
        if member is None:
            here = ", ".join(sorted(other.name for other in self.members.values())) or "nobody else"
            raise NotHere(f"{name} is not in room {self.room} ({here} is); wait for them or check the name")
        return member

    async def send(self, message: ClientMessage) -> None:
        """Raises Unreachable while the server is away."""
        logger.debug("> %s", type(message).__name__)
        try:
            await self._channel.send(message)
        except Unreachable:
            self._unsent = True
            raise

    async def send_if_possible(self, message: ClientMessage) -> None:
        """Like `send`; never raises."""
        try:
            await self.send(message)
        except Error as error:
            logger.debug("a %s could not be sent: %s", type(message).__name__, error)

    def network_changed(self) -> None:
        """The way to the server is not what it was: join again at once, over another connection."""
        now = asyncio.get_running_loop().time()
        if now - self._hurried >= HURRY_AGAIN:
            self._hurried = now
            self._hurry.set()
            self._channel.abort()

    async def run(self) -> None:
        """Take what comes, until the server does not let us in any more."""
        while True:
            try:
                message = await self._channel.receive()
            except Unreachable as error:
                if not await self._come_back(error):
                    return
            except Exception as error:
                logger.exception("the signaling channel broke")
                broke = Unreachable(f"the signaling channel broke ({error}); it is tried again")
                if not await self._come_back(broke):
                    return
            else:
                try:
                    self._take(message)
                except Exception:  # the room goes on, whatever one message does
                    logger.exception("a %s of the signaling server could not be worked off", type(message).__name__)

    async def close(self) -> None:
        await self._channel.close()

    def _take(self, message: ServerMessage) -> None:
        logger.debug("< %s", type(message).__name__)
        if isinstance(message, Joined):
            self.members[message.member.id] = message.member
            self._listener.member_joined(message.member)
        elif isinstance(message, Left):
            self.members.pop(message.member.id, None)
            self._listener.member_left(message.member, message.reason)
        elif isinstance(message, Away):
            self._listener.presence_changed(MemberAway(message.member.name, message.member.id, message.reason))
        elif isinstance(message, Back):
            self._listener.presence_changed(MemberBack(message.member.name, message.member.id))
        elif isinstance(message, IceServersChanged):
            self.ice_servers = message.ice_servers
        elif isinstance(message, TokenTaken):
            self._can = message.can
        else:
            self._listener.message_received(message)

    async def _come_back(self, error: Unreachable) -> bool:
        """Join again, as soon as it works; False where it never will."""
        lost, delay = time.monotonic(), RETRY_FIRST
        logger.warning("%s; calls that run go on", error)
        self._listener.signaling_lost(str(error))
        self._channel.abort()  # no goodbye: the place is to be kept
        await self._channel.close()
        before = self._channel
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay * random.uniform(0.5, 1.0)):
                    await self._hurry.wait()
            self._hurry.clear()
            delay = min(delay * 2, RETRY_LAST)
            try:
                async with asyncio.timeout(ATTEMPT):
                    self._channel = await self._connect(self.room, self.own.name, before)
                break
            except (Error, TimeoutError) as failure:
                if isinstance(failure, SignalingError) and failure.lasting:
                    self._listener.signaling_refused(failure)
                    return False
                logger.debug("not back yet: %s", failure)
        resumed = self._channel.welcome is before.welcome
        complete, self._unsent = resumed and not self._unsent, False
        if not resumed:
            self._compare()
        self._listener.signaling_restored(time.monotonic() - lost, complete=complete)
        return True

    def _compare(self) -> None:
        """Everybody has a new id after the server was away: who is back counts as joined, who is not as silent."""
        welcome = self._channel.welcome
        self.own = Member(welcome.id, welcome.name)
        self._can, self.ice_servers = welcome.can, welcome.ice_servers
        before = self.members
        self.members = {member.id: member for member in welcome.members}
        names = {member.name for member in welcome.members}
        for member in before.values():
            if member.name not in names:
                self._listener.member_left(member, "silent")
        for member in welcome.members:
            if before.get(member.id) != member:  # a server may give an id again after it was started anew
                self._listener.member_joined(member)
