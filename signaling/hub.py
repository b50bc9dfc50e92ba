"""The hub: joins the pure rooms with the live connections and the pending HTTP exchanges, and ends them all."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Protocol

from signaling.codes import Code, ProtocolError
from signaling.credentials import ice_servers
from signaling.gate import Gate
from signaling.messages import TokenTaken
from signaling.rate import RateLimit, Verdict
from signaling.rooms import GUEST_PREFIX, Addressed, Delivery, Rooms
from signaling.tenure import Tenure

if TYPE_CHECKING:
    from signaling.credentials import Grants
    from signaling.messages import (
        ByeFrom,
        CandidateFrom,
        DescriptionFrom,
        IceServer,
        Join,
        Kick,
        Member,
        ServerMessage,
        Token,
    )
    from signaling.settings import Settings

logger = logging.getLogger(__name__)


class Recipient(Protocol):
    """Somebody who can be told something and sent away: a connection or a pending exchange. Neither call waits."""

    def deliver(self, message: ServerMessage) -> None:
        """Takes a message for sending."""

    def drop(self, error: ProtocolError) -> None:
        """Ends with `error` told, as far as it can be."""


class Hub:
    """Everything alive in one server. Used on its event loop only."""

    def __init__(self, settings: Settings, gate: Gate | None = None) -> None:
        self.settings = settings
        self.gate = gate or Gate(None)
        self.rooms = Rooms(settings.limits.room_size)
        self._recipients: dict[str, Recipient] = {}  # id of a member or guest -> who takes its messages
        self._calls: dict[str, RateLimit] = {}  # id of a member -> how many callers over HTTP it may get
        self._tenures: dict[str, Tenure] = {}  # id of a member -> what of its membership runs out
        self._connections: set[Recipient] = set()
        self._draining = False
        self._idle = asyncio.Event()

    def connect(self, connection: Recipient) -> None:
        """Counts a connection in. Raises ProtocolError: shutting-down, server-full."""
        self._refuse_if(full=len(self._connections) >= self.settings.limits.connections)
        self._connections.add(connection)

    def disconnect(self, connection: Recipient) -> None:
        """Counts a connection out; its handler is at its end."""
        self._connections.discard(connection)
        self._note_idle()

    def join(self, connection: Recipient, join: Join, grants: Grants | None = None) -> str:
        """Lets a connection into a room and returns its id; `grants` are those of its request, if it brought any.

        Raises ProtocolError: token-missing, token-invalid, token-expired, forbidden, kicked, name-taken, room-full.
        """
        if grants is None or join.token is not None:
            grants = self.gate.grants(join.token)
        self.rooms.permissions.check_join(grants, join.room, join.name)
        self._take_over(join)
        new_id = secrets.token_hex(8)
        deliveries = self.rooms.join(new_id, join, grants, self.servers_for(new_id))
        self._recipients[new_id] = connection
        limits = self.settings.limits
        now = asyncio.get_running_loop().time()
        self._calls[new_id] = RateLimit(limits.messages_per_second, limits.burst, now)
        logger.info("%s joined room %r as %r", new_id, join.room, join.name)
        self._deliver(deliveries)
        self._begin_tenure(new_id, grants)
        return new_id

    def _begin_tenure(self, member_id: str, grants: Grants | None) -> None:
        turn = self.settings.turn
        if grants is None and turn is None:
            return
        tenure = self._tenures[member_id] = Tenure(_Tenant(self, member_id), self.gate.now)
        if grants is not None:
            tenure.hold(grants)
        if turn is not None:  # in the middle, so that what a client has is always good for as long again
            tenure.refresh(turn.ttl / 2, lambda: self.servers_for(member_id))

    def servers_for(self, member_id: str) -> list[IceServer]:
        """The ICE servers of a member or guest, with credentials of its own."""
        return ice_servers(self.settings.ice_servers, self.settings.turn, member_id, self.gate.now())

    def renew(self, member_id: str, message: Token) -> None:
        """A member hands in another token. Raises ProtocolError: token-invalid, token-expired, forbidden, kicked."""
        grants = self.gate.grants(message.token)
        place = self.rooms.whereabouts(member_id)
        if grants is None or place is None:  # a server without keys wants none
            return
        self.rooms.permissions.check_join(grants, *place)
        self.rooms.permissions.set(member_id, grants)
        left = self._tenures[member_id].hold(grants)
        self.tell(member_id, TokenTaken(round(left, 3), grants.can))

    def kick(self, member_id: str, message: Kick) -> None:
        """A member sends another one away. Raises ProtocolError: not-allowed, unknown-target."""
        self.rooms.check_kick(member_id, message.to)
        self.send_away(message.to, message.text)

    def send_away(self, member_id: str, text: str = "") -> None:
        """Sends a member out of its room, in which its token is not taken any more."""
        grants, place = self.rooms.permissions.of(member_id), self.rooms.whereabouts(member_id)
        if grants is not None and place is not None:
            self.rooms.permissions.ban(place[0], grants)
        said = f": {text}" if text else ""
        self.dismiss(member_id, ProtocolError(Code.KICKED, f"You were sent away from this room{said}."))

    def dismiss(self, member_id: str, error: ProtocolError) -> None:
        """Ends a membership, and the connection that it has."""
        recipient = self._recipients.get(member_id)
        self.leave(member_id, error.code.value)
        if recipient is not None:
            recipient.drop(error)

    def tell(self, member_id: str, message: ServerMessage) -> None:
        """Tells one member or guest something."""
        self._deliver([Delivery(member_id, message)])

    def _take_over(self, join: Join) -> None:
        """A client whose network changed is back before its old connection was noticed to be dead."""
        before = self.rooms.place_of(join)
        if before is not None:
            text = "You joined again over another connection; use that one."
            self.dismiss(before, ProtocolError(Code.REPLACED, text))

    def leave(self, member_id: str, reason: str) -> None:
        """Takes a participant out and tells the others why."""
        self._recipients.pop(member_id, None)
        self._calls.pop(member_id, None)
        if (tenure := self._tenures.pop(member_id, None)) is not None:
            tenure.close()
        logger.info("%s gone: %s", member_id, reason)
        self._deliver(self.rooms.leave(member_id, reason))

    def relay(self, member_id: str, message: Addressed) -> None:
        """Passes a message on. Raises ProtocolError: unknown-target, not-allowed."""
        self._deliver(self.rooms.relay(member_id, message))

    def admit_guest(self, guest: Recipient, room: str, name: str, grants: Grants | None = None) -> tuple[str, Member]:
        """Lets a caller over HTTP in; returns its id and whom it calls.

        Raises ProtocolError: shutting-down, server-full, rate-limited, unknown-target, not-allowed.
        """
        self._refuse_if(full=self.rooms.guest_count >= self.settings.limits.exchanges)
        host = self.rooms.find(room, name)
        if host is not None and self._calls[host.id].judge(asyncio.get_running_loop().time()) is not Verdict.TAKE:
            raise ProtocolError(Code.RATE_LIMITED, "Too many call this participant; try again in a second.")
        guest_id = GUEST_PREFIX + secrets.token_hex(8)
        host = self.rooms.admit_guest(guest_id, room, name, grants)
        self._recipients[guest_id] = guest
        return guest_id, host

    def call_as_guest(self, guest_id: str, message: DescriptionFrom | CandidateFrom | ByeFrom) -> None:
        """Passes an offer, a candidate or a bye of a caller over HTTP on."""
        self._deliver(self.rooms.call_as_guest(guest_id, message))

    def dismiss_guest(self, guest_id: str) -> None:
        """Forgets a caller over HTTP."""
        self.rooms.dismiss_guest(guest_id)
        self._recipients.pop(guest_id, None)
        self._note_idle()

    async def drain(self, timeout: float) -> None:
        """Lets nobody in any more, tells everybody `shutting-down`, and waits until all are gone or `timeout` s."""
        self._draining = True
        error = ProtocolError(Code.SHUTTING_DOWN, "The server is going away; join again in a few seconds.")
        for recipient in {*self._connections, *self._recipients.values()}:
            recipient.drop(error)
        self._note_idle()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d connections did not end in %.1f s", len(self._connections), timeout)

    def _refuse_if(self, *, full: bool) -> None:
        if self._draining:
            raise ProtocolError(Code.SHUTTING_DOWN, "The server is going away; try again in a few seconds.")
        if full:
            raise ProtocolError(Code.SERVER_FULL, "The server is full; try again later.")

    def _note_idle(self) -> None:
        if self._draining and not self._connections and not self._recipients:
            self._idle.set()

    def _deliver(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            recipient = self._recipients.get(delivery.to)
            if recipient is not None:
                recipient.deliver(delivery.message)


class _Tenant:
    """A member, for what of its membership runs out."""

    def __init__(self, hub: Hub, member_id: str) -> None:
        self._hub = hub
        self._id = member_id

    def tell(self, message: ServerMessage) -> None:
        self._hub.tell(self._id, message)

    def end(self, error: ProtocolError) -> None:
        self._hub.dismiss(self._id, error)
