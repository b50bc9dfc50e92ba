"""What sender reports say of the time of a stream, and what the answers to them say of the path (RFC 3550). Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

WINDOW: Final = 5.0
"""Seconds over which the quickest frame tells how the timestamps lie in time."""
MAX_REPORTS: Final = 8
"""Sender reports that the other side may refer to; it answers the last, or the one before."""
AFRESH: Final = 3600.0
"""Seconds after which timestamps are held against a newer one: long before the difference outgrows its 32 bits."""
SMOOTHING: Final = 0.85
"""Weight of what was known of the round trip time in what is."""
_HALF: Final = 1 << 31
_NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""


class MediaClock:
    """Where the timestamps of a stream lie in time: as the frame has it that was there the soonest.

    Frames come late, by more or less, when the machine is busy, and never early. A report made of the last of them
    would leap with it, and sound and pictures would go apart where it is believed.
    """

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._reference: tuple[int, float] | None = None
        """A timestamp and its time, which the others are held against."""
        self._ended = 0.0
        self._least = self._before = float("inf")
        """By how much the quickest came later than that: of this window and of the one before."""

    def note(self, timestamp: int, at: float) -> None:
        """A frame of this 32-bit timestamp was there `at`, in seconds."""
        if self._reference is None:
            self._reference, self._ended = (timestamp, at), at + WINDOW
        if at >= self._ended:
            self._before = self._least if at < self._ended + WINDOW else float("inf")
            self._least, self._ended = float("inf"), at + WINDOW
        begin, began = self._reference
        # The difference on a counter of 32 bits, as by `signed_difference`: every frame comes here.
        since = ((timestamp - begin + _HALF & 0xFFFFFFFF) - _HALF) / self._rate
        late = at - began - since
        if late < self._least:
            self._least = late
        if since > AFRESH:
            self._reference = timestamp, self._reference[1] + since

    def timestamp(self, now: float) -> int | None:
        """What the clock of the stream shows, 32 bits; None before the first frame."""
        if self._reference is None:
            return None
        timestamp, at = self._reference
        return round(timestamp + (now - at - min(self._least, self._before)) * self._rate) & 0xFFFFFFFF


class RoundTrips:
    """The time that a report and its answer take together, without what the other side waited (section 6.4.1)."""

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """Seconds; None before an answer came."""
        self._sent: OrderedDict[int, float] = OrderedDict()

    def reported(self, ntp: int, now: float) -> None:
        """A sender report with that NTP time is sent."""
        self._sent[(ntp >> 16) & 0xFFFFFFFF] = now
        if len(self._sent) > MAX_REPORTS:
            self._sent.popitem(last=False)

    def answered(self, lsr: int, dlsr: int, now: float) -> None:
        """A report block names the last sender report, and the delay since in 1/65536 s; no other is believed."""
        sent = self._sent.get(lsr)
        if sent is None or not lsr:
            return
        taken = now - sent - dlsr / 65536
        if 0 <= taken <= now - sent:
            known = self.smoothed
            self.smoothed = taken if known is None else SMOOTHING * known + (1 - SMOOTHING) * taken


def ntp_time(wall: float) -> int:
    """Seconds since 1970 as an NTP timestamp, 64 bits (RFC 3550 section 4)."""
    return int((wall + _NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF
