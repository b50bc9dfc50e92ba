"""Whom the administrator sent away, and until when. No I/O, no clock: `now` is an argument, in seconds."""

from __future__ import annotations

import math

from signaling.codes import Code, ProtocolError


class Bans:
    """Names that may not enter a room for a while; of more than `size` the oldest are forgotten."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._until: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, room: str, name: str, until: float) -> None:
        """Keeps `name` out of `room` until then."""
        self._until.pop((room, name), None)
        self._until[room, name] = until
        if len(self._until) > self._size:
            del self._until[next(iter(self._until))]

    def check(self, room: str, name: str, now: float) -> None:
        """Raises ProtocolError (kicked) while `name` is kept out of `room`."""
        until = self._until.get((room, name))
        if until is None:
            return
        if until <= now:
            del self._until[room, name]
            return
        seconds = math.ceil(until - now)
        text = f"You were sent away from this room; come back in {seconds} s at the earliest."
        raise ProtocolError(Code.KICKED, text, retry_after=seconds)
