"""How a call negotiates: the messages of its session, worked off one after the other, over one connection or the next.

The rules are in `peer.negotiation`, which is pure. What is negotiated is up to the connection (`peer.link`); a path
that broke is repaired here: by ICE restarts, and where those do not help by another connection under the same call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from peer import goodbye
from peer.errors import BadDescription, CallEnded, Error, Unreachable
from peer.negotiation import Negotiation, Verdict
from peer.rtc.awareness import announces_recording
from signaling.messages import (
    ByeFrom,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    SessionDescription,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from peer import events as happened
    from peer.link import Options
    from peer.remote import Remote
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
RENEW_AFTER = 12.0
"""Seconds of silence after which, when a restart was agreed and did not help, another connection is made."""


@dataclass(frozen=True, slots=True)
class Dial:
    """In the inbox: make the first offer, if the call is still that session's."""

    session: str


@dataclass(frozen=True, slots=True)
class _Negotiate:
    """In the inbox: our side has something to negotiate; `again`: whatever was offered before is made anew."""

    again: bool = False


@dataclass(frozen=True, slots=True)
class _Renew:
    """In the inbox: ICE restarts did not help, make another connection."""


@dataclass(frozen=True, slots=True)
class _Resend:
    """In the inbox: the signaling server was away, an offer of ours may be lost."""


@dataclass(frozen=True, slots=True)
class _Found:
    """In the inbox: a candidate of ours, which must not overtake its description; None: the last was."""

    session: str
    candidate: IceCandidate | None


_Internal = Dial | _Negotiate | _Renew | _Resend | _Found


class CallRoom(Protocol):
    """What a call needs of its room."""

    name: str
    """Ours."""
    room: str
    """The room's."""

    async def send(self, message: ClientMessage) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...
    def gives_way(self, member: str) -> bool: ...
    def may(self, right: str) -> bool: ...
    def network_changed(self) -> None: ...
    def call_ended(self, call: Any, ended: happened.Ended) -> None: ...
    def call_closed(self, call: Any) -> None: ...
    def call_renewed(self, call: Any, before: str) -> None: ...


