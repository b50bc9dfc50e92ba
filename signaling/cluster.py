"""The hub of one node of several: the same face as `Hub`, over rooms that may be on another node.

Nothing here waits for another node: `join` and `relay` ask, and what follows is delivered when it comes. The rooms of
this node are kept by `Ownership`, what was asked and not answered by `Edge`, and `Routes` know where it goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

from signaling.admission import LOCAL
from signaling.backplane import NODE, BackplaneDown, unavailable
from signaling.bans import Ban
from signaling.clusteradmin import ClusterAdministration
from signaling.codes import Code, ProtocolError
from signaling.delivery import Delivery
from signaling.edge import UNTAKEN, Edge, EdgeSeat
from signaling.guests import Guests
from signaling.hub import Hub
from signaling.messages import IceServersChanged, TokenTaken
from signaling.nodewire import (
    Admitted,
    AnyAnswer,
    AnyRequest,
    Banned,
    Batch,
    Census,
    Counted,
    Entered,
    Expel,
    Gone,
    Heard,
    Refused,
    Requests,
    Return,
    Taken,
    Told,
    read_mail,
)  # fmt: skip
from signaling.owner import Owner
from signaling.ownership import RETRY, Ownership
from signaling.pulse import Pulse
from signaling.rooms import GUEST_PREFIX, Keep, Rooms
from signaling.routes import Routes
from signaling.sharedbans import SharedBans

if TYPE_CHECKING:
    from signaling.admission import Caller
    from signaling.backplane import Alive, Backplane
    from signaling.credentials import Grants
    from signaling.gate import Gate
    from signaling.hub import Recipient, Returning
    from signaling.messages import (
        ByeFrom,
        CandidateFrom,
        DescriptionFrom,
        Join,
        Kick,
        Member,
        Resume,
        ServerMessage,
        Token,
    )
    from signaling.rooms import Addressed
    from signaling.settings import Settings

logger = logging.getLogger(__name__)

HAND_OVER: Final = 0.5  # seconds for giving rooms to other nodes at the end
PATIENCE: Final = 1.0  # seconds after which an owner that has not answered is asked again, or another one


class ClusterHub(Hub):
    """The hub of the node `backplane.node`. `start()` it before use; `drain()` ends it."""

    def __init__(self, settings: Settings, backplane: Backplane, gate: Gate | None = None) -> None:
        super().__init__(settings, gate)
        limits = settings.limits
        keep = Keep(limits.grace, limits.missed_messages, limits.missed_bytes, everybody=True)
        self.rooms = Rooms(limits.room_size, keep)
        owner = Owner(self.rooms, limits.messages_per_second, limits.burst, self._sent_away)
        self._backplane = backplane
        self._node = backplane.node
        self._pulse = Pulse(backplane, self._beaten)
        self._banned = SharedBans(self.bans, backplane, self.gate.now)
        self._owned = Ownership(backplane, owner, self._pulse.now, self._receive, lambda room: self._routes.find(room))
        self._routes = Routes(backplane, self._owned, self._unanswered)
        self._edge = Edge(self._node)
        self._fences: dict[str, int] = {}  # room -> the fence of the owner that its members are attached to
        self._returning: dict[str, tuple[Returning, Return]] = {}
        self._guests = Guests(self._node, self._routes)
        self._tasks: list[asyncio.Task[None]] = []
        nodes = ClusterAdministration(self, backplane, self._routes, self._banned, self._pulse)
        self.administration = self._admin = nodes
        self._pulse.count(self.counters)

    @property
    def trouble(self) -> str | None:
        """Why nobody can join just now; None: all is well."""
        return self._pulse.trouble

    async def start(self) -> None:
        """Says that this node is there, and serves; nobody can join before the backplane can be reached."""
        self._loop = asyncio.get_running_loop()
        await self._pulse.start()
        beats = self._pulse.run(self._clear_up)
        for work in (self._owned.run(), self._routes.run(), self._banned.run(), self._listen(), beats):
            self._tasks.append(self._loop.create_task(work))

    async def drain(self, timeout: float) -> None:
        """As a hub; rooms and members of this node go on at others."""
        await super().drain(timeout)
        try:
            async with asyncio.timeout(HAND_OVER):
                await self._owned.settle()
                await self._owned.give_up()
                await self._routes.flush()
        except (TimeoutError, BackplaneDown):
            logger.warning("not everything could be handed to other nodes; their leases end by themselves")
        await self.abandon()

    async def abandon(self) -> None:
        """Ends all work at once, without a word to the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._routes.close()
        await self._backplane.close()

    # What connections and exchanges ask

    def join(self, connection: Recipient, join: Join, grants: Grants | None = None, caller: Caller = LOCAL) -> str:
        """As a hub, but refusals of the room come later: the connection is dropped. Raises also: unavailable."""
        self._must_be_up()
        grants = self._judge(join, grants, caller)
        new_id, bearer = secrets.token_hex(8), LOCAL.bearing(grants)
        self.admission.connect(bearer)
        self._bearers[new_id] = bearer
        self._recipients[new_id] = connection
        self._routes.ask(self._edge.enter(new_id, join, grants, self.servers_for(new_id), self._loop.time()))
        self._begin_tenure(new_id, grants)
        return new_id

    def resume(self, connection: Returning, resume: Resume, caller: Caller = LOCAL) -> None:
        """A member is back, perhaps from another node; it is told later. Raises ProtocolError (unavailable)."""
        self._must_be_up()
        self.admission.join(caller, resume.room, self._loop.time())
        question = self._edge.question(secrets.token_hex(8), resume)
        self._returning[question.id] = (connection, question)
        self._routes.ask(question)

    def lose(self, connection: Recipient, member_id: str, reason: str) -> None:
        if self._recipients.get(member_id) is connection:
            self._depart(member_id, reason, lost=True)

    def part(self, connection: Recipient, member_id: str, reason: str) -> None:
        if self._recipients.get(member_id) is connection:  # a server that goes away sends its clients to another one
            self._depart(member_id, reason, lost=reason == Code.SHUTTING_DOWN.value)

    def leave(self, member_id: str, reason: str) -> None:
        self._depart(member_id, reason, lost=False)

    def relay(self, member_id: str, message: Addressed | Kick) -> None:
        seat = self._edge.get(member_id)
        if seat is None or member_id not in self._recipients:
            return
        if len(seat.untaken) >= UNTAKEN:
            self._recipients[member_id].drop(unavailable())
            return
        say = self._edge.say(seat, message, self._loop.time())
        if say is not None:
            self._routes.ask(say)

    def kick(self, member_id: str, message: Kick) -> None:
        self.relay(member_id, message)

    def renew(self, member_id: str, message: Token) -> None:
        grants, seat = self.gate.grants(message.token), self._edge.get(member_id)
        if grants is None or seat is None:
            return
        self._check_entry(grants, seat.room, seat.name)
        told = TokenTaken(round(self._tenures[member_id].hold(grants), 3), grants.can)
        say = self._edge.renew(seat, message, grants, told, self._loop.time())
        if say is not None:
            self._routes.ask(say)

    def dismiss(self, member_id: str, error: ProtocolError) -> None:
        place = self.rooms.whereabouts(member_id)
        if place is None or member_id in self._recipients:  # it ends here and now, whatever the backplane does
            super().dismiss(member_id, error)
        else:
            self._owned.put(Expel(place[0], self._node, member_id, error.code.value, error.message))

    def tell(self, member_id: str, message: ServerMessage) -> None:
        """Tells one member of this node something that is of no use to it elsewhere."""
        recipient = self._recipients.get(member_id)
        if recipient is not None:
            recipient.deliver(Delivery(member_id, message))

    def acknowledge(self, member_id: str, got: int) -> None:
        seat = self._edge.get(member_id)
        if seat is not None:
            self._routes.ask(Heard(seat.room, self._node, member_id, got))

    async def admit_guest(
        self, guest: Recipient, room: str, name: str, grants: Grants | None = None
    ) -> tuple[str, Member]:
        self._must_be_up()
        limits = self.settings.limits
        self._refuse_if(full=len(self._guests) >= limits.exchanges)
        guest_id = GUEST_PREFIX + secrets.token_hex(8)
        self._recipients[guest_id] = guest
        try:
            return guest_id, await self._guests.admit(guest_id, room, name, grants, limits.answer_timeout)
        except BaseException as error:
            self.dismiss_guest(guest_id)
            if isinstance(error, TimeoutError):
                raise unavailable() from None
            raise

    def call_as_guest(self, guest_id: str, message: DescriptionFrom | CandidateFrom | ByeFrom) -> None:
        self._guests.say(guest_id, message)

    def dismiss_guest(self, guest_id: str) -> None:
        self._recipients.pop(guest_id, None)
        self._guests.dismiss(guest_id)
        self._note_idle()

    def _depart(self, member_id: str, reason: str, *, lost: bool) -> None:
        self._recipients.pop(member_id, None)
        self._forget(member_id)
        seat = self._edge.get(member_id)
        if seat is not None and seat.departs is None:
            logger.info("%s gone: %s", member_id, reason)
            self._routes.ask(self._edge.depart(seat, reason, self._loop.time(), lost=lost))

    def _must_be_up(self) -> None:
        self._refuse_if(full=False)
        if self._pulse.down:
            raise unavailable()

    def _unanswered(self, room: str) -> list[AnyRequest]:
        """Everything about a room that its owner may not know."""
        questions = [question for _, question in self._returning.values() if question.room == room]
        return [*self._edge.again(room, self._loop.time()), *questions]

    # From the others

    async def _listen(self) -> None:
        while True:
            try:
                async for data in self._backplane.mail():
                    self._read(data)
            except BackplaneDown:
                await asyncio.sleep(RETRY)
            for room in self._edge.rooms:  # something may have been lost
                self._routes.ask_again(room)

    def _read(self, data: bytes) -> None:
        try:
            mail = read_mail(data)
        except ValueError:
            logger.warning("a node sent what cannot be read; do all run the same version?")
            return
        match mail:
            case Batch():
                self._receive(mail)
            case Requests():
                for request in mail.requests:
                    self._routes.arrived(request)
            case Census():
                self._admin.answer(mail)
            case Counted():
                self._admin.answered(mail)
            case Banned():
                self._banned.heard(mail)

    def _receive(self, batch: Batch) -> None:
        """Answers of the owner of a room, this node or another."""
        if not batch.owner:
            self._routes.find(batch.room)
            return
        self._routes.learn(batch.room, batch.owner)
        before = self._fences.get(batch.room)
        self._fences[batch.room] = batch.fence
        if before is not None and before != batch.fence:
            self._routes.ask_again(batch.room)
        for answer in batch.answers:
            try:
                self._take(answer)
            except Exception:
                logger.exception("a %s could not be worked off", type(answer).__name__)

    def _take(self, answer: AnyAnswer) -> None:
        seat = self._edge.get(answer.id)
        match answer:
            case Told():
                self._tell(seat, answer)
            case Taken() if seat is not None:
                self._edge.taken(seat, answer.n, self._loop.time())
            case Entered():
                self._entered(answer)
            case Admitted():
                self._guests.admitted(answer)
            case Refused():
                self._refused(answer)
            case Gone() if seat is not None:
                self._gone(seat, answer)

    def _tell(self, seat: EdgeSeat | None, told: Told) -> None:
        recipient = self._recipients.get(told.id)
        if seat is None:
            if recipient is not None:
                recipient.deliver(Delivery(told.id, json=told.payload))
            return
        deliver, requests = self._edge.hear(seat, told, self._loop.time())
        if deliver and recipient is not None:
            recipient.deliver(Delivery(told.id, number=told.number if seat.numbers else 0, json=told.payload))
        for request in requests:
            self._routes.ask(request)

    def _entered(self, answer: Entered) -> None:
        connection, question = self._returning.pop(answer.id, (None, None))
        if connection is None or question is None:
            return
        self._edge.entered(answer, question.resume)
        if connection in self._connections:
            self._forget(answer.member)
            self._supersede(answer.member, connection)
            with contextlib.suppress(ProtocolError):  # too many: who has a place keeps it
                self.admission.connect(bearer := LOCAL.bearing(answer.grants))
                self._bearers[answer.member] = bearer
            self._begin_tenure(answer.member, answer.grants)
            if self.settings.turn is not None:  # those that it has may be of long ago
                changed = IceServersChanged(self.servers_for(answer.member))  # after `resumed`:
                self._loop.call_soon(self.tell, answer.member, changed)
        else:  # gone meanwhile
            self._depart(answer.member, "lost", lost=True)

    def _refused(self, answer: Refused) -> None:
        error = ProtocolError(Code(answer.code), answer.text)
        if answer.id in self._returning:
            self._returning.pop(answer.id)[0].refuse(error)
        elif not self._guests.refused(answer, error):
            self._edge.remove(answer.id)
            self._forget(answer.id)
            recipient = self._recipients.pop(answer.id, None)
            if recipient is not None:
                recipient.drop(error)

    def _gone(self, seat: EdgeSeat, answer: Gone) -> None:
        recipient = self._recipients.pop(seat.id, None)
        self._edge.remove(seat.id)
        self._forget(seat.id)
        if recipient is not None:
            code = Code(answer.reason) if answer.reason else Code.CANNOT_RESUME
            text = answer.text or "Your place is not at this connection any more; resume it, or join again."
            recipient.drop(ProtocolError(code, text))

    # Time

    def _clear_up(self) -> None:
        for ticket, (connection, question) in list(self._returning.items()):
            if connection in self._connections:
                self._routes.find(question.room)
            else:
                del self._returning[ticket]
        for room in self._edge.overdue(self._loop.time() - PATIENCE):
            self._routes.find(room)
        here = set(self._edge.rooms) | self._guests.rooms
        self._fences = {room: fence for room, fence in self._fences.items() if room in here}
        self._routes.keep(here)

    async def _beaten(self, alive: Alive, *, late: bool, after_outage: bool) -> None:
        if late:  # others may have given us up
            for room in self._edge.rooms:
                self._routes.ask_again(room)
        await self._owned.renew(alive, after_outage=after_outage)
        await self._banned.keep(alive, after_outage=after_outage)
        unknown = alive.now if after_outage else 0.0
        for room, owner in self._routes.items():
            if alive.nodes.get(owner, unknown) < alive.now - NODE:
                self._routes.find(room)

    def _sent_away(self, room: str, grants: Grants) -> None:
        self._banned.add(Ban(room, grants.expires, bearer=grants.bearer))
