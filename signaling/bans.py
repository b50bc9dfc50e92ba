"""Who was sent away, and until when. No I/O, no clock: `now` is an argument, the Unix time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from signaling.codes import Code, ProtocolError

if TYPE_CHECKING:
    from signaling.credentials import Grants

SIZE: Final = 4096  # bans that are remembered at a time, by a node and by what nodes share


class Ban(msgspec.Struct, frozen=True, array_like=True):
    """Keeps out of `room`, until then (Unix time), who is called `name`, who bears the token `bearer`, or everybody."""

    room: str
    until: float
    name: str | None = None
    bearer: str | None = None


class Bans:
    """Names and bearers of tokens that may not enter a room for a while, and rooms that nobody may enter.

    Of more than `size` the oldest go.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._bans: dict[tuple[str, str | None, str | None], Ban] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def all(self, now: float) -> list[Ban]:
        """Those that are in force."""
        return [ban for ban in self._bans.values() if ban.until > now]

    def add(self, ban: Ban) -> None:
        """Takes the place of another one for the same."""
        key = ban.room, ban.name, ban.bearer
        self._bans.pop(key, None)
        self._bans[key] = ban
        if len(self._bans) > self._size:
            del self._bans[next(iter(self._bans))]

    def check(self, room: str, name: str, grants: Grants | None, now: float) -> None:
        """Raises ProtocolError while `room` is closed (room-closed), or one is kept out of it (kicked)."""
        if seconds := self._left(room, None, None, now):
            text = f"The administrator closed this room; it opens in {seconds} s at the earliest."
            raise ProtocolError(Code.ROOM_CLOSED, text, retry_after=seconds)
        if seconds := self._left(room, name, None, now):
            text = f"You were sent away from this room; come back in {seconds} s at the earliest."
            raise ProtocolError(Code.KICKED, text, retry_after=seconds)
        if grants is not None and self._left(room, None, grants.bearer, now):
            raise ProtocolError(Code.KICKED, "You were sent away from this room; ask for another token.")

    def _left(self, room: str, name: str | None, bearer: str | None, now: float) -> int:
        """How many seconds a ban has left; 0: there is none."""
        ban = self._bans.get((room, name, bearer))
        if ban is not None and ban.until <= now:
            del self._bans[room, name, bearer]
            return 0
        return math.ceil(ban.until - now) if ban is not None else 0
