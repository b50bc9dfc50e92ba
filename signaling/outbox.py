"""Frames on their way to one client: handed to its transport at once, which keeps what the client has not read yet.

Overflow policy: nothing is dropped silently; `put` says False and the owner ends the connection (slow-client).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from aiohttp import WSMsgType

_FINAL: Final = 0x80
_SHORT, _LONG = 126, 1 << 16


class Outbox:
    """At most `max_bytes` wait for the client.

    Frames are written here, whole and unmasked (RFC 6455 section 5.2), and not by aiohttp's coroutine: waking a task
    for each of them costs more than all else that is done for a message.
    """

    def __init__(self, transport: asyncio.WriteTransport, max_bytes: int) -> None:
        self._transport = transport
        self._max_bytes = max_bytes

    def put(self, kind: WSMsgType, payload: bytes) -> bool:
        """Sends a frame, or says False when there is no room for it. To a client that is gone, it goes nowhere."""
        transport, size = self._transport, len(payload)
        if transport.get_write_buffer_size() + size > self._max_bytes:
            return False
        if not transport.is_closing():
            if size < _SHORT:
                head = bytes((_FINAL | kind, size))
            elif size < _LONG:
                head = bytes((_FINAL | kind, _SHORT, size >> 8, size & 0xFF))
            else:
                head = bytes((_FINAL | kind, _SHORT + 1)) + size.to_bytes(8, "big")
            transport.write(head + payload)
        return True
