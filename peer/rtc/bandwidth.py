"""What a path can take, worked out from when packets left and when they came: for senders that want to be told. Pure.

The delay-based part of Google congestion control (draft-ietf-rmcat-gcc-02): packets that take longer and longer fill a
queue on the way. The trend of their delay is a regression line through the last of them, as in browsers of today, where
the draft has a Kalman filter.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Usage = Literal["normal", "over", "under"]

BURST: Final = 0.005
"""Seconds: packets that left within that time of one another are one group (section 5.2)."""
RATE_WINDOW: Final = 1.0
"""Seconds over which the incoming rate is measured."""
DECREASE: Final = 0.85
"""Of the incoming rate, when the path is overused (section 5.5, beta)."""
INCREASE: Final = 1.08
"""A second, far from where the path was overused before (section 5.5, eta)."""
HEADROOM: Final = 1.5
"""Times the incoming rate: more is never estimated, as it was never tried."""
FIRST: Final = 3.0
"""Seconds of arrivals before there is an estimate, unless the path is overused sooner."""

_SAME_TIME: Final = 1e-6
"""Square milliseconds, in all: what rounding may leave of points that lie at one time."""
_UNITS: Final = 1 << 18
"""Of absolute send times in a second: they have 24 bits, the upper 6 of them seconds."""
_MASK: Final = 0xFFFFFF
_HALF: Final = 0x800000
_BURST_UNITS: Final = int(BURST * _UNITS)


class Trend:
    """Whether delays grow: the slope of the smoothed delay over the last groups."""

    _WINDOW: Final = 20
    _SMOOTHING: Final = 0.9
    _GAIN: Final = 4.0
    _MOST_DELTAS: Final = 60
    _OVERUSE_TIME: Final = 0.010
    _FAR: Final = 15.0
    _FLAT: Final = 0.2
    _LEAST_THRESHOLD: Final = 6.0

    def __init__(self) -> None:
        self.usage: Usage = "normal"
        self.overused = 0
        """How often it became plain that the path is."""
        self._points: deque[tuple[float, float]] = deque(maxlen=self._WINDOW)
        self._delay = self._smoothed = 0.0
        self._count = 0
        self._around, self._level = 0.0, 0
        """A delay, and how many points in a row lie within _FLAT milliseconds of it."""
        self._slope = 0.0
        self._threshold = 12.5
        self._over_for = 0.0
        self._over_count = 0
        self._adapted: float | None = None

    def add(self, variation: float, interval: float, now: float) -> None:
        """A group came: `variation` seconds later than the one before it would have it, which left `interval` ago."""
        self._count += 1
        self._delay += 1000 * variation
        self._smoothed = smoothed = self._SMOOTHING * self._smoothed + (1 - self._SMOOTHING) * self._delay
        self._points.append((1000 * now, smoothed))
        if not -self._FLAT <= smoothed - self._around <= self._FLAT:
            self._around, self._level = smoothed, 0
        elif self._level < self._WINDOW:
            self._level += 1
        elif self._slope == 0.0 and self._threshold == self._LEAST_THRESHOLD:  # as nearly always: nothing changes
            self._adapted = now
            return
        flat = self._level >= self._WINDOW  # a slope that means nothing need not be worked out
        slope = _slope(self._points) if len(self._points) == self._WINDOW and not flat else 0.0
        self._judge(slope, interval, now)

    def _judge(self, slope: float, interval: float, now: float) -> None:
        """Section 5.4, with the trend in the place of the filter's offset."""
        trend = min(self._count, self._MOST_DELTAS) * slope * self._GAIN
        if trend > self._threshold:
            self._over_for += interval if self._over_count else interval / 2
            self._over_count += 1
            if self._over_for > self._OVERUSE_TIME and self._over_count > 1 and slope >= self._slope:
                self._over_for, self._over_count = 0.0, 0
                self.usage = "over"
                self.overused += 1
        else:
            self._over_for, self._over_count = 0.0, 0
            self.usage = "under" if trend < -self._threshold else "normal"
        self._slope = slope
        self._adapt(abs(trend), now)

    def _adapt(self, trend: float, now: float) -> None:
        """The threshold follows, so that a path that always varies, or another's traffic, is no reason to starve."""
        before, self._adapted = self._adapted, now
        if before is None or trend > self._threshold + self._FAR:
            return
        gain = 0.039 if trend < self._threshold else 0.0087
        self._threshold += gain * (trend - self._threshold) * 1000 * min(now - before, 0.1)
        self._threshold = min(max(self._threshold, self._LEAST_THRESHOLD), 600.0)


