"""Transport-wide feedback: when each packet of a path arrived, for the sender's estimate of its bandwidth. Pure.

The packets of all streams of a path carry one sequence number in a header extension; every so often their arrivals go
back in an RTCP packet (draft-holmer-rmcat-transport-wide-cc-extensions-01). What the path can take is worked out by
the sender.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW: Final = 0.5
"""Seconds for which an arrival is kept: one that comes late, out of order, is told with those after it."""
MAX_KEPT: Final = 4000
"""Arrivals kept at most; beyond, the oldest go."""
MAX_PACKETS: Final = 400
"""Packets that one RTCP packet tells of at most: with the largest deltas it still is no larger than a datagram."""
MAX_GAP: Final = 2000
"""Numbers that may be missing in a row; what jumps further begins anew."""

_TICK: Final = 250e-6
"""Seconds: the unit of deltas (section 3.1.5)."""
_REFERENCE: Final = 256
"""Ticks in the unit of reference times: 64 ms."""
_MISSING, _SMALL, _LARGE = 0, 1, 2


class Arrivals:
    """Of the packets of one path. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._arrived: dict[int, float] = {}
        """By sequence number without its wrap-around."""
        self._highest: int | None = None
        self._next = 0
        """The first that was not told yet."""
        self._count = 0

    def add(self, number: int, now: float) -> None:
        """Packet `number`, 16 bits, came."""
        extended = self._extended(number)
        if extended is None:
            self._arrived.clear()
            self._highest = extended = number + (1 << 16)
            self._next = extended
        if extended in self._arrived:
            return
        self._arrived[extended] = now
        self._highest = max(extended, self._highest or 0)
        self._next = min(self._next, extended)
        if len(self._arrived) > MAX_KEPT:
            del self._arrived[next(iter(self._arrived))]

    def take(self, ssrc: int, media_ssrc: int, now: float) -> list[bytes]:
        """RTCP packets that tell of everything since the last time; `ssrc` is ours, `media_ssrc` any of theirs."""
        found: list[bytes] = []
        while self._highest is not None and self._next <= self._highest:
            first = next((at for number in self._untold() if (at := self._arrived.get(number)) is not None), None)
            if first is None:  # so many came that those were dropped
                self._next = self._highest + 1
                break
            reference = round(first / _TICK) // _REFERENCE
            symbols, deltas = self._stretch(reference * _REFERENCE)
            found.append(_packet(ssrc, media_ssrc, self._next, symbols, deltas, reference, self._count))
            self._count = (self._count + 1) & 0xFF
            self._next += len(symbols)
        self._forget(now - WINDOW)
        return found

    def _extended(self, number: int) -> int | None:
        """Without wrap-around; None where it has nothing to do with those before."""
        if self._highest is None:
            return None
        ahead = (number - self._highest + 0x8000 & 0xFFFF) - 0x8000
        return self._highest + ahead if -MAX_GAP < ahead <= MAX_GAP and self._highest + ahead >= 0 else None

    def _untold(self) -> range:
        assert self._highest is not None
        return range(self._next, self._highest + 1)

    def _stretch(self, before: int) -> tuple[list[int], list[int]]:
        """What one packet tells, from `before` ticks on: a symbol for each number, a delta for each arrival."""
        symbols: list[int] = []
        deltas: list[int] = []
        for number in self._untold()[:MAX_PACKETS]:
            at = self._arrived.get(number)
            if at is None:
                symbols.append(_MISSING)
                continue
            ticks = round(at / _TICK)
            delta = ticks - before
            if not -0x8000 <= delta <= 0x7FFF:
                break  # the next packet begins with a reference time of its own
            symbols.append(_SMALL if 0 <= delta <= 0xFF else _LARGE)
            deltas.append(delta)
            before = ticks
        return symbols, deltas

    def _forget(self, before: float) -> None:
        """What came before that time and was told."""
        while self._arrived:
            number = next(iter(self._arrived))  # they are in the order in which they came
            if self._arrived[number] >= before or number >= self._next:
                return
            del self._arrived[number]


def _packet(
    ssrc: int, media_ssrc: int, base: int, symbols: list[int], deltas: list[int], reference: int, count: int
) -> bytes:
    """Section 3.1; `symbols` and `deltas` in the order of the packets."""
    body = struct.pack("!HHI", base & 0xFFFF, len(symbols), (reference & 0xFFFFFF) << 8 | count)
    body += b"".join(struct.pack("!H", chunk) for chunk in _chunks(symbols))
    body += b"".join(struct.pack("!B", d) if 0 <= d <= 0xFF else struct.pack("!h", d) for d in deltas)
    padding = -len(body) % 4
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    words = 2 + len(body) // 4
    return struct.pack("!BBHII", 0x80 | 0x20 * bool(padding) | 15, 205, words, ssrc, media_ssrc) + body


def _chunks(symbols: list[int]) -> Iterator[int]:
    """Sections 3.1.3 and 3.1.4: runs of the same symbol where they are long, else seven symbols of two bits each."""
    at = 0
    while at < len(symbols):
        run = _run(symbols, at)
        if run >= 7 or at + run == len(symbols):
            yield symbols[at] << 13 | run
            at += run
            continue
        seven = symbols[at : at + 7]
        yield 0xC000 | sum(symbol << 12 - 2 * place for place, symbol in enumerate(seven))
        at += 7


def _run(symbols: list[int], at: int) -> int:
    """How many from there on are the same."""
    end = at + 1
    while end < len(symbols) and symbols[end] == symbols[at] and end - at < 0x1FFF:
        end += 1
    return end - at
