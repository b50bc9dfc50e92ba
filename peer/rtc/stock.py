"""The only file that touches private names of aiortc and aioice: what is lacking there and cannot be had otherwise.

Each function is one seam; tests/rtc/test_stock.py holds every name used here against the pinned versions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from aioice import stun
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    is_rtcp,
    pack_remb_fci,
    unwrap_rtx,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import aioice
    from aiortc import RTCDtlsTransport, RTCIceTransport, RTCRtpReceiver, RTCRtpTransceiver
    from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

logger = logging.getLogger(__name__)

CONSENT_INTERVAL = 1.0
"""Seconds between consent checks; RFC 7675 section 5.1 says 4 to 6, which would see a vanished peer too late."""
GATHER_TIMEOUT = 1
"""Seconds that a silent STUN or TURN server may hold an offer up (aioice waits five)."""

__all__ = ["InboundStream", "RtcpOut", "retire", "retired", "selected_pair", "take_over", "tune_ice", "unwrap_rtx"]


class InboundStream(Protocol):
    """What the packet path wants of a receiver; plain calls, on the event loop."""

    def configure(self, parameters: RTCRtpReceiveParameters) -> None: ...
    def rtp(self, packet: RtpPacket, now: float) -> None: ...
    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None: ...
    def close(self) -> None: ...


class _Registered:
    """Stands in the router of aiortc's DTLS transport for one of our receivers."""

    def __init__(self, stream: InboundStream, transport: RTCDtlsTransport) -> None:
        self._stream = stream
        self._transport = transport

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """In the place of `RTCRtpReceiver.receive`: called after each negotiation, so parameters may change."""
        self._transport._unregister_rtp_receiver(self)
        self._transport._register_rtp_receiver(self, parameters)
        self._stream.configure(parameters)

    async def stop(self) -> None:
        """In the place of `RTCRtpReceiver.stop`: no thread to join."""
        self._transport._unregister_rtp_receiver(self)
        self._stream.close()

    def _handle_disconnect(self) -> None:
        """The connection's own state says more; nothing to do per receiver."""

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            self._stream.sender_report(packet.ssrc, info.ntp_timestamp, info.rtp_timestamp, time.monotonic())
        elif isinstance(packet, RtcpByePacket):
            logger.debug("< BYE %s: a hint only, a browser sends it on hold too", packet.sources)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        try:
            self._stream.rtp(packet, time.monotonic())
        except Exception:  # it would end the whole connection, not only this packet
            logger.exception("a packet could not be taken: %s", packet)


def take_over(receiver: RTCRtpReceiver, stream: InboundStream) -> None:
    """Let `stream` receive what aiortc's receiver would: no decoder thread, no endless queue, no end at a BYE."""
    registered = _Registered(stream, receiver.transport)
    receiver.receive = registered.receive  # type: ignore[method-assign]
    receiver.stop = registered.stop  # type: ignore[method-assign]


class RtcpOut:
    """Feedback to the sender of one stream, in the name of the transceiver's own sender."""

    def __init__(self, transceiver: RTCRtpTransceiver, spawn: Callable[[Any], None]) -> None:
        self._transport = transceiver.receiver.transport
        self._ssrc: int = transceiver.sender._ssrc
        self._spawn = spawn

    def nack(self, media_ssrc: int, lost: list[int]) -> None:
        """Generic NACK (RFC 4585 section 6.2.1); `lost` are 16-bit sequence numbers."""
        packet = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=media_ssrc)
        packet.lost = sorted(lost)
        self._spawn(self._send(bytes(packet)))

    def pli(self, media_ssrc: int) -> None:
        """Picture loss indication (RFC 4585 section 6.3.1)."""
        self._spawn(self._send(bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=media_ssrc))))

    def remb(self, bitrate: int, ssrcs: list[int]) -> None:
        """Receiver estimated maximum bitrate, bits per second."""
        packet = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=self._ssrc, media_ssrc=0, fci=pack_remb_fci(bitrate, ssrcs))
        self._spawn(self._send(bytes(packet)))

    def receiver_report(self, reports: list[RtcpReceiverInfo]) -> None:
        """RFC 3550 section 6.4.2."""
        self._spawn(self._send(bytes(RtcpRrPacket(ssrc=self._ssrc, reports=reports))))

    async def _send(self, data: bytes) -> None:
        assert is_rtcp(data)
        try:
            await self._transport._send_rtp(data)
        except (ConnectionError, OSError):
            logger.debug("feedback not sent: no path")


class Watch(Protocol):
    """Who is told that the other side answered."""

    round_trip_time: float | None

    def heard(self, now: float) -> None: ...


def tune_ice(transport: RTCIceTransport, watch: Watch) -> None:
    """Give aioice's connection a short gathering deadline, loopback where there is nothing else, quick consent checks.

    Lost consent never closes it: whether a silence ends the call is for the call to decide.
    """
    connection: aioice.Connection = transport._connection
    if getattr(connection, "_tuned", False):
        return
    connection._tuned = True  # type: ignore[attr-defined]
    gather = connection.get_component_candidates

    async def gather_quickly(component: int, addresses: list[str], timeout: int = GATHER_TIMEOUT) -> Any:
        return await gather(component, addresses or ["127.0.0.1"], min(timeout, GATHER_TIMEOUT))

    async def query_consent() -> None:
        async with asyncio.TaskGroup() as checks:  # several in flight: a round trip may take longer than the interval
            while not connection._closing:  # aioice starts this even when it was closed while it connected
                await asyncio.sleep(CONSENT_INTERVAL * (0.8 + 0.4 * random.random()))
                checks.create_task(_consent_check(connection, watch))

    connection.get_component_candidates = gather_quickly  # type: ignore[method-assign]
    connection.query_consent = query_consent  # type: ignore[method-assign]


async def _consent_check(connection: aioice.Connection, watch: Watch) -> None:
    for pair in list(connection._nominated.values()):
        request = connection.build_request(pair, nominate=False)
        key = (connection.remote_password or "").encode()
        sent = time.monotonic()
        try:
            await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=1)
        except (stun.TransactionError, OSError):
            continue
        watch.heard(time.monotonic())
        watch.round_trip_time = time.monotonic() - sent


def selected_pair(transport: RTCIceTransport) -> tuple[Any, Any] | None:
    """The local and remote candidate (aioice's) over which packets go, None before there is one."""
    pair = transport._connection._nominated.get(1)
    return (pair.local_candidate, pair.remote_candidate) if pair else None


def retire(transceiver: RTCRtpTransceiver) -> None:
    """Free the m-line of a transceiver that the remote stopped, so that the place can be used again by another mid."""
    transceiver._set_mline_index(-1)


def retired(transceiver: RTCRtpTransceiver) -> bool:
    """Whether `retire` freed its m-line."""
    return transceiver._get_mline_index() == -1


def sending_codec(transceiver: RTCRtpTransceiver) -> str:
    """Name of the codec that the transceiver sends (the first negotiated), "" before there is one."""
    return transceiver._codecs[0].name if transceiver._codecs else ""
