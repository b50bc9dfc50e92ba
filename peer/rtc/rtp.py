"""RTP arithmetic and reception statistics (RFC 3550): wrapping counters made to grow, loss and jitter counted. Pure."""

from __future__ import annotations

from typing import NamedTuple

# RFC 3550 A.1: how far a sequence number may leap forward or lag behind before it means that the sender started anew.
MAX_DROPOUT = 3000
MAX_MISORDER = 100


def signed_difference(value: int, reference: int, bits: int) -> int:
    """How far `value` lies ahead of `reference` (negative: behind) on a counter of `bits` bits, the short way round."""
    size = 1 << bits
    difference = (value - reference) & (size - 1)
    return difference - size if difference >= size >> 1 else difference


class Unwrapper:
    """Turns a counter that wraps into an integer that grows; the low `bits` bits stay those of the counter.

    Each value is taken as the nearest to the highest so far, so values may come out of order by less than half
    a turn. `highest` is None before the first one.
    """

    __slots__ = ("_half", "_mask", "_restarted", "highest")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self._restarted = False
        self.highest: int | None = None

    def unwrap(self, value: int) -> int:
        """The grown form of `value`; raises `highest` when it lies ahead."""
        highest = self.highest
        if highest is None:
            self.highest = value & self._mask
            return self.highest
        difference = (value - highest) & self._mask
        if self._restarted:
            self._restarted = False
            difference = difference or self._mask + 1
        elif difference > self._half:
            return highest + difference - self._mask - 1
        if difference:
            self.highest = highest + difference
        return highest + difference

    def nearest(self, value: int) -> int:
        """The grown form of `value` nearest to the highest so far, without a change of state."""
        highest = self.highest
        if highest is None:
            return value & self._mask
        difference = (value - highest) & self._mask
        return highest + difference - (self._mask + 1 if difference > self._half else 0)

    def restart(self) -> None:
        """The counter starts anew at any value: the next one comes out above everything before."""
        self._restarted = self.highest is not None


class ReceptionReport(NamedTuple):
    """What one report block of a receiver report says (RFC 3550 section 6.4.1), as the integers on the wire."""

    fraction_lost: int
    """Lost since the previous report, in 1/256 of what was expected, 0 to 255."""
    cumulative_lost: int
    """Lost since the start, clamped to 24 signed bits; negative when duplicates outnumber losses."""
    highest_sequence: int
    """Extended highest sequence number received, 32 bits."""
    jitter: int
    """Interarrival jitter in timestamp units."""


class ReceptionStatistics:
    """Counts what one SSRC sent and what of it arrived (RFC 3550 A.1, A.3, A.8).

    When the sequence numbers leap (the sender started anew), counting starts anew too, as in A.1.
    """

    __slots__ = (
        "_base",
        "_clock_rate",
        "_expected_prior",
        "_highest",
        "_jitter",
        "_last_arrival",
        "_last_timestamp",
        "_next",
        "_received_prior",
        "_restart",
        "received",
    )

    def __init__(self, clock_rate: int) -> None:
        if clock_rate <= 0:
            raise ValueError(f"the clock rate has to be positive, not {clock_rate}")
        self._clock_rate = clock_rate
        self._next = self._restart = -1
        self._jitter = 0.0
        self._begin(0)
        self._next = -1

    def _begin(self, seq: int) -> None:
        self._base = self._highest = seq
        self._next = (seq + 1) & 0xFFFF
        self._restart = -1
        self._expected_prior = self._received_prior = 0
        self._last_timestamp, self._last_arrival = 0, 0.0
        self.received = 0
        """Packets that arrived, duplicates and late ones included."""

    def add(self, seq: int, timestamp: int, now: float) -> None:
        """Count one packet: 16-bit sequence number, 32-bit timestamp, arrival in seconds."""
        if seq == self._next:
            self._highest += 1
            self._next = (seq + 1) & 0xFFFF
        elif not self._place(seq):
            return
        self.received += 1
        if self.received > 1:
            # A.8, on differences: transit times themselves are too big to subtract without loss.
            advanced = (timestamp - self._last_timestamp) & 0xFFFFFFFF
            if advanced > 0x7FFFFFFF:
                advanced -= 0x100000000
            varied = (now - self._last_arrival) * self._clock_rate - advanced
            self._jitter += ((varied if varied >= 0 else -varied) - self._jitter) / 16
        self._last_timestamp = timestamp
        self._last_arrival = now

    def _place(self, seq: int) -> bool:
        """Place a packet that is not the next one; False when it does not count."""
        if self._next < 0:
            self._begin(seq)
            return True
        ahead = signed_difference(seq, self._highest, 16)
        if 0 < ahead < MAX_DROPOUT:
            self._highest += ahead
            self._next = (seq + 1) & 0xFFFF
        elif not -MAX_MISORDER < ahead <= 0:
            if seq != self._restart:
                self._restart = (seq + 1) & 0xFFFF  # one stray packet proves nothing, two in a row do
                return False
            self._begin(seq)
        self._restart = -1
        return True

    @property
    def last_arrival(self) -> float:
        """When the newest packet that counted came, in seconds."""
        return self._last_arrival

    @property
    def expected(self) -> int:
        """Packets that the sender sent, judged by its sequence numbers."""
        return self._highest - self._base + 1 if self._next >= 0 else 0

    @property
    def lost(self) -> int:
        """Packets that did not arrive; negative when duplicates outnumber losses."""
        return self.expected - self.received

    @property
    def jitter_seconds(self) -> float:
        """Interarrival jitter in seconds, as in W3C statistics."""
        return self._jitter / self._clock_rate

    def report(self) -> ReceptionReport:
        """The report block up to now; its fraction covers the time since the previous call."""
        expected, received = self.expected, self.received
        lost = (expected - self._expected_prior) - (received - self._received_prior)
        interval = expected - self._expected_prior
        self._expected_prior, self._received_prior = expected, received
        fraction = min((lost << 8) // interval, 255) if interval > 0 and lost > 0 else 0
        cumulative = max(-0x800000, min(expected - received, 0x7FFFFF))
        return ReceptionReport(fraction, cumulative, self._highest & 0xFFFFFFFF, min(int(self._jitter), 0xFFFFFFFF))


REPEATED = 10.0
"""Seconds that what a source gives again may lie back."""


class RunningTimestamps:
    """RTP timestamps of one stream whose sources take turns, each with a clock of its own: they go on as time does."""

    def __init__(self) -> None:
        self._source: object = None
        self._clock_rate = 0
        self._offset = 0
        self._last: tuple[int, float] | None = None
        """Without wrap-around, and when that was."""

    def take(self, source: object, timestamp: int, clock_rate: int, now: float) -> int:
        """The timestamp under which to send what `source` gave `timestamp`; `clock_rate` is that of both.

        They never run back: what a source gives once more follows close upon what it gave last, and one whose clock
        was set back counts as another source.
        """
        sent = timestamp + self._offset
        if self._last is not None:
            last, at = self._last
            other = source is not self._source or clock_rate != self._clock_rate
            if other or last - sent > REPEATED * clock_rate:
                self._offset = last + max(1, round((now - at) * clock_rate)) - timestamp
                sent = timestamp + self._offset
            sent = max(last + 1, sent)
        self._source, self._clock_rate = source, clock_rate
        self._last = sent, now
        return sent & 0xFFFFFFFF

    def at(self, clock_rate: int, now: float) -> int:
        """The timestamp of something that is no frame of any source; it changes nothing of theirs."""
        if self._last is None:
            self._last = (0, now)
        last, at = self._last
        return (last + round((now - at) * clock_rate)) & 0xFFFFFFFF
