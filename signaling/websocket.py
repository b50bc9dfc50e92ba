"""One WebSocket connection: bounded outbox, slow-client policy, heartbeat, rate limit, and its end.

A connection is an asyncio protocol and has no task: what comes is done at once, and it waits for nothing but timers.
Whatever ends it (the client, a limit, the heartbeat, the server) sets the one `Ending`; then the room is told, and the
client, which has `close_timeout` to take what waits for it and to say goodbye itself. Nobody waits for a client to
read: what it has not read is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import web

from signaling.asking import counted
from signaling.codes import Code, ProtocolError, effect
from signaling.delivery import Delivery
from signaling.dialect import OwnDialect
from signaling.frames import CLOSE, PING, PONG, TEXT, TOO_BIG, FrameReader, close_frame, frame
from signaling.gate import bearer
from signaling.messages import (
    Ack,
    ByeTo,
    CandidateTo,
    DescriptionTo,
    ErrorMessage,
    Join,
    Kick,
    Leave,
    MessageTo,
    Resume,
    Token,
    parse_client,
)
from signaling.outbox import Outbox
from signaling.rate import RateLimit, Verdict
from signaling.upgrade import accepted, take_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.admission import Caller
    from signaling.credentials import Grants
    from signaling.dialect import Dialect, Step
    from signaling.hub import Hub
    from signaling.messages import ServerMessage

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A message somewhat over the limit is read, so that its sender can be told; one far over it is not (RFC 6455: 1009).
_READ_FACTOR: Final = 4
_ADDRESSED: Final = frozenset((DescriptionTo, CandidateTo, ByeTo, MessageTo))
_TAKE: Final = Verdict.TAKE
_GOODBYE: Final = 1000  # RFC 6455, section 7.4.1: nothing is wrong
_POLICY: Final = 1008


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ends: the reason the others are told, and the error or close code that its client is told.

    `lost`: without a goodbye of either side, so the client may be back.
    """

    reason: str
    error: ProtocolError | None = None
    lost: bool = False
    close_code: int = _GOODBYE


_LOST: Final = Ending("lost", lost=True)


async def serve_websocket(
    request: web.Request, hub: Hub, dialect: Dialect | None = None, *, protocols: tuple[str, ...] = ()
) -> web.Response:
    """Handles a request for a WebSocket: the connection that it begins goes on by itself.

    Raises ProtocolError when there is no place, or the token in its header cannot be used, and as `accepted`.
    `dialect`: what its client speaks, without one docs/protocol.md; `protocols`: the sub-protocols that it may ask for.
    """
    caller = counted(request, hub.settings)
    hub.admission.connect(caller)
    try:
        grants = hub.gate.grants_of(request) if bearer(request) is not None else None
        connection = Connection(hub, dialect or OwnDialect(), caller, grants)
        hub.connect(connection)
        try:
            answer = accepted(request, protocols)
            transport, rest = take_over(request, connection)
        except BaseException:
            hub.disconnect(connection)
            raise
    except BaseException:
        hub.admission.disconnect(caller)
        raise
    transport.write(answer)
    connection.begin(transport, rest)
    return web.Response(status=101)  # aiohttp wants one; it was sent already


