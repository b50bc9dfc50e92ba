"""The path above ICE: aiortc's DTLS, and RTP and RTCP through it in plain function calls.

The only file that touches private names of aiortc; tests/rtc/test_dtls.py holds each of them against the pinned
version.

    datagrams -> first byte (RFC 7983) -> SRTP -> router -> receiver

RTP meets no queue, task or thread on that way, and what came together goes together; only the packets of DTLS itself
wait for aiortc's coroutine.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCSctpTransport,
    RTCStatsReport,
    RTCTransportStats,
)
from aiortc.clock import current_datetime
from aiortc.rtcdtlstransport import State
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    WEBRTC_DCEP,
    AbortChunk,
    InitChunk,
    serialize_packet,
)
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpSrPacket

from peer.rtc.arrivalreport import without_reports
from peer.rtc.codecs import ABS_SEND_TIME, TRANSPORT_WIDE
from peer.rtc.icepipe import IcePipe
from peer.rtc.mediaintake import take_media
from peer.rtc.outgoing import Outgoing
from peer.rtc.pacer import SOUND
from peer.rtc.router import Router, RtpStream
from peer.rtc.rtcp import SenderReports, estimated, media_sources
from peer.rtc.srtp import handle, protect_all

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.transport import IceTransport
    from peer.rtc.sending import MediaSender

logger = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = 30.0
"""Seconds, as long as a path may be silent; flights that get lost are repeated meanwhile."""
MAX_EARLY = 100
"""Packets of SRTP that may come before our side has the keys; beyond, the oldest go. A keyframe fits."""
RTO_INITIAL = 1.0
"""Seconds until SCTP repeats what is not acknowledged while it knows no round trip (RFC 9260 section 16)."""
_OF_ONE_ASSOCIATION = frozenset(
    "_association_state _local_verification_tag _inbound_streams _last_received_tsn _sack_duplicates _sack_misordered "
    "_sack_needed _cwnd _fast_recovery_exit _fast_recovery_transmit _forward_tsn_chunk _forward_tsn_streams "
    "_flight_size _local_tsn _last_sacked_tsn _advanced_peer_ack_tsn _outbound_queue _outbound_stream_seq "
    "_outbound_streams_count _partial_bytes_acked _sent_queue _reconfig_deferred _reconfig_failures "
    "_reconfig_in_progress _reconfig_queue _reconfig_request _reconfig_request_seq _srtt _rttvar _rto".split()
)
"""What aiortc's SCTP transport keeps of one association, and not of its data channels."""


