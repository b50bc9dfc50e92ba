"""The hub: joins the pure rooms with the live connections and the pending HTTP exchanges, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from signaling.administration import Administration
from signaling.admission import LOCAL, Admission, Caller
from signaling.bans import Bans
from signaling.codes import Code, ProtocolError
from signaling.counters import Counters
from signaling.credentials import ice_servers
from signaling.gate import Gate
from signaling.messages import TokenTaken
from signaling.rate import RateLimit, Verdict
from signaling.rooms import GUEST_PREFIX, Addressed, Delivery, Keep, Rooms
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
        Resume,
        ServerMessage,
        Token,
    )
    from signaling.settings import Settings

logger = logging.getLogger(__name__)

_PACED: Final = 0.75  # of the time for draining: the rest is for those sent away last


class Recipient(Protocol):
    """Somebody who can be told something and sent away: a connection or a pending exchange. Neither call waits."""

    def deliver(self, delivery: Delivery) -> None:
        """Takes a message for sending."""

    def drop(self, error: ProtocolError) -> None:
        """Ends with `error` told, as far as it can be."""


class Connected(Recipient, Protocol):
    """A connection, which may have joined."""

    def abort(self) -> None:
        """Ends at once, without a word."""


class Returning(Connected, Protocol):
    """A connection that asks for the place of an earlier one; it gets one of these two, perhaps later."""

    def resumed(self, member_id: str) -> None:
        """It has the place of this member."""

    def refuse(self, error: ProtocolError) -> None:
        """It has not, and may join."""


class Hub:
    """Everything alive in one server. Used on its event loop only."""

    def __init__(self, settings: Settings, gate: Gate | None = None) -> None:
        self.settings = settings
        self.gate = gate or Gate(None)
        self.admission = Admission(settings.limits)
        self.counters = Counters()
        self.bans = Bans()
        self.administration = Administration(self)
        limits = settings.limits
        self.rooms = Rooms(limits.room_size, Keep(limits.grace, limits.missed_messages, limits.missed_bytes))
        self._recipients: dict[str, Recipient] = {}  # id of a member or guest -> who takes its messages
        self._calls: dict[str, RateLimit] = {}  # id of a member -> how many callers over HTTP it may get
        self._bearers: dict[str, Caller] = {}  # id of a member -> whose token it came with
        self._tenures: dict[str, Tenure] = {}  # id of a member -> what of its membership runs out
        self._connections: set[Connected] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def trouble(self) -> str | None:
        """Why nobody can join just now, for `/healthz`; None: all is well."""
        return None

    async def start(self) -> None:
        """To be called on the loop that it is used on, before anything else."""

    @property
    def draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self._draining

    @property
    def connection_count(self) -> int:
        """How many WebSockets are open, joined or not."""
        return len(self._connections)

    def connect(self, connection: Connected) -> None:
        """Counts a connection in. Raises ProtocolError: shutting-down, server-full."""
        self._refuse_if(full=len(self._connections) >= self.settings.limits.connections)
        self._connections.add(connection)

    def disconnect(self, connection: Connected) -> None:
        """Counts a connection out; its socket is closed."""
        self._connections.discard(connection)
        self._note_idle()

    def join(self, connection: Recipient, join: Join, grants: Grants | None = None, caller: Caller = LOCAL) -> str:
        """Lets a connection into a room and returns its id; `grants` are those of its request, if it brought any.

        Raises ProtocolError: token-missing, token-invalid, token-expired, rate-limited, forbidden, kicked, room-closed,
        too-many, name-taken, room-full.
        """
        grants = self._judge(join, grants, caller)
        self._take_over(join, grants)
        new_id = secrets.token_hex(8)
        bearer = LOCAL.bearing(grants)
        self.admission.connect(bearer)
        try:
            deliveries = self.rooms.join(new_id, join, grants, self.servers_for(new_id))
        except ProtocolError:
            self.admission.disconnect(bearer)
            raise
        self._bearers[new_id] = bearer
        self._recipients[new_id] = connection
        limits = self.settings.limits
        self._calls[new_id] = RateLimit(limits.messages_per_second, limits.burst, _now())
        ids = {"participant": new_id, "room": join.room}
        logger.info("%s joined room %r as %r", new_id, join.room, join.name, extra=ids)
        self._deliver(deliveries)
        self._begin_tenure(new_id, grants)
        return new_id

    def _judge(self, join: Join, grants: Grants | None, caller: Caller) -> Grants | None:
        """What a join may do, with its token or that of its request. Raises as `join`, but for what the room says."""
        if grants is None or join.token is not None:
            grants = self.gate.grants(join.token)
        self.admission.join(caller.bearing(grants), join.room, _now())
        self._check_entry(grants, join.room, join.name)
        return grants

    def _check_entry(self, grants: Grants | None, room: str, name: str) -> None:
        """Whether one may be in `room` as `name`. Raises ProtocolError: forbidden, kicked, room-closed."""
        self.rooms.permissions.check_join(grants, room, name)
        self.bans.check(room, name, grants, self.gate.now())

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
        if not self.rooms.take(member_id, message.n):
            return
        grants = self.gate.grants(message.token)
        place = self.rooms.whereabouts(member_id)
        if grants is None or place is None:  # a server without keys wants none
            return
        self._check_entry(grants, *place)
        self.rooms.permissions.set(member_id, grants)
        left = self._tenures[member_id].hold(grants)
        self.tell(member_id, TokenTaken(round(left, 3), grants.can))

    def kick(self, member_id: str, message: Kick) -> None:
        """A member sends another one away. Raises ProtocolError: not-allowed, unknown-target."""
        if not self.rooms.take(member_id, message.n):
            return
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
        """Tells one member something; one who is away learns it when it is back."""
        self._deliver(self.rooms.tell(member_id, message))

    def _take_over(self, join: Join, grants: Grants | None) -> None:
        """A client is back before its old connection was noticed to be dead, or its place was given up."""
        before = self.rooms.place_of(join, grants)
        if before is not None:
            text = "You joined again over another connection; use that one."
            self.dismiss(before, ProtocolError(Code.REPLACED, text))

    def resume(self, connection: Returning, resume: Resume, caller: Caller = LOCAL) -> None:
        """A member is back over another connection. Raises ProtocolError: rate-limited, cannot-resume; or refuses it
        later."""
        self.admission.join(caller, resume.room, _now())
        deliveries = self.rooms.resume(resume)
        self._supersede(resume.id, connection)
        logger.info("%s is back", resume.id)
        self._deliver(deliveries)

    def _supersede(self, member_id: str, connection: Returning) -> None:
        before = self._recipients.get(member_id)
        self._recipients[member_id] = connection
        connection.resumed(member_id)
        if before is not None:  # not noticed yet to be dead
            before.drop(ProtocolError(Code.REPLACED, "You resumed over another connection; use that one."))

    def lose(self, connection: Recipient, member_id: str, reason: str) -> None:
        """The connection of a member is lost without a goodbye: it may be back, if it asked for that."""
        if self._recipients.get(member_id) is not connection:
            return  # it is back already
        del self._recipients[member_id]
        logger.info("%s lost its connection: %s", member_id, reason)
        self._deliver(self.rooms.suspend(member_id, reason, _now()))
        if not self.rooms.has(member_id):
            self._forget(member_id)
        self._await_expiry()

    def part(self, connection: Recipient, member_id: str, reason: str) -> None:
        """Takes a participant out whose connection ends for good, unless it is back over another one."""
        if self._recipients.get(member_id) is connection:
            self.leave(member_id, reason)

    def leave(self, member_id: str, reason: str) -> None:
        """Takes a participant out and tells the others why."""
        self._recipients.pop(member_id, None)
        self._forget(member_id)
        logger.info("%s gone: %s", member_id, reason, extra={"participant": member_id})
        self._deliver(self.rooms.leave(member_id, reason))

    def _forget(self, member_id: str) -> None:
        self._calls.pop(member_id, None)
        if (tenure := self._tenures.pop(member_id, None)) is not None:
            tenure.close()
        if (bearer := self._bearers.pop(member_id, None)) is not None:
            self.admission.disconnect(bearer)

    def relay(self, member_id: str, message: Addressed) -> None:
        """Passes a message on, or tells its sender why not."""
        try:
            deliveries = self.rooms.relay(member_id, message)
        except ProtocolError as error:
            deliveries = self.rooms.refuse(member_id, error)
        self._deliver(deliveries)

    async def admit_guest(
        self, guest: Recipient, room: str, name: str, grants: Grants | None = None
    ) -> tuple[str, Member]:
        """Lets a caller over HTTP in; returns its id and whom it calls.

        Raises ProtocolError: shutting-down, server-full, rate-limited, unknown-target, not-allowed.
        """
        self._refuse_if(full=self.rooms.guest_count >= self.settings.limits.exchanges)
        host = self.rooms.find(room, name)
        if host is not None and self._calls[host.id].judge(_now()) is not Verdict.TAKE:
            raise ProtocolError(
                Code.RATE_LIMITED, "Too many call this participant; try again in a second.", retry_after=1
            )
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

    def acknowledge(self, member_id: str, got: int) -> None:
        """A member got everything up to the number `got`."""
        self.rooms.acknowledge(member_id, got)

    async def move(self, seconds: float) -> None:
        """Lets nobody in any more and sends everybody elsewhere, evenly over time; returns when nobody is left.

        Takes at most `seconds`; who is left then is for `drain`.
        """
        self._draining = True
        self._note_idle()
        connections = list(self._connections)
        error = ProtocolError(Code.SHUTTING_DOWN, "The server is going away; join again at once.", retry_after=1)
        for connection in connections:
            connection.drop(error)
            if await self._idle_within(seconds * _PACED / len(connections)):
                return
        await self._idle_within(seconds * (1 - _PACED))

    async def drain(self, timeout: float) -> None:
        """Lets nobody in any more, tells everybody `shutting-down`, and waits until all are gone or `timeout` s."""
        self._draining = True
        error = ProtocolError(Code.SHUTTING_DOWN, "The server is going away; join again in a few seconds.")
        for recipient in {*self._connections, *self._recipients.values()}:
            recipient.drop(error)
        self._note_idle()
        if not await self._idle_within(timeout):
            logger.warning("%d connections did not end in %.1f s", len(self._connections), timeout)
            for connection in list(self._connections):
                connection.abort()
        if self._expiry is not None:
            self._expiry.cancel()

    async def _idle_within(self, seconds: float) -> bool:
        """Whether nobody is left, at the latest after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    def _refuse_if(self, *, full: bool) -> None:
        if self._draining:
            raise ProtocolError(
                Code.SHUTTING_DOWN, "The server is going away; try again in a few seconds.", retry_after=1
            )
        if full:
            raise ProtocolError(Code.SERVER_FULL, "The server is full; try again later.", retry_after=5)

    def _note_idle(self) -> None:
        if self._draining and not self._connections and not self._recipients:
            self._idle.set()

    def _deliver(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            recipient = self._recipients.get(delivery.to)
            if recipient is not None:
                recipient.deliver(delivery)

    def _await_expiry(self) -> None:
        due = self.rooms.next_expiry
        if self._expiry is None and due is not None and not self._draining:
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._deliver(self.rooms.expire(_now()))
        for gone in [one for one in self._calls if not self.rooms.has(one)]:
            self._forget(gone)
        self._await_expiry()


class _Tenant:
    """A member, for what of its membership runs out."""

    def __init__(self, hub: Hub, member_id: str) -> None:
        self._hub = hub
        self._id = member_id

    def tell(self, message: ServerMessage) -> None:
        self._hub.tell(self._id, message)

    def end(self, error: ProtocolError) -> None:
        self._hub.dismiss(self._id, error)


def _now() -> float:
    return asyncio.get_running_loop().time()
