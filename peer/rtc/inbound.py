"""The receiving end of one m-line: packets through a jitter buffer to encoded frames, and feedback for their sender.

The thinking is in `jitter`, `clock` and `rtp`, which are pure; this gives them packets and the time, and sends what
they ask for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtp import RtcpReceiverInfo

from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.jitter import AssembledFrame, JitterBuffer
from peer.rtc.payload import depacketiser_for
from peer.rtc.rtp import ReceptionStatistics
from peer.rtc.stats import InboundStats
from peer.rtc.stock import unwrap_rtx

if TYPE_CHECKING:
    from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
    from aiortc.rtp import RtpPacket

    from peer.rtc.clock import ParticipantClock, TrackClock
    from peer.rtc.receiver import RemoteTrack
    from peer.rtc.stock import RtcpOut

NTP_UNIT = 1 / (1 << 32)
MAX_SSRCS = 16
"""SSRCs accounted for on one m-line: a remote that sends ever new ones must not fill the memory."""


class InboundRtp:
    """One stream at a time; another SSRC or codec takes over from it, the counters go on."""

    def __init__(self, track: RemoteTrack, out: RtcpOut, clock: ParticipantClock) -> None:
        self._track = track
        self._out = out
        self._clock = clock
        self._codecs: dict[int, Codec] = {}
        self._rtx_of: dict[int, int] = {}
        """Payload type of a retransmission -> payload type of what it carries (RFC 4588 `apt`)."""
        self._rtx_ssrc: dict[int, int] = {}
        """SSRC of retransmissions -> SSRC of what they repair."""
        self._ssrc: int | None = None
        self._codec: Codec | None = None
        self._buffer: JitterBuffer | None = None
        self._time: TrackClock | None = None
        self._epoch = 0
        self._received: dict[int, ReceptionStatistics] = {}
        self._reports: dict[int, tuple[int, float]] = {}
        self._bandwidth = RemoteBitrateEstimator() if track.kind == "video" else None
        self._timer: asyncio.TimerHandle | None = None
        self._report_timer: asyncio.TimerHandle | None = None
        self._keyframe_asked = 0.0
        self._pli_asked = 0
        self._bytes = 0
        self._frames = 0
        self._lost_before = 0
        self._nacks_before = 0
        self._dropped_before = 0
        self._closed = False

    def configure(self, parameters: RTCRtpReceiveParameters) -> None:
        self._codecs, self._rtx_of, self._rtx_ssrc = {}, {}, {}
        for codec in parameters.codecs:
            if codec.payloadType is None:
                continue
            if codec.name.lower() == "rtx":
                self._rtx_of[codec.payloadType] = int(codec.parameters.get("apt") or -1)
            else:
                known = Codec(codec.name, int(codec.clockRate or 0), codec.channels or 1, codec.payloadType)
                if depacketiser_for(known) is not None:
                    self._codecs[codec.payloadType] = known
        for encoding in parameters.encodings:
            if encoding.rtx:
                self._rtx_ssrc[encoding.rtx.ssrc] = encoding.ssrc
        if self._report_timer is None and not self._closed:
            self._report_timer = asyncio.get_running_loop().call_later(1.0, self._report)

    def rtp(self, packet: RtpPacket, now: float) -> None:
        if self._closed:
            return
        self._estimate(packet, now)
        if packet.payload_type in self._rtx_of:
            ssrc = self._rtx_ssrc.get(packet.ssrc)
            carried = self._rtx_of[packet.payload_type]
            # One that repairs a stream which another has taken over from must not bring it back.
            if ssrc is None or ssrc != self._ssrc or len(packet.payload) < 2 or carried not in self._codecs:
                return
            packet = unwrap_rtx(packet, payload_type=carried, ssrc=ssrc)
        else:
            self._count(packet, now)
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return
        if packet.ssrc != self._ssrc or codec != self._codec or self._buffer is None:
            self._switch(packet.ssrc, codec)
        buffer = self._buffer
        assert buffer is not None
        self._bytes += len(packet.payload)
        buffer.add(packet.sequence_number, packet.timestamp, packet.payload, now, marker=bool(packet.marker))
        self._drain(now)

    def _switch(self, ssrc: int, codec: Codec) -> None:
        """Another stream takes over (a replaced track, another codec): a new buffer, the counters go on."""
        self._keep_counters()
        self._ssrc, self._codec = ssrc, codec
        self._buffer, self._epoch = JitterBuffer(codec), 0
        self._time = self._clock.track(self, codec.clock_rate)
        self._time.restart()

    def _drain(self, now: float) -> None:
        buffer = self._buffer
        if buffer is None:
            return
        for frame in buffer.frames(now):
            self._emit(frame, now)
        feedback = buffer.feedback(now)
        if feedback.nack and self._ssrc is not None:
            self._out.nack(self._ssrc, feedback.nack)
        if feedback.pli:
            self._send_pli(now)
        wake = buffer.next_wakeup(now)
        if self._timer is not None:
            if wake is not None and abs(self._timer.when() - wake) < 0.002:
                return
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            # The loop's clock is the monotonic clock that `now` is read from.
            self._timer = asyncio.get_running_loop().call_at(max(wake, now + 0.001), self._wake)

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
        self._track.emit(
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
        now = time.monotonic()
        if self._track.kind == "video" and self._ssrc is not None and now - self._keyframe_asked > 0.2:
            self._send_pli(now)

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

    def _estimate(self, packet: RtpPacket, now: float) -> None:
        sent = packet.extensions.abs_send_time
        if self._bandwidth is None or sent is None:
            return
        size = len(packet.payload) + packet.padding_size
        estimate = self._bandwidth.add(
            abs_send_time=sent, arrival_time_ms=round(now * 1000), payload_size=size, ssrc=packet.ssrc
        )
        if estimate is not None:
            self._out.remb(*estimate)

    def _count(self, packet: RtpPacket, now: float) -> None:
        statistics = self._received.get(packet.ssrc)
        if statistics is None:
            codec = self._codecs.get(packet.payload_type)
            if codec is None or len(self._received) >= MAX_SSRCS:
                return
            statistics = self._received[packet.ssrc] = ReceptionStatistics(codec.clock_rate)
        statistics.add(packet.sequence_number, packet.timestamp, now)

    def _report(self) -> None:
        """Receiver reports once a second (RFC 3550 section 6.2, bandwidth far below the 5 % allowed)."""
        self._report_timer = asyncio.get_running_loop().call_later(1.0, self._report)
        now = time.monotonic()
        blocks = []
        for ssrc, statistics in self._received.items():
            lost = statistics.report()
            last, at = self._reports.get(ssrc, (0, now))
            blocks.append(
                RtcpReceiverInfo(
                    ssrc=ssrc,
                    fraction_lost=lost.fraction_lost,
                    packets_lost=lost.cumulative_lost,
                    highest_sequence=lost.highest_sequence,
                    jitter=lost.jitter,
                    lsr=last,
                    dlsr=min(int((now - at) * 65536), 0xFFFFFFFF) if last else 0,
                )
            )
        if blocks:
            self._out.receiver_report(blocks)

    # Accounts

    def stats(self, decoded: int, undecoded: int) -> InboundStats:
        counters = self._buffer.counters if self._buffer else None
        main = self._received.get(self._ssrc) if self._ssrc is not None else None
        return InboundStats(
            track=self._track.id,
            kind=self._track.kind,
            codec=self._codec.name if self._codec else "",
            active=self._track.active,
            packets_received=sum(s.received for s in self._received.values()),
            packets_lost=self._lost_before + (counters.lost_given_up if counters else 0),
            bytes_received=self._bytes,
            frames_received=self._frames,
            frames_dropped=self._dropped_before + (counters.frames_dropped if counters else 0) + undecoded,
            frames_decoded=decoded,
            nack_count=self._nacks_before + (counters.nacks if counters else 0),
            pli_count=self._pli_asked,
            jitter=main.jitter_seconds if main else 0.0,
            frame_width=self._track.width,
            frame_height=self._track.height,
        )

    def _keep_counters(self) -> None:
        if self._buffer is not None:
            self._lost_before += self._buffer.counters.lost_given_up
            self._nacks_before += self._buffer.counters.nacks
            self._dropped_before += self._buffer.counters.frames_dropped

    def close(self) -> None:
        self._closed = True
        for timer in (self._timer, self._report_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._report_timer = None
