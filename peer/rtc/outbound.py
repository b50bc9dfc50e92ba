"""One RTP stream that goes out: frames to packets, lost packets again, and what is said of it. Pure.

A packet is put together when it is sent, a second time too: its extensions tell when that was.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final, NamedTuple

from peer.rtc.header import HeaderWriter
from peer.rtc.history import History, SentFrame
from peer.rtc.senderclock import MediaClock, RoundTrips, ntp_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from peer.rtc.header import Format

AGAIN_GAP: Final = 0.02
"""Seconds after which a packet is sent again once more, or a round trip if that is longer: who asks twice before asked
when the first answer could not be there yet."""
AGAIN_FREE: Final = 50_000
"""Bytes that may be sent again within a second whatever was sent; otherwise as many as were sent within it."""
PROBE_PACKETS: Final = 8
"""Of these, the newest ones, probes are made."""


@dataclass(slots=True)
class OutboundCounts:
    """What went out of one stream, and what the other side says of it."""

    packets: int = 0
    bytes: int = 0
    """Of payload."""
    again: int = 0
    """Packets that were sent again, not among the others ..."""
    bytes_again: int = 0
    """... and their payload."""
    probes: int = 0
    """Packets that were sent again unasked, to see what the path takes, not among the others ..."""
    bytes_probes: int = 0
    """... and their payload."""
    frames: int = 0
    nacks: int = 0
    plis: int = 0
    firs: int = 0
    reported: bool = False
    """Whether the other side has said anything."""
    lost: int = 0
    """Packets, as the other side counts; negative where duplicates outnumber them."""
    fraction_lost: float = 0.0
    """Of what it expected between its last two reports, 0 to 1."""
    jitter: float = 0.0
    """Seconds."""
    round_trip_time: float | None = None
    """Seconds; None before it is known."""


class SenderInfo(NamedTuple):
    """Of a sender report (RFC 3550 section 6.4.1)."""

    ntp: int
    """64 bits, of the wall clock."""
    timestamp: int
    """The same moment on the clock of the stream."""
    packets: int
    bytes: int


class ReportBlock(NamedTuple):
    """What the other side reports (RFC 3550 section 6.4.1), as the integers on the wire."""

    fraction_lost: int
    lost: int
    jitter: int
    lsr: int
    dlsr: int


class OutboundRtp:
    """`random` gives the numbers that streams begin with."""

    def __init__(self, ssrc: int, rtx_ssrc: int, random: Random) -> None:
        self.ssrc: Final = ssrc
        self.counts: Final = OutboundCounts()
        self._rtx_ssrc = rtx_ssrc
        # In the lower half: of a wrap among the first packets, some of which get lost, SRTP cannot know.
        self._number = random.randrange(1 << 15)
        """Of the next packet, without its wrap-around."""
        self._rtx_number = random.randrange(1 << 15)
        self._origin = random.randrange(1 << 32)
        self._format: Format | None = None
        self._writer: HeaderWriter | None = None
        self._clock: MediaClock | None = None
        self._sound_until: int | None = None
        """Timestamp at which the sound that was sent ends."""
        self._round_trips = RoundTrips()
        self._history = History()
        self.again_limit: int | None = None
        """Bytes that may be sent again within a second, whatever was sent; None while nothing is known of the path."""
        self.sparing = False
        """Whether only that is sent again without which the newest picture cannot be shown."""
        self._needed = -1.0
        """When the last keyframe was sent: before, nothing is needed for that."""
        self._repeats: deque[tuple[float, int]] = deque()
        """What was sent again within the last second: when, and how many bytes of payload ..."""
        self._repeated = 0
        """... in all."""

    def configure(self, sent_as: Format) -> None:
        """From the next frame on; before the first one it has to be called."""
        if self._format is None or self._format.clock_rate != sent_as.clock_rate:
            self._clock = MediaClock(sent_as.clock_rate)
        self._format, self._writer = sent_as, HeaderWriter(sent_as)

    def frame(
        self,
        payloads: Sequence[bytes],
        timestamp: int,
        now: float,
        *,
        taken: float,
        level: int | None = None,
        step: int = 0,
        keyframe: bool = False,
    ) -> list[bytes]:
        """The packets of a frame, in order, to be sent now.

        `timestamp`: in units of the clock rate, from any origin; `taken`: when the frame was there, before it was
        encoded, on the clock of `now`; `level`: of its sound, in decibels below full scale (RFC 6464); `step`: of
        sound, by how much each payload is later than the one before.
        """
        assert self._format is not None and self._clock is not None
        timestamp = (self._origin + timestamp) & 0xFFFFFFFF
        self._clock.note(timestamp, taken)
        if keyframe:
            self._needed = now
        self.counts.frames += 1
        marked = self._marked(timestamp, step, len(payloads)) if step else len(payloads) - 1
        types = self._format.payload_type, self._format.rtx_payload_type
        return self._first_time(payloads, types, marked, timestamp, step, level, now)

    def _first_time(
        self,
        payloads: Sequence[bytes],
        types: tuple[int, int | None],
        marked: int,
        timestamp: int,
        step: int,
        level: int | None,
        now: float,
    ) -> list[bytes]:
        """The packets of these payloads, which are remembered."""
        assert self._writer is not None
        first, count, size, counts = self._number, len(payloads), sum(map(len, payloads)), self.counts
        self._number = first + count
        counts.packets += count
        counts.bytes += size
        sent = SentFrame(first, payloads, *types, marked, timestamp, step, level, now, size)
        self._history.add(sent, now)
        return self._writer.packets(sent, self.ssrc, now)

    def _marked(self, timestamp: int, step: int, count: int) -> int:
        """Which packet of sound has the marker: the first after silence (RFC 3551 section 4.1); -1 for none."""
        expected, self._sound_until = self._sound_until, (timestamp + count * step) & 0xFFFFFFFF
        return 0 if expected is None or (timestamp - expected) & 0xFFFFFFFF > step else -1

    def event(self, payload: bytes, timestamp: int, now: float, *, marker: bool) -> list[bytes]:
        """One packet of a telephone event (RFC 4733), to be sent now; none where the other side takes none.

        `timestamp`: from the same origin as those of frames.
        """
        payload_type = self._format.event_payload_type if self._format is not None else None
        if payload_type is None:
            return []
        timestamp = (self._origin + timestamp) & 0xFFFFFFFF
        return self._first_time([payload], (payload_type, None), 0 if marker else -1, timestamp, 0, None, now)

    def again(self, numbers: Iterable[int], now: float) -> list[bytes]:
        """Those of the packets that can be sent again, to be sent now.

        However much is asked for, no more goes out again than goes out.
        """
        self.counts.nacks += 1
        self._history.forget(now)
        gap = max(AGAIN_GAP, self.counts.round_trip_time or 0.0)
        allowed = self._allowed_again(now)
        packets = []
        for number in numbers:
            sent, index = self._history.find(number) or (None, 0)
            if sent is None or (self.sparing and sent.at < self._needed):
                continue
            if sent.again is None:
                sent.again = {}
            elif now - sent.again.get(index, float("-inf")) < gap:
                continue
            size = len(sent.payloads[index])
            if self._repeated + size > allowed:
                break
            self._repeats.append((now, size))
            self._repeated += size
            sent.again[index] = now
            self.counts.again += 1
            self.counts.bytes_again += size
            packets.append(self._once_more(sent, index, now))
        return packets

    def probe(self, size: int, now: float) -> list[bytes]:
        """Retransmissions that nobody asked for, of `size` bytes or little more, to be sent now.

        Of the newest packets; none where there are no retransmissions as in RFC 4588: those a receiver can tell apart.
        """
        packets: list[bytes] = []
        newest = list(islice(self._history.newest(), PROBE_PACKETS)) if size > 0 else []
        for sent, index in cycle(newest):
            if size <= 0 or sent.rtx_payload_type is None:
                break
            self.counts.probes += 1
            self.counts.bytes_probes += len(sent.payloads[index])
            packets.append(self._once_more(sent, index, now))
            size -= len(packets[-1])
        return packets

    def report(self, now: float, wall: float) -> SenderInfo | None:
        """What to say of the stream; None before anything was sent. `wall`: seconds since 1970."""
        timestamp = self._clock.timestamp(now) if self._clock is not None else None
        if timestamp is None:
            return None
        ntp = ntp_time(wall)
        self._round_trips.reported(ntp, now)
        return SenderInfo(ntp, timestamp, self.counts.packets & 0xFFFFFFFF, self.counts.bytes & 0xFFFFFFFF)

    def reported(self, block: ReportBlock, now: float) -> None:
        """What the other side says of the stream."""
        self._round_trips.answered(block.lsr, block.dlsr, now)
        counts = self.counts
        counts.reported = True
        counts.lost, counts.fraction_lost = block.lost, block.fraction_lost / 256
        counts.round_trip_time = self._round_trips.smoothed
        if self._format is not None:
            counts.jitter = block.jitter / self._format.clock_rate

    def _allowed_again(self, now: float) -> int:
        """Bytes of payload that may have been sent again within the second up to now."""
        while self._repeats and now - self._repeats[0][0] > 1.0:
            self._repeated -= self._repeats.popleft()[1]
        allowed = max(self._history.sent_since(now - 1.0), AGAIN_FREE)
        return allowed if self.again_limit is None else min(allowed, self.again_limit)

    def _once_more(self, sent: SentFrame, index: int, now: float) -> bytes:
        """A packet once more, as in RFC 4588 where that was agreed."""
        assert self._writer is not None
        number, payload = sent.first + index & 0xFFFF, sent.payloads[index]
        marker, timestamp = index == sent.marked, sent.timestamp + index * sent.step & 0xFFFFFFFF
        if sent.rtx_payload_type is None:
            header = self._writer.packet(sent.payload_type, marker, number, timestamp, self.ssrc, sent.level, now)
            return header + payload
        rtx_number, self._rtx_number = self._rtx_number, (self._rtx_number + 1) & 0xFFFF
        header = self._writer.packet(
            sent.rtx_payload_type, marker, rtx_number, timestamp, self._rtx_ssrc, sent.level, now
        )
        return header + number.to_bytes(2, "big") + payload
