"""RTCP that we send about what we receive: reports, requests for packets and pictures, the estimated bandwidth."""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from typing import TYPE_CHECKING

from aiortc.rate import RemoteBitrateEstimator
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

from peer.rtc.transportwide import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bandwidth", "Feedback", "RtcpReceiverInfo"]


MAX_SSRCS = 16
"""Streams that an estimate names; of more, those that were not heard for longest are left out."""


FEEDBACK_INTERVAL = 0.1
"""Seconds between two packets of transport-wide feedback while media comes."""


class Bandwidth:
    """What all streams of a path may take together, so simulcast layers and several videos share one.

    Senders that number their packets transport-wide are told of the arrivals and work it out themselves. Others are
    told an estimate, which browsers read as the limit of the whole path.
    """

    def __init__(self) -> None:
        self._arrivals = Arrivals()
        self._timer: asyncio.TimerHandle | None = None

    def note_arrival(self, number: int, ssrc: int, out: Feedback, now: float) -> None:
        """A packet came that has this transport-wide number; `out` tells its sender, soon."""
        self._arrivals.add(number, now)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FEEDBACK_INTERVAL, self._tell, out, ssrc)

    def _tell(self, out: Feedback, ssrc: int) -> None:
        self._timer = None
        out.transport_wide(self._arrivals, ssrc, time.monotonic())

    @cached_property
    def _estimator(self) -> RemoteBitrateEstimator:
        return RemoteBitrateEstimator()  # a tenth of what it takes to make a connection, which may carry no video

    def arrived(self, sent: int, size: int, ssrc: int, now: float) -> tuple[int, list[int]] | None:
        """A packet came, which says when it was `sent` (abs-send-time); returns an estimate when one is due."""
        estimate = self._estimator.add(round(now * 1000), sent, size, ssrc)
        heard = self._estimator.ssrcs
        while len(heard) > MAX_SSRCS:
            del heard[min(heard, key=heard.__getitem__)]
        return (estimate[0], list(heard)) if estimate is not None else None


class Feedback:
    """To the sender of one m-line, in the name of our own SSRC there; plain calls that never raise."""

    def __init__(self, ssrc: int, send: Callable[[bytes], None]) -> None:
        self._ssrc = ssrc
        self._send = send

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
