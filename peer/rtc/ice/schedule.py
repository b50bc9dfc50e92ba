"""When which pair is checked: pacing, repetition, consent, probing while the path is silent. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.rtc.ice.pairs import DORMANT, PairState

if TYPE_CHECKING:
    from random import Random

    from peer.rtc.ice.pairs import CheckList, Pair
    from peer.rtc.ice.selection import Selection

PACE: Final = 0.01
"""RFC 8445 section 14.2, Ta: between two checks; at least 5 ms."""
RETRY_FIRST: Final = 0.2
RETRY_MOST: Final = 0.8
"""Until an unproven pair is checked again: doubling from the first to this."""
RETRY_FAILED: Final = 2.0
"""The same when the time to connect is over."""
TRIES_LEARNED: Final = 5
"""Checks of an address that only a check told of: who is there goes on checking, and that triggers ours. Else whoever
sees one genuine check could send it on from any address, and have us send twenty there (RFC 8445 section 19.5.1)."""
FADING: Final = 0.05
"""Once it has failed, every interval is at least this part of the time since then: a connection that nobody closes does
not go on knocking for ever at an address that may be somebody else's by now."""
SEARCH: Final = 10.0
"""The same while a worse pair is nominated, once nothing better was found for a while. NATs stay open so long."""
CONSENT: Final = 1.0
"""RFC 7675 section 5.1 has 5 s; a vanished peer is noticed sooner. While media comes, most are spared."""
CONSENT_RETRY: Final = 0.4
PROBE: Final = 0.2
"""Between two checks of a pair while the path is silent."""
KEEPALIVE: Final = 5.0
"""Between two checks of a valid pair that is not used, so that it can step in."""
KEEPALIVE_DEAD: Final = 20.0
"""The same when it does not answer."""
JITTER: Final = (0.8, 1.2)
TRIGGER_GAP: Final = 0.05
"""Checks of the other side do not make a pair be checked more often than that."""


class Schedule:
    """Sets `next_check` of the pairs of one generation and says which is due."""

    def __init__(self, pairs: CheckList, selection: Selection, random: Random) -> None:
        self._pairs = pairs
        self._selection = selection
        self._random = random
        self._failed_at: float | None = None
        self._probing = False
        self._next_pace = 0.0
        self._search_until = 0.0
        self._triggered: list[Pair] = []

    def search_until(self, time: float) -> None:
        """So long pairs better than the nominated one are looked for."""
        self._search_until = max(self._search_until, time)

    def judged(self, state: str, now: float, *, had_path: bool) -> None:
        """Probes every pair while the path is silent, so that a network that is back is noticed at once."""
        if state != "failed":
            self._failed_at = None
        elif self._failed_at is None:
            self._failed_at = now
        selected = self._selection.selected
        probing = had_path and (selected is None or not selected.alive or state in ("disconnected", "failed"))
        if probing and not self._probing:
            for pair in self._pairs:
                pair.next_check = min(pair.next_check, now)
                pair.attempts = 0
        was, self._probing = self._probing, probing
        if was and not probing:
            self.narrow(now)

    def narrow(self, now: float) -> None:
        """A pair was nominated, or probing is over: what is no better is not looked for any more."""
        if self._probing:
            return
        for pair in self._pairs:
            if pair.is_valid and not self._is_urgent(pair):
                pair.next_check = max(pair.next_check, now + KEEPALIVE * self._random.uniform(*JITTER))
            elif not pair.is_valid and self._is_hopeless(pair):
                pair.next_check = DORMANT

    def reconsider(self, now: float) -> None:
        """Pairs went away, perhaps the nominated one: what was no better than that is looked for again."""
        for pair in self._pairs:
            if pair.next_check == DORMANT and not self._is_hopeless(pair):
                pair.next_check = now
                pair.attempts = 0

    def trigger(self, pair: Pair, now: float) -> None:
        """The other side checked the pair: so do we (RFC 8445 section 7.3.1.4), unless we know that it works."""
        if (not pair.alive or self._probing) and now - pair.last_sent >= TRIGGER_GAP:
            self.again(pair)

    def again(self, pair: Pair) -> None:
        if pair not in self._triggered:
            self._triggered.append(pair)

    def due(self, now: float) -> list[Pair]:
        """The pairs to check now: those in use without delay, of the others one each PACE."""
        pairs = [pair for pair in self._pairs if pair.next_check <= now and self._is_urgent(pair)]
        if now >= self._next_pace and (paced := self._next_paced(now)) is not None:
            self._next_pace = now + PACE
            if paced not in pairs:
                pairs.append(paced)
        return pairs

    def sent(self, pair: Pair, now: float) -> None:
        pair.requests_sent += 1
        pair.attempts += 1
        pair.unanswered += 1
        pair.last_sent = now
        if not pair.is_valid:
            pair.state = PairState.IN_PROGRESS
        pair.next_check = now + self._interval(pair, now)

    def answered(self, pair: Pair, now: float) -> None:
        if pair is self._selection.selected:
            pair.next_check = now + CONSENT * self._random.uniform(*JITTER)
        elif not self._is_urgent(pair):
            pair.next_check = now + KEEPALIVE * self._random.uniform(*JITTER)

    def spared(self, pair: Pair, until: float) -> None:
        """The pair in use needs no check before that."""
        pair.next_check = until

    def refused(self, pair: Pair, now: float) -> None:
        """An error came back, perhaps only because the other side does not know our credentials yet."""
        if not pair.is_valid:
            pair.state = PairState.FAILED
            pair.next_check = now + RETRY_MOST

    def next_time(self) -> float:
        """When the next pair is due."""
        if self._triggered:
            return self._next_pace
        return min(
            (
                pair.next_check if self._is_urgent(pair) else max(pair.next_check, self._next_pace)
                for pair in self._pairs
            ),
            default=DORMANT,
        )

    def _is_urgent(self, pair: Pair) -> bool:
        return pair is self._selection.selected or pair is self._selection.nominating

    def _next_paced(self, now: float) -> Pair | None:
        """Triggered checks first (RFC 8445 section 6.1.4.2), new pairs by priority, then who has waited longest."""
        while self._triggered:
            pair = self._triggered.pop(0)
            if self._pairs.has(pair):
                return pair
        due = [pair for pair in self._pairs if pair.next_check <= now and not self._is_urgent(pair)]
        return min(due, key=self._urgency, default=None)

    def _urgency(self, pair: Pair) -> tuple[bool, bool, float]:
        new = pair.requests_sent == 0
        return not pair.is_valid, not new, -pair.priority(self._selection.role) if new else pair.next_check

    def _interval(self, pair: Pair, now: float) -> float:
        """Until the next check of a pair that was checked just now, should no answer come."""
        if self._failed_at is not None:
            return max(RETRY_MOST if pair.is_valid else RETRY_FAILED, FADING * (now - self._failed_at))
        if not pair.is_valid:
            return self._retry(pair, now)
        if self._probing or pair is self._selection.nominating:
            return PROBE
        if pair is self._selection.selected:
            return max(CONSENT_RETRY, 2 * (pair.round_trip_time or 0.0))
        return KEEPALIVE if pair.alive else KEEPALIVE_DEAD

    def _retry(self, pair: Pair, now: float) -> float:
        """The same for a pair that has never been answered."""
        if self._is_hopeless(pair) or (pair.remote.type == "prflx" and pair.attempts >= TRIES_LEARNED):
            return DORMANT
        if self._selection.nominated is not None and not self._probing and now >= self._search_until:
            return SEARCH
        retry: float = RETRY_FIRST * 2.0 ** min(pair.attempts - 1, 8)
        return min(retry, RETRY_MOST)

    def _is_hopeless(self, pair: Pair) -> bool:
        """Whether it would not be used even if it worked: one is nominated that is no worse, and answers."""
        nominated = self._selection.nominated
        return nominated is not None and not self._probing and pair.cost >= nominated.cost
