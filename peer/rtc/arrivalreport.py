"""Transport-wide feedback as it comes in: which of the packets that we sent arrived, and when. Pure.

The other direction of `peer.rtc.transportwide`, and as hostile as anything that comes from outside.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

MAX_TOLD: Final = 8192
"""Packets that one report may tell of: more than anyone has under way."""
TICK: Final = 250e-6
"""Seconds: the unit of arrivals (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.5)."""
REFERENCE_TICKS: Final = 256
"""Ticks in the unit of reference times: 64 ms."""

_HEAD: Final = Struct("!BBHIIHHI")
_LENGTH: Final = Struct("!BBH")
_RTPFB, _TRANSPORT_WIDE = 205, 15
_MISSING, _SMALL, _LARGE = 0, 1, 2
_TWO_BITS: Final = tuple(range(12, -1, -2))
_ONE_BIT: Final = tuple(range(13, -1, -1))


class ArrivalReport(NamedTuple):
    """What one packet of feedback says."""

    base: int
    """The 16-bit number of the first packet that it tells of."""
    reference: int
    """24 bits: when arrivals are counted from, in units of 64 ms on the receiver's clock."""
    arrivals: list[int | None]
    """By packet, in ticks after the reference; None for one that did not arrive."""


def without_reports(data: bytes) -> tuple[list[bytes], bytes]:
    """The packets of transport-wide feedback in a compound one (RFC 3550 section 6.1), and the rest of it.

    What cannot be taken apart is left as it is.
    """
    if b"\xcd" not in data:
        return [], data
    found: list[bytes] = []
    rest: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        first, kind, words = _LENGTH.unpack_from(data, at)
        end = at + 4 + 4 * words
        (found if kind == _RTPFB and first & 0x1F == _TRANSPORT_WIDE else rest).append(data[at:end])
        at = end
    return (found, b"".join(rest)) if at == len(data) else ([], data)


def read_report(data: bytes) -> ArrivalReport:
    """One packet of feedback (section 3.1). Raises ValueError for what is none."""
    if len(data) < _HEAD.size:
        raise ValueError("transport-wide feedback is cut off")
    first, kind, words, _, _, base, count, word = _HEAD.unpack_from(data)
    if (first & 0xDF, kind) != (0x80 | _TRANSPORT_WIDE, _RTPFB) or len(data) != 4 * words + 4:
        raise ValueError("no transport-wide feedback")
    if not 0 < count <= MAX_TOLD:
        raise ValueError(f"transport-wide feedback about {count} packets")
    end = len(data) - (data[-1] if first & 0x20 else 0)
    symbols, at = _symbols(data, count, end)
    return ArrivalReport(base, word >> 8, _arrivals(data, symbols, at, end))


def _symbols(data: bytes, count: int, end: int) -> tuple[list[int], int]:
    """One for each packet (sections 3.1.3 and 3.1.4), and where they end."""
    symbols: list[int] = []
    at = _HEAD.size
    while len(symbols) < count:
        if at + 2 > end:
            raise ValueError("transport-wide feedback lacks symbols")
        chunk = data[at] << 8 | data[at + 1]
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * min(chunk & 0x1FFF, count - len(symbols))
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in _TWO_BITS]
        else:
            symbols += [chunk >> shift & 1 for shift in _ONE_BIT]
        if not chunk & 0x9FFF:
            raise ValueError("a run of no packets")
    del symbols[count:]
    return symbols, at


def _arrivals(data: bytes, symbols: list[int], at: int, end: int) -> list[int | None]:
    arrivals: list[int | None] = []
    ticks = 0
    for symbol in symbols:
        if symbol == _MISSING:
            arrivals.append(None)
            continue
        if symbol > _LARGE or at + symbol > end:
            raise ValueError("transport-wide feedback lacks times")
        if symbol == _SMALL:
            ticks += data[at]
        else:
            delta = data[at] << 8 | data[at + 1]
            ticks += delta - 0x10000 if delta & 0x8000 else delta
        at += symbol
        arrivals.append(ticks)
    return arrivals