class DtlsTransport(RTCDtlsTransport):
    """aiortc's DTLS over our ICE, with a packet path of its own."""

    def __init__(self, ice: IceTransport, certificate: RTCCertificate) -> None:
        self.pipe = IcePipe(ice)
        super().__init__(self.pipe, [certificate])  # type: ignore[arg-type]
        self.router: Router[RtpStream] = Router()
        self._extension_ids: dict[str, int] = {}
        self.outgoing = Outgoing(self._leave, self._wake_at)
        """What RTP leaves when, and how much of it."""
        self._alarm: asyncio.TimerHandle | None = None
        self._early: deque[Datagram] = deque(maxlen=MAX_EARLY)
        self._unsent: deque[bytes] = deque(maxlen=MAX_EARLY)
        """Of SCTP, between one association and the next; beyond, the oldest go: it sends again what is lost."""
        self._media_senders: dict[int, MediaSender] = {}
        """By SSRC."""
        self.sender_reports = SenderReports()
        """What the other side said last of the streams that it sends."""
        self.packets_sent = self.packets_received = 0
        self.bytes_sent = self.bytes_received = 0
        self.on_end: Callable[[], bool] = lambda: False
        """Asked when the association ends or another begins; True: another takes its place, see `renew`."""
        self._superseded: asyncio.Future[None] | None = None

    async def handshake(self, fingerprints: Sequence[tuple[str, str]], role: str) -> None:
        """Make the handshake; `state` tells afterwards whether it succeeded. `role` is `client` or `server`."""
        self._set_role(role)
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await self.start(RTCDtlsParameters([RTCDtlsFingerprint(name, value) for name, value in fingerprints]))
        except TimeoutError:
            logger.warning("the other side did not complete the DTLS handshake within %g s", HANDSHAKE_TIMEOUT)
            self._set_state(State.FAILED)
        self.pipe.handshake_over(role)
        if self.state == "connected":
            early = list(self._early)
            self._early.clear()
            self.media(early)
        while self._unsent and self.state == "connected":
            await self._send_data(self._unsent.popleft())

    def renew(self, fingerprints: Sequence[tuple[str, str]], role: str) -> Coroutine[Any, Any, None]:
        """Make another association in the place of this one, whose end no longer counts; streams and channels go on."""
        self._superseded, self._task = self._task, None
        return self._begin_again(fingerprints, role)

    async def _begin_again(self, fingerprints: Sequence[tuple[str, str]], role: str) -> None:
        if self._superseded is not None and self._superseded.cancel():
            await asyncio.wait([self._superseded])
        self._ssl, self.encrypted, self._RTCDtlsTransport__handshake_done = None, False, False
        self._rx_srtp = self._tx_srtp = None  # type: ignore[assignment]
        self._set_state(State.NEW)
        self.pipe.give_kept()
        await self.handshake(fingerprints, role)

    def _set_state(self, state: State) -> None:
        super()._set_state(State.NEW if state == State.CLOSED and self.another_follows() else state)

    def another_follows(self) -> bool:
        """Whether the end that an association comes to now is only its own: another takes its place."""
        superseded = self._superseded is not None and self._superseded is asyncio.current_task()
        return superseded or (self.pipe.open and self.on_end())

    def abandon(self) -> None:
        """The path is gone: whoever waits for a packet learns it."""
        self.pipe.close()
        self.outgoing.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    # Packets in

    def packet(self, data: bytes) -> None:
        """Take one packet that is neither STUN nor media, from ICE. Never raises."""
        self.packets_received += 1
        self.bytes_received += len(data)
        if data and 19 < data[0] < 64:
            # A ClientHello in clear: another association begins, though the end of this one was not heard.
            another = self.state == "connected" and data[3:5] == b"\0\0" and data[13:14] == b"\1" and self.on_end()
            self.pipe.push(data, kept=another)

    def media(self, datagrams: list[Datagram]) -> None:
        """Take packets of SRTP and SRTCP, from ICE; those of one stream are handed on together. Never raises."""
        if self._rx_srtp is None:
            self._early.extend(datagrams)
            return
        self.packets_received += len(datagrams)
        self.bytes_received += take_media(datagrams, self._rx_srtp, self.router, self._rtcp)

    def _rtcp(self, data: bytes) -> None:
        self.pipe.ice.heard(time.monotonic())
        reports, data = without_reports(data)
        for report in reports:
            try:
                self.outgoing.feedback(report, time.monotonic())
            except ValueError as error:
                logger.debug("RTCP cannot be used: %s", error)
        try:
            packets = RtcpPacket.parse(data)
        except Exception as error:  # aiortc's parser also lets struct and index errors out
            logger.debug("RTCP cannot be read: %s", error)
            return
        for packet in packets:
            try:
                self._take_rtcp(packet)
            except (ValueError, struct.error) as error:  # application feedback that is no REMB, or cut off
                logger.debug("RTCP cannot be used: %s", error)
            except Exception:
                logger.exception("an RTCP packet could not be taken")

    def _take_rtcp(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            stream = self.router.target(packet.ssrc)
            if stream is not None:
                info = packet.sender_info
                stream.sender_report(packet.ssrc, info.ntp_timestamp, info.rtp_timestamp, time.monotonic())
                self.sender_reports.take(packet.ssrc, info)
        elif isinstance(packet, RtcpByePacket):
            logger.debug("< BYE %s: a hint only, a browser sends it on hold too", packet.sources)
        sources = [ssrc for ssrc in dict.fromkeys(media_sources(packet)) if ssrc in self._media_senders]
        if sources and (bitrate := estimated(packet)) is not None:
            self.outgoing.remb(bitrate, time.monotonic())
        for ssrc in sources:
            self._media_senders[ssrc].take_rtcp(packet)

    # Packets out

    def send_rtcp(self, data: bytes) -> None:
        """Protect and send; dropped while there is no path. Never raises."""
        if self.state == "connected":
            try:
                self._out(self._tx_srtp.protect_rtcp(data))
            except (pylibsrtp.Error, ValueError) as error:
                logger.debug("RTCP not sent: %s", error)

    def send_rtp(self, packets: list[bytes], urgency: int = SOUND) -> None:
        """The same for RTP, packets of one stream, now or soon: `urgency` is one of `peer.rtc.pacer`."""
        if packets and self._state is State.CONNECTED:  # `state` makes a word of it, which takes longer
            self.outgoing.send(packets, urgency, time.monotonic())

    def told_loss(self, fraction: float) -> None:
        """The other side reports that so much of a stream of pictures got lost, 0 to 1."""
        self.outgoing.told_loss(fraction, time.monotonic())

    def _leave(self, packets: list[bytes], number: int | None) -> None:
        leaving = protect_all(handle(self._tx_srtp), packets, number)
        self.packets_sent += len(leaving)
        self.bytes_sent += sum(map(len, leaving))
        self.pipe.ice.send_all(leaving)

    def _wake_at(self, at: float) -> None:
        if self.pipe.open:
            delay = max(at - time.monotonic(), 0.0)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        if self.state != "connected":
            self.outgoing.clear()
        self.outgoing.wake(time.monotonic())

    def look_after(self, late: float) -> None:
        """Now and then, while anything is sent; `late`: seconds by which the event loop is behind."""
        self.outgoing.tick(time.monotonic(), late)

    async def _send_data(self, data: bytes) -> None:
        """For SCTP, which an exception would end."""
        if self.state == "connected":
            await super()._send_data(data)
        else:
            self._unsent.append(data)

    def _out(self, data: bytes) -> None:
        self.packets_sent += 1
        self.bytes_sent += len(data)
        self.pipe.ice.send_all([data])

    def add_sender(self, sender: MediaSender) -> None:
        """Tell it from now on what the other side says about its stream."""
        self._media_senders[sender.ssrc] = sender
        self.outgoing.add(sender)

    def remove_sender(self, sender: MediaSender) -> None:
        if self._media_senders.get(sender.ssrc) is sender:
            del self._media_senders[sender.ssrc]
            self.outgoing.remove(sender)

    @property
    def extension_ids(self) -> dict[str, int]:
        """Of the header extensions that any m-line of the bundle uses."""
        return self._extension_ids

    @extension_ids.setter
    def extension_ids(self, ids: dict[str, int]) -> None:
        self._extension_ids = ids
        self.outgoing.extensions(ids.get(TRANSPORT_WIDE, 0), ids.get(ABS_SEND_TIME, 0))

    @property
    def stats_id(self) -> str:
        """Of this transport's entry in `getStats()`."""
        return str(self._stats_id)

    def _get_stats(self) -> RTCStatsReport:
        report = RTCStatsReport()
        report.add(
            RTCTransportStats(
                timestamp=current_datetime(),
                type="transport",
                id=self._stats_id,
                packetsSent=self.packets_sent,
                packetsReceived=self.packets_received,
                bytesSent=self.bytes_sent,
                bytesReceived=self.bytes_received,
                iceRole=self.pipe.role,
                dtlsState=self.state,
            )
        )
        return report

    statistics = _get_stats


class SctpTransport(RTCSctpTransport):
    """aiortc's data channels, which begin in spite of losses, and go on when the other side begins another association.

    aiortc waits 3 s before it repeats anything, gives up after 8 times, and puts the other side's verification tag on
    an INIT that it repeats, which is then thrown away there: at 20 % of loss, 1 association in 100 never came about.
    """

    def __init__(self, transport: RTCDtlsTransport, port: int = 5000) -> None:
        super().__init__(transport, port)
        self._rto = RTO_INITIAL

    async def _send_chunk(self, chunk: Any) -> None:
        if isinstance(chunk, InitChunk):  # without a tag: RFC 9260 section 8.5.1
            assert self._remote_port is not None
            await self.transport._send_data(serialize_packet(self._local_port, self._remote_port, 0, chunk))
        else:
            await super()._send_chunk(chunk)

    def _t1_expired(self) -> None:
        """Ask again, until the connection ends: whether anybody is there, ICE finds out. 100 bytes a second are no load
        that would have to be halved each time (RFC 9260 section 6.3.3).
        """
        self._t1_failures = 0
        super()._t1_expired()

    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except Exception:  # it would end the whole connection, not only this packet
            logger.debug("a packet of the data channels cannot be used", exc_info=True)

    async def _receive_chunk(self, chunk: Any) -> None:
        transport = self.transport
        if isinstance(chunk, AbortChunk) and isinstance(transport, DtlsTransport) and transport.another_follows():
            return
        established = self._association_state == self.State.ESTABLISHED
        if established and isinstance(chunk, InitChunk) and chunk.initiate_tag != self._remote_verification_tag:
            self._begin_again()  # RFC 9260 section 5.2.2, case A of 5.2.4
        await super()._receive_chunk(chunk)

    def _begin_again(self) -> None:
        """Forget the association. What was not acknowledged is sent again; a message that arrived in part is lost."""
        unsent = list(self._unacknowledged())
        for timer in (self._reconfig_timer_cancel, self._t1_cancel, self._t2_cancel, self._t3_cancel):
            timer()
        fresh = vars(SctpTransport(self.transport, self.port))
        vars(self).update({name: value for name, value in fresh.items() if name in _OF_ONE_ASSOCIATION})
        self._data_channel_queue.extendleft(reversed(unsent))

    def _unacknowledged(self) -> Iterator[tuple[RTCDataChannel, int, bytes]]:
        parts: list[Any] | None = None
        for chunk in (*self._sent_queue, *self._outbound_queue):
            if chunk.flags & SCTP_DATA_FIRST_FRAG:
                parts = []
            if parts is None:
                continue  # its beginning was acknowledged
            parts.append(chunk)
            channel = self._data_channels.get(chunk.stream_id)
            if chunk.flags & SCTP_DATA_LAST_FRAG and channel is not None:
                if not all(part._acked or part._abandoned for part in parts):
                    data = b"".join(part.user_data for part in parts)
                    if chunk.protocol != WEBRTC_DCEP:
                        channel._addBufferedAmount(len(data))  # it is counted when it is sent
                    yield channel, chunk.protocol, data
                parts = None


def data_on_its_way(sctp: RTCSctpTransport) -> bool:
    """Whether data was sent over the channels that the other side has not acknowledged."""
    return bool(sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue)


def close_channel(channel: RTCDataChannel) -> None:
    """Its transport is gone; aiortc closes only those that got as far as a stream."""
    if channel.readyState != "closed":
        channel._setReadyState("closed")
