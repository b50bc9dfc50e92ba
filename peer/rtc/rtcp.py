"""What RTCP packets of the other side are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiortc.clock import datetime_from_ntp
from aiortc.rtp import RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket, RtcpSrPacket, unpack_remb_fci

if TYPE_CHECKING:
    from datetime import datetime

    from aiortc.rtp import AnyRtcpPacket, RtcpSenderInfo

MAX_REPORTED = 64
"""Streams whose sender reports are kept; beyond, the oldest go."""
_REMB = 15
_FIR = 4


@dataclass(frozen=True, slots=True)
class SenderReported:
    """What a sender report says of its stream."""

    time: datetime
    """On the sender's clock."""
    packets: int
    bytes: int


class SenderReports(dict[int, SenderReported]):
    """The last one of each SSRC."""

    def take(self, ssrc: int, info: RtcpSenderInfo) -> None:
        if ssrc not in self and len(self) >= MAX_REPORTED:
            del self[next(iter(self))]
        self[ssrc] = SenderReported(datetime_from_ntp(info.ntp_timestamp), info.packet_count, info.octet_count)


def media_sources(packet: AnyRtcpPacket) -> list[int]:
    """The SSRCs of ours that a packet is about. Raises ValueError and struct.error for feedback that is no REMB."""
    if isinstance(packet, (RtcpSrPacket, RtcpRrPacket)):
        return [report.ssrc for report in packet.reports]
    if isinstance(packet, RtcpPsfbPacket) and packet.fmt == _REMB:
        return unpack_remb_fci(packet.fci)[1]
    if isinstance(packet, RtcpPsfbPacket) and packet.fmt == _FIR:
        # RFC 5104 section 4.3.1.2: the media source is named in the entries, 8 bytes each.
        return [int.from_bytes(packet.fci[at : at + 4], "big") for at in range(0, len(packet.fci) - 7, 8)]
    if isinstance(packet, (RtcpPsfbPacket, RtcpRtpfbPacket)):
        return [packet.media_ssrc]
    return []


def estimated(packet: AnyRtcpPacket) -> int | None:
    """Bits per second that a REMB says; None for any other packet. Raises ValueError for feedback that is no REMB."""
    if isinstance(packet, RtcpPsfbPacket) and packet.fmt == _REMB:
        return unpack_remb_fci(packet.fci)[0]
    return None
