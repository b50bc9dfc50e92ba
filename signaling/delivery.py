"""A message on its way to one recipient; its JSON is written once for all who get it. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signaling.backlog import numbered
from signaling.messages import ServerMessage, encode, parse_server

if TYPE_CHECKING:
    from collections.abc import Iterable


class Delivery:
    """`message` goes to the participant or guest `to`; `number`: of a member that can resume, else 0."""

    __slots__ = ("_message", "_payload", "number", "to")

    def __init__(
        self, to: str, message: ServerMessage | None = None, number: int = 0, payload: bytes | None = None
    ) -> None:
        self.to = to
        self.number = number
        self._message = message
        self._payload = payload

    @property
    def message(self) -> ServerMessage:
        """The message, read if only its JSON is known."""
        if self._message is None:
            self._message = parse_server(self.payload)
        return self._message

    @property
    def payload(self) -> bytes:
        """The message as JSON, without its number."""
        if self._payload is None:
            self._payload = encode(self.message).encode()
        return self._payload

    @property
    def frame(self) -> bytes:
        """The message as it goes over a WebSocket."""
        return numbered(self.payload, self.number) if self.number else self.payload

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Delivery):
            return NotImplemented
        return (self.to, self.number, self.message) == (other.to, other.number, other.message)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Delivery({self.to!r}, {type(self.message).__name__}, {self.number})"


def broadcast(recipients: Iterable[str], message: ServerMessage) -> list[Delivery]:
    """`message` for several, without numbers."""
    payload = encode(message).encode()
    return [Delivery(one, message, payload=payload) for one in recipients]
