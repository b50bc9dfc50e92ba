"""All there is to know of a room, as one node writes it down and another reads it. No I/O, no clock.

Secrets are not in it, only digests of them; messages on their way to members are.
"""

from __future__ import annotations

import msgspec

# msgspec reads the annotations when it runs.
from signaling.credentials import Grants  # noqa: TC001
from signaling.messages import Member  # noqa: TC001


class SeatState(msgspec.Struct, frozen=True, array_like=True):
    """A member: what it proves itself with, what was taken of it, what it has not said to have got, what it may do.

    `calls`: other member -> sessions that one began with the other, as far as `Permissions` keeps them in mind.
    """

    member: Member
    proof: bytes | None
    resumable: bool
    taken: int
    acknowledged: int
    last: int
    kept: list[bytes]
    away: tuple[str, float] | None
    grants: Grants | None
    calls: dict[str, list[str]]


class RoomState(msgspec.Struct, frozen=True, array_like=True):
    """A room: its members, which guest calls which of them, and the bearers of tokens that were sent away."""

    room: str
    seats: list[SeatState]
    guests: dict[str, str]
    banned: list[str]
