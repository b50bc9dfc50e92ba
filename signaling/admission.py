"""How much one address, one token and one room may have: connections, joins, offers. No I/O, no clock.

Clients on this machine (loopback) are not limited by address: bots and tests come from there, and so does everybody
behind a local proxy that is not named as trusted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from signaling.codes import Code, ProtocolError
from signaling.forwarded import limited_as
from signaling.origins import is_loopback
from signaling.throttle import Tally, Throttle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signaling.credentials import Grants
    from signaling.settings import Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is counted: the address that limits are counted by, and the subject of its token; None: not limited by it."""

    address: str | None = None
    subject: str | None = None

    @classmethod
    def of(cls, address: str, subject: str | None = None) -> Caller:
        """The caller at this address; no address (a Unix socket) is local as well."""
        return cls(None if not address or is_loopback(address) else limited_as(address), subject)

    def bearing(self, grants: Grants | None) -> Caller:
        """The same with a token."""
        return self if grants is None else replace(self, subject=grants.bearer)

    @property
    def keys(self) -> tuple[str, ...]:
        """What it is counted under in tables that hold addresses and subjects."""
        address = () if self.address is None else (f"address {self.address}",)
        return address if self.subject is None else (*address, f"subject {self.subject}")


LOCAL: Final = Caller()
"""Whom nothing is counted by."""


class Admission:
    """Counts who comes in. Everything here is bounded: see `Throttle` and `Tally`."""

    def __init__(self, limits: Limits) -> None:
        self._connections = Tally(limits.caller_connections)
        self._joins = Throttle(limits.caller_joins, limits.caller_joins_burst)
        self._offers = Throttle(limits.caller_offers, limits.caller_offers_burst)
        self._room_joins = Throttle(limits.room_joins, limits.room_joins_burst)
        self._room_offers = Throttle(limits.room_offers, limits.room_offers_burst)
        self._bans: dict[tuple[str, str], float] = {}

    def connect(self, caller: Caller) -> None:
        """Counts a connection in, once, until `disconnect`. Raises ProtocolError (too-many)."""
        taken: list[str] = []
        for key in caller.keys:
            if not self._connections.take(key):
                for other in taken:
                    self._connections.give_back(other)
                text = "Your address or token has as many connections as one may have; close some, or try later."
                raise ProtocolError(Code.TOO_MANY, text, retry_after=10)
            taken.append(key)

    def disconnect(self, caller: Caller) -> None:
        """Counts a connection out."""
        for key in caller.keys:
            self._connections.give_back(key)

    def join(self, caller: Caller, room: str, now: float) -> None:
        """Raises ProtocolError (rate-limited): too many joins of one address, token or room."""
        _take(self._joins, caller.keys, now, "You join too often")
        _take(self._room_joins, [room], now, "Too many join this room")

    def offer(self, caller: Caller, room: str, now: float) -> None:
        """Raises ProtocolError (rate-limited): too many offers over HTTP of one address or token, or into one room."""
        _take(self._offers, caller.keys, now, "You send offers too often")
        _take(self._room_offers, [room], now, "Too many send offers into this room")


def _take(throttle: Throttle, keys: Iterable[str], now: float, what: str) -> None:
    wait = max((throttle.take(key, now) for key in keys), default=0.0)
    if wait > 0:
        seconds = math.ceil(wait)
        text = f"{what}; try again in {seconds} s."
        raise ProtocolError(Code.RATE_LIMITED, text, retry_after=seconds)
