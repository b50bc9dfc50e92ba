"""One WebSocket connection: reader, bounded outbox, slow-client policy, heartbeat, rate limit, and its end.

Two tasks belong to a connection: one reads, one pings. Whatever ends it (the client, a limit, the heartbeat, the
server) sets the one `Ending`; then `run` tells the room, stops the tasks and says goodbye within `close_timeout`.
Nobody waits for a client to read: what it has not read is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from signaling.asking import counted
from signaling.codes import Code, ProtocolError, effect
from signaling.delivery import Delivery
from signaling.dialect import OwnDialect
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

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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
_ENDS: Final = frozenset((WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR))


@dataclass(frozen=True)
class Ending:
    """Why a connection ends: the reason the others are told, and the error that its client is told.

    `lost`: without a goodbye of either side, so the client may be back.
    """

    reason: str
    error: ProtocolError | None = None
    lost: bool = False


async def serve_websocket(
    request: web.Request, hub: Hub, dialect: Dialect | None = None, *, protocols: tuple[str, ...] = ()
) -> web.WebSocketResponse:
    """Handles a request for a WebSocket from the upgrade to its end.

    Raises ProtocolError when there is no place, or the token in its header cannot be used. `dialect`: what its client
    speaks, without one docs/protocol.md; `protocols`: the sub-protocols that it may ask for.
    """
    caller = counted(request, hub.settings)
    hub.admission.connect(caller)
    try:
        return await _serve(request, hub, caller, dialect or OwnDialect(), protocols)
    finally:
        hub.admission.disconnect(caller)


async def _serve(
    request: web.Request, hub: Hub, caller: Caller, dialect: Dialect, protocols: tuple[str, ...]
) -> web.WebSocketResponse:
    grants = hub.gate.grants_of(request) if bearer(request) is not None else None
    limits = hub.settings.limits
    ws = web.WebSocketResponse(
        protocols=protocols,
        timeout=limits.close_timeout,
        autoping=False,
        compress=False,
        max_msg_size=_READ_FACTOR * limits.message_bytes,
    )
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    connection = Connection(ws, transport, hub, dialect, caller, grants)
    hub.connect(connection)
    try:
        await ws.prepare(request)
        try:
            await connection.run()
        finally:
            if transport.get_write_buffer_size():
                transport.abort()  # it did not read our goodbye, and the socket would wait for that
    finally:
        hub.disconnect(connection)
    return ws


class Connection:
    """A client on a WebSocket: a recipient of the hub from `run` until its end."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        hub: Hub,
        dialect: Dialect,
        caller: Caller,
        grants: Grants | None = None,
    ) -> None:
        """`grants`: of the token in the header of its request; None: it is to come with `join`, or none is wanted."""
        self._caller = caller
        self._counters = hub.counters
        self._ws = ws
        self._grants = grants
        self._hub = hub
        self._dialect = dialect
        self._translates = not isinstance(dialect, OwnDialect)
        self._limits = hub.settings.limits
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(transport, self._limits.outbox_bytes)
        self._rate = RateLimit(self._limits.messages_per_second, self._limits.burst, self._loop.time())
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._heard = True
        self._id: str | None = None
        self._joins: Join | None = None  # what it joined with, which may still be refused
        self._entering = False  # it asked for the place of an earlier connection

    async def run(self) -> None:
        """Serves the client until one side ends it; never raises for anything the client did."""
        tasks = [asyncio.create_task(self._owned(work)) for work in (self._read(), self._beat())]
        late = self._loop.call_later(self._limits.join_timeout, self._check_joined)
        ending = Ending("lost", lost=True)
        try:
            ending = await self._ended
        finally:
            late.cancel()
            if self._id is not None:
                end = self._hub.lose if ending.lost else self._hub.part
                end(self, self._id, ending.reason)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye(ending)

    def deliver(self, delivery: Delivery) -> None:
        """Sends a message; one for which there is no room ends the connection."""
        self._counters.sent[delivery.kind] += 1
        if self._translates:
            self._write_translated(delivery.message)
        else:
            self._put(WSMsgType.TEXT, delivery.frame)

    def _write_translated(self, message: ServerMessage) -> None:
        for step in self._dialect.write(message, time.time()):
            if isinstance(step, str):
                self._put(WSMsgType.TEXT, step.encode())
            else:  # not now: the hub is telling others of the same thing
                self._loop.call_soon(self._attempt, self._carry_out, step)

    def drop(self, error: ProtocolError) -> None:
        """Ends the connection with an error; a taken name of which there is a variant is tried again as that."""
        join = self._joins
        other = self._dialect.renamed(join) if join is not None and error.code is Code.NAME_TAKEN else None
        if other is not None:
            self._id = self._joins = None
            self._loop.call_soon(self._attempt, self._join, other)
        else:
            self._end(Ending(error.code.value, error))

    def resumed(self, member_id: str) -> None:
        """It is this member now."""
        self._id = member_id

    def refuse(self, error: ProtocolError) -> None:
        """It cannot have the place it asked for, and may join."""
        self._entering = False
        self._tell(error)

    def _tell(self, error: ProtocolError) -> None:
        """What this connection refuses by itself has no number: it is of no use over another one."""
        self.deliver(Delivery("", self._refusal(error)))

    def _end(self, ending: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)

    def _put(self, kind: WSMsgType, payload: bytes) -> None:
        if not self._ended.done() and not self._outbox.put(kind, payload):
            self._counters.dropped += 1
            text = "You do not read fast enough what is sent to you; read all the time, and join again."
            self.drop(ProtocolError(Code.SLOW_CLIENT, text))

    def _check_joined(self) -> None:
        if self._id is None:
            text = f"No join came within {self._limits.join_timeout:g} s; send it first, at once."
            self.drop(ProtocolError(Code.JOIN_TIMEOUT, text))

    async def _owned(self, work: Coroutine[None, None, None]) -> None:
        """Runs one of the two tasks; its failure is the end of this connection and of nothing else."""
        try:
            await work
        except ConnectionError:
            self._end(Ending("lost", lost=True))
        except Exception:
            logger.exception("a connection ends on a mistake of the server")
            self.drop(ProtocolError(Code.INTERNAL_ERROR, "The server made a mistake; join again and report it."))

    async def _beat(self) -> None:
        """Pings; a client from which nothing came since the last ping, pongs included, is gone, maybe not for good."""
        await asyncio.sleep(self._limits.heartbeat)
        while self._heard:
            self._heard = False
            self._put(WSMsgType.PING, b"")
            await asyncio.sleep(self._limits.heartbeat)
        self._end(Ending("silent", lost=True))

    async def _read(self) -> None:
        self._open()
        while not self._ended.done():
            frame = await self._ws.receive()
            self._heard = True
            kind = frame.type
            if kind is WSMsgType.CLOSE:
                self._end(Ending("left"))
            elif kind in _ENDS:
                self._end(_broken(frame))
            elif (verdict := self._rate.judge(self._loop.time())) is Verdict.TAKE:
                self._take(kind, frame.data)
            else:
                self._leave_out(verdict)

    def _open(self) -> None:
        try:
            for step in self._dialect.opened():
                self._carry_out(step)
        except ProtocolError as error:
            self.drop(error)

    def _leave_out(self, verdict: Verdict) -> None:
        """A message that is one too many."""
        text = f"More than {self._limits.messages_per_second} messages per second; send fewer, this one was dropped."
        error = ProtocolError(Code.RATE_LIMITED, text)
        if verdict is Verdict.CLOSE:
            self.drop(error)
        elif verdict is Verdict.DROP_AND_SAY:
            self._tell(error)

    def _take(self, kind: WSMsgType, data: Any) -> None:
        if kind is WSMsgType.TEXT:
            began = perf_counter()
            self._attempt(self._read_and_do if self._translates else self._do, data)
            self._counters.relayed.observe(perf_counter() - began)
        elif kind is WSMsgType.PING:
            self._put(WSMsgType.PONG, data)
        elif kind is not WSMsgType.PONG:
            text = "A binary frame is no message; send JSON in a text frame."
            self._tell(ProtocolError(Code.BAD_MESSAGE, text))

    def _attempt(self, act: Callable[[T], None], what: T) -> None:
        """Acts for the client, which is told what it is refused."""
        if self._ended.done():
            return
        try:
            act(what)
        except ProtocolError as error:
            if effect(error.code).close_code is None:
                self._tell(error)
            else:
                self.drop(error)

    def _do(self, text: str) -> None:
        """What a message of our own protocol says."""
        message = parse_client(text, max_bytes=self._limits.message_bytes)
        if type(message) in _ADDRESSED and self._id is not None:  # as nearly always
            self._counters.received[type(message)] += 1
            self._hub.relay(self._id, message)  # type: ignore[arg-type]
        else:
            self._carry_out(message)

    def _read_and_do(self, text: str) -> None:
        """What a message of another one says."""
        for step in self._dialect.read(text, time.time(), max_bytes=self._limits.message_bytes):
            self._attempt(self._carry_out, step)

    def _carry_out(self, step: Step) -> None:
        if isinstance(step, str):
            self._put(WSMsgType.TEXT, step.encode())
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

    async def _say_goodbye(self, ending: Ending) -> None:
        """What still waits, the error and the close frame, as far as the client takes them in `close_timeout`."""
        try:
            async with asyncio.timeout(self._limits.close_timeout):
                if ending.error is None:
                    await self._ws.close()
                    return
                code = ending.error.code
                for step in self._dialect.write(self._refusal(ending.error), time.time()):
                    if isinstance(step, str):
                        await self._ws.send_frame(step.encode(), WSMsgType.TEXT)
                close_code = effect(code).close_code or WSCloseCode.POLICY_VIOLATION
                await self._ws.close(code=close_code, message=code.value.encode())
        except (TimeoutError, ConnectionError):
            pass  # it is gone, or does not read: the transport is closed without it

    def _refusal(self, error: ProtocolError) -> ErrorMessage:
        self._counters.refused[error.code] += 1
        return ErrorMessage(error.code.value, error.message, error.to, error.session, error.retry_after)


def _broken(frame: WSMessage) -> Ending:
    too_large = isinstance(frame.data, WebSocketError) and frame.data.code == WSCloseCode.MESSAGE_TOO_BIG
    return Ending(Code.TOO_LARGE.value) if too_large else Ending("lost", lost=True)