class BandwidthEstimator:
    """Of one path: what comes goes in, and now and then an estimate comes out."""

    def __init__(self) -> None:
        self.usage: Usage = "normal"
        self._trend = Trend()
        self._overused = 0
        """Of the trend, at the last estimate."""
        self._rates: deque[tuple[float, int]] = deque()
        self._bytes = 0
        self._size = 0
        """Bytes since the last estimate."""
        self._began: float | None = None
        self._first, self._last = 0, 0
        """Send times of the first and the last packet of the present group ..."""
        self._at: float | None = None
        """... and when its last one came."""
        self._before: tuple[int, float] | None = None
        """Of the group before: when its last packet left, and when it came."""
        self._estimate: float | None = None
        self._convergence: float | None = None
        """Bits per second at which the path was overused, smoothed."""
        self._changed = 0.0
        self._holding = False

    def arrived(self, sent: int, at: float, size: int) -> None:
        """A packet came at `at`, in seconds on any one clock of ours, in the order in which they come.

        `sent`: the header extension's absolute send time, 24 bits. `size`: bytes of RTP payload.
        """
        self._size += size
        since_first = (sent - self._first) & _MASK
        if since_first <= _BURST_UNITS and self._at is not None:
            self._last, self._at = (sent if _after(sent, self._last) > 0 else self._last), at
        else:
            self._place(sent, at, since_first)

    def _place(self, sent: int, at: float, since_first: int) -> None:
        """A packet that did not leave together with the present group."""
        if self._at is not None:
            if since_first >= _HALF:  # out of order
                return
            since_last = _after(sent, self._last)
            # What was held up on the way and came in one burst belongs together, whenever it left (section 5.2).
            if at - self._at <= BURST and at - self._at < since_last:
                self._last, self._at = (sent if since_last > 0 else self._last), at
                return
            if self._before is not None:
                interval = _after(self._last, self._before[0])
                self._trend.add(self._at - self._before[1] - interval, interval, self._at)
            self._before = (self._last, self._at)
        self._first = self._last = sent
        self._at = at

    def update(self, now: float) -> int | None:
        """The estimate in bits per second after what has come; None before the first."""
        self.usage = "over" if self._trend.overused > self._overused else self._trend.usage
        self._overused = self._trend.overused
        size, self._size = self._size, 0
        return self._control(self._rate(size, now), now)

    def _rate(self, size: int, now: float) -> float | None:
        """Bits per second that came in the last second; None before there is enough to tell."""
        self._began = now if self._began is None else self._began
        self._rates.append((now, size))
        self._bytes += size
        while self._rates[0][0] <= now - RATE_WINDOW:
            self._bytes -= self._rates.popleft()[1]
        elapsed = min(now - self._began, RATE_WINDOW)
        return 8 * self._bytes / elapsed if elapsed >= RATE_WINDOW / 2 else None

    def _control(self, rate: float | None, now: float) -> int | None:
        """Section 5.5: up while all is well, down to below what came when it is not, hold while the queue empties."""
        assert self._began is not None
        if rate is None or (self._estimate is None and self.usage != "over" and now - self._began < FIRST):
            self._changed = now
            return None if self._estimate is None else round(self._estimate)
        estimate = rate if self._estimate is None else self._estimate
        elapsed, self._changed = min(now - self._changed, 1.0), now
        if self.usage == "over":
            estimate = min(estimate, DECREASE * rate)
            self._converge(rate)
            self._holding = True
        elif self.usage == "under":
            self._holding = True
        elif self._holding:
            self._holding = False
        else:
            estimate = min(self._raised(estimate, rate, elapsed), max(HEADROOM * rate + 10_000, estimate))
        self._estimate = estimate
        return round(estimate)

    def _raised(self, estimate: float, rate: float, elapsed: float) -> float:
        if self._convergence is not None and rate > 1.1 * self._convergence:
            self._convergence = None  # the path takes more than it did
        if self._convergence is None:
            return float(estimate * INCREASE**elapsed)
        # About a packet of 1200 bytes each 200 ms, the time until an answer would be seen.
        return estimate + max(4000.0, 1200 * 8 / 0.2) * elapsed

    def _converge(self, rate: float) -> None:
        before = self._convergence
        near = before is not None and 0.7 * before < rate < 1.3 * before
        self._convergence = 0.95 * before + 0.05 * rate if before is not None and near else rate


def _after(sent: int, before: int) -> float:
    """Seconds from one send time to the other; negative where it is the earlier one."""
    difference = (sent - before) & _MASK
    return (difference - _MASK - 1 if difference & _HALF else difference) / _UNITS


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line with the least squared distance; 0 where all lie at one time."""
    count = len(points)
    first_x, first_y = points[0]
    sum_x = sum_y = sum_xx = sum_xy = 0.0
    for x, y in points:
        x -= first_x
        y -= first_y
        sum_x += x
        sum_y += y
        sum_xx += x * x
        sum_xy += x * y
    across = sum_xx - sum_x * sum_x / count
    return (sum_xy - sum_x * sum_y / count) / across if across > _SAME_TIME else 0.0
