"""All there is to know of a room, as one node writes it down and another reads it. No I/O, no clock.

Secrets are not in it, only digests of them; messages on their way to members are.
"""

from __future__ import annotations

import msgspec

from signaling.messages import Member


class SeatState(msgspec.Struct, frozen=True, array_like=True):
    """A member: what it proves itself with, what was taken of it, and what it has not said to have got."""

    member: Member
    proof: bytes | None
    resumable: bool
    taken: int
    acknowledged: int
    last: int
    kept: list[bytes]
    away: tuple[str, float] | None = None


class RoomState(msgspec.Struct, frozen=True, array_like=True):
    """A room: its members, and which guest calls which of them."""

    room: str
    seats: list[SeatState]
    guests: dict[str, str]
