"""What a path can take, as its sender works it out from the delay of what it sent. Pure.

The delay-based part of Google congestion control (draft-ietf-rmcat-gcc-02, section 5), with the trend line that
browsers have in the place of the Kalman filter. Three things are more than that: the queue on the way is known, as far
as it grew while we watched, so it is emptied quickly once it is ours; who sends less than it might does not fall to
what it sends; and what probes showed counts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peer.rtc.acknowledged import SHORT_WINDOW, Acknowledged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.bandwidth import Usage
    from peer.rtc.probing import Shown
    from peer.rtc.sentpackets import Arrived

DECREASE: Final = 0.85
"""Of the rate that arrives, when the path is overused (section 5.5, beta)."""
SOONER: Final = 0.7
"""Part of what was estimated: where no more arrives, the answer to the last decrease is not waited for."""
INCREASE: Final = 1.08
"""A second, far from where the path was overused before (section 5.5, eta)."""
HEADROOM: Final = 1.5
"""Times what arrives: more is not estimated, as it was never tried."""
LIMITED: Final = 0.75
"""Who sends less than that part of the estimate does not use the path: what arrives says little of it ..."""
LITTLE: Final = 0.6
"""... and who sends even less sees nothing but others' queues, or what only varies."""
QUEUE: Final = 0.1
"""Seconds of queue with which nothing is raised."""
LONG_QUEUE: Final = 0.25
"""Seconds of queue that are emptied by sending less for a while ..."""
DRAINED: Final = 0.04
"""... until this is left: as good as none, and no reason to send less ..."""
DRAIN: Final = 0.8
"""... within about so many seconds ..."""
MOST_DRAIN: Final = 0.5
"""... but with this part of the rate at least ..."""
DRAIN_TIME: Final = 2.5
"""... and for so long at most after the rate was lowered: then the queue is another's."""
RAISING: Final[dict[Usage, float]] = {"over": 0.0, "under": DRAINED, "normal": QUEUE}
"""The queue below which more is tried: GCC waits for the trend after a queue was emptied, which of a picture now and
then takes for ever."""
BUSY: Final = 0.06
"""Seconds over which the rate of a path is measured at least while a queue is on it."""
STARVED_QUEUE: Final = 0.05
"""Seconds of queue with which ..."""
STARVED: Final = 0.6
"""... a path that gives no more than that part of what is sent is overused, and no trend has to be waited for ..."""
MISSED: Final = 5000
"""... where so many bytes less came, lately, than left: of few packets some always seem to be missing."""
WIDER: Final = 1.3
"""Times the rate at which the path was overused: with that, it is another path."""
NEARLY: Final = 0.9
"""Times that rate, which may be sent at once."""
MIN_BITRATE: Final = 80_000
MAX_BITRATE: Final = 20_000_000


class DelayBased:
    """The estimate of one path."""

    def __init__(self, start: float) -> None:
        self.estimate = start
        """Bits per second."""
        self.usage: Usage = "normal"
        self.acknowledged: Final = Acknowledged()
        self._link: float | None = None
        """Bits per second at which the path was overused, smoothed."""
        self._changed: float | None = None
        self._decreased = float("-inf")
        self.draining = False
        """Whether a queue of ours is on the way, that is emptied first."""

    def take(self, arrived: Sequence[Arrived]) -> None:
        """Packets that came, in the order of sending; at least one."""
        self.usage = self.acknowledged.take(arrived)

    def update(
        self, sending: float, round_trip: float, now: float, *, probing: bool = False, hold: bool = False
    ) -> None:
        """Section 5.5, after each report.

        `sending`: bits per second that leave; `probing`: a queue may be that of a probe; `hold`: do not raise.
        """
        elapsed = min(now - self._changed, 1.0) if self._changed is not None else 0.0
        self._changed = now
        rate, queue = self.acknowledged.rate(), self.acknowledged.queue
        least = 1.2 * QUEUE if probing else QUEUE if sending < LITTLE * self.estimate else DRAINED
        starved = False
        if rate is not None and queue > STARVED_QUEUE:
            newest = self.acknowledged.newest_rate()
            missed = (sending - newest) * SHORT_WINDOW / 8
            starved = newest < STARVED * sending and missed > MISSED
            if starved:
                self.usage, least = "over", 0.0
            if self.usage == "over":
                # While packets wait, a path gives all that it has; before, it may not have been asked for it.
                busy = self.acknowledged.newest_rate(min(max(queue, BUSY), SHORT_WINDOW))
                rate = max(busy, min(rate, newest), rate / 8)
        if self.usage == "over" and queue >= least:
            self._decrease(rate, sending, round_trip, now)
        elif rate is not None and queue < RAISING[self.usage] and not (probing or hold):
            raised = min(self._raised(rate, round_trip, elapsed), HEADROOM * rate + 10_000, MAX_BITRATE)
            self.estimate = max(self.estimate, raised)
        if queue < DRAINED or now > self._decreased + DRAIN_TIME:
            self.draining = False
        elif queue > LONG_QUEUE or starved:  # then the queue that is known is only the beginning of it
            self.draining = True

    def probed(self, shown: Shown) -> None:
        """A probe came through. Where it met the limit that is known, no more is made of it than that."""
        rate, link = shown.rate, self._link
        if link is not None and rate > WIDER * link:
            self._link = None
        elif link is not None and shown.limited:
            rate = min(rate, NEARLY * link)
        self.estimate = max(self.estimate, min(rate, MAX_BITRATE))

    @property
    def target(self) -> float:
        """Bits per second to send now: less than the estimate while a queue of ours is on the way."""
        if not self.draining:
            return self.estimate
        return self.estimate * max(MOST_DRAIN, 1 - max(self.acknowledged.queue, LONG_QUEUE) / DRAIN)

    def _decrease(self, rate: float | None, sending: float, round_trip: float, now: float) -> None:
        # An answer to the last decrease takes a round trip.
        soon = now - self._decreased < min(max(round_trip, 0.05), 0.3) + 0.1
        if soon and (rate is None or rate > SOONER * self.estimate):
            return
        if rate is None or (sending < LIMITED * self.estimate and rate > 0.8 * sending):
            lower = DECREASE * self.estimate
        else:
            lower = DECREASE * rate
            self._converge(rate)
        self.estimate = max(min(self.estimate, lower), MIN_BITRATE)
        self._decreased = now

    def _raised(self, rate: float, round_trip: float, elapsed: float) -> float:
        if self._link is not None and rate > WIDER * self._link:
            self._link = None  # the path takes more than it did
        if self._link is None or self.estimate < 0.7 * self._link:
            return float(self.estimate * INCREASE**elapsed)
        # About a packet of 1200 bytes until an answer would be seen.
        return self.estimate + 1200 * 8 / (round_trip + 0.1) * elapsed

    def _converge(self, rate: float) -> None:
        link = self._link
        near = link is not None and 0.7 * link < rate < 1.3 * link
        self._link = 0.9 * link + 0.1 * rate if link is not None and near else rate
