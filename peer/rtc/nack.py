"""The packets that are missing: which to ask for again, and when (generic NACK, RFC 4585 section 6.2.1). Pure."""

from __future__ import annotations

from typing import NamedTuple

# A packet that is merely overtaken by this many others, or by this many seconds, is not asked for.
REORDER_PACKETS = 2
REORDER_SECONDS = 0.010
MIN_INTERVAL = 0.020
ANSWER_SECONDS = 0.010
"""What an answer may take on top of the round trip: a sender paces what it sends."""
SECOND_SECONDS = 0.030
"""The first request may be lost, and the answer to it: another soon after it costs one packet, where the answer to a
third may come too late. Senders that count (libwebrtc) answer both only once, unless the first was lost."""
FEW = 8
"""Where more packets are missing, the path may have no room for more answers than one to each."""
MAX_TRIES = 10
MAX_MISSING = 500


class Missing(NamedTuple):
    """One packet that did not come, as far as is known."""

    noticed: float
    """Seconds: when a later packet came."""
    arrivals: int
    """How many packets had been counted by `arrived` then."""
    tries: int = 0
    asked: float = 0.0
    """Seconds: when it was asked for first."""
    due: float = 0.0
    """Seconds: when it is to be asked for next."""


class MissingPackets:
    """Keeps the gaps of one stream; sequence numbers are unwrapped, and noticed in growing order."""

    __slots__ = ("_arrivals", "_fresh", "_next_due", "packets")

    def __init__(self) -> None:
        self.packets: dict[int, Missing] = {}
        """By sequence number; for looking only."""
        self._arrivals = 0
        self._fresh = False
        self._next_due = float("inf")

    def __len__(self) -> int:
        return len(self.packets)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self.packets

    def first(self) -> int:
        """The lowest missing sequence number; there has to be one."""
        return next(iter(self.packets))

    def notice(self, start: int, stop: int, now: float) -> None:
        """The packets from `start` to before `stop` are missing."""
        due = now + REORDER_SECONDS
        for sequence in range(start, stop):
            self.packets[sequence] = Missing(now, self._arrivals, due=due)
        self._fresh = True
        self._next_due = min(self._next_due, due)

    def arrived(self) -> None:
        """Count a packet: those that keep being overtaken become due."""
        self._arrivals += 1

    def found(self, sequence: int) -> Missing:
        """Take one off: it came, or it is given up."""
        return self.packets.pop(sequence)

    def expired(self, now: float, wait: float) -> list[int]:
        """The sequence numbers that have been missing for `wait` seconds."""
        result = []
        for sequence, missing in self.packets.items():
            if missing.noticed + wait > now:
                break
            result.append(sequence)
        return result

    def below(self, sequence: int) -> list[int]:
        """The sequence numbers below `sequence`."""
        return [missing for missing in self.packets if missing < sequence]

    def first_noticed(self) -> float:
        """Seconds: when the lowest one was noticed; there has to be one."""
        return self.packets[self.first()].noticed

    def due(self, now: float, rtt: float) -> list[int]:
        """The sequence numbers to ask for now; an answer takes `rtt` seconds, so the next time is after that."""
        if now < self._next_due and not self._fresh:
            return []
        result: list[int] = []
        self._fresh = False
        self._next_due = float("inf")
        for sequence, missing in self.packets.items():
            tries = missing.tries
            if tries >= MAX_TRIES:
                continue
            overtaken = not tries and self._arrivals - missing.arrivals >= REORDER_PACKETS
            if now >= missing.due or overtaken:
                result.append(sequence)
                asked = missing.asked if tries else now
                missing = missing._replace(tries=tries + 1, asked=asked, due=self._again(tries, asked, now, rtt))
                self.packets[sequence] = missing
                if tries + 1 >= MAX_TRIES:
                    continue
            elif not tries:
                self._fresh = True
            self._next_due = min(self._next_due, missing.due)
        return result

    def _again(self, tries: int, asked: float, now: float, rtt: float) -> float:
        """When to ask again for what was asked for now and `tries` times before, first at `asked`."""
        interval = max(rtt + ANSWER_SECONDS, MIN_INTERVAL)
        if interval < 2 * SECOND_SECONDS or len(self.packets) > FEW or tries > 1:
            return now + interval
        return now + SECOND_SECONDS if not tries else max(asked + interval, now + MIN_INTERVAL)

    def wakeup(self, now: float) -> float:
        """When `due` will have something without a further packet; infinity for never."""
        if self._fresh:
            for missing in self.packets.values():
                if not missing.tries:
                    return now if self._arrivals - missing.arrivals >= REORDER_PACKETS else self._next_due
        return self._next_due
