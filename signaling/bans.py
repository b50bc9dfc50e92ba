"""Whom the administrator sent away, and until when. No I/O, no clock: `now` is an argument, in seconds."""

from __future__ import annotations

import math

from signaling.codes import Code, ProtocolError


class Bans:
    """Names that may not enter a room for a while, and rooms that nobody may; of more than `size` the oldest go."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._until: dict[tuple[str, str | None], float] = {}  # room and name; None: whoever it is

    def __len__(self) -> int:
        return len(self._until)

    def add(self, room: str, name: str | None, until: float) -> None:
        """Keeps `name`, or everybody, out of `room` until then."""
        self._until.pop((room, name), None)
        self._until[room, name] = until
        if len(self._until) > self._size:
            del self._until[next(iter(self._until))]

    def check(self, room: str, name: str, now: float) -> None:
        """Raises ProtocolError while `room` is closed (room-closed) or `name` is kept out of it (kicked)."""
        if seconds := self._left(room, None, now):
            text = f"The administrator closed this room; it opens in {seconds} s at the earliest."
            raise ProtocolError(Code.ROOM_CLOSED, text, retry_after=seconds)
        if seconds := self._left(room, name, now):
            text = f"You were sent away from this room; come back in {seconds} s at the earliest."
            raise ProtocolError(Code.KICKED, text, retry_after=seconds)

    def _left(self, room: str, name: str | None, now: float) -> int:
        """How many seconds a ban has left; 0: there is none."""
        until = self._until.get((room, name))
        if until is not None and until <= now:
            del self._until[room, name]
            return 0
        return math.ceil(until - now) if until is not None else 0
