"""One timeline for all tracks of a participant: RTP timestamps to seconds of the local monotonic clock. Pure.

Without RTCP sender reports a track is anchored by arrival: its quickest packets count as undelayed. Reports tie each
track to the sender's wall clock (RFC 3550 section 6.4.1), and one offset for all of them ties that to the local clock;
so audio and video that were captured together come out together, whatever their paths did to them.

What is corrected, and how fast:

- Errors up to 100 ms are slewed away, at most 5 ms per second (1 ms for the common offset, 4 ms for a track's own
  error), so that the change-over from arrival to reports is not seen or heard.
- Greater errors are stepped over at once, and only forward: if a track would have to go back, the others go forward.
- Times of one track never decrease.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from peer.rtc.rtp import signed_difference

if TYPE_CHECKING:
    from collections.abc import Hashable

STEP = 0.100
WARM_UP = 1.0
"""Seconds of media at a track's start in which a quicker packet puts the timeline right at once.

The first packets of a call are late: the sender's encoder and sockets begin their work then. Later corrections are
slewed, at TRACK_SLEW and COMMON_SLEW.
"""
TRACK_SLEW = 0.004
COMMON_SLEW = 0.001
REPORT_GAIN = 1 / 8
MINIMUM_WINDOW = 10.0
IMPOSSIBLE = 2.0
STALE_REPORT = 60.0
MAX_OFFSET = 10.0
"""Seconds: tracks whose reports disagree by more are not of one clock, and stay on arrival times."""
MAX_TRACKS = 32


class MovingMinimum:
    """The lowest of the samples of the last 10 to 20 seconds."""

    __slots__ = ("_before", "_current", "_since")

    def __init__(self) -> None:
        self._before = self._current = math.inf
        self._since = -math.inf

    @property
    def value(self) -> float:
        """The minimum; infinity without a sample."""
        return self._before if self._before < self._current else self._current

    def add(self, sample: float, now: float) -> None:
        """Take a sample at `now` seconds."""
        if now - self._since >= MINIMUM_WINDOW:
            self._before, self._current = self._current, math.inf
            self._since = now
        if sample < self._current:
            self._current = sample


class ParticipantClock:
    """The clock of one participant; keys name its tracks. Beyond 32 of them the oldest is forgotten."""

    def __init__(self) -> None:
        self._tracks: dict[Hashable, TrackClock] = {}
        self._sender = _SenderClock()

    def track(self, key: Hashable, clock_rate: int) -> TrackClock:
        """The clock of one track, made at the first call, and anew when its clock rate (Hz) changes."""
        track = self._tracks.get(key)
        if track is None or track.clock_rate != clock_rate:
            self._tracks.pop(key, None)
            if len(self._tracks) >= MAX_TRACKS:
                del self._tracks[next(iter(self._tracks))]
            track = self._tracks[key] = TrackClock(clock_rate, self._sender)
        return track

    def forget(self, key: Hashable) -> None:
        """The track is gone; an unknown key is none."""
        self._tracks.pop(key, None)


class _SenderClock:
    """What the tracks of a participant have in common: the offset from its wall clock to the local clock."""

    def __init__(self) -> None:
        self.epoch: float | None = None
        """NTP seconds that wall times are counted from, so that floats stay precise."""
        self.offset: float | None = None
        self._minimum = MovingMinimum()
        self._slewed = 0.0

    def observe(self, sample: float, now: float) -> None:
        """A packet came whose wall time is `now - sample`: go on towards the quickest of them."""
        self._minimum.add(sample, now)
        assert self.offset is not None
        room = COMMON_SLEW * max(now - self._slewed, 0.0)
        self.offset += max(-room, min(self._minimum.value - self.offset, room))
        self._slewed = max(self._slewed, now)

    def anchor(self, offset: float, now: float) -> None:
        """The first track that can be tied to the wall clock says how."""
        self.offset = offset
        self._slewed = now


class TrackClock:
    """The clock of one track; made by `ParticipantClock.track`."""

    def __init__(self, clock_rate: int, sender: _SenderClock) -> None:
        if clock_rate <= 0:
            raise ValueError(f"the clock rate has to be positive, not {clock_rate}")
        self.clock_rate = clock_rate
        self._sender = sender
        self._minimum = MovingMinimum()
        self._wall: float | None = None
        """Wall time at RTP timestamp 0, as the reports have it."""
        self._ignored = 0.0
        """Seconds by which the sender's wall clock was set since."""
        self._reported = 0.0
        """Seconds of delay of the last frame before a report, averaged as the reports are."""
        self._base: float | None = None
        """Local time at RTP timestamp 0, as it should be."""
        self._error = 0.0
        """Seconds by which the times given out are ahead of that."""
        self._reports = 0
        self._pending: tuple[float, int] | None = None
        self._timestamp = 0
        self._arrival = 0.0
        self._delay = 0.0
        self._last: float | None = None
        self._warm_from: float | None = None

    @property
    def synchronised(self) -> bool:
        """Whether sender reports, rather than arrival, set the times."""
        return self._wall is not None

    def time(self, timestamp: int, now: float) -> float:
        """Seconds on the participant's timeline of an unwrapped RTP timestamp whose first packet arrived at `now`.

        Call it once per frame, in order.
        """
        media = timestamp / self.clock_rate
        delay = now - media
        if self._base is not None and delay < self._minimum.value - IMPOSSIBLE:
            self.restart()  # earlier than can be: the timestamps have leapt
        self._minimum.add(delay, now)
        if self._base is None:
            self._base = delay
            self._warm_from = media if self._last is None else None
            # After a restart the timeline goes on by as much as went by here.
            self._error = self._last - self._arrival if self._last is not None else 0.0
            elapsed = 0.0
        else:
            elapsed = min(max((timestamp - self._timestamp) / self.clock_rate, 0.0), MAX_OFFSET)
        self._timestamp, self._arrival, self._delay = timestamp, now, delay
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self.sender_report(*pending, now)
        if self._wall is not None and self._sender.offset is not None:
            self._sender.observe(delay - self._wall, now)
            self._base = self._wall + self._sender.offset
        elif self._base != self._minimum.value:
            self._rebase(self._minimum.value)
        warming = self._warm_from is not None and media - self._warm_from < WARM_UP
        room = math.inf if warming else TRACK_SLEW * elapsed
        self._error -= max(-room, min(self._error, room))
        result = media + self._base + self._error
        if self._last is None or result > self._last:
            self._last = result
        return self._last

    def restart(self) -> None:
        """The sender's timestamps begin anew: go on by arrival until the next report."""
        self._minimum = MovingMinimum()
        self._wall = self._base = self._pending = None
        self._ignored = 0.0

    def sender_report(self, ntp_seconds: float, rtp_timestamp: int, now: float) -> None:
        """Take the NTP and RTP timestamps of a sender report (RTP raw or unwrapped) that arrived at `now`."""
        if not math.isfinite(ntp_seconds) or ntp_seconds <= 0:
            return  # section 6.4.1: zero says that the sender has no wall clock
        if self._base is None:
            self._pending = (ntp_seconds, rtp_timestamp)
            return
        ahead = signed_difference(rtp_timestamp, self._timestamp, 32)
        if abs(ahead) / self.clock_rate > STALE_REPORT + max(now - self._arrival, 0.0):
            return  # of another run of timestamps
        sender = self._sender
        if sender.epoch is None:
            sender.epoch = ntp_seconds
        wall = ntp_seconds - sender.epoch - (self._timestamp + ahead) / self.clock_rate - self._ignored
        if sender.offset is None:
            sender.anchor(self._base + self._error - wall, now)
            self._reported = self._delay
        elif self._wall is None:
            self._reports, self._reported = 0, self._delay
        elif abs(wall - self._wall) > STEP:
            if ahead > 0:  # when what it speaks of was sent, the next frames tell
                self._pending = (ntp_seconds, rtp_timestamp)
                return
            wall = self._judge(wall, self._wall)
        else:
            # Senders take the two timestamps at slightly different moments, so single reports are not exact.
            gain = max(REPORT_GAIN, 1 / (self._reports + 1))
            wall = self._wall + (wall - self._wall) * gain
            self._reported += (self._delay - self._reported) * gain
        self._reports += 1
        self._tie(wall)

    def _judge(self, wall: float, before: float) -> float:
        """The reports leapt: when arrival confirms it (the media paused) follow, else the sender's clock was set.

        Arrival is that of this track, then and now: the common offset may be that of another one, which was delayed.
        """
        arrived = self._delay - self._reported
        if abs(arrived - (wall - before)) < abs(arrived):
            self._reported = self._delay
            return wall
        self._ignored += wall - before
        return before

    def _tie(self, wall: float) -> None:
        offset = self._sender.offset
        assert offset is not None and self._base is not None
        error = self._base + self._error - wall - offset
        if abs(error) > MAX_OFFSET:
            self._wall = None
            return
        self._wall = wall
        if error > STEP:
            self._sender.offset = offset = offset + error  # this track cannot go back, so the others go forward
        self._rebase(wall + offset)

    def _rebase(self, base: float) -> None:
        """Correct the base; the times given out follow slowly, or step forward when they are far behind."""
        assert self._base is not None
        self._error += self._base - base
        self._base = base
        if self._error < -STEP:
            self._error = 0.0
