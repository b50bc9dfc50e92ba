"""The life of a call: it is dialled or answered, connects, and ends; both sides learn how.

A call belongs to a room (`peer.room`), which passes it the messages of its session and takes its own to the others.
It runs its negotiation in one chain, so no two operations on the connection ever overlap. What goes through a call
while it lives is in `peer.call`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from peer import events as happened
from peer import goodbye
from peer.errors import (
    BadDescription,
    CallEnded,
    CallLost,
    Error,
    IceFailed,
    NoAnswer,
    Unreachable,
)
from peer.negotiation import Negotiation, Verdict
from peer.taker import Broadcast, Taker
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    SessionDescription,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from peer.link import Link, Options
    from peer.rtc.receiver import RemoteTrack
    from signaling.messages import ClientMessage, IceCandidate

logger = logging.getLogger(__name__)

CallMessage = DescriptionFrom | CandidateFrom | ByeFrom
INBOX = 500
"""Signaling messages that may wait for one call; a remote that sends more is hung up on."""
ANSWER_TIMEOUT = 10.0
"""Seconds that an offer in mid-call waits for its answer, which may be lost; then it is taken back and made again."""
REPAIR_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds of silence, and then between one ICE restart and the next, while the other side is not heard."""
BYE_GRACE = 1.0
"""Seconds that a goodbye may come after the connection it belongs to was closed."""
BYE_TIMEOUT = 1.0
"""Seconds that a goodbye may take to be handed to a signaling server that does not read."""
LEFT_GRACE = 3.0
"""Seconds of silence after which the call with somebody who left the room is over."""


