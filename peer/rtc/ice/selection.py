"""Which pair is used: nomination (RFC 8445 section 8), and who steps in when that one is silent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peer.rtc.ice.consent import Consent
    from peer.rtc.ice.pairs import CheckList, Pair

FRESH: Final = 1.0
"""A pair has to have answered so recently to take over from one that is silent."""

BY_THE_OTHER_SIDE: Final = "nominated by the other side"


class Selection:
    """The pair in use of one generation.

    Data goes over any valid pair from the start (RFC 8445 section 12.1.1). The controlling side nominates a direct UDP
    pair at once, a detour only after `window` seconds in which something better may still work.
    """

    def __init__(self, pairs: CheckList, consent: Consent, role: str, window: float) -> None:
        self.role = role
        self.selected: Pair | None = None
        """What data goes over: the nominated pair while it answers, otherwise the best that does."""
        self.reason = ""
        self.nominated: Pair | None = None
        self.nominating: Pair | None = None
        """Chosen by us, not yet confirmed by an answer."""
        self._announced: Pair | None = None
        """Nominated by the other side before a check of ours over it was answered (RFC 8445 section 7.3.1.5)."""
        self._first_valid: float | None = None
        self._window = window
        self._pairs = pairs
        self._consent = consent

    def set_role(self, role: str) -> None:
        if role != self.role:
            self.role = role
            self.nominating = None

    def announce(self, pair: Pair, now: float) -> None:
        """A check of the other side carried USE-CANDIDATE."""
        if self.role != "controlled":
            return
        self._announced = None if pair.is_valid else pair
        if pair.is_valid:
            self._confirm(pair, BY_THE_OTHER_SIDE, now)

    def answered(self, pair: Pair, now: float, *, nominating: bool) -> None:
        """A check was answered; `nominating` if it carried our nomination."""
        if self._first_valid is None:
            self._first_valid = now
        if nominating and self.role == "controlling" and pair is self.nominating:
            self._confirm(pair, self._merits(pair), now)
        elif pair is self._announced and self.role == "controlled":
            self._announced = None
            self._confirm(pair, BY_THE_OTHER_SIDE, now)
        self._reselect(now)
        if pair is self.selected:
            self._consent.granted(now)

    def lost(self, now: float) -> None:
        """Pairs went away with their base."""
        self.nominated, self.nominating, self._announced = (
            pair if pair is not None and self._pairs.has(pair) else None
            for pair in (self.nominated, self.nominating, self._announced)
        )
        if self.selected is not None and not self._pairs.has(self.selected):
            self.selected = None
            self._reselect(now)
            if self.selected is None or not self.selected.alive:
                self._consent.cut(now)

    def nominate(self, now: float) -> None:
        """Controlling: chooses (RFC 8445 section 8.1.1), and again when something clearly better works."""
        if self.role != "controlling":
            return
        current = self.nominating or self.nominated
        silent = current is not None and not current.alive
        best = self._pairs.best(self.role, now - FRESH) if silent else self._pairs.best(self.role)
        if best is None or best is current or not best.alive or self._waits(now):
            return
        if current is None or silent or best.cost < current.cost:
            self.nominating = best
            best.next_check = now

    def window_ends(self, now: float) -> float | None:
        """When a nomination that waits for something better waits no more."""
        return self._first_valid + self._window if self._first_valid is not None and self._waits(now) else None

    def _waits(self, now: float) -> bool:
        if self.role != "controlling" or self._first_valid is None or self.nominated or self.nominating:
            return False
        best = self._pairs.best(self.role)
        return best is not None and best.cost > 0 and now < self._first_valid + self._window

    def _confirm(self, pair: Pair, reason: str, now: float) -> None:
        self.nominating = None
        if pair is self.nominated:
            return
        if self.nominated is not None:
            self.nominated.nominated = False
        pair.nominated = True
        self.nominated = pair
        self._reselect(now)
        if self.selected is pair:
            self.reason = reason

    def _reselect(self, now: float) -> None:
        """The nominated pair while it answers, else one that has answered just now."""
        choice, reason = self.nominated, ""
        if choice is None:
            choice, reason = self._pairs.best(self.role), "the best that works before one is nominated"
        elif not choice.alive:
            stand_in = self._pairs.best(self.role, now - FRESH)
            if stand_in is not None:
                choice, reason = stand_in, f"stands in for the {choice.describe()} path, which is silent"
        if choice is None or choice is self.selected:
            return
        self.selected = choice
        self.reason = reason or self._merits(choice)
        choice.next_check = now
        if choice.last_response is not None and choice.alive:
            self._consent.granted(choice.last_response)

    def _merits(self, pair: Pair) -> str:
        if self.role == "controlled":
            return BY_THE_OTHER_SIDE
        if pair.cost == 0:
            return "the first direct UDP path that works"
        return f"no direct UDP path works, this {pair.describe()} one does"
