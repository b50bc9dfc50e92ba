"""RTCP that we send about what we receive: reports, requests for packets and pictures, the estimated bandwidth."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    pack_remb_fci,
)

from peer.rtc.bandwidth import BandwidthEstimator
from peer.rtc.ticks import Numbers, tick_after
from peer.rtc.transportwide import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.rtp import ReceptionReport


MAX_SSRCS: Final = 16
"""Streams that an estimate names; of more, those that were not heard for longest are left out."""
REMB_INTERVAL: Final = 0.5
"""Seconds between two estimates, unless the path is overused."""
_numbers: Final = Numbers()
"""Of the paths of this process, for their ticks."""
MAX_NOTED: Final = 2000
"""Packets that are noted between two feedbacks; beyond, the oldest half goes."""


class Bandwidth:
    """What all streams of a path may take together, so simulcast layers and several videos share one.

    Senders that number their packets transport-wide are told of the arrivals and work it out themselves. Others are
    told an estimate, which browsers read as the limit of the whole path. A packet is only noted when it comes; what
    follows from it is worked out ten times a second.
    """

    def __init__(self) -> None:
        self._arrivals = Arrivals()
        self._estimator = BandwidthEstimator()
        self._numbered: list[tuple[int, float]] = []
        self._heard: dict[int, None] = {}
        """Streams that say when their packets are sent, the one that was heard last at the end ..."""
        self._newest: int | None = None
        """... and that one."""
        self._told = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._number: int | None = None
        self._closed = False

    def numbered(self, number: int, ssrc: int, out: Feedback, now: float) -> None:
        """A packet came that has this transport-wide number; `out` tells its sender, soon."""
        self._numbered.append((number, now))
        if self._timer is None:
            self._begin(out, ssrc)
        elif len(self._numbered) > MAX_NOTED:
            del self._numbered[: MAX_NOTED // 2]

    def timed(self, sent: int, size: int, ssrc: int, out: Feedback, now: float) -> None:
        """A packet came that says when it was `sent` (abs-send-time); `out` tells its sender an estimate when due."""
        self._estimator.arrived(sent, now, size)
        if ssrc != self._newest:
            self._hear(ssrc)
        if self._timer is None:
            self._begin(out, ssrc)

    def close(self) -> None:
        """There is nobody any more to be told, whatever still comes."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._number is not None:
            _numbers.give_back(self._number)
            self._number = None

    def _hear(self, ssrc: int) -> None:
        self._newest = ssrc
        self._heard.pop(ssrc, None)
        self._heard[ssrc] = None
        if len(self._heard) > MAX_SSRCS:
            del self._heard[next(iter(self._heard))]

    def _begin(self, out: Feedback, ssrc: int) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        if self._number is None:
            self._number = _numbers.take()
        self._timer = loop.call_at(tick_after(loop.time(), self._number), self._tell, out, ssrc)

    def _tell(self, out: Feedback, ssrc: int) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()  # the monotonic clock
        if self._numbered:
            numbered, self._numbered = self._numbered, []
            for number, at in numbered:
                self._arrivals.add(number, at)
            out.transport_wide(self._arrivals, ssrc, now)
        if self._newest is not None:
            self._estimate(out, now)

    def _estimate(self, out: Feedback, now: float) -> None:
        estimate = self._estimator.update(now)
        if estimate is not None and (now - self._told >= REMB_INTERVAL or self._estimator.usage == "over"):
            self._told = now
            out.remb(estimate, sorted(self._heard))


class Feedback:
    """To the sender of one m-line, in the name of our own SSRC there; plain calls that never raise."""

    def __init__(self, ssrc: int, send: Callable[[bytes], None], round_trip_time: Callable[[], float | None]) -> None:
        """`round_trip_time`: of the path, in seconds; None while it is not known."""
        self._ssrc = ssrc
        self._send = send
        self.round_trip_time = round_trip_time

    def nack(self, media_ssrc: int, lost: list[int]) -> None:
        """Generic NACK (RFC 4585 section 6.2.1); `lost` are 16-bit sequence numbers."""
        packet = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=media_ssrc)
        packet.lost = sorted(lost)
        self._send(bytes(packet))

    def pli(self, media_ssrc: int) -> None:
        """Picture loss indication (RFC 4585 section 6.3.1)."""
        self._send(bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=media_ssrc)))

    def remb(self, bitrate: int, ssrcs: list[int]) -> None:
        """Receiver estimated maximum bitrate, bits per second."""
        fci = pack_remb_fci(bitrate, ssrcs)
        self._send(bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=self._ssrc, media_ssrc=0, fci=fci)))

    def transport_wide(self, arrivals: Arrivals, media_ssrc: int, now: float) -> None:
        """When each packet of the path arrived since the last time (see `peer.rtc.transportwide`)."""
        for packet in arrivals.take(self._ssrc, media_ssrc, now):
            self._send(packet)

    def receiver_report(self, reports: list[RtcpReceiverInfo]) -> None:
        """RFC 3550 section 6.4.2; at most 31 blocks fit in one packet."""
        self._send(bytes(RtcpRrPacket(ssrc=self._ssrc, reports=reports[:31])))


def report_block(
    ssrc: int, said: ReceptionReport, sender_report: tuple[int, float] | None, now: float
) -> RtcpReceiverInfo:
    """What a receiver report says of one stream; `sender_report`: the last one's time (LSR), and when it came."""
    last, at = sender_report or (0, now)
    return RtcpReceiverInfo(
        ssrc=ssrc,
        fraction_lost=said.fraction_lost,
        packets_lost=said.cumulative_lost,
        highest_sequence=said.highest_sequence,
        jitter=said.jitter,
        lsr=last,
        dlsr=min(int((now - at) * 65536), 0xFFFFFFFF) if last else 0,
    )
