"""A signaling channel over the WebSocket of our server (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from peer.continuity import Continuity
from peer.errors import Error, SignalingError, Unreachable, UsageError
from peer.tokens import lasting, token_of
from signaling.messages import (
    MAX_RELAYED_BYTES,
    VERSION,
    ErrorMessage,
    Join,
    Leave,
    ProtocolError,
    Resumed,
    Token,
    TokenExpiring,
    Welcome,
    encode,
    parse_server,
)

if TYPE_CHECKING:
    from peer.channel import SignalingChannel
    from peer.tokens import TokenSource
    from signaling.messages import ClientMessage, ServerMessage

logger = logging.getLogger(__name__)

HEARTBEAT = 4.0
"""Seconds between pings of ours; a server that does not answer one within half of it counts as gone."""
_CLOSING = aiohttp.ClientWSTimeout(ws_close=1.0)
"""Seconds that a server may take to say goodbye."""
RENEW_AGAIN = 3.0
"""Seconds until a fresh token is asked for again, where none could be had."""

_NO_TOKEN = "the server lets nobody in without an access token; give one with --token, PEER_TOKEN or peer.join(token=)"


class WebSocketConnect:
    """A `Connect` to the signaling server at `url` (`http:`, `https:`, `ws:` or `wss:`), with an access token."""

    def __init__(self, url: str, *, timeout: float = 10.0, token: TokenSource | None = None) -> None:
        self.url = url
        self._token = token
        self._endpoint = endpoint(url)
        self._timeout = timeout

    async def __call__(self, room: str, name: str, before: SignalingChannel | None = None) -> SignalingChannel:
        previous = before if isinstance(before, WebSocketChannel) else None
        secret = previous.secret if previous is not None else secrets.token_urlsafe(24)
        token = await token_of(self._token)
        try:
            join = encode(Join(room, name, VERSION, secret=secret, token=token, resume=True))
        except ValueError as error:
            raise UsageError(f"room {room!r} cannot be joined as {name!r}: {error}") from error
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                async with asyncio.timeout(self._timeout):
                    opened = await stack.enter_async_context(
                        session.ws_connect(
                            self._endpoint, heartbeat=HEARTBEAT, max_msg_size=MAX_RELAYED_BYTES, timeout=_CLOSING
                        )
                    )
                    if previous is not None and await _resumed(opened, previous):
                        stack.pop_all()
                        going_on = previous.continuity
                        return WebSocketChannel(session, opened, previous.welcome, secret, self._token, going_on)
                    await opened.send_str(join)
                    welcome = _parse(await opened.receive())
            except TimeoutError as error:
                raise Unreachable(
                    f"{self.url} does not answer within {self._timeout:g} s; is it the signaling server?"
                ) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise Unreachable(
                    f"{self.url} cannot be reached ({_cause(error)}); start it with: peer serve"
                ) from error
            if isinstance(welcome, Welcome):
                stack.pop_all()  # from here on the channel closes both
                return WebSocketChannel(session, opened, welcome, secret, self._token)
        if isinstance(welcome, ErrorMessage):
            text = _NO_TOKEN if welcome.code == "token-missing" else welcome.message  # it is one for clients' authors
            raise SignalingError(text, welcome.code, lasting=lasting(welcome.code, self._token))
        raise SignalingError(f"{self.url} answered a join with {type(welcome).__name__}; is it the signaling server?")


class WebSocketChannel:
    """One WebSocket that has joined, or resumed the place of another one: then it has that one's `continuity`."""

    direction = "sendrecv"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        opened: aiohttp.ClientWebSocketResponse,
        welcome: Welcome,
        secret: str,
        token: TokenSource | None = None,
        continuity: Continuity | None = None,
    ) -> None:
        self.welcome = welcome
        self.secret = secret
        """What the server lets us take our own place over with."""
        if continuity is None and welcome.grace is not None:
            continuity = Continuity(welcome.room, welcome.id, secret)
            continuity.fresh(welcome)
        self.continuity = continuity
        """None: the server lets nobody come back to its place."""
        self._session = session
        self._socket = opened
        self._token = token
        self._renewing: asyncio.Task[None] | None = None

    async def send(self, message: ClientMessage) -> None:
        try:
            text = encode(message)
        except ProtocolError as error:
            raise UsageError(str(error)) from error
        if self._socket.closed:
            raise _gone()
        if self.continuity is not None:
            text = self.continuity.numbered(text)
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if self.continuity is None:
                raise _gone() from error  # else it is kept, and sent again over the next connection

    async def receive(self) -> ServerMessage:
        while True:
            try:
                frame = await self._socket.receive()
            except (aiohttp.ClientError, OSError, RuntimeError) as error:  # such as a pong that can no more be sent
                raise _gone() from error
            message = _parse(frame)
            if isinstance(message, TokenExpiring):
                self._expiring(message.seconds)
            if self.continuity is None:
                return message
            if self.continuity.fresh(message):
                await self._acknowledge(self.continuity)
                return msgspec.structs.replace(message, n=None)  # of the wire, and of no use to anybody further up

    async def _acknowledge(self, continuity: Continuity) -> None:
        due = continuity.due()
        if due is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
                await self._socket.send_str(encode(due))

    def _expiring(self, seconds: float) -> None:
        if self._token is None or isinstance(self._token, str):
            text = "the access token ends in %.0f s, and with it the room; give --token-file, or what gets others"
            logger.warning(text, seconds)
        elif self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew(seconds), name="renew the access token")

    async def _renew(self, seconds: float) -> None:
        """Hands a fresh token in, as soon as there is one, while the old one lasts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await self.send(Token(await token_of(self._token) or ""))
                        return
                    except Error as error:
                        logger.warning("the access token could not be renewed: %s", error)
                    await asyncio.sleep(RENEW_AGAIN)

    def abort(self) -> None:
        sock = self._socket.get_extra_info("socket")
        if sock is None or self._socket.closed:
            return
        # Of another descriptor: uvloop gives a socket out that may not be shut down.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        try:
            async with asyncio.timeout(1):
                if not self._socket.closed:
                    await self._socket.send_str(encode(Leave()))
                await self._socket.close()
        except (TimeoutError, aiohttp.ClientError, OSError, RuntimeError):
            pass  # it is gone already, which is what was wanted
        finally:
            # aiohttp forgets to, where the connection broke while something was read.
            self._socket._response.close()
            await self._session.close()


def endpoint(url: str) -> str:
    """The WebSocket address of the signaling server at `url`.

    Raises:
        UsageError: not a URL of one.
    """
    wrong = f"{url!r} is not the URL of a signaling server; write one like http://localhost:8080"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a port that is no number, half an IPv6 address
        raise UsageError(wrong) from error
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not valid:
        raise UsageError(wrong)
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, parts.netloc, path if path.endswith("/ws") else f"{path}/ws", "", ""))


def _parse(message: aiohttp.WSMessage) -> ServerMessage:
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise Unreachable("the signaling server closed the connection; it is tried again")
    try:
        return parse_server(message.data)
    except ProtocolError as error:
        raise SignalingError(f"the signaling server sent what cannot be read: {error}", str(error.code)) from error


async def _resumed(opened: aiohttp.ClientWebSocketResponse, before: WebSocketChannel) -> bool:
    """Whether the place of `before` goes on over another socket; what the server did not take is sent again then."""
    if before.continuity is None:
        return False
    await opened.send_str(encode(before.continuity.resume()))
    answer = _parse(await opened.receive())
    if not isinstance(answer, Resumed):
        return False  # refused: there is no such place any more, or too much was missed
    again = before.continuity.resumed(answer.got)
    if again is None:
        before.continuity = None
        raise Unreachable("more was sent while the signaling server was gone than is kept; it is joined anew")
    for text in again:
        await opened.send_str(text)
    return True


def _gone() -> Unreachable:
    return Unreachable("the signaling server is gone; it is tried again")


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"HTTP {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
