"""What a member keeps so that it can come back to its place: numbers of both directions. No I/O, no clock.

docs/protocol.md, "Coming back", is the other half. Overflow policy: the oldest of our messages that the server has not
said to have taken go; a place that would need one of those is not resumed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from signaling.messages import ACK_EVERY, VERSION, Ack, Resume

if TYPE_CHECKING:
    from signaling.messages import ServerMessage

UNACKNOWLEDGED = 256
"""Messages of ours that are kept for sending them again."""


class Continuity:
    """One place in a room, over as many connections as it takes."""

    def __init__(self, room: str, member_id: str, secret: str) -> None:
        self._room = room
        self._id = member_id
        self._secret = secret
        self._got = 0
        self._told = 0  # what the server knows of that
        self._sent = 0
        self._kept: deque[str] = deque()

    def numbered(self, text: str) -> str:
        """A message of ours as it is sent, with its number; kept until it is known to be taken."""
        self._sent += 1
        text = f'{{"n":{self._sent},{text[1:]}'
        self._kept.append(text)
        if len(self._kept) > UNACKNOWLEDGED:
            self._kept.popleft()
        return text

    def taken(self, got: int) -> None:
        """The server took ours up to this number."""
        while self._kept and self._sent - len(self._kept) < got:
            self._kept.popleft()

    def fresh(self, message: ServerMessage) -> bool:
        """Whether a message of the server is to be worked off: not an acknowledgement, and not one that came before."""
        if isinstance(message, Ack):
            self.taken(message.got)
            return False
        if message.n is None:
            return True
        if message.n <= self._got:
            return False
        self._got = message.n
        return True

    def due(self) -> Ack | None:
        """What the server has to be told now, so that it need not keep what came."""
        if self._got - self._told < ACK_EVERY:
            return None
        self._told = self._got
        return Ack(self._got)

    def resume(self) -> Resume:
        """What to say first over another connection."""
        return Resume(self._room, self._id, self._secret, self._got, VERSION)

    def resumed(self, got: int) -> list[str] | None:
        """What has to be sent again, since the server took ours up to the number `got`; None: not all of it is kept."""
        self._told = self._got
        self.taken(got)
        return list(self._kept) if self._sent - len(self._kept) <= got <= self._sent else None