class Connection(asyncio.Protocol):
    """A client on a WebSocket: a recipient of the hub from `begin` until its end."""

    __slots__ = (
        *("_caller", "_closed", "_counters", "_dialect", "_ending", "_entering", "_finished", "_frames", "_grants"),
        *("_heard", "_hub", "_id", "_joins", "_late", "_limits", "_loop", "_outbox", "_rate", "_timer", "_translates"),
        "transport",
    )

    transport: asyncio.Transport
    _outbox: Outbox
    _late: asyncio.TimerHandle  # when it has to have joined
    _timer: asyncio.TimerHandle  # its next ping; at its end, when it has to be gone

    def __init__(self, hub: Hub, dialect: Dialect, caller: Caller, grants: Grants | None = None) -> None:
        """`grants`: of the token in the header of its request; None: it is to come with `join`, or none is wanted."""
        self._caller = caller
        self._counters = hub.counters
        self._grants = grants
        self._hub = hub
        self._dialect = dialect
        self._translates = not isinstance(dialect, OwnDialect)
        self._limits = hub.settings.limits
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader(_READ_FACTOR * self._limits.message_bytes)
        self._rate = RateLimit(self._limits.messages_per_second, self._limits.burst, self._loop.time())
        self._ending: Ending | None = None
        self._finished = False  # what follows from the ending was done
        self._closed = False  # its close frame has come
        self._heard = True
        self._id: str | None = None
        self._joins: Join | None = None  # what it joined with, which may still be refused
        self._entering = False  # it asked for the place of an earlier connection

    def begin(self, transport: asyncio.Transport, rest: bytes) -> None:
        """Serves the client; `rest` has come from it already."""
        self.transport = transport
        self._outbox = Outbox(transport, self._limits.outbox_bytes)
        self._await_join()
        self._timer = self._loop.call_later(self._limits.heartbeat, self._beat)
        try:
            for step in self._dialect.opened():
                self._carry_out(step)
        except ProtocolError as error:
            self.drop(error)
        if rest:
            self.data_received(rest)

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        self._heard = True
        now = self._loop.time()
        for kind, payload in self._frames.read(data):
            if kind == CLOSE:
                self._closed = True
                if self._finished:
                    self.transport.close()
                code = int.from_bytes(payload[:2]) or _GOODBYE
                return self._end(Ending("left", close_code=code))
            if self._ending is not None:
                continue
            if (verdict := self._rate.judge(now)) is not _TAKE:
                self._leave_out(verdict)
            elif kind == TEXT:
                self._hear(payload)
            else:
                self._take(kind, payload)
        if self._frames.violation is not None:
            code = self._frames.violation.close_code
            self._end(Ending(Code.TOO_LARGE.value if code == TOO_BIG else "lost", None, code != TOO_BIG, code))
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._end(_LOST)
        try:
            self._finish()
        finally:
            self._timer.cancel()
            self._hub.disconnect(self)
            self._hub.admission.disconnect(self._caller)

    def abort(self) -> None:
        """Ends it at once, whatever its client has not read."""
        self.transport.abort()

    # What the hub calls

    def deliver(self, delivery: Delivery) -> None:
        """Sends a message; one for which there is no room ends the connection."""
        self._counters.sent[delivery.kind] += 1
        if self._translates:
            self._write_translated(delivery.message)
        else:
            self._put(TEXT, delivery.frame)

    def _write_translated(self, message: ServerMessage) -> None:
        for step in self._dialect.write(message, time.time()):
            if isinstance(step, str):
                self._put(TEXT, step.encode())
            else:  # not now: the hub is telling others of the same thing
                self._loop.call_soon(self._attempt, self._carry_out, step)

    def drop(self, error: ProtocolError) -> None:
        """Ends the connection with an error; a taken name of which there is a variant is tried again as that."""
        join = self._joins
        other = self._dialect.renamed(join) if join is not None and error.code is Code.NAME_TAKEN else None
        if other is not None:
            self._id = self._joins = None
            self._await_join()
            self._loop.call_soon(self._attempt, self._join, other)
        else:
            self._end(Ending(error.code.value, error))

    def resumed(self, member_id: str) -> None:
        """It is this member now."""
        self._id = member_id
        self._late.cancel()

    def refuse(self, error: ProtocolError) -> None:
        """It cannot have the place it asked for, and may join."""
        self._entering = False
        self._tell(error)

    def _tell(self, error: ProtocolError) -> None:
        """What this connection refuses by itself has no number: it is of no use over another one."""
        self.deliver(Delivery("", self._refusal(error)))

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._loop.call_soon(self._finish)  # not now: the hub may be telling others something

    def _put(self, kind: int, payload: bytes) -> None:
        if self._ending is None and not self._outbox.put(kind, payload):
            self._counters.dropped += 1
            text = "You do not read fast enough what is sent to you; read all the time, and join again."
            self.drop(ProtocolError(Code.SLOW_CLIENT, text))

    def _await_join(self) -> None:
        self._late = self._loop.call_later(self._limits.join_timeout, self._check_joined)

    def _check_joined(self) -> None:
        if self._id is None:
            text = f"No join came within {self._limits.join_timeout:g} s; send it first, at once."
            self.drop(ProtocolError(Code.JOIN_TIMEOUT, text))

    def _beat(self) -> None:
        """Pings; a client from which nothing came since the last ping, pongs included, is gone, maybe not for good."""
        if not self._heard:
            self._end(Ending("silent", lost=True))
            return
        self._heard = False
        self._put(PING, b"")
        self._timer = self._loop.call_later(self._limits.heartbeat, self._beat)

    def _leave_out(self, verdict: Verdict) -> None:
        """A message that is one too many."""
        text = f"More than {self._limits.messages_per_second} messages per second; send fewer, this one was dropped."
        error = ProtocolError(Code.RATE_LIMITED, text)
        if verdict is Verdict.CLOSE:
            self.drop(error)
        elif verdict is Verdict.DROP_AND_SAY:
            self._tell(error)

    def _hear(self, text: bytes) -> None:
        began = perf_counter()
        self._attempt(self._read_and_do if self._translates else self._do, text)
        self._counters.relayed.observe(perf_counter() - began)

    def _take(self, kind: int, data: bytes) -> None:
        """Takes what is no text."""
        if kind == PING:
            self._put(PONG, data)
        elif kind != PONG:
            text = "A binary frame is no message; send JSON in a text frame."
            self._tell(ProtocolError(Code.BAD_MESSAGE, text))

    def _attempt(self, act: Callable[[T], None], what: T) -> None:
        """Acts for the client, which is told what it is refused. A mistake of ours ends it, and nothing else."""
        if self._ending is not None:
            return
        try:
            act(what)
        except ProtocolError as error:
            if effect(error.code).close_code is None:
                self._tell(error)
            else:
                self.drop(error)
        except Exception:
            logger.exception("a connection ends on a mistake of the server")
            self.drop(ProtocolError(Code.INTERNAL_ERROR, "The server made a mistake; join again and report it."))

    def _do(self, text: bytes) -> None:
        """What a message of our own protocol says."""
        message = parse_client(text, max_bytes=self._limits.message_bytes)
        if type(message) in _ADDRESSED and self._id is not None:  # as nearly always
            self._counters.received[type(message)] += 1
            self._hub.relay(self._id, message)  # type: ignore[arg-type]
        else:
            self._carry_out(message)

    def _read_and_do(self, text: bytes) -> None:
        """What a message of another one says."""
        for step in self._dialect.read(text.decode(), time.time(), max_bytes=self._limits.message_bytes):
            self._attempt(self._carry_out, step)

    def _carry_out(self, step: Step) -> None:
        if isinstance(step, str):
            self._put(TEXT, step.encode())
            return
        self._counters.received[type(step)] += 1
        logger.debug("< %s %s", self._id, type(step).__name__)
        if isinstance(step, Leave):
            self._end(Ending("left"))
        elif isinstance(step, Join):
            self._must_be_new()
            self._join(step)
        elif isinstance(step, Resume):
            self._must_be_new()
            self._resume(step)
        elif isinstance(step, Ack):
            if self._id is not None:
                self._hub.acknowledge(self._id, step.got)
        elif self._id is None:
            to = None if isinstance(step, Token) else step.to
            raise ProtocolError(Code.NOT_JOINED, "You are in no room; send join first.", to=to)
        elif isinstance(step, Token):
            self._hub.renew(self._id, step)
        elif isinstance(step, Kick):
            self._hub.kick(self._id, step)
        else:
            self._hub.relay(self._id, step)

    def _join(self, join: Join) -> None:
        while self._id is None:
            try:
                self._id = self._hub.join(self, join, self._grants, self._caller)
                self._joins = join
                self._late.cancel()
            except ProtocolError as error:
                other = self._dialect.renamed(join) if error.code is Code.NAME_TAKEN else None
                if other is None:
                    raise
                join = other

    def _resume(self, resume: Resume) -> None:
        self._entering = True
        try:
            self._hub.resume(self, resume, self._caller)
        except ProtocolError:
            self._entering = False
            raise

    def _must_be_new(self) -> None:
        if self._id is not None or self._entering:
            raise ProtocolError(Code.ALREADY_JOINED, "You are in a room; open another connection for another one.")

    def _finish(self) -> None:
        """What follows from the ending, once."""
        ending = self._ending
        if self._finished or ending is None:
            return
        self._finished = True
        self._late.cancel()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.close_timeout, self.abort)
        try:
            if self._id is not None:
                end = self._hub.lose if ending.lost else self._hub.part
                end(self, self._id, ending.reason)
        finally:
            self._say_goodbye(ending)

    def _say_goodbye(self, ending: Ending) -> None:
        """The error and the close frame, behind what still waits; the socket is closed when the client closes too."""
        if ending.error is None:
            self._outbox.end(close_frame(ending.close_code))
        else:
            code = ending.error.code
            steps = self._dialect.write(self._refusal(ending.error), time.time())
            told = [frame(TEXT, step.encode()) for step in steps if isinstance(step, str)]
            self._outbox.end(*told, close_frame(effect(code).close_code or _POLICY, code.value))
        if self._closed:
            self.transport.close()

    def _refusal(self, error: ProtocolError) -> ErrorMessage:
        self._counters.refused[error.code] += 1
        return ErrorMessage(error.code.value, error.message, error.to, error.session, error.retry_after)
