"""What a swarm is to do, and who of it is where, begins when and calls whom. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.ice.servers import IceSettings
    from peer.swarm.conditions import Condition

MAX_BOTS: Final = 10_000
MAX_PROCESSES: Final = 256
CALLS: Final = ("pairs", "mesh", "none")
"""Whom bots call: the second of each pair is called by the first; everybody calls those of the room who are before it;
nobody."""
SETTLE: Final = 2.0
"""Seconds after the last bot began in which calls still come about, at most; what comes then is the swarm at work."""
RAMP: Final = 10.0
"""Bots that begin in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do; every field is a flag of `peer swarm`."""

    url: str
    room: str = "lab"
    rooms: int = 1
    bots: int = 10
    calls: str = "pairs"
    """One of CALLS."""
    to: str | None = None
    """Whom every bot calls, who is none of them; nobody else is called then."""
    video: str = "test"
    audio: str = "test"
    receive_only: bool = False
    script: str | None = None
    """The file of a script that each bot runs in its room; it calls and answers, not we."""
    decode: str = "1%"
    """How many of the bots decode what they receive."""
    processes: int = 1
    ramp: float = RAMP
    seconds: float = 60.0
    """Seconds from when the last bot began until the end."""
    timeout: float = 20.0
    """Seconds that one who is called may take to be in the room, and to answer."""
    token: str | None = field(default=None, repr=False)
    """Access token of all bots; it has to be for all their names."""
    token_file: str | None = None
    """The file that it is in."""
    conditions: Sequence[Condition] = ()
    """The swarm fails if one of them is true."""
    ice_servers: Sequence[str] = ()
    network: IceSettings | None = None

    @property
    def settle(self) -> float:
        """Seconds after the last bot began that still belong to the beginning."""
        return min(SETTLE, self.seconds / 4)

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be."""
        _within("--bots", self.bots, MAX_BOTS)
        _within("--rooms", self.rooms, self.bots)
        _within("--processes", self.processes, MAX_PROCESSES)
        if self.calls not in CALLS:
            raise UsageError(f"--calls {self.calls} is no way to call; use {', '.join(CALLS)}, or --to NAME")
        if self.receive_only and self.script is None and self.to is None and self.calls != "none":
            text = "bots that only receive cannot call each other: nobody would send"
            raise UsageError(f"{text}; name somebody who does with --to, or let them be called with --calls none")
        share_of(self.decode, self.bots)


class Seat(Struct, frozen=True, kw_only=True):
    """The place of one bot."""

    number: int
    """From 0."""
    name: str
    room: str
    process: int
    """From 0."""
    at: float
    """Seconds after the beginning at which it begins."""
    calls: tuple[str, ...] = ()
    """Names of those it calls."""
    expects: int = 0
    """Calls that it is to be in when everybody is there."""
    decodes: bool = False


def seats(plan: Plan) -> list[Seat]:
    """Everybody's place. The two of a pair share a room and a process, so that a process that ends breaks no others."""
    ways = "none" if plan.script is not None or plan.to is not None else plan.calls
    together = 2 if ways == "pairs" else 1
    names = [bot_name(number, plan.bots) for number in range(plan.bots)]
    rooms = [number // together % plan.rooms for number in range(plan.bots)]
    decoding = share_of(plan.decode, plan.bots)
    made = []
    for number, name in enumerate(names):
        calls, expects = _calls(plan, ways, number, rooms)
        made.append(
            Seat(
                number=number,
                name=name,
                room=room_name(plan.room, rooms[number], plan.rooms),
                process=number // together % plan.processes,
                at=number / plan.ramp,
                calls=tuple(names[other] for other in calls) if plan.to is None else (plan.to,),
                expects=expects,
                decodes=decodes(number, plan.bots, decoding),
            )
        )
    return made


def _calls(plan: Plan, ways: str, number: int, rooms: Sequence[int]) -> tuple[Sequence[int], int]:
    """Whom a bot calls, by number, and in how many calls it is to be."""
    if plan.to is not None and plan.script is None:
        return (), 1
    if ways == "pairs":
        partner = number ^ 1
        if partner >= plan.bots:
            return (), 0
        return ((partner,) if partner > number else ()), 1
    if ways == "mesh":
        others = [other for other, room in enumerate(rooms) if room == rooms[number] and other != number]
        return [other for other in others if other < number], len(others)
    return (), 0


def bot_name(number: int, bots: int) -> str:
    """`bot-001` for the first of up to 999."""
    return f"bot-{number + 1:0{max(3, len(str(bots)))}d}"


def room_name(room: str, number: int, rooms: int) -> str:
    """The room itself where there is but one, else `lab-01` and so on."""
    return room if rooms == 1 else f"{room}-{number + 1:0{max(2, len(str(rooms)))}d}"


def decodes(number: int, bots: int, decoding: int) -> bool:
    """Whether a bot is one of the `decoding` ones, which are spread evenly over all."""
    return (number + 1) * decoding // bots > number * decoding // bots


def share_of(text: str, bots: int) -> int:
    """How many of the bots `3` or `10%` are; of a share that is not nothing at least one. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)(%?)", text.strip())
    number = float(match[1]) if match else -1.0
    if match is None or (match[2] and number > 100) or (not match[2] and not number.is_integer()):
        raise UsageError(f"--decode {text} is no number of bots; write it like 3 or 10%")
    if match[2]:
        return min(bots, max(1, round(bots * number / 100))) if number else 0
    return min(bots, int(number))


def rate_of(text: str) -> float:
    """Bots per second that `10/s`, `10` or `30/m` mean. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)(?:/([sm]))?", text.strip())
    rate = float(match[1]) / (60 if match[2] == "m" else 1) if match else 0.0
    if rate <= 0:
        raise UsageError(f"--ramp {text} is no rate; write it like 10/s or 30/m")
    return rate


def _within(flag: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise UsageError(f"{flag} {number} is too few or too many; use 1 to {most}")


def processes_of(text: str, cores: int, bots: int) -> int:
    """How many processes `auto` (one for each core) or `4` are; never more than bots. Raises UsageError."""
    if text.strip() == "auto":
        return min(cores, bots)
    if not re.fullmatch(r"\d{1,4}", text.strip()):
        raise UsageError(f"--processes {text} is no number; write one, or auto")
    _within("--processes", int(text), MAX_PROCESSES)
    return min(int(text), bots)
