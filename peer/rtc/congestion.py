"""How much may be sent over a path: what its delay, its losses and the other side say, taken together. Pure.

With transport-wide feedback the estimate is our own (`peer.rtc.delaybased`, `peer.rtc.probing`); without it, it is the
receiver's (REMB). Losses lower either (draft-ietf-rmcat-gcc-02 section 6).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from peer.rtc.delaybased import MAX_BITRATE, MIN_BITRATE, QUEUE, DelayBased
from peer.rtc.probing import Prober
from peer.rtc.sentpackets import SentPackets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.arrivalreport import ArrivalReport
    from peer.rtc.probing import Probe

START: Final = 800_000
"""Bits per second until something is known of the path."""
LOSS_WINDOW: Final = 1.0
"""Seconds over which losses are counted, with MIN_COUNTED packets at least."""
MIN_COUNTED: Final = 30
MUCH_LOSS: Final = 0.10
"""Above, less is sent ..."""
LITTLE_LOSS: Final = 0.02
"""... below, what losses had lowered rises again; a path may lose that much by itself."""
CALM_LOSS: Final = 0.06
"""Above, no more is tried."""
SENDING_WINDOW: Final = 1.0
"""Seconds over which what is sent is measured."""
LATE: Final = 0.1
"""Seconds by which a busy process may be behind and still tell who is silent."""
SILENCE: Final = 1.0
"""Seconds without a report, though packets are under way, after which half is sent; and again after each of them."""


class Losses:
    """The limit that losses set."""

    def __init__(self) -> None:
        self.limit: float | None = None
        """Bits per second; None: none."""
        self.fraction = 0.0
        """Of what was told of last."""
        self._counted = self._lost = 0
        self._since: float | None = None
        self._lowered = float("-inf")
        self._raised: float | None = None

    def count(self, arrived: int, lost: int, target: float, now: float) -> None:
        """What transport-wide feedback says."""
        self._since = now if self._since is None else self._since
        self._counted += arrived + lost
        self._lost += lost
        if now - self._since >= LOSS_WINDOW and self._counted >= MIN_COUNTED:
            self.told(self._lost / self._counted, target, now)
            self._since, self._counted, self._lost = now, 0, 0

    def told(self, fraction: float, target: float, now: float) -> None:
        """That part was lost of what was sent lately, while `target` was sent."""
        self.fraction = fraction
        if fraction > MUCH_LOSS:
            if now - self._lowered >= LOSS_WINDOW / 2:
                self.limit = max((1 - fraction / 2) * min(target, self.limit or target), MIN_BITRATE)
                self._lowered = now
        elif self.limit is not None and fraction < LITTLE_LOSS:
            elapsed = min(now - self._raised, LOSS_WINDOW) if self._raised is not None else 0.0
            self.limit *= 1.08**elapsed
            if self.limit > max(2 * target, MIN_BITRATE):
                self.limit = None
        self._raised = now


class Sending:
    """What leaves, in bits per second."""

    def __init__(self) -> None:
        self.bytes = 0
        """Since the last time."""
        self.last = 0.0
        self._parts: deque[tuple[float, int]] = deque()
        self._in_window = 0

    def rate(self, now: float) -> float:
        """Up to now, over SENDING_WINDOW; asked for with each report."""
        parts = self._parts
        parts.append((now, self.bytes))
        self._in_window += self.bytes
        self.bytes = 0
        while len(parts) > 2 and parts[0][0] < now - SENDING_WINDOW:
            self._in_window -= parts.popleft()[1]
        if now > parts[0][0]:  # the first part left before
            self.last = 8 * (self._in_window - parts[0][1]) / (now - parts[0][0])
        return self.last


class Congestion:
    """Of one path. All bytes are those of whole packets on the wire; times are seconds on one clock."""

    def __init__(self, start: float = START) -> None:
        self.sent: Final = SentPackets()
        self._add = self.sent.add
        self.losses: Final = Losses()
        self.round_trip = 0.1
        """Seconds, at least as long as the last report took."""
        self.remb: int | None = None
        """What the other side estimated last, bits per second."""
        self._delay = DelayBased(start)
        self._start = start
        self._prober = Prober()
        self._heard: float | None = None
        """When the last report came; None: the other side sends none."""
        self._lowered_at = 0.0
        """When the last report came, or when its failing to come was noticed last."""
        self._sending = Sending()

    def leaves(self, sizes: Sequence[int], now: float) -> int:
        """Packets of so many bytes leave, one at least; the transport-wide number that the first of them gets."""
        size = sum(sizes)
        self._sending.bytes += size
        probe = self._prober.probe
        if probe is None or probe.over:
            return self._add(sizes, now)
        probe.sent += size
        probe.packets += len(sizes)
        return self._add(sizes, now, probe.cluster)

    def take(self, report: ArrivalReport, now: float) -> bool:
        """Transport-wide feedback; whether it told anything of what was sent."""
        arrived, lost = self.sent.take(report)
        if not arrived:
            self.losses.count(0, lost, self.estimate, now)
            return lost > 0
        self._heard = self._lowered_at = now
        sending = self._sending.rate(now)
        self.round_trip += 0.2 * (min(max(now - arrived[-1][0], 0.0), 2.0) - self.round_trip)
        self._delay.take(arrived)
        probing, hold = self._prober.on(now), self.losses.fraction > CALM_LOSS
        before = self._delay.estimate
        self._delay.update(sending, self.round_trip, now, probing=probing, hold=hold)
        if self._delay.estimate < before:
            self._prober.later(now)
        shown = self._prober.take(arrived, now)
        if shown is not None:
            self._delay.probed(shown)
            if self.losses.limit is not None and shown.rate > self.losses.limit:
                self.losses.limit = None  # it was the queue's
        self.losses.count(len(arrived), lost, self.estimate, now)
        return True

    def probe(self, now: float) -> Probe | None:
        """A probe to begin now."""
        if self._heard is None or now - self._heard > SILENCE:
            return None
        calm = self._delay.usage == "normal" and self._delay.acknowledged.queue < QUEUE / 2
        calm = calm and self.losses.fraction < CALM_LOSS and self.estimate >= self._believed
        return self._prober.wanted(self.estimate, self._sending.last, now, calm=calm)

    @property
    def _believed(self) -> float:
        """What the delay allows; no more than losses did, if they are over: whether that still holds is to be tried."""
        limit, over = self.losses.limit, self.losses.fraction < LITTLE_LOSS
        return self._delay.estimate if limit is None or not over else min(self._delay.estimate, limit)

    @property
    def probing(self) -> Probe | None:
        """The probe that is to leave, whose packets are not all sent."""
        return self._prober.probe if self._prober.sending else None

    @property
    def estimate(self) -> float:
        """Bits per second that the path takes."""
        if self._heard is None:
            found: float = self.remb if self.remb is not None else self._start
        else:
            found = self._delay.estimate if self.remb is None else min(self._delay.estimate, self.remb)
        return min(max(found if self.losses.limit is None else min(found, self.losses.limit), MIN_BITRATE), MAX_BITRATE)

    @property
    def target(self) -> float:
        """Bits per second to send now."""
        if self._heard is None:
            return self.estimate
        return max(min(self.estimate, self._delay.target), MIN_BITRATE)

    @property
    def draining(self) -> bool:
        """Whether a queue of ours is on the way, that is emptied first."""
        return self._heard is not None and self._delay.draining

    def told_loss(self, fraction: float, now: float) -> None:
        """What a receiver report says (RFC 3550 section 6.4.1), where nothing better is known."""
        if self._heard is None:
            self.losses.told(fraction, self.estimate, now)

    def tick(self, now: float, late: float = 0.0) -> None:
        """Now and then: notices when reports fail to come of what is sent.

        `late`: seconds by which whoever calls is behind: what came meanwhile was not read yet.
        """
        times = self.sent.times
        if self._heard is None or times is None:
            return
        if late > LATE:
            self._lowered_at = now
            return
        since = max(self._lowered_at, times[0])
        if now - since >= SILENCE and times[1] - since >= SILENCE / 2:  # the last packet of all may have got lost
            self._lowered_at = now
            self._delay.estimate = max(self._delay.estimate / 2, MIN_BITRATE)
