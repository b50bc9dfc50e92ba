"""The hub: joins the pure rooms with the live connections and the pending HTTP exchanges, and ends them all."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Protocol

from signaling.codes import Code, ProtocolError
from signaling.rate import RateLimit, Verdict
from signaling.rooms import GUEST_PREFIX, Addressed, Delivery, Rooms

if TYPE_CHECKING:
    from signaling.messages import ByeFrom, CandidateFrom, DescriptionFrom, Join, Member, ServerMessage
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

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rooms = Rooms(settings.limits.room_size, settings.ice_servers)
        self._recipients: dict[str, Recipient] = {}  # id of a member or guest -> who takes its messages
        self._calls: dict[str, RateLimit] = {}  # id of a member -> how many callers over HTTP it may get
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

    def join(self, connection: Recipient, join: Join) -> str:
        """Lets a connection into a room and returns its id. Raises ProtocolError: name-taken, room-full."""
        self._take_over(join)
        new_id = secrets.token_hex(8)
        deliveries = self.rooms.join(new_id, join)
        self._recipients[new_id] = connection
        limits = self.settings.limits
        now = asyncio.get_running_loop().time()
        self._calls[new_id] = RateLimit(limits.messages_per_second, limits.burst, now)
        logger.info("%s joined room %r as %r", new_id, join.room, join.name)
        self._deliver(deliveries)
        return new_id

    def _take_over(self, join: Join) -> None:
        """A client whose network changed is back before its old connection was noticed to be dead."""
        before = self.rooms.place_of(join)
        if before is None:
            return
        recipient = self._recipients.get(before)
        self.leave(before, Code.REPLACED.value)
        if recipient is not None:
            recipient.drop(ProtocolError(Code.REPLACED, "You joined again over another connection; use that one."))

    def leave(self, member_id: str, reason: str) -> None:
        """Takes a participant out and tells the others why."""
        self._recipients.pop(member_id, None)
        self._calls.pop(member_id, None)
        logger.info("%s gone: %s", member_id, reason)
        self._deliver(self.rooms.leave(member_id, reason))

    def relay(self, member_id: str, message: Addressed) -> None:
        """Passes a message on. Raises ProtocolError (unknown-target)."""
        self._deliver(self.rooms.relay(member_id, message))

    def admit_guest(self, guest: Recipient, room: str, name: str) -> tuple[str, Member]:
        """Lets a caller over HTTP in; returns its id and whom it calls.

        Raises ProtocolError: shutting-down, server-full, rate-limited, unknown-target.
        """
        self._refuse_if(full=self.rooms.guest_count >= self.settings.limits.exchanges)
        host = self.rooms.find(room, name)
        if host is not None and self._calls[host.id].judge(asyncio.get_running_loop().time()) is not Verdict.TAKE:
            raise ProtocolError(Code.RATE_LIMITED, "Too many call this participant; try again in a second.")
        guest_id = GUEST_PREFIX + secrets.token_hex(8)
        host = self.rooms.admit_guest(guest_id, room, name)
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
