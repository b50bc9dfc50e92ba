"""Datagrams in a stream (RFC 4571): two bytes of length, then the datagram. Pure."""

from __future__ import annotations

from typing import Final

MAX_FRAME: Final = 65535


class FrameError(ValueError):
    """A stream that is not what it should be."""


def frame(data: bytes) -> bytes:
    """One datagram on the wire; at most MAX_FRAME bytes."""
    return len(data).to_bytes(2, "big") + data


class FrameReader:
    """Cuts a stream into datagrams; holds at most one that is not whole yet."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        """A longer datagram is refused before it is stored."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The datagrams that are whole now, without empty ones. Raises FrameError."""
        buffer = self._buffer
        buffer += data
        found = []
        position = 0
        while len(buffer) - position >= 2:
            length = buffer[position] << 8 | buffer[position + 1]
            if length > self.limit:
                raise FrameError(f"a frame of {length} bytes is too long")
            end = position + 2 + length
            if end > len(buffer):
                break
            if length:
                found.append(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]
        return found
