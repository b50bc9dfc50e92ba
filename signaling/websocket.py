"""One WebSocket connection: reader, bounded outbox, slow-client policy, heartbeat, rate limit, and its end.

Three tasks belong to a connection: one reads, one writes, one pings. Whatever ends it (the client, a limit, the
heartbeat, the server) sets the one `Ending`; then `run` tells the room, stops the tasks and says goodbye within
`close_timeout`. Only the writer, and after it the goodbye, sends, so a client that does not read stalls nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from signaling.codes import Code, ProtocolError, effect
from signaling.gate import bearer
from signaling.messages import ErrorMessage, Join, Kick, Leave, ServerMessage, Token, encode, parse_client
from signaling.outbox import Outbox
from signaling.rate import RateLimit, Verdict

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from signaling.credentials import Grants
    from signaling.hub import Hub

logger = logging.getLogger(__name__)

# A message somewhat over the limit is read, so that its sender can be told; one far over it is not (RFC 6455: 1009).
_READ_FACTOR: Final = 4


@dataclass(frozen=True)
class Ending:
    """Why a connection ends: the reason the others are told, and the error that its client is told."""

    reason: str
    error: ProtocolError | None = None


async def serve_websocket(request: web.Request, hub: Hub) -> web.WebSocketResponse:
    """Handles a request for a WebSocket from the upgrade to its end.

    Raises ProtocolError when there is no place, or the token in its header cannot be used.
    """
    grants = hub.gate.grants_of(request) if bearer(request) is not None else None
    limits = hub.settings.limits
    ws = web.WebSocketResponse(
        timeout=limits.close_timeout,
        autoping=False,
        compress=False,
        max_msg_size=_READ_FACTOR * limits.message_bytes,
    )
    connection = Connection(ws, hub, grants)
    hub.connect(connection)
    try:
        await ws.prepare(request)
        transport = request.transport
        try:
            await connection.run()
        finally:
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()  # it did not read our goodbye, and the socket would wait for that
    finally:
        hub.disconnect(connection)
    return ws


class Connection:
    """A client on a WebSocket: a recipient of the hub from `run` until its end."""

    def __init__(self, ws: web.WebSocketResponse, hub: Hub, grants: Grants | None = None) -> None:
        """`grants`: of the token in the header of its request; None: it is to come with `join`, or none is wanted."""
        self._ws = ws
        self._grants = grants
        self._hub = hub
        self._limits = hub.settings.limits
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._limits.outbox_messages, self._limits.outbox_bytes)
        self._rate = RateLimit(self._limits.messages_per_second, self._limits.burst, self._loop.time())
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._heard = True
        self._id: str | None = None

    async def run(self) -> None:
        """Serves the client until one side ends it; never raises for anything the client did."""
        tasks = [asyncio.create_task(self._owned(work)) for work in (self._read(), self._write(), self._beat())]
        late = self._loop.call_later(self._limits.join_timeout, self._check_joined)
        ending = Ending("lost")
        try:
            ending = await self._ended
        finally:
            late.cancel()
            if self._id is not None:
                self._hub.leave(self._id, ending.reason)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye(ending)

    def deliver(self, message: ServerMessage) -> None:
        """Puts a message into the outbox; one that overflows ends the connection."""
        self._put(WSMsgType.TEXT, encode(message).encode())

    def drop(self, error: ProtocolError) -> None:
        """Ends the connection with an error."""
        self._end(Ending(error.code.value, error))

    def _end(self, ending: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)

    def _put(self, kind: WSMsgType, payload: bytes) -> None:
        if not self._ended.done() and not self._outbox.put((kind, payload)):
            text = "You do not read fast enough what is sent to you; read all the time, and join again."
            self.drop(ProtocolError(Code.SLOW_CLIENT, text))

    def _check_joined(self) -> None:
        if self._id is None:
            text = f"No join came within {self._limits.join_timeout:g} s; send it first, at once."
            self.drop(ProtocolError(Code.JOIN_TIMEOUT, text))

    async def _owned(self, work: Coroutine[None, None, None]) -> None:
        """Runs one of the three tasks; its failure is the end of this connection and of nothing else."""
        try:
            await work
        except ConnectionError:
            self._end(Ending("lost"))
        except Exception:
            logger.exception("a connection ends on a mistake of the server")
            self.drop(ProtocolError(Code.INTERNAL_ERROR, "The server made a mistake; join again and report it."))

    async def _write(self) -> None:
        while True:
            kind, payload = await self._outbox.get()
            await self._ws.send_frame(payload, kind)

    async def _beat(self) -> None:
        """Pings; a client from which nothing came since the last ping, pongs included, is gone, maybe not for good."""
        await asyncio.sleep(self._limits.heartbeat)
        while self._heard:
            self._heard = False
            self._put(WSMsgType.PING, b"")
            await asyncio.sleep(self._limits.heartbeat)
        self._end(Ending("silent"))

    async def _read(self) -> None:
        while not self._ended.done():
            frame = await self._ws.receive()
            self._heard = True
            match frame.type:
                case WSMsgType.CLOSE:
                    self._end(Ending("left"))
                case WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    self._end(_broken(frame))
                case _ if self._within_rate():
                    self._take(frame)

    def _within_rate(self) -> bool:
        verdict = self._rate.judge(self._loop.time())
        if verdict is Verdict.TAKE:
            return True
        text = f"More than {self._limits.messages_per_second} messages per second; send fewer, this one was dropped."
        error = ProtocolError(Code.RATE_LIMITED, text)
        if verdict is Verdict.CLOSE:
            self.drop(error)
        elif verdict is Verdict.DROP_AND_SAY:
            self.deliver(_error_message(error))
        return False

    def _take(self, frame: WSMessage) -> None:
        if frame.type is WSMsgType.PING:
            self._put(WSMsgType.PONG, frame.data)
        elif frame.type is not WSMsgType.PONG:
            try:
                if frame.type is not WSMsgType.TEXT:
                    raise ProtocolError(Code.BAD_MESSAGE, "A binary frame is no message; send JSON in a text frame.")
                self._handle(frame.data)
            except ProtocolError as error:
                if effect(error.code).close_code is None:
                    self.deliver(_error_message(error))
                else:
                    self.drop(error)

    def _handle(self, text: str) -> None:
        message = parse_client(text, max_bytes=self._limits.message_bytes)
        logger.debug("< %s %s", self._id, type(message).__name__)
        if isinstance(message, Leave):
            self._end(Ending("left"))
        elif isinstance(message, Join):
            if self._id is not None:
                raise ProtocolError(Code.ALREADY_JOINED, "You are in a room; open another connection for another one.")
            self._id = self._hub.join(self, message, self._grants)
        elif self._id is None:
            to = None if isinstance(message, Token) else message.to
            raise ProtocolError(Code.NOT_JOINED, "You are in no room; send join first.", to=to)
        elif isinstance(message, Token):
            self._hub.renew(self._id, message)
        elif isinstance(message, Kick):
            self._hub.kick(self._id, message)
        else:
            self._hub.relay(self._id, message)

    async def _say_goodbye(self, ending: Ending) -> None:
        """What still waits, the error and the close frame, as far as the client takes them in `close_timeout`."""
        try:
            async with asyncio.timeout(self._limits.close_timeout):
                if ending.error is None:
                    await self._ws.close()
                    return
                code = ending.error.code
                if code is not Code.SLOW_CLIENT:
                    while len(self._outbox):
                        kind, payload = self._outbox.pop()
                        await self._ws.send_frame(payload, kind)
                await self._ws.send_frame(encode(_error_message(ending.error)).encode(), WSMsgType.TEXT)
                close_code = effect(code).close_code or WSCloseCode.INTERNAL_ERROR
                await self._ws.close(code=close_code, message=code.value.encode())
        except (TimeoutError, ConnectionError):
            pass  # it is gone, or does not read: the transport is closed without it


def _error_message(error: ProtocolError) -> ErrorMessage:
    return ErrorMessage(error.code.value, error.message, error.to, error.session)


def _broken(frame: WSMessage) -> Ending:
    too_large = isinstance(frame.data, WebSocketError) and frame.data.code == WSCloseCode.MESSAGE_TOO_BIG
    return Ending(Code.TOO_LARGE.value if too_large else "lost")
