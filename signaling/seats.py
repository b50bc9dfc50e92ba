"""The seats of a room: what is kept for each member, and what is put into its backlog. No I/O, no clock."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from signaling.delivery import Delivery
from signaling.messages import (
    ACK_EVERY,
    Ack,
    Member,
    ServerMessage,
    to_json,
)
from signaling.roomstate import SeatState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signaling.backlog import Backlog
    from signaling.credentials import Grants


@dataclass(frozen=True)
class Keep:
    """What is kept for a member that lost its connection: for `grace` seconds, so many messages and bytes.

    `everybody`: number the messages of all members, also of those who may not come back: between the node that has the
    room and the one that has the connection, messages may be lost too.
    """

    grace: float = 30.0
    messages: int = 256
    bytes: int = 256 * 1024
    everybody: bool = False


@dataclass(slots=True)
class Seat:
    """A member in its room."""

    member: Member
    room: Place
    proof: bytes | None  # a digest of what the member shows to take its place over, or to resume it
    backlog: Backlog | None  # None: nothing is numbered
    resumable: bool
    taken: int = 0  # the number of its last message that was taken
    acknowledged: int = 0  # what it was told of that
    away: Absence | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """Why a member is away, and until when it may be back."""

    reason: str
    until: float


@dataclass(slots=True)
class Place:
    """A room: who is in it."""

    name: str
    seats: dict[str, Seat] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)  # name of a member -> its id


def tell(seats: Iterable[Seat], message: ServerMessage) -> list[Delivery]:
    """`message` for these; those who are away get it when they are back."""
    payload = to_json(message)
    told = []
    for seat in seats:
        number = seat.backlog.append(payload) if seat.backlog is not None else 0
        if seat.away is None:
            told.append(Delivery(seat.member.id, message, number, payload))
    return told


def tell_one(seat: Seat, message: ServerMessage) -> list[Delivery]:
    """The same for one: what happens to every message that is relayed."""
    payload = to_json(message)
    number = seat.backlog.append(payload) if seat.backlog is not None else 0
    return [Delivery(seat.member.id, message, number, payload)] if seat.away is None else []


def repeated(seat: Seat, missed: list[tuple[int, bytes]]) -> list[Delivery]:
    """What a member missed, with the numbers it had."""
    return [Delivery(seat.member.id, number=number, json=payload) for number, payload in missed]


def exported(seat: Seat, grants: Grants | None, calls: dict[str, list[str]]) -> SeatState:
    """A member, for another node."""
    last, kept = (seat.backlog.last, seat.backlog.kept) if seat.backlog is not None else (0, [])
    away = (seat.away.reason, seat.away.until) if seat.away is not None else None
    return SeatState(
        seat.member, seat.proof, seat.resumable, seat.taken, seat.acknowledged, last, kept, away, grants, calls
    )


def others_of(seat: Seat) -> list[Seat]:
    """The other members of a member's room."""
    return [other for other in seat.room.seats.values() if other is not seat]


def acknowledged(seat: Seat) -> list[Delivery]:
    """Now and then, how far the messages of a participant were taken."""
    if seat.taken - seat.acknowledged < ACK_EVERY:
        return []
    seat.acknowledged = seat.taken
    return [Delivery(seat.member.id, Ack(seat.taken))]


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode()).digest()


def proves(secret: str, proof: bytes | None) -> bool:
    """Whether a secret is the one that `proof` was made of."""
    return proof is not None and hmac.compare_digest(digest(secret), proof)
