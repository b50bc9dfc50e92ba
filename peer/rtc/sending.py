"""What one m-line sends: the frames of its track, encoded on a thread, as one RTP stream for good.

A browser takes only the SSRC that our description names, so the stream stays the same one whatever becomes of its
track, its codec or its encoder.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from peer.rtc.codecs import carries
from peer.rtc.encoding import open_encoding
from peer.rtc.outbound import OutboundRtp, ReportBlock
from peer.rtc.pacer import AGAIN, PICTURE, SOUND
from peer.rtc.rtp import RunningTimestamps
from peer.rtc.rungs import KEYFRAME_GAP
from peer.rtc.sender import FedTrack
from peer.rtc.ticks import tick_after

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiortc import MediaStreamTrack, RTCRtpCodecParameters
    from aiortc.rtp import AnyRtcpPacket

    from peer.rtc.codecs import Codec
    from peer.rtc.dtmf import EventPacket
    from peer.rtc.encoded import Encoded
    from peer.rtc.encoding import Encoding
    from peer.rtc.header import Format

logger = logging.getLogger(__name__)

REPORTS: Final = (0.5, 1.5)
"""Seconds from one sender report to the next, at random between these (RFC 3550 section 6.2)."""
_CNAME: Final = 1


class SendParameters(NamedTuple):
    """What was agreed for an m-line."""

    codec: RTCRtpCodecParameters
    """What is encoded here is encoded as."""
    sent_as: Format
    cname: str
    formats: tuple[tuple[Codec, Format], ...] = ()
    """Everything that the other side takes: what is encoded already may be any of it."""


class Outlet(Protocol):
    """The transport, as a sender needs it. Neither call raises or waits; without a path, what is sent is dropped."""

    def send_rtp(self, packets: list[bytes], urgency: int) -> None: ...
    def send_rtcp(self, data: bytes) -> None: ...
    def told_loss(self, fraction: float) -> None: ...
    def look_after(self, late: float) -> None: ...
    def add_sender(self, sender: MediaSender) -> None: ...
    def remove_sender(self, sender: MediaSender) -> None: ...


class MediaSender:
    """Sends one track at a time, or none; whoever made it calls `stop`."""

    def __init__(self, kind: str, outlet: Outlet, ssrc: int, rtx_ssrc: int) -> None:
        self.kind = kind
        self.stream: Final = OutboundRtp(ssrc, rtx_ssrc, random.Random())
        self.enabled = True
        """Whether frames of the track are sent, or taken and dropped; see `enable`."""
        self.event_on = False
        """Whether telephone events (`peer.rtc.dtmfsender`) go out in the place of the track's sound."""
        self.track: MediaStreamTrack | None = None
        self._fed: FedTrack | None = None
        """That one, where its frames come encoded."""
        self._outlet = outlet
        self._urgency = SOUND if kind == "audio" else PICTURE
        self._parameters: SendParameters | None = None
        self._sent_as: Format | None = None
        self._pump: asyncio.Task[None] | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        """That one, and those before that have not ended yet."""
        self._encoding: Encoding | None = None
        self._encoded: object = None
        """The track and codec that the encoding is of: no encoder takes times that run backwards."""
        self._limit: tuple[int, int] | None = None
        self._timestamps = RunningTimestamps()
        self._keyframe_wanted = False
        self._keyframe_at = 0.0
        self._taken = 0.0
        self._taken_as: tuple[Codec | None, Format | None] = (None, None)
        """A codec of frames, and what it is sent as."""
        self._report_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def ssrc(self) -> int:
        return self.stream.ssrc

    def replace_track(self, track: MediaStreamTrack | None) -> None:
        """Send another track from now on; the one before is not asked for frames any more."""
        if track is self.track:
            return
        self.track = track
        self._run()

    def configure(self, parameters: SendParameters) -> None:
        """Send as that from the next frame on; the first call begins it."""
        if self._stopped:
            return
        before, self._parameters = self._parameters, parameters
        self._taken_as = (None, None)
        if before is None:
            self._outlet.add_sender(self)
            self._report_later()
            self._run()
        elif self._fed is not None and before != parameters:
            self._fed.feed(self)  # others may share what it takes now

    def enable(self, enabled: bool) -> None:
        """Whether frames of the track are sent from now on."""
        self.enabled = enabled
        if self._fed is not None:
            self._fed.hold(not enabled)

    def request_keyframe(self) -> None:
        """Let the next picture be a keyframe, unless there has just been one: then soon."""
        self._keyframe_wanted = True
        if self._fed is not None:
            self._fed.request_keyframe()

    async def stop(self) -> None:
        """For good: RTCP BYE, the track is stopped."""
        if self._stopped:
            return
        self._stopped = True
        track, self.track = self.track, None
        if self._report_timer is not None:
            self._report_timer.cancel()
        self._run()
        if track is not None:
            track.stop()
        if self._pumps:
            await asyncio.wait(self._pumps)
        if self._parameters is not None:
            self._outlet.remove_sender(self)
            self._outlet.send_rtcp(bytes(RtcpByePacket(sources=[self.ssrc])))

    # Frames

    def _run(self) -> None:
        """Take frames of the track that is there now, and of no other."""
        if self._pump is not None:
            self._pump.cancel()
            self._pump = self._encoded = None  # a thread may still be at work with its encoder
        if self._fed is not None:
            self._fed.feed(None)
            self._fed = None
        if self.track is None or self._parameters is None or self._stopped:
            return
        if isinstance(self.track, FedTrack):
            self._fed = self.track
            self._fed.hold(not self.enabled)
            if self._limit is not None:
                self._fed.limit(*self._limit)
            self._fed.feed(self)
        else:
            self._pump = asyncio.get_running_loop().create_task(self._carry(self.track))
            self._pumps.add(self._pump)
            self._pump.add_done_callback(self._pumps.discard)

    async def _carry(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                data = await track.recv()
                if self.enabled:  # otherwise dropped: a track whose frames nobody takes would pile them up
                    await self._send(track, data, time.monotonic())
        except MediaStreamError:
            logger.debug("the track that was sent ended")
        except Exception as error:
            name = self._parameters.codec.name if self._parameters else "anything"
            logger.warning("a frame could not be encoded as %s, the track is not sent any more: %r", name, error)
            self._encoded = None
        if self.track is track:
            self.track = self._pump = None

    async def _send(self, track: MediaStreamTrack, data: Any, taken: float) -> None:
        parameters = self._parameters
        assert parameters is not None
        codec = parameters.codec
        source = (track, codec.mimeType)
        if self._encoding is None or source != self._encoded:
            self._encoded, self._encoding = source, open_encoding(codec)
            if self._limit is not None:
                self._encoding.limit(self._limit[0])
        encoded = await self._encoding.encode(data, taken, keyframe=self._takes_keyframe(taken))
        if encoded is not None:
            if encoded.keyframe:
                self._keyframe_at = taken
            self._put(encoded, parameters.sent_as)  # a frame of the codec before may have been on its way

    def _send_as(self, sent_as: Format) -> None:
        if sent_as != self._sent_as:
            self._sent_as = sent_as
            self.stream.configure(sent_as)

    def _takes_keyframe(self, now: float) -> bool:
        if not self._keyframe_wanted or now - self._keyframe_at < KEYFRAME_GAP:
            return False
        self._keyframe_wanted, self._keyframe_at = False, now
        return True

    @property
    def active(self) -> bool:
        """Whether there are frames to be sent: a track may have nothing to show."""
        return self.track is not None and self.enabled and (self._fed is None or self._fed.giving)

    @property
    def target(self) -> int | None:
        """Bits per second of payload that are encoded at most, as far as the path sets a limit."""
        return self._limit[0] if self._limit is not None else None

    def limit(self, bitrate: int, lasting: int) -> None:
        """The path takes so many bits per second of payload of this stream: now; and once its queues are empty."""
        self._limit = bitrate, lasting
        if self._encoding is not None:
            self._encoding.limit(bitrate)
        if self._fed is not None:
            self._fed.limit(bitrate, lasting)

    # Telephone events

    @property
    def event_format(self) -> Format | None:
        """What events are sent as, None where the other side takes none, or nothing is to be sent."""
        if self._parameters is None or not self.enabled or self._stopped:
            return None
        agreed = [sent_as for _, sent_as in self._parameters.formats]
        sent_as = self._sent_as if self._sent_as in agreed else self._parameters.sent_as
        return sent_as if sent_as.event_payload_type is not None else None

    def begin_event(self, sent_as: Format, now: float) -> int:
        """An event begins, in the place of sound as long as `event_on`; returns its timestamp."""
        self._send_as(sent_as)
        return self._timestamps.at(sent_as.clock_rate, now)

    def send_event(self, packets: Iterable[EventPacket], now: float) -> None:
        """Packets of an event; they are dropped where nothing is to be sent any more."""
        for payload, timestamp, marker in packets if self.event_format is not None else ():
            self._outlet.send_rtp(self.stream.event(payload, timestamp, now, marker=marker), SOUND)

    # Frames that come encoded (peer.rtc.encoded.Taker)

    @property
    def preferred(self) -> str:
        assert self._parameters is not None
        return str(self._parameters.codec.name).upper()

    def carries(self, codec: Codec) -> bool:
        return self._format_of(codec) is not None

    def take(self, frame: Encoded) -> None:
        if frame.codec is not self._taken_as[0]:
            self._taken_as = frame.codec, self._format_of(frame.codec)
        sent_as = self._taken_as[1]
        if sent_as is not None and self.enabled and not self._stopped:
            self._put(frame, sent_as)

    def ended(self, error: Exception | None) -> None:
        """The track knows it already."""

    def _format_of(self, codec: Codec) -> Format | None:
        formats = self._parameters.formats if self._parameters is not None else ()
        return next((sent_as for agreed, sent_as in formats if carries(agreed, codec)), None)

    # To packets

    def _put(self, frame: Encoded, sent_as: Format) -> None:
        taken = self._taken = max(frame.taken, self._taken)  # a group of pictures may be sent once more
        timestamp = self._timestamps.take(frame.timeline, frame.timestamp, sent_as.clock_rate, taken)
        if self.event_on:
            return
        if sent_as is not self._sent_as:
            self._send_as(sent_as)
        packets = self.stream.frame(
            frame.payloads,
            timestamp,
            time.monotonic(),
            taken=taken,
            level=frame.level,
            step=frame.step,
            keyframe=frame.keyframe,
        )
        self._outlet.send_rtp(packets, self._urgency)

    # What the other side says, and what it is told

    def take_rtcp(self, packet: AnyRtcpPacket) -> None:
        """A packet that is about this stream. Raises ValueError for feedback that is none."""
        counts = self.stream.counts
        match packet:
            case RtcpSrPacket() | RtcpRrPacket():
                now = time.monotonic()
                for each in packet.reports:
                    if each.ssrc == self.ssrc:
                        block = ReportBlock(each.fraction_lost, each.packets_lost, each.jitter, each.lsr, each.dlsr)
                        self.stream.reported(block, now)
                        if self.kind == "video":
                            self._outlet.told_loss(block.fraction_lost / 256)
            case RtcpRtpfbPacket(fmt=fmt) if fmt == RTCP_RTPFB_NACK:
                self._outlet.send_rtp(self.stream.again(packet.lost, time.monotonic()), AGAIN)
            case RtcpPsfbPacket(fmt=fmt) if fmt == RTCP_PSFB_PLI:
                counts.plis += 1
                self.request_keyframe()
            case RtcpPsfbPacket(fmt=fmt) if fmt == RTCP_PSFB_FIR:
                counts.firs += 1
                self.request_keyframe()

    def _report_later(self) -> None:
        loop = asyncio.get_running_loop()
        due = tick_after(loop.time() + random.uniform(*REPORTS))
        self._report_timer = loop.call_at(due, self._report, due)

    def _report(self, due: float) -> None:
        self._report_later()
        self._outlet.look_after(asyncio.get_running_loop().time() - due)
        assert self._parameters is not None
        said = self.stream.report(time.monotonic(), time.time())
        if said is None:
            return
        info = RtcpSenderInfo(
            ntp_timestamp=said.ntp, rtp_timestamp=said.timestamp, packet_count=said.packets, octet_count=said.bytes
        )
        name = RtcpSourceInfo(ssrc=self.ssrc, items=[(_CNAME, self._parameters.cname.encode())])
        self._outlet.send_rtcp(
            bytes(RtcpSrPacket(ssrc=self.ssrc, sender_info=info)) + bytes(RtcpSdesPacket(chunks=[name]))
        )
