"""What the swarm and its processes say to each other: a JSON object a line, over the pipes of the process. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, json

from peer.swarm.figures import Figures  # noqa: TC001 - msgspec reads it
from peer.swarm.plan import Seat  # noqa: TC001 - msgspec reads it

MAX_LINE: Final = 64 << 20
"""Bytes of a line: one process may hold all bots."""


class Work(Struct, frozen=True, kw_only=True, tag=True):
    """First, to a process: what to get ready."""

    url: str
    video: str
    audio: str
    receive_only: bool
    script: str | None
    timeout: float
    token: str | None = None
    token_file: str | None = None
    ice_servers: tuple[str, ...]
    network: dict[str, Any]
    """Keywords of `IceSettings`."""
    seats: tuple[Seat, ...]


class Go(Struct, frozen=True, tag=True):
    """Begin: what the seats say counts from this moment of the monotonic clock, which all processes share."""

    at: float


class Stop(Struct, frozen=True, tag=True):
    """Tell what there is, hang up everything and end."""

    within: float
    """Seconds."""


class Ready(Struct, frozen=True, tag=True):
    """From a process: all that `Work` names is open."""


class Refused(Struct, frozen=True, tag=True):
    """From a process: it cannot be done."""

    exit_code: int
    text: str


class Report(Struct, frozen=True, kw_only=True, tag=True):
    """From a process, once a second and at the end: its bots, and what has been of itself since the last one."""

    bots: tuple[Figures, ...]
    lags: tuple[float, ...]
    """Seconds that the event loop was late by."""
    latencies: tuple[float, ...]
    """Seconds from the making of a picture to its decoding."""
    cpu: float
    """Seconds of processor time."""
    seconds: float
    """How long that took."""
    memory: int
    """Bytes that are resident."""
    encoded: int
    """Pictures that were encoded, or were to be."""
    dropped: int
    """Those of them that were left out because the encoder had no time."""
    last: bool = False


Command = Work | Go | Stop
News = Ready | Refused | Report


def line(message: Command | News) -> bytes:
    """As it is written."""
    return json.encode(message) + b"\n"


def command(data: bytes) -> Command:
    """What a process was told. Raises msgspec.DecodeError."""
    found: Command = json.decode(data, type=Command)
    return found


def news(data: bytes) -> News:
    """What a process tells. Raises msgspec.DecodeError."""
    found: News = json.decode(data, type=News)
    return found
