"""The life of a call: it is dialled or answered, connects, and ends; both sides learn how.

A call belongs to a room (`peer.room`), which passes it the messages of its session and takes its own to the others.
How it negotiates is in `peer.negotiating`, what goes through it while it lives in `peer.call`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from peer import events as happened
from peer import goodbye
from peer.errors import CallEnded, CallLost, Error, IceFailed, NoAnswer
from peer.negotiating import CallRoom, Dial, Negotiating
from peer.taker import Broadcast, Taker
from signaling.messages import ByeFrom, ByeTo

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.link import Options
    from peer.remote import Remote

__all__ = ["CallLife", "CallRoom"]

logger = logging.getLogger(__name__)

BYE_GRACE = 1.0
"""Seconds that a goodbye may come after the connection it belongs to was closed."""
FLUSH_TIMEOUT = 0.5
"""Seconds that texts written just before the goodbye may take to arrive: the goodbye goes another, faster way."""
BYE_TIMEOUT = 1.0
"""Seconds that a goodbye may take to be handed to a signaling server that does not read."""
LEFT_GRACE = 3.0
"""Seconds of silence after which the call with somebody who left the room is over."""
AWAY_GRACE = 8.0
"""The same for somebody whose connection to the signaling server broke, as that of a program that was killed does: one
that lives is back before."""


class CallLife(Negotiating):
    """How a call comes about and ends; observes its connection (`peer.link.Observer`)."""

    def __init__(self, room: CallRoom, remote: Remote, session: str, options: Options) -> None:
        super().__init__(room, remote, session, options)
        self._begun = time.monotonic()
        self._open_at: float | None = None
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for future in (self._answered, self._connected):
            future.add_done_callback(_retrieved)
        self._cleaned: asyncio.Task[None] | None = None
        self._outgoing = False
        self._away = False
        self.on_open: Callable[[], None] = lambda: None
        """Told at the very moment at which media can flow: some send their only keyframe for a while right then."""
        self._events: Broadcast[happened.Event] = Broadcast()

    @abstractmethod
    async def _release(self) -> None:
        """Give back everything that hangs on the call but the connection."""

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
                self._put(Dial(self.session))
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

    @property
    def dialling(self) -> bool:
        """Whether we called and have not been answered yet."""
        return self._outgoing and not self._answered.done() and not self._ended.done()

    def cancelled(self, bye: ByeFrom) -> None:
        """The caller gave up before we answered."""
        self._hung_up_on(bye)

    def member_left(self, reason: str) -> None:
        """The other side left the room: over at once if nothing flows, else when it falls silent.

        One that took its own place over, or of which the server only heard nothing, may have lost its network for a
        while: the path decides.
        """
        if reason == "replaced" or (reason == "silent" and self.open):
            return
        if not self.open:
            self._fail(CallLost(f"{self.name} left before the call came about; call again when it is back"), "left")
        elif not self._ended.done():
            gone = self.remote.member
            watch = self._watch_silence(LEFT_GRACE, lambda: self.remote.member == gone)
            self._room.spawn(watch, "watch a member who left")

    def presence_changed(self, event: happened.MemberAway | happened.MemberBack) -> None:
        """The other side lost its connection to the server, or is back.

        One of which nothing was heard may have lost its network: the path decides. A connection that broke may be the
        end of its program.
        """
        self._away = isinstance(event, happened.MemberAway)
        if isinstance(event, happened.MemberAway) and event.reason == "lost" and self.open:
            self._room.spawn(self._watch_silence(AWAY_GRACE, lambda: self._away), "watch a member who is away")

    # The connection tells (peer.link.Observer)

    def connected(self) -> None:
        if self._broken_since is not None:  # another connection took the place of one that could not be repaired
            outage, self._broken_since = time.monotonic() - self._broken_since, None
            self._connection.refresh()
            self.reconnected(outage)
            return
        self._open_at = time.monotonic()
        self.on_open()
        if not self._connected.done():
            self._connected.set_result(None)
        self._events.put(happened.Connected(str(self._connection.pair() or ""), self._open_at - self._begun))

    def disconnected(self, silence: float) -> None:
        logger.info("%s: nothing heard for %.0f s", self.name, silence)
        self._events.put(happened.Disconnected(silence))
        self._begin_repair(silence)

    def reconnected(self, outage: float) -> None:
        logger.info("%s: heard again", self.name)
        self._events.put(happened.Reconnected(outage))

    def failed(self, error: Error) -> None:
        if self._broken_since is not None:
            error = CallLost(f"the path to {self.name} broke and another was not found; call again")
        reason = "failed" if isinstance(error, IceFailed) else "lost"
        self._room.spawn(self._say_bye(reason, ""), "bye")
        self._fail(error, reason)

    def closed_by_remote(self) -> None:
        self._room.spawn(self._after_close(), "wait for a goodbye")

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
                await self._connection.flush(FLUSH_TIMEOUT)
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
        """The other side closed the connection: its goodbye says why, if it comes; it may have left without one.

        Then the signaling is told by us, for those there who keep account of calls.
        """
        await asyncio.wait([self._ended], timeout=BYE_GRACE)
        if not self._ended.done():
            await self._say_bye("lost", "")
        self._fail(CallLost(f"{self.name} closed the connection"), "left", by=self.name)

    async def _watch_silence(self, grace: float, gone: Callable[[], bool]) -> None:
        """Until it is over, or the other side is back in the room.

        Only silence since now counts: one whose path broke comes back over a new connection, which takes a while.
        """
        since = time.monotonic()
        while not self._ended.done() and gone():
            if min(self._connection.silence, time.monotonic() - since) > grace:
                self._fail(CallLost(f"{self.name} left"), "left", by=self.name)
                return
            await asyncio.wait([self._ended], timeout=0.5)

    def _seconds(self) -> float:
        return time.monotonic() - self._open_at if self._open_at is not None else 0.0


def _retrieved(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