class CallRoom(Protocol):
    """What a call needs of its room."""

    name: str

    async def send(self, message: ClientMessage) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...
    def gives_way(self, member: str) -> bool: ...
    def call_ended(self, call: Any, ended: happened.Ended) -> None: ...
    def call_closed(self, call: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class _Negotiate:
    """In the inbox: our side has something to negotiate; `again`: whatever was offered before is made anew."""

    again: bool = False


@dataclass(frozen=True, slots=True)
class _Resend:
    """In the inbox: the signaling server was away, an offer of ours may be lost."""


@dataclass(frozen=True, slots=True)
class _Found:
    """In the inbox: a candidate of ours, which must not overtake its description; None: the last was."""

    candidate: IceCandidate | None


class Remote:
    """The other side of a call."""

    def __init__(self, name: str, member: str) -> None:
        self.name = name
        """Its name in the room."""
        self.member = member
        """Its id in the room; changes when it comes back after the signaling server was away."""
        self.connection: Link | None = None

    @property
    def tracks(self) -> list[RemoteTrack]:
        """What it sends at the moment: microphone, camera, screen shares; empty before the media flows."""
        return self.connection.tracks if self.connection else []


class CallLife(ABC):
    """How a call comes about and ends; observes its connection (`peer.link.Observer`)."""

    def __init__(self, room: CallRoom, remote: Remote, session: str, options: Options) -> None:
        from peer.link import Link

        self.remote = remote
        self.session = session
        self._room = room
        self._options = options
        self._negotiation = Negotiation(session)
        self._connection = Link(options, self)
        remote.connection = self._connection
        self._begun = time.monotonic()
        self._open_at: float | None = None
        loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = loop.create_future()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[happened.Ended] = loop.create_future()
        for future in (self._answered, self._connected):
            future.add_done_callback(_retrieved)
        self._inbox: asyncio.Queue[CallMessage | _Negotiate | _Resend | _Found] = asyncio.Queue(INBOX)
        self._chain: asyncio.Task[None] | None = None
        self._cleaned: asyncio.Task[None] | None = None
        self._outgoing = False
        self._one_shot = False
        """Whether the other side takes one description and no more (a plain HTTP exchange)."""
        self._repairing: asyncio.Task[None] | None = None
        self._answer_due: asyncio.TimerHandle | None = None
        self._events: Broadcast[happened.Event] = Broadcast()

    @abstractmethod
    async def _release(self) -> None:
        """Give back everything that hangs on the call but the connection."""

    @abstractmethod
    def track_added(self, track: RemoteTrack) -> None: ...

    @abstractmethod
    def track_removed(self, track: RemoteTrack) -> None: ...

    @abstractmethod
    def text_received(self, text: str | bytes) -> None: ...

    @property
    def name(self) -> str:
        """Name of the other participant."""
        return self.remote.name

    @property
    def open(self) -> bool:
        """Whether media can flow: connected, and not over (a short silence of the other side does not count)."""
        return self._open_at is not None and not self._ended.done()

    @property
    def over(self) -> bool:
        """Whether it has ended, or never came about."""
        return self._ended.done()

    async def ended(self) -> happened.Ended:
        """Wait for the end, and learn who ended it and why."""
        return await asyncio.shield(self._ended)

    async def hang_up(self, *, reason: str = "hung up", text: str = "") -> None:
        """End the call and wait until everything of it is closed. Idempotent, at most a few seconds.

        `text` is shown to the other side.
        """
        await self._end(reason, text)

    def events(self) -> Taker[happened.Event]:
        """What happens to the call, see `peer.events`; the last is `Ended`."""
        return self._events.take()

    # How it comes about; for the room

    async def dial(self, timeout: float) -> None:
        """Offer, wait for the answer, wait for the media path.

        Raises:
            Rejected, NoAnswer, IceFailed, BadDescription, Unreachable: it did not come about; it is over then.
        """
        self._outgoing = True
        self._start()
        try:
            async with asyncio.timeout(timeout):
                await self._offer()
                await asyncio.shield(self._answered)
        except TimeoutError:
            await self._end("no-answer")
            raise NoAnswer(f"{self.name} did not answer within {timeout:g} s; try again later") from None
        except asyncio.CancelledError:
            await self._end("cancelled")
            raise
        except Exception as error:
            over = self._ended.done()
            await self._end("failed", str(error))
            if over and not isinstance(error, Error):  # the engine, from under which the connection was closed
                raise CallEnded(f"the call with {self.name} ended before it came about; call again") from error
            raise
        await self._until_connected()

    async def accept(self) -> None:
        """Answer the offer that waits in the inbox, wait for the media path. Raises as `dial`."""
        self._start()
        await self._until_connected()

    async def reject(self, reason: str, text: str = "") -> None:
        """Decline, without ever having opened anything."""
        await self._end(reason, text)

    def adopt(self, offer: DescriptionFrom) -> None:
        """The other side's call crossed ours and stands: go on with its session instead of our own."""
        from peer.link import Link

        previous = self._connection
        self._room.spawn(previous.close(), "close crossed connection")
        self._connection = self.remote.connection = Link(self._options, self)
        previous.pictures.hand_over(self._connection.pictures)
        previous.sound.hand_over(self._connection.sound)
        self.session = offer.session
        self._negotiation = Negotiation(offer.session)
        self.deliver(offer)

    @property
    def dialling(self) -> bool:
        """Whether we called and have not been answered yet."""
        return self._outgoing and not self._answered.done() and not self._ended.done()

    def cancelled(self, bye: ByeFrom) -> None:
        """The caller gave up before we answered."""
        self._hung_up_on(bye)

    def deliver(self, message: CallMessage) -> None:
        """A message of this session came."""
        self._put(message)

    def resume(self) -> None:
        """The signaling server is back: what was said meanwhile may be lost."""
        self._put(_Resend())

    def _put(self, item: CallMessage | _Negotiate | _Resend | _Found) -> None:
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            self._room.spawn(self.hang_up(reason="failed", text="too many signaling messages"), "hang up")

    def member_left(self, reason: str) -> None:
        """The other side left the room: over at once if nothing flows, else when it falls silent."""
        if not self.open:
            self._fail(CallLost(f"{self.name} left before the call came about; call again when it is back"), "left")
        elif not self._ended.done():
            self._room.spawn(self._watch_left(), "watch a member who left")

    # The connection tells (peer.link.Observer)

    def connected(self) -> None:
        self._open_at = time.monotonic()
        if not self._connected.done():
            self._connected.set_result(None)
        self._events.put(happened.Connected(str(self._connection.pair() or ""), self._open_at - self._begun))

    def disconnected(self, silence: float) -> None:
        logger.info("%s: nothing heard for %.0f s", self.name, silence)
        self._events.put(happened.Disconnected(silence))
        if self._repairing is None and not self._one_shot:
            self._repairing = self._room.spawn(self._repair(), f"repair the path to {self.name}")

    def reconnected(self, outage: float) -> None:
        logger.info("%s: heard again", self.name)
        self._events.put(happened.Reconnected(outage))

    def failed(self, error: Error) -> None:
        reason = "failed" if isinstance(error, IceFailed) else "lost"
        self._room.spawn(self._say_bye(reason, ""), "bye")
        self._fail(error, reason)

    def negotiation_needed(self) -> None:
        if self._answered.done() and not self._one_shot:
            self._put(_Negotiate())

    def candidate_found(self, candidate: IceCandidate | None) -> None:
        if not self._one_shot:
            self._put(_Found(candidate))

    def addresses_changed(self) -> None:
        if self.open and not self._one_shot:
            logger.info("%s: our addresses changed, looking for another path", self.name)
            self._connection.restart()

    def closed_by_remote(self) -> None:
        self._room.spawn(self._after_close(), "wait for a goodbye")

    # Inside: the chain

    async def _offer(self) -> None:
        """The first offer."""
        connection = self._connection
        try:
            connection.prepare()
            offer = await connection.offer()
        except Exception:
            if connection is self._connection:
                raise
            return
        if connection is self._connection and offer is not None:  # else the other side's call crossed ours meanwhile
            self._negotiation.offered()
            await self._room.send(DescriptionTo(self.remote.member, self.session, offer))

    def _start(self) -> None:
        if self._chain is None:
            self._chain = self._room.spawn(self._run(), f"call {self.name}")

    async def _run(self) -> None:
        """Work off the session's messages, one after the other."""
        while not self._ended.done():
            message = await self._inbox.get()
            try:
                await self._take(message)
            except BadDescription as error:
                logger.warning("%s: %s", self.name, error)
                if self.open:  # what is agreed goes on
                    self._negotiation.gave_up()
                    continue
                await self._say_bye("failed", str(error))
                self._fail(error, "failed")
            except Unreachable as error:
                logger.warning("%s: %s", self.name, error)
            except Exception as error:
                logger.exception("a message of %s could not be worked off", self.name)
                await self._say_bye("failed", goodbye.told(error))
                self._fail(CallEnded(f"the call with {self.name} broke: {goodbye.told(error)}; report it"), "failed")

    async def _take(self, message: CallMessage | _Negotiate | _Resend | _Found) -> None:
        match message:
            case _Negotiate():
                await self._negotiate(message)
            case _Resend():
                if self._connection.crossing:
                    await self._send_offer(self._connection.described())
            case _Found():
                await self._room.send(CandidateTo(self.remote.member, self.session, message.candidate))
            case _ if message.session != self.session:
                return
            case ByeFrom():
                self._hung_up_on(message)
            case CandidateFrom():
                if self._negotiation.candidate(message.candidate):
                    await self._connection.add_candidate(message.candidate)
            case DescriptionFrom():
                await self._describe(message)

    async def _negotiate(self, wish: _Negotiate) -> None:
        """Offer what changed at our side, or another path. One offer at a time: the next is asked for by itself."""
        if wish.again and self._connection.crossing:
            await self._connection.take_back()
            self._negotiation.gave_up()
        offer = await self._connection.offer()
        if offer is not None:
            self._negotiation.offered()
            await self._send_offer(offer)

    async def _send_offer(self, offer: SessionDescription) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
        loop = asyncio.get_running_loop()
        self._answer_due = loop.call_later(ANSWER_TIMEOUT, self._unanswered)
        await self._room.send(DescriptionTo(self.remote.member, self.session, offer))

    def _unanswered(self) -> None:
        if self._connection.crossing and self._answered.done() and not self._ended.done():
            self._put(_Negotiate(again=True))

    async def _repair(self) -> None:
        """While the other side is not heard: look for another path, again and again, less and less often."""
        try:
            for delay in (*REPAIR_DELAYS, *REPAIR_DELAYS[-1:] * 4):
                await asyncio.wait([self._ended], timeout=delay)
                if self._ended.done() or self._connection.state != "disconnected":
                    return
                self._connection.restart()
        finally:
            self._repairing = None

    async def _describe(self, message: DescriptionFrom) -> None:
        polite = self._room.gives_way(self.remote.member)
        verdict = self._negotiation.description(message.description.type, polite=polite)
        if verdict is Verdict.IGNORE:
            logger.debug("%s: a crossed %s is passed over", self.name, message.description.type)
            return
        self._one_shot = self._one_shot or not message.trickle
        answer = await self._connection.take(message.description)
        if answer is not None:
            if self._one_shot:
                answer = await self._connection.gathered()
            await self._room.send(DescriptionTo(self.remote.member, self.session, answer))
        for candidate in self._negotiation.settled():
            await self._connection.add_candidate(candidate)
        if not self._answered.done():
            self._answered.set_result(None)

    # Inside: the end

    def _hung_up_on(self, bye: ByeFrom) -> None:
        text = goodbye.legible(bye.text)
        error = goodbye.meaning(self.name, bye, answered=self._answered.done(), connected=self._connected.done())
        self._fail(error, bye.reason, by=self.name, text=text)

    def _fail(self, error: Error, reason: str, *, by: str = "", text: str = "") -> None:
        """It is over: whoever waits for it to come about gets `error`."""
        for future in (self._answered, self._connected):
            if not future.done():
                future.set_exception(error)
        self._finish(happened.Ended(by, goodbye.spoken(reason), self._seconds(), text))

    def _finish(self, ended: happened.Ended) -> None:
        if self._ended.done():
            return
        self._negotiation.close()
        if self._answer_due is not None:
            self._answer_due.cancel()
        for future in (self._answered, self._connected):
            if not future.done():
                future.set_exception(CallEnded(f"the call with {self.name} is over: {ended.reason}"))
        self._ended.set_result(ended)
        self._events.put(ended)
        self._events.end()
        self._room.call_ended(self, ended)
        self._cleaned = self._room.spawn(self._clean(), f"end call {self.name}")

    async def _clean(self) -> None:
        """Close everything that is the call's, in the order of docs/closing.md."""
        try:
            await self._release()
        except Exception:
            logger.exception("not everything of the call with %s could be given back", self.name)
        await self._connection.close()
        if self._chain is not None:
            self._chain.cancel()
        self._room.call_closed(self)

    async def _settled(self) -> None:
        if self._cleaned is not None:
            await asyncio.shield(self._cleaned)

    async def _end(self, reason: str, text: str = "") -> None:
        """End it from our side and wait until it is closed; a cancellation ends the waiting only."""
        if not self._ended.done():
            try:
                await self._say_bye(reason, text)
            finally:
                self._finish(happened.Ended(self._room.name, goodbye.spoken(reason), self._seconds(), text))
        await self._settled()

    async def _until_connected(self) -> None:
        try:
            await asyncio.shield(self._connected)
        except asyncio.CancelledError:
            await self._end("cancelled")
            raise
        except Error:
            await self._settled()
            raise

    async def _say_bye(self, reason: str, text: str) -> None:
        try:
            async with asyncio.timeout(BYE_TIMEOUT):
                await self._room.send(ByeTo(self.remote.member, self.session, goodbye.wire(reason), text[:500]))
        except (Error, TimeoutError) as error:
            logger.debug("the goodbye could not be sent: %s", error)

    async def _after_close(self) -> None:
        """The other side closed the connection: its goodbye says why, if it comes; it may have left without one."""
        await asyncio.wait([self._ended], timeout=BYE_GRACE)
        self._fail(CallLost(f"{self.name} closed the connection"), "left", by=self.name)

    async def _watch_left(self) -> None:
        """Until it is over, or the other side is back in the room, under another id."""
        gone = self.remote.member
        while not self._ended.done() and self.remote.member == gone:
            if self._connection.silence > LEFT_GRACE:
                self._fail(CallLost(f"{self.name} left"), "left", by=self.name)
                return
            await asyncio.wait([self._ended], timeout=0.5)

    def _seconds(self) -> float:
        return time.monotonic() - self._open_at if self._open_at is not None else 0.0


def _retrieved(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
