"""From HTTP to a WebSocket (RFC 6455, section 4.2): the handshake, and the socket taken over from aiohttp.

After the handshake a connection is a plain asyncio protocol. aiohttp's own WebSocket keeps the request, two tasks and
a dozen objects for each client, and wakes a task for each frame; both cost more than all that is done here.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from signaling.codes import Code, ProtocolError

if TYPE_CHECKING:
    import asyncio

_VERSION: Final = "13"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16


def accepted(request: web.Request, protocols: tuple[str, ...] = ()) -> bytes:
    """The answer that opens the WebSocket a request asks for, with one of these sub-protocols if it names any of them.

    Raises ProtocolError (bad-message) or HTTPUpgradeRequired for a request that asks for none, or for another version.
    """
    headers = request.headers
    if "websocket" not in _words(request, hdrs.UPGRADE) or "upgrade" not in _words(request, hdrs.CONNECTION):
        raise ProtocolError(Code.BAD_MESSAGE, "Only WebSockets are here; connect with a WebSocket client.")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != _VERSION:
        text = f"This server speaks version {_VERSION} of WebSocket; connect with that."
        raise web.HTTPUpgradeRequired(text=text, headers={hdrs.SEC_WEBSOCKET_VERSION: _VERSION})
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "").encode(errors="replace")
    if not _is_key(key):
        raise ProtocolError(Code.BAD_MESSAGE, "The Sec-WebSocket-Key is not 16 bytes in base64; send such a one.")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(sha1(key + _GUID).digest()).decode()}",
    ]
    wanted = _words(request, hdrs.SEC_WEBSOCKET_PROTOCOL, lower=False)
    chosen = next((one for one in wanted if one in protocols), None)
    if chosen is not None:
        lines.append(f"Sec-WebSocket-Protocol: {chosen}")
    return "\r\n".join([*lines, "", ""]).encode()


def take_over(request: web.Request, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
    """Gives the socket of a request to `protocol`; returns it, and what has come after the request.

    For aiohttp the connection is over then: it forgets it, and whatever the handler returns goes nowhere. Raises
    ConnectionError when the client is gone.
    """
    http, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    rest: Any = _Rest()
    http.set_parser(rest)
    transport.set_protocol(protocol)
    http.transport = None  # which it would close
    http.connection_lost(None)
    return transport, bytes(rest.data)


class _Rest:
    """What aiohttp has read and not looked at, taken as a parser of what comes after an upgrade gets it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


def _words(request: web.Request, header: str, *, lower: bool = True) -> list[str]:
    """What a header lists, which may have several lines."""
    found = [one.strip() for line in request.headers.getall(header, []) for one in line.split(",")]
    return [one.lower() for one in found] if lower else found


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
