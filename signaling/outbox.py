"""Frames on their way to one client: handed to its transport at once, which keeps what the client has not read yet.

Overflow policy: nothing is dropped silently; `put` says False and the owner ends the connection (slow-client).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signaling.frames import frame

if TYPE_CHECKING:
    import asyncio


class Outbox:
    """At most `max_bytes` wait for the client."""

    __slots__ = ("_max_bytes", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, max_bytes: int) -> None:
        self._transport = transport
        self._max_bytes = max_bytes

    def put(self, kind: int, payload: bytes) -> bool:
        """Sends a frame, or says False when there is no room for it. To a client that is gone, it goes nowhere."""
        transport = self._transport
        if transport.get_write_buffer_size() + len(payload) > self._max_bytes:
            return False
        if not transport.is_closing():
            transport.write(frame(kind, payload))
        return True

    def end(self, *last: bytes) -> None:
        """Sends these frames whatever waits: they are the last."""
        if not self._transport.is_closing():
            self._transport.write(b"".join(last))