class Negotiating(ABC):
    """The chain of one call: no two operations on its connection ever overlap."""

    def __init__(self, room: CallRoom, remote: Remote, session: str, options: Options) -> None:
        from peer.link import Link

        self.remote = remote
        self.session = session
        self._room = room
        self._options = options
        self._negotiation = Negotiation(session)
        self.polite = room.gives_way(remote.member)
        """Whether we give way; agreed at the start: ids change when somebody comes back into the room."""
        self._connection = Link(options, self)
        remote.connection = self._connection
        loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[happened.Ended] = loop.create_future()
        self._inbox: asyncio.Queue[CallMessage | _Internal] = asyncio.Queue(INBOX)
        self._chain: asyncio.Task[None] | None = None
        self._one_shot = False
        """Whether the other side takes one description and no more (a plain HTTP exchange)."""
        self._answer_due: asyncio.TimerHandle | None = None
        self._repairing: asyncio.Task[None] | None = None
        self._silent_since = 0.0
        self._broken_since: float | None = None
        """Since when another connection is being made in the place of a broken one."""

    @property
    def name(self) -> str:
        """Name of the other participant."""
        return self.remote.name

    @property
    @abstractmethod
    def open(self) -> bool: ...

    @abstractmethod
    async def hang_up(self, *, reason: str = "hung up", text: str = "") -> None: ...

    @abstractmethod
    def _fail(self, error: Error, reason: str, *, by: str = "", text: str = "") -> None: ...

    @abstractmethod
    async def _say_bye(self, reason: str, text: str) -> None: ...

    @abstractmethod
    def _hung_up_on(self, bye: ByeFrom) -> None: ...

    # The rest of peer.link.Observer

    @abstractmethod
    def connected(self) -> None: ...

    @abstractmethod
    def disconnected(self, silence: float) -> None: ...

    @abstractmethod
    def reconnected(self, outage: float) -> None: ...

    @abstractmethod
    def failed(self, error: Error) -> None: ...

    @abstractmethod
    def closed_by_remote(self) -> None: ...

    @abstractmethod
    def track_added(self, track: RemoteTrack) -> None: ...

    @abstractmethod
    def track_removed(self, track: RemoteTrack) -> None: ...

    @abstractmethod
    def text_received(self, text: str | bytes) -> None: ...

    # Messages in

    def deliver(self, message: CallMessage) -> None:
        """A message of this session came."""
        self._put(message)

    def listen(self) -> None:
        """Send no media in this call; to be said before it is dialled or answered."""
        self._connection.silent = True

    def announce_recording(self) -> None:
        """Tell the other side that we record it: in the first description, or at once where that was sent before."""
        if not self._connection.recording:
            self._connection.recording = True
            self.negotiation_needed()

    def resume(self) -> None:
        """The signaling server is back: what was said meanwhile may be lost."""
        self._put(_Resend())

    def adopt(self, offer: DescriptionFrom) -> None:
        """Go on with the session of this offer: it crossed ours and stands, or it replaces what is broken."""
        self._go_on_with(offer.session)
        self.deliver(offer)

    def renewed(self, offer: DescriptionFrom) -> None:
        """The other side begins another connection in the place of this call's, which it gave up."""
        logger.info("%s makes another connection", self.name)
        self._broken_since = self._broken_since or time.monotonic() - self._connection.silence
        self.adopt(offer)

    def _go_on_with(self, session: str) -> None:
        """Another connection under the same call."""
        from peer.link import Link

        previous = self._connection
        for track in previous.tracks:
            self.track_removed(track)
        self._connection = self.remote.connection = Link(self._replacing(), self, previous)
        self._room.spawn(previous.close(), "close the connection before")
        self.session = session
        self._negotiation = Negotiation(session)

    def _replacing(self) -> Options:
        """For another connection: it may take as long as the broken one that it replaces might have been silent."""
        if self._broken_since is None:
            return self._options
        ice = self._options.ice
        left = ice.lost_after - (time.monotonic() - self._broken_since)
        return replace(self._options, ice=replace(ice, connect_timeout=max(ice.connect_timeout, left)))

    def _put(self, item: CallMessage | _Internal) -> None:
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            self._room.spawn(self.hang_up(reason="failed", text="too many signaling messages"), "hang up")

    # The connection tells (peer.link.Observer)

    def negotiation_needed(self) -> None:
        if self._answered.done() and not self._one_shot:
            self._put(_Negotiate())

    def candidate_found(self, candidate: IceCandidate | None) -> None:
        if not self._one_shot:
            self._put(_Found(self.session, candidate))

    def addresses_changed(self) -> None:
        if self.open and not self._one_shot:
            logger.info("%s: our addresses changed, looking for another path", self.name)
            self._room.network_changed()
            self._connection.restart()

    # Inside: the chain

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

    async def _take(self, message: CallMessage | _Internal) -> None:
        match message:
            case Dial() if message.session == self.session:
                await self._dial()
            case _Negotiate():
                await self._negotiate(message)
            case _Renew():
                await self._renew()
            case _Resend():
                if self._connection.crossing:
                    await self._send_offer(self._connection.described())
            case _Found() if message.session == self.session:
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

    async def _dial(self) -> None:
        """The first offer; who dials gets what goes wrong."""
        session = self.session
        try:
            self._connection.prepare()
            offer = await self._connection.offer()
            if offer is not None and self.session == session:
                self._negotiation.offered()
                await self._room.send(DescriptionTo(self.remote.member, self.session, offer))
        except Exception as error:
            # An offer that crossed ours meanwhile, and stands, has closed the connection under it: no failure.
            if not self._answered.done() and self.session == session:
                self._answered.set_exception(error)

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

    async def _describe(self, message: DescriptionFrom) -> None:
        verdict = self._negotiation.description(message.description.type, polite=self.polite)
        if verdict is Verdict.IGNORE:
            logger.debug("%s: a crossed %s is passed over", self.name, message.description.type)
            return
        self._one_shot = self._one_shot or not message.trickle
        self._note_recording(announces_recording(message.description.sdp))
        answer = await self._connection.take(message.description)
        if message.texts is not None:
            self._connection.resume_texts(message.texts)
        if answer is not None:
            if self._one_shot:
                answer = await self._connection.gathered()
            texts = self._connection.account.heard if message.texts is not None else None
            await self._room.send(DescriptionTo(self.remote.member, self.session, answer, texts=texts))
        for candidate in self._negotiation.settled():
            await self._connection.add_candidate(candidate)
        if not self._answered.done():
            self._answered.set_result(None)

    def _note_recording(self, on: bool) -> None:
        if on != self.remote.recording:
            self.remote.recording = on
            logger.info("%s %s this call", self.name, "records" if on else "no longer records")

    # Inside: a path that broke

    def _begin_repair(self, silence: float) -> None:
        self._silent_since = time.monotonic() - silence
        # The signaling connection may have died with the path, and would notice it much later than we need it.
        self._room.network_changed()
        if self._repairing is None and not self._one_shot:
            self._repairing = self._room.spawn(self._repair(), f"repair the path to {self.name}")

    async def _repair(self) -> None:
        """While the other side is not heard: look for another path, again and again, less and less often."""
        try:
            restarts = self._connection.restarts
            for delay in (*REPAIR_DELAYS, *REPAIR_DELAYS[-1:] * 4):
                await asyncio.wait([self._ended], timeout=delay)
                if self._ended.done() or self._connection.state != "disconnected":
                    return
                silent = time.monotonic() - self._silent_since
                if silent > RENEW_AFTER and self._connection.restarts > restarts and not self._connection.crossing:
                    self._put(_Renew())
                    return
                self._connection.restart()
        finally:
            self._repairing = None

    async def _renew(self) -> None:
        """Another connection under the same call; tracks, recordings and texts go on over it."""
        logger.info("%s: the path cannot be repaired, making another connection", self.name)
        broken = self.session
        self._broken_since = self._silent_since
        self._go_on_with(uuid4().hex)
        self._room.call_renewed(self, broken)
        self._connection.prepare()
        offer = await self._connection.offer()
        if offer is not None:
            self._negotiation.offered()
            heard = self._connection.account.heard
            message = DescriptionTo(self.remote.member, self.session, offer, replaces=broken, texts=heard)
            await self._room.send(message)
