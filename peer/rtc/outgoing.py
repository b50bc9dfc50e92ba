"""What leaves over one path: paced, numbered for the other side's feedback, and no more than the path takes. Pure.

One for all streams of a transport: they share the path. Its owner sends what is given to it, and wakes it when asked.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from peer.rtc.arrivalreport import read_report
from peer.rtc.congestion import START, Congestion
from peer.rtc.delaybased import MAX_BITRATE
from peer.rtc.header import Stamp
from peer.rtc.pacer import AGAIN, FACTOR, MOST_DELAY, PICTURE, SOUND, TICK, Pacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.outbound import OutboundRtp

_urgency: Final[Callable[[Any], int]] = itemgetter(1)
WIRE: Final = 38
"""Bytes that a packet has more on the wire: what SRTP appends, UDP and IPv4."""
HEADER: Final = 24
"""Bytes of an RTP header with its extensions, about."""
ACCOUNT: Final = 0.5
"""Seconds over which it is counted what sound and retransmissions take."""
LEAST: Final = 0.4
"""Part of the target that pictures get in any case."""
AGAIN_SHARE: Final = 0.5
"""Part of the target that may be sent again."""
TOLD: Final = 0.03
"""Part by which a share changes before an encoder is told."""


class PacedSender(Protocol):
    """A sender, as its path needs it."""

    kind: str

    @property
    def stream(self) -> OutboundRtp: ...
    @property
    def active(self) -> bool:
        """Whether there is something that it would send."""
        ...

    def limit(self, bitrate: int, lasting: int) -> None:
        """Its share of the path, bits per second of payload: now; and once the queues that are being emptied are so."""
        ...


class Outgoing:
    """Of one path."""

    def __init__(self, leave: Callable[[list[bytes], int | None], None], alarm: Callable[[float], None]) -> None:
        """`leave` sends packets; with a number, it is to be written at NUMBER_AT of the first of them, those of the
        others follow. `alarm` asks for `wake` then, which supersedes what was asked for before."""
        self._leave, self._alarm = leave, alarm
        self.congestion: Final = Congestion()
        self._leaves = self.congestion.leaves
        self._pacer = Pacer(START)
        self._stamp = Stamp(0, 0)
        self._numbered = self._stamp.numbered
        self._senders: list[PacedSender] = []
        self._shares: dict[PacedSender, int] = {}
        self._known = False
        """Whether anything is known of the path."""
        self._bytes = [0, 0, 0]
        """By urgency, that left since the account was made up ..."""
        self._pictures = 0
        """... and packets of pictures."""
        self._account: float | None = None
        self._other = self._overhead = 0.0
        """Bits per second of what is no picture, and of what is no payload of one."""
        self._waking = False

    def extensions(self, transport_wide: int, abs_send_time: int) -> None:
        """The ids of the header extensions that are written when a packet leaves; 0 for those not agreed."""
        self._stamp = Stamp(transport_wide, abs_send_time)
        self._numbered = self._stamp.numbered

    def add(self, sender: PacedSender) -> None:
        self._senders.append(sender)

    def remove(self, sender: PacedSender) -> None:
        self._senders.remove(sender)
        self._shares.pop(sender, None)

    @property
    def estimate(self) -> int | None:
        """Bits per second that the path takes; None before anything is known of it."""
        return round(self.congestion.estimate) if self._known else None

    @property
    def waiting(self) -> int:
        """Bytes that wait for their turn."""
        return self._pacer.waiting

    # Packets

    def send(self, packets: list[bytes], urgency: int, now: float) -> None:
        """Packets of one stream and format to be sent, in order: now, or soon."""
        sizes = list(map(len, packets))
        at_once = self._pacer.admit(sizes, urgency, now)
        if at_once == len(packets):
            if at_once:
                self._go(packets, sizes, urgency, now)
            return
        if at_once:
            self._go(packets[:at_once], sizes[:at_once], urgency, now)
        for data in packets[at_once:]:
            self._pacer.wait(data, urgency)
        if not self._waking:
            self._wake_at(now + TICK)

    def wake(self, now: float) -> None:
        """What is due leaves."""
        self._waking = False
        for urgency, packets in groupby(self._pacer.release(now), _urgency):
            self._go_each([self._stamp.timed(data, now) for data, _ in packets], urgency, now)
        due = self._pacer.due(now)
        if self._probing(now):
            due = now + TICK
        if due is not None:
            self._wake_at(due)

    def clear(self) -> None:
        """There is no path any more: what waits is dropped."""
        self._pacer.clear()

    def _wake_at(self, at: float) -> None:
        self._waking = True
        self._alarm(at)

    def _go(self, packets: list[bytes], sizes: list[int], urgency: int, now: float) -> None:
        """Packets of one stream and format leave, one at least; so one has room for a number if the others have."""
        wire = [size + WIRE for size in sizes]
        self._bytes[urgency] += sum(wire)
        if urgency == PICTURE:
            self._pictures += len(packets)
        self._leave(packets, self._leaves(wire, now) if self._numbered(packets[0]) else None)

    def _go_each(self, packets: list[bytes], urgency: int, now: float) -> None:
        """Packets of any streams leave: maybe of several codecs, of which the other side tells nothing of one."""
        for _, alike in groupby(packets, self._numbered):
            each = list(alike)
            self._go(each, list(map(len, each)), urgency, now)

    @property
    def _probed(self) -> OutboundRtp | None:
        """The stream whose packets make probes."""
        return next((each.stream for each in self._senders if each.kind == "video" and each.active), None)

    def _probing(self, now: float) -> bool:
        """Send what a probe wants by now; whether it goes on."""
        probe = self.congestion.probing
        if probe is None:
            return False
        missing = int(probe.rate * (now - probe.began + TICK / 2) / 8) - probe.sent
        stream = self._probed
        packets = stream.probe(missing, now) if stream is not None else []
        self._pacer.admit(list(map(len, packets)), SOUND, now)
        self._go_each(packets, AGAIN, now)
        return stream is not None and not probe.over

    # What is said of them

    def feedback(self, data: bytes, now: float) -> None:
        """One packet of transport-wide feedback. Raises ValueError for what is none."""
        if not self.congestion.take(read_report(data), now):
            return
        self._adapt(now)
        if self._probed is not None and self.congestion.probe(now) is not None and not self._waking:
            self.wake(now)

    def remb(self, bitrate: int, now: float) -> None:
        """The other side's estimate (draft-alvestrand-rmcat-remb-03)."""
        self.congestion.remb = bitrate
        self._adapt(now)

    def told_loss(self, fraction: float, now: float) -> None:
        """The fraction lost of a receiver report about pictures."""
        self.congestion.told_loss(fraction, now)
        if self._known or self.congestion.losses.limit is not None:
            self._adapt(now)

    def tick(self, now: float, late: float = 0.0) -> None:
        """Now and then; `late`: seconds by which whoever calls is behind."""
        if self._known:
            self.congestion.tick(now, late)
            self._adapt(now)
        else:
            self._pacer.target(MAX_BITRATE)  # it says nothing of the path, so there is nothing to keep to

    def _adapt(self, now: float) -> None:
        """To what is known now."""
        self._known = True
        target = self.congestion.target
        draining = self.congestion.draining
        # Encoders empty a queue; to hold a keyframe back for that would only have everybody wait longer.
        self._pacer.target(self.congestion.estimate if draining else target, factor=1.0 if draining else FACTOR)
        self._make_up(now)
        besides = self._other + self._overhead
        pictures, lasting = target - besides, self.congestion.estimate - besides
        delay = 8 * self._pacer.waiting / target
        if delay > MOST_DELAY:
            pictures *= max(0.5, 1 + MOST_DELAY - delay)
        sending = [each for each in self._senders if each.kind == "video" and each.active]
        for each in sending:
            each.stream.sparing = draining
            each.stream.again_limit = int(AGAIN_SHARE * target / 8 / len(sending))
            share, told = int(max(pictures, LEAST * target) / len(sending)), self._shares.get(each, 0)
            if abs(share - told) > TOLD * told:
                self._shares[each] = share
                each.limit(share, max(share, int(lasting / len(sending))))

    def _make_up(self, now: float) -> None:
        """The account of what left."""
        before = self._account
        if before is not None and now - before < ACCOUNT:
            return
        self._account = now
        if before is not None:
            other, overhead = 8 * sum(self._bytes[:PICTURE]), 8 * (WIRE + HEADER) * self._pictures
            self._other += 0.5 * (other / (now - before) - self._other)
            self._overhead += 0.5 * (overhead / (now - before) - self._overhead)
        self._bytes, self._pictures = [0, 0, 0], 0
