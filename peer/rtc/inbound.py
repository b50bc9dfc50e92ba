"""The receiving end of one stream: packets through a jitter buffer to encoded frames, and feedback for their sender.

The thinking is in `jitter`, `clock` and `rtp`, which are pure; this gives them packets and the time, and sends what
they ask for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peer.rtc.feedback import Bandwidth, Feedback, report_block
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.jitter import AssembledFrame, JitterBuffer
from peer.rtc.keypresses import KeyPresses
from peer.rtc.packet import NumberReader
from peer.rtc.payload import depacketiser_for
from peer.rtc.payload.opus import samples
from peer.rtc.playout import Playout
from peer.rtc.rtp import ReceptionStatistics
from peer.rtc.stats import InboundCounts
from peer.rtc.ticks import TICK, tick_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peer.rtc.clock import ParticipantClock, TrackClock
    from peer.rtc.codecs import Codec as NegotiatedCodec
    from peer.rtc.frames import Kind
    from peer.rtc.packet import RtpPacket

logger = logging.getLogger(__name__)

NTP_UNIT = 1 / (1 << 32)
MAX_SSRCS = 16
"""SSRCs accounted for on one m-line: a remote that sends ever new ones must not fill the memory. The oldest go."""
KEYFRAME_SPACING = 0.2
"""Seconds between two requests for a keyframe."""
KEYFRAME_RETRIES = (0.5, 1.0, 2.0, 4.0)
"""Seconds after which a keyframe that did not come is asked for again: the request may be lost."""


@dataclass(frozen=True, slots=True)
class ReceiveParameters:
    """What was negotiated about what comes in on one m-line."""

    codecs: Sequence[NegotiatedCodec]
    repairs: dict[int, int] = field(default_factory=dict)
    """SSRC of retransmissions -> SSRC of what they repair, where the description says it."""
    abs_send_time: int = 0
    """Id of that header extension, 0 where it is not used."""
    transport_wide: int = 0
    """The same, of the sequence number that all streams of the path share."""
    layers: tuple[str, ...] = ()
    """Restriction ids of simulcast layers, empty where there is but one stream."""


class InboundRtp:
    """One stream at a time; another SSRC or codec takes over from it, the counters go on."""

    def __init__(
        self,
        kind: Kind,
        out: Feedback,
        clock: ParticipantClock,
        emit: Callable[[EncodedFrame], None],
        bandwidth: Bandwidth | None = None,
    ) -> None:
        """`bandwidth`: of the path, shared with its other streams."""
        self.keys = KeyPresses()
        self._kind = kind
        self._out = out
        self._clock = clock
        self._hand_on = emit
        self._codecs: dict[int, Codec] = {}
        self._rtx_of: dict[int, int] = {}
        """Payload type of a retransmission -> payload type of what it carries (RFC 4588 `apt`)."""
        self._rtx_ssrc: dict[int, int] = {}
        """SSRC of retransmissions -> SSRC of what they repair."""
        self._ssrc: int | None = None
        self._payload_type = -1
        """Of the stream, once its packets need no looking up."""
        self._statistics = ReceptionStatistics(1)
        self._codec: Codec | None = None
        self._buffer: JitterBuffer | None = None
        self._time: TrackClock | None = None
        self._epoch = 0
        self._received: dict[int, ReceptionStatistics] = {}
        self._reports: dict[int, tuple[int, float]] = {}
        self._bandwidth = bandwidth or Bandwidth()
        self._sent_at: NumberReader | None = None
        self._numbers: NumberReader | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer is due; a handle of uvloop does not always tell."""
        self._report_timer: asyncio.TimerHandle | None = None
        self._keyframe_asked = -KEYFRAME_SPACING
        self._keyframe_tries: Iterator[float] | None = None
        """While a keyframe is asked for: the seconds to the next time."""
        self._keyframe_timer: asyncio.TimerHandle | None = None
        self._pli_asked = 0
        self._packets_before = 0
        self._bytes = 0
        self._frames = 0
        self._lost_before = 0
        self._dropped_before = 0
        self._late_before = 0
        self._recovered_before = 0
        self._retransmitted = 0
        self._nacks_sent = 0
        self._playout = Playout()
        self._closed = False

    def configure(self, parameters: ReceiveParameters) -> None:
        self._codecs, self._rtx_of, self._rtx_ssrc = {}, {}, dict(parameters.repairs)
        self._payload_type = -1
        sent, numbers = parameters.abs_send_time if self._kind == "video" else 0, parameters.transport_wide
        self._sent_at = NumberReader(sent, 3) if sent else None
        self._numbers = NumberReader(numbers, 2) if numbers else None
        self.keys.configure(parameters.codecs)
        for each in parameters.codecs:
            if each.is_rtx:
                self._rtx_of[each.payload_type] = each.apt
                continue
            known = Codec(each.name, each.clock_rate, each.channels, each.payload_type)
            if depacketiser_for(known) is not None:
                self._codecs[each.payload_type] = known
        if self._report_timer is None and not self._closed:
            self._report_later()

    def rtp(self, packets: list[RtpPacket]) -> None:
        for packet in packets:
            try:
                self._take(packet)
            except Exception:
                logger.exception("an RTP packet could not be taken")

    def _take(self, packet: RtpPacket) -> None:
        now = packet.arrival
        if packet.payload_type == self._payload_type and packet.ssrc == self._ssrc:
            if self._sent_at is not None or self._numbers is not None:
                self._note(packet, now)
            self._statistics.add(packet.sequence_number, packet.timestamp, now)
        else:
            repaired = self._of_another(packet, now)
            if repaired is None:
                return
            packet = repaired
        buffer = self._buffer
        assert buffer is not None
        payload = packet.payload
        self._bytes += len(payload)
        if buffer.add(packet.sequence_number, packet.timestamp, payload, now, marker=packet.marker > 0):
            self._drain(now)

    def _of_another(self, packet: RtpPacket, now: float) -> RtpPacket | None:
        """What to take of a packet that is not of the stream: it may repair it, or begin another; None for nothing."""
        if self._closed:
            return None
        self._note(packet, now)
        carried = self._rtx_of.get(packet.payload_type)
        if carried is not None:
            repaired = self._repaired(packet, carried)
            if repaired is None:
                return None
            packet = repaired
        elif packet.payload_type in self.keys.payload_types:
            packet = self.keys.take(packet, now)
            self._count(packet, now)
            return packet if packet.ssrc == self._ssrc else None
        else:
            self._count(packet, now)
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return None
        if packet.ssrc != self._ssrc or codec != self._codec:
            self._switch(packet.ssrc, codec)
        if packet.ssrc in self._received:
            self._payload_type, self._statistics = packet.payload_type, self._received[packet.ssrc]
        return packet

    def _repaired(self, packet: RtpPacket, carried: int) -> RtpPacket | None:
        """The packet that a retransmission carries, None for a probe, or where it repairs another stream."""
        ssrc = self._rtx_ssrc.get(packet.ssrc)
        if ssrc is None and self._ssrc is not None:
            if len(self._rtx_ssrc) >= MAX_SSRCS:
                del self._rtx_ssrc[next(iter(self._rtx_ssrc))]
            ssrc = self._rtx_ssrc[packet.ssrc] = self._ssrc  # not announced: there is but one stream here to repair
        # One that repairs a stream which another has taken over from must not bring it back.
        if ssrc is None or ssrc != self._ssrc or carried not in self._codecs or len(packet.payload) < 2:
            return None
        self._retransmitted += 1
        return packet.repaired(carried, ssrc)

    def _switch(self, ssrc: int, codec: Codec) -> None:
        """Another stream takes over (a replaced track, another codec): a new buffer, the counters go on."""
        self._keep_counters()
        self._ssrc, self._codec, self._payload_type = ssrc, codec, -1
        self._buffer, self._epoch = JitterBuffer(codec, retransmission=True), 0
        self._tell_round_trip()
        self._time = self._clock.track(self, codec.clock_rate)
        self._time.restart()

    def _tell_round_trip(self) -> None:
        """The buffer asks again, and gives up, by the time that an answer takes: ICE measures it once a second."""
        seconds = self._out.round_trip_time()
        if self._buffer is not None and seconds is not None:
            self._buffer.set_rtt(seconds)

    def _drain(self, now: float) -> None:
        buffer = self._buffer
        if buffer is None:
            return
        for frame in buffer.frames(now):
            self._emit(frame, now)
        if self._timer is None and buffer.calm:  # as nearly always
            return
        feedback = buffer.feedback(now)
        if feedback.nack and self._ssrc is not None:
            self._nacks_sent += 1
            self._out.nack(self._ssrc, feedback.nack)
        if feedback.pli:
            self._send_pli(now)
        wake = buffer.next_wakeup(now)
        if self._timer is not None:
            if wake is not None and abs(self._due - wake) < 0.002:
                return
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            # The loop's clock is the monotonic clock that `now` is read from.
            self._due = max(wake, now + 0.001)
            self._timer = asyncio.get_running_loop().call_at(self._due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if not self._closed:
            self._drain(time.monotonic())

    def _emit(self, frame: AssembledFrame, now: float) -> None:
        assert self._codec is not None and self._time is not None
        if frame.epoch != self._epoch:
            self._epoch = frame.epoch
            self._time.restart()
        self._frames += 1
        if self._kind == "video":
            self._playout.picture(frame.arrival, now)
        else:
            self._playout.sound(samples(self._codec, frame.data), frame.arrival, now)
        if frame.keyframe and self._keyframe_tries is not None:
            self._keyframe_came()
        self._hand_on(
            EncodedFrame(
                self._codec,
                frame.data,
                frame.timestamp,
                self._time.time(frame.timestamp, frame.arrival),
                frame.keyframe,
                frame.width,
                frame.height,
                frame.complete_before,
            )
        )

    # Feedback

    def request_keyframe(self) -> None:
        """Ask for a keyframe until one comes, not all the time; what asks meanwhile is asking for the same one."""
        if self._kind == "video" and self._ssrc is not None and self._keyframe_tries is None and not self._closed:
            self._keyframe_tries = iter(KEYFRAME_RETRIES)
            self._ask_keyframe()

    def _ask_keyframe(self) -> None:
        assert self._keyframe_tries is not None
        now = time.monotonic()
        wait: float | None = self._keyframe_asked + KEYFRAME_SPACING - now
        if wait is not None and wait <= 0:
            self._send_pli(now)
            wait = next(self._keyframe_tries, None)
        if wait is None:  # it was asked often enough: none will come
            self._keyframe_tries = None
        else:
            self._keyframe_timer = asyncio.get_running_loop().call_later(wait, self._ask_keyframe)

    def _keyframe_came(self) -> None:
        self._keyframe_tries = None
        if self._keyframe_timer is not None:
            self._keyframe_timer.cancel()
            self._keyframe_timer = None

    def _send_pli(self, now: float) -> None:
        if self._ssrc is not None:
            self._keyframe_asked = now
            self._pli_asked += 1
            self._out.pli(self._ssrc)

    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None:
        if ssrc in self._received:  # which is bounded
            self._reports[ssrc] = ((ntp >> 16) & 0xFFFFFFFF, now)
        if ssrc == self._ssrc and self._time is not None and ntp:
            self._time.sender_report(ntp * NTP_UNIT, rtp_timestamp, now)

    def _note(self, packet: RtpPacket, now: float) -> None:
        """For the feedback on what the path can take: the sender's own estimate needs arrivals, else ours has to do."""
        if self._numbers is not None and (number := self._numbers.read(packet)) is not None:
            self._bandwidth.numbered(number, packet.ssrc, self._out, now)
        elif self._sent_at is not None and (sent := self._sent_at.read(packet)) is not None:
            self._bandwidth.timed(sent, len(packet.payload), packet.ssrc, self._out, now)

    def _count(self, packet: RtpPacket, now: float) -> None:
        statistics = self._received.get(packet.ssrc)
        if statistics is None:
            codec = self._codecs.get(packet.payload_type)
            if codec is None:  # nothing that we know, or a key before any sound
                return
            if len(self._received) >= MAX_SSRCS:
                self._forget(next(ssrc for ssrc in self._received if ssrc != self._ssrc))
            statistics = self._received[packet.ssrc] = ReceptionStatistics(codec.clock_rate)
        statistics.add(packet.sequence_number, packet.timestamp, now)

    def _forget(self, ssrc: int) -> None:
        self._packets_before += self._received.pop(ssrc).received
        self._reports.pop(ssrc, None)

    def _report_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._report_timer = loop.call_at(tick_after(loop.time() + 1.0 - TICK), self._report)

    def _report(self) -> None:
        """Receiver reports once a second (RFC 3550 section 6.2, bandwidth far below the 5 % allowed)."""
        self._report_later()
        self._tell_round_trip()
        now = time.monotonic()
        blocks = [
            report_block(ssrc, statistics.report(), self._reports.get(ssrc), now)
            for ssrc, statistics in self._received.items()
        ]
        if blocks:
            self._out.receiver_report(blocks)

    # Accounts

    def sources(self) -> dict[int, float]:
        """The SSRCs that came, with the time of their newest packet."""
        return {ssrc: statistics.last_arrival for ssrc, statistics in self._received.items()}

    def counts(self) -> InboundCounts:
        counters = self._buffer.counters if self._buffer else None
        main = self._received.get(self._ssrc) if self._ssrc is not None else None
        late = self._late_before + (counters.late if counters else 0)
        played = self._playout
        return InboundCounts(
            codec=self._codec.name if self._codec else "",
            ssrc=self._ssrc or 0,
            packets=self._packets_before + sum(s.received for s in self._received.values()) + self._retransmitted,
            # What came too late after all is not lost (RFC 3550 section 6.4.1).
            lost=self._lost_before + (counters.lost_given_up if counters else 0) - late,
            bytes=self._bytes,
            frames=self._frames,
            dropped=self._dropped_before + (counters.frames_dropped if counters else 0),
            nacks=self._nacks_sent,
            plis=self._pli_asked,
            jitter=main.jitter_seconds if main else 0.0,
            freezes=played.freezes.freezes,
            frozen=played.freezes.frozen,
            pauses=played.freezes.pauses,
            paused=played.freezes.paused,
            discarded=late,
            repaired=self._recovered_before + (counters.recovered if counters else 0),
            retransmitted=self._retransmitted,
            delay=played.delay,
            emitted=played.emitted,
            per_second=played.frames_per_second(time.monotonic()),
        )

    def _keep_counters(self) -> None:
        if self._buffer is not None:
            counters = self._buffer.counters
            self._lost_before += counters.lost_given_up
            self._late_before += counters.late
            self._recovered_before += counters.recovered
            self._dropped_before += counters.frames_dropped

    def close(self) -> None:
        self._closed, self._payload_type = True, -1
        self.keys.close()
        self._clock.forget(self)
        self._keyframe_came()
        for timer in (self._timer, self._report_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._report_timer = None
