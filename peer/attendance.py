"""Whom a recorder has to call, and when: those who do not call it, and again those whose call went wrong. Pure.

Times are seconds on any steady clock. Who declined or hung up is left alone until it has left the room and come back:
leaving means that it said so; one whose connection broke may be back any moment, and has not changed its mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

GRACE: Final = 0.5
"""Seconds that a newcomer has to call by itself; most do."""
DELAYS: Final = (2.0, 5.0, 15.0, 60.0)
"""Seconds until somebody is called again after a call that went wrong; after the last, not any more."""
REMEMBERED: Final = 1000
"""Members that are known, those included whose connection broke; beyond, the oldest are forgotten."""
FINAL: Final = frozenset({"hung up", "declined"})
"""How calls end that are not made again."""


@dataclass(slots=True)
class _Guest:
    here: bool = True
    due: float | None = None
    """When to call it; None: not at all."""
    calls: int = 0
    """Calls with it that are on, or being made."""
    failures: int = 0
    declined: bool = False


class Attendance:
    """Those who are or were in a room, by name."""

    def __init__(self, only: Collection[str] | None = None) -> None:
        """`only`: the names that count; None: all."""
        self._only = None if only is None else frozenset(only)
        self._guests: dict[str, _Guest] = {}

    def wanted(self, name: str) -> bool:
        """Whether somebody of that name is to be recorded."""
        return self._only is None or name in self._only

    def came(self, name: str, now: float, *, grace: float = GRACE) -> None:
        """A member is here, or here again, and may call by itself within `grace` seconds."""
        if not self.wanted(name):
            return
        guest = self._guests.pop(name) if name in self._guests else _Guest()
        self._guests[name] = guest
        guest.here = True
        while len(self._guests) > REMEMBERED:
            del self._guests[next(iter(self._guests))]
        if not guest.declined and not guest.calls:
            guest.due, guest.failures = now + grace, 0

    def left(self, name: str, *, on_purpose: bool) -> None:
        """A member is gone; `on_purpose`: it said so."""
        guest = self._guests.get(name)
        if guest is None:
            return
        guest.here, guest.due = False, None
        if on_purpose:
            guest.declined, guest.failures = False, 0

    def began(self, name: str) -> None:
        """A call with a member is on, or being made by either side."""
        if (guest := self._guests.get(name)) is not None:
            guest.calls += 1
            guest.due = None

    def over(self, name: str, reason: str, now: float, *, connected: bool = False) -> None:
        """Such a call is over; `reason` as in `peer.events.Ended`, `connected`: media could flow in it."""
        guest = self._guests.get(name)
        if guest is None:
            return
        guest.calls = max(0, guest.calls - 1)
        if reason in FINAL:
            guest.declined = True
        if connected:
            guest.failures = 0
        if guest.declined or guest.calls or not guest.here or guest.failures >= len(DELAYS):
            return
        guest.due = now + DELAYS[guest.failures]
        guest.failures += 1

    def due(self, now: float) -> list[str]:
        """Who is to be called now; whoever calls them says `began`."""
        return [name for name, guest in self._guests.items() if guest.due is not None and guest.due <= now]

    def next_due(self) -> float | None:
        """When the next is to be called."""
        return min((guest.due for guest in self._guests.values() if guest.due is not None), default=None)
