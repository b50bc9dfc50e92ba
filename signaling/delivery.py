"""A message on its way to one recipient; its JSON is written once for all who get it. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

import msgspec

from signaling.backlog import numbered
from signaling.messages import ServerMessage, parse_server, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable


_TAG: Final = b'{"type":"'  # with which the JSON of every message of ours begins
_KINDS: Final[dict[bytes, type]] = {str(one.__struct_config__.tag).encode(): one for one in get_args(ServerMessage)}


class Delivery(msgspec.Struct, eq=False):
    """A message goes to the participant or guest `to`; `number`: of a member that can resume, else 0.

    `known` is the message, `json` the same as JSON; one of them is enough, the other one is made when it is asked for.
    """

    to: str
    known: ServerMessage | None = None
    number: int = 0
    json: bytes | None = None

    @property
    def message(self) -> ServerMessage:
        """The message."""
        if self.known is None:
            self.known = parse_server(self.payload)
        return self.known

    @property
    def kind(self) -> type:
        """What kind of message it is, without reading it."""
        if self.known is not None:
            return type(self.known)
        if self.json is None or not self.json.startswith(_TAG):
            return type(self.message)
        return _KINDS[self.json[len(_TAG) : self.json.index(b'"', len(_TAG))]]

    @property
    def payload(self) -> bytes:
        """The message as JSON, without its number."""
        if self.json is None:
            self.json = to_json(self.message)
        return self.json

    @property
    def frame(self) -> bytes:
        """The message as it goes over a WebSocket."""
        return numbered(self.payload, self.number) if self.number else self.payload

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Delivery):
            return NotImplemented
        return (self.to, self.number, self.message) == (other.to, other.number, other.message)

    def __repr__(self) -> str:
        return f"Delivery({self.to!r}, {type(self.message).__name__}, {self.number})"


def broadcast(recipients: Iterable[str], message: ServerMessage) -> list[Delivery]:
    """`message` for several, without numbers."""
    payload = to_json(message)
    return [Delivery(one, message, json=payload) for one in recipients]
