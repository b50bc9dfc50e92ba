"""A room of the signaling server, joined under a name: who is there, whom to call, who calls."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peer import events as happened
from peer.attendance import GRACE
from peer.attending import Attending
from peer.beginning import Beginning, RoomOptions, Sources
from peer.call import Call
from peer.errors import NotHere, Unreachable
from peer.membership import Membership
from peer.recorders import Recorders
from peer.ring import Dialing, Ring, run_over
from peer.rtc.ice.servers import CurrentServers, IceSettings
from peer.shelf import SourceShelf
from peer.switchboard import MAX_RINGS, Switchboard
from peer.taker import Broadcast, Taker
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateFrom,
    DescriptionFrom,
    ErrorMessage,
    Member,
    MessageFrom,
    MessageTo,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine
    from os import PathLike
    from types import EllipsisType, TracebackType

    from peer.channel import Connect, SignalingChannel
    from peer.errors import SignalingError
    from peer.recording import Format, Recorder
    from peer.remote import Remote
    from peer.ring import Pictures, Sounds
    from signaling.messages import ClientMessage, IceServer, ServerMessage

logger = logging.getLogger(__name__)

RING_SECONDS = 30.0
"""Seconds that a call rings before the caller is told that nobody answered."""
LEAVE_TIMEOUT = 2.5


class Room:
    """One membership. Made by `peer.join`; leaving its `async with`, or `leave()`, ends its calls and tasks.

    When the signaling server goes away, calls that run go on, and the room comes back by itself.
    """

    def __init__(self, connect: Connect, channel: SignalingChannel, options: RoomOptions) -> None:
        self._membership = Membership(connect, channel, self)
        self.room = self._membership.room
        """The room's name."""
        self.name = self._membership.own.name
        """Our own name in it."""
        self._options = options
        self._shelf = SourceShelf()
        self._board = Switchboard(self)
        self._beginning = Beginning(self, self._board, self._shelf, Sources(options.video, options.audio))
        self._rings: Broadcast[Ring] = Broadcast(MAX_RINGS)
        self.answers_itself = False
        """Whether the program takes `rings()`."""
        self._events: Broadcast[happened.Event] = Broadcast()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recorders = Recorders()
        self._changed = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self.refusal: SignalingError | None = None
        """Why the signaling server lets us in no more; then we leave."""
        self.spawn(self._membership.run(), f"room {self.room}")

    # Who is there

    @property
    def members(self) -> list[str]:
        """Names of the others in the room."""
        return sorted(member.name for member in self._membership.members.values())

    @property
    def calls(self) -> list[Call]:
        """The calls that are on, ours and those answered."""
        return [call for call in self._board.calls.values() if not call.over]

    @property
    def ice_servers(self) -> list[IceServer]:
        """What calls use to find a path: the signaling server's and our own."""
        return [*self._options.ice_servers, *self._membership.ice_servers]

    def events(self, *, aside: bool = False) -> Taker[happened.Event]:
        """Who comes and goes, calls, messages, the signaling server's absences. `aside`: for who watches a program from
        outside; what comes before that takes events still waits for it."""
        return self._events.take(aside=aside)

    async def wait_for(self, name: str, *, timeout: float | None = None) -> None:
        """Wait until somebody of that name is in the room.

        Raises:
            NotHere: nobody of that name came within `timeout` seconds.
            Unreachable: we leave the room meanwhile.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: name in self.members)
        except TimeoutError:
            raise NotHere(f"{name} did not come to room {self.room} within {timeout:g} s; check the name") from None

    async def empty(self, *, after: float = 0.0) -> None:
        """Wait until nobody else has been here, and no call has run, for `after` seconds. Raises as `wait_for`."""
        while True:
            await self._until(lambda: not self.members and not self.calls)
            try:
                async with asyncio.timeout(after):
                    await self._until(lambda: bool(self.members or self.calls))
            except TimeoutError:
                return

    # Calls

    def call(
        self,
        name: str,
        *,
        video: Pictures | EllipsisType = ...,
        audio: Sounds | EllipsisType = ...,
        timeout: float = 20.0,
    ) -> Dialing:
        """Call the member `name`; await it, or `async with` it. Sources are the room's unless said here.

        `timeout`: seconds that they may take to answer.

        Raises:
            NotHere, Rejected, NoAnswer, IceFailed: it did not come about.
            Unreachable: the signaling server is away.
            UsageError, DeviceError: a source cannot be opened.
        """
        sources = Sources(video, audio)
        return Dialing(name, lambda: self.dial(self.find(name), sources, timeout))

    def rings(self) -> Taker[Ring]:
        """The calls that come in; from the first time on it is this program that answers them."""
        self.answers_itself = True
        return self._rings.take()

    def start(self, script: Callable[[Call], Awaitable[None]], call: Call | Dialing) -> asyncio.Task[None]:
        """Run a coroutine over a call, or one still to come (`ring.accept()`, `room.call(name)`), owned by the room.

        When it returns the call is hung up. What it raises is logged, told to the other side, and ends that call only;
        a call that does not come about is logged.
        """
        return self.spawn(run_over(script, call), f"script with {call.name}")

    def record(
        self,
        directory: str | PathLike[str] | Recorder,
        *,
        format: Format = "mkv",
        segment: float | None = None,
        only: Collection[str] | None = None,
        everyone: bool = True,
    ) -> Recorder:
        """Record everyone who is or comes here: a file in `directory` for each call with each of them.

        Who does not call is called, who calls is answered, both without sending any media; the other side is told
        that it is recorded. Who declines or hangs up is not called again until it has left and come back.

        Args:
            format, segment: as of `Call.record`.
            only: names of those to be recorded; others are not called, and declined. None: everybody.
            everyone: False: only the calls that this program makes and answers. It is the same once it takes `rings()`.

        Returns the recorder, an async context manager with the list of `files`; closed with the room at the latest.
        """
        from peer.recording import Options, Recorder

        made = Options(format=format, segment=segment)
        recorder = directory if isinstance(directory, Recorder) else Recorder(directory, room=self.room, options=made)
        self._recorders.add(recorder, only, self.calls)
        if everyone:
            self.spawn(Attending(self, only=only, grace=GRACE).run(recorder.closing), "record everyone")
        return recorder

    async def message(self, name: str, data: object) -> None:
        """Send application data (anything JSON holds) to a member over the signaling server, outside any call.

        Raises:
            NotHere: nobody of that name is here.
        """
        await self.send(MessageTo(self._membership.find(name).id, data))

    async def leave(self) -> None:
        """Hang up every call, end every task, leave. Idempotent, bounded, goes on when cancelled."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave(), name="leave room")
            self._changed.set()
        await asyncio.shield(self._leaving)

    async def __aenter__(self) -> Room:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    # For calls (peer.negotiating.CallRoom) and rings

    @property
    def ringing(self) -> dict[str, Call]:
        """The calls that nobody has answered yet, by session."""
        return self._board.ringing

    async def send(self, message: ClientMessage) -> None:
        await self._membership.send(message)

    def network_changed(self) -> None:
        """Our addresses changed: what was said over the signaling connection may never arrive."""
        self._membership.network_changed()

    def gives_way(self, member: str) -> bool:
        return self._board.gives_way(member)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_ended(self, call: Call, ended: happened.Ended) -> None:
        self._board.ended(call)
        logger.info("call with %s over: %s%s", call.name, ended.reason, f" ({ended.text})" if ended.text else "")
        self._events.put(happened.CallFinished(call.name, ended))

    def call_renewed(self, call: Call, before: str) -> None:
        self._board.renewed(call, before)

    def call_closed(self, call: Call) -> None:
        self._board.closed(call)
        self._changed.set()

    def arriving(self) -> Taker[Ring]:
        """The calls that come in, for whoever answers them while the program does not."""
        return self._rings.take()

    async def take_ring(self, call: Call, sources: Sources) -> Call:
        """Answer a call that rings."""
        return await self._beginning.answer(call, sources)

    def find(self, name: str) -> Member:
        """The member of that name. Raises NotHere."""
        return self._membership.find(name)

    def may_call(self, name: str) -> bool:
        """Whether the tokens, ours and theirs, let us call the member of that name."""
        return self._membership.may_call(name)

    async def dial(self, member: Member, sources: Sources, timeout: float) -> Call:
        """Call a member; raises as `call`."""
        self._must_be_here()
        return await self._beginning.dial(member, sources, timeout)

    # For the beginning of calls (peer.beginning.BeginningRoom)

    def may(self, right: str) -> bool:
        return self._membership.may(right)

    def begun(self, call: Call, *, outgoing: bool) -> None:
        if call.over:  # at once
            return
        self._recorders.begun(call)
        self._events.put(happened.CallStarted(call.name, outgoing))

    # What the membership tells (peer.membership.Listener)

    def message_received(self, message: ServerMessage) -> None:
        match message:
            case DescriptionFrom() | CandidateFrom() | ByeFrom():
                self._board.route(message)
            case MessageFrom():
                sender = self._membership.members.get(message.sender)
                self._events.put(happened.MemberMessage(sender.name if sender else message.sender, message.data))
            case ErrorMessage():
                logger.warning("the signaling server says: %s", message.message)
                self._board.refused(message)
            case _:
                logger.debug("an unexpected %s is passed over", type(message).__name__)

    def member_joined(self, member: Member) -> None:
        for call in self._board.calls.values():
            if call.name == member.name and call.remote.member not in self._membership.members:
                call.remote.member = member.id  # back after the signaling server was away
                call.resume()
        self._changed.set()
        self._events.put(happened.MemberJoined(member.name, member.id))

    def member_left(self, member: Member, reason: str) -> None:
        self._changed.set()
        self._events.put(happened.MemberLeft(member.name, member.id, reason))
        for call in [call for call in self._board.calls.values() if call.remote.member == member.id]:
            call.member_left(reason)

    def signaling_lost(self, text: str) -> None:
        self._events.put(happened.SignalingLost(text))

    def presence_changed(self, event: happened.MemberAway | happened.MemberBack) -> None:
        self._events.put(event)
        for call in [call for call in self._board.calls.values() if call.remote.member == event.id]:
            call.presence_changed(event)

    def signaling_refused(self, error: SignalingError) -> None:
        logger.error("the room %s is over: %s", self.room, error)
        self.refusal = error
        self.spawn(self.leave(), "leave after a refusal")

    def signaling_restored(self, seconds: float, *, complete: bool) -> None:
        for call in () if complete else self.calls:
            call.resume()
        self._events.put(happened.SignalingRestored(seconds))

    # For the switchboard (peer.switchboard.SwitchboardRoom)

    @property
    def own(self) -> Member:
        return self._membership.own

    def member(self, member_id: str) -> Member | None:
        return self._membership.members.get(member_id)

    def new_call(self, remote: Remote, session: str) -> Call:
        from peer.link import Options

        settings = self._options.network or IceSettings()
        own = settings.servers
        settings = replace(settings, servers=CurrentServers(lambda: (*self.ice_servers, *own)))
        if self._options.connect_timeout is not None:
            settings = replace(settings, connect_timeout=self._options.connect_timeout)
        call = Call(self, remote, session, Options(settings, self._membership.direction), self._shelf)
        self._recorders.made(call)
        return call

    def rang(self, call: Call) -> None:
        if self._leaving is not None:
            self.spawn(call.reject("left"), "reject a late ring")
            return
        self.spawn(self._expire(call), f"ring of {call.name}")
        self._rings.put(Ring(self, call))

    def busy(self, offer: DescriptionFrom) -> None:
        bye = ByeTo(offer.sender, offer.session, "busy", "too many calls at once")
        self.spawn(self._membership.send_if_possible(bye), "busy")

    async def _expire(self, call: Call) -> None:
        try:
            async with asyncio.timeout(RING_SECONDS):
                await call.ended()
        except TimeoutError:
            if self._board.ringing.pop(call.session, None) is not None:
                await call.reject("no-answer")

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                calls = list(self._board.calls.values())
                await asyncio.gather(*(call.hang_up(reason="left") for call in calls), return_exceptions=True)
        except TimeoutError:
            logger.warning("not every call closed in time")
        await self._recorders.close()
        rest = [task for task in self._tasks if task is not asyncio.current_task() and task.cancel()]
        if rest:
            await asyncio.wait(rest, timeout=1)
        await self._membership.close()
        await self._shelf.close()
        self._rings.end()
        self._events.end()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._must_be_here()
            self._changed.clear()
            await self._changed.wait()

    def _must_be_here(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self._leaving is not None:
            raise Unreachable(f"the room {self.room} was left; join it again")
