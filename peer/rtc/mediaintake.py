"""What came of SRTP and SRTCP over one path: opened, told apart, and RTP handed on by stream, as much as came together.

Calls cost more than the work here: so the packets of a picture go to their stream with one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pylibsrtp

from peer.rtc.packet import RtpPacket
from peer.rtc.srtp import handle, unprotect

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.router import Route, Router, RtpStream

logger = logging.getLogger(__name__)


def take_media(
    datagrams: list[Datagram], session: pylibsrtp.Session, router: Router[RtpStream], rtcp: Callable[[bytes], None]
) -> int:
    """Take packets in their order, `rtcp` those that are for it, which does not raise; returns their bytes.

    What cannot be used is dropped. Never raises.
    """
    size, ssrc = 0, -1
    packets: list[RtpPacket] = []
    route: Route[RtpStream] | None = None
    opened = handle(session)
    for data, _, at in datagrams:
        size += len(data)
        try:
            # RFC 5761 section 4: payload types 64 to 95 are those of RTCP.
            if len(data) > 1 and 64 <= data[1] & 0x7F < 96:
                report = session.unprotect_rtcp(data)
                _hand_on(packets, route)
                packets, route = [], None
                rtcp(report)
                continue
            packet = RtpPacket(unprotect(opened, data), at)
        except (pylibsrtp.Error, ValueError) as error:
            logger.debug("a packet cannot be used: %s", error)
            continue
        if packet.ssrc != ssrc or route is None or route.looks:
            ssrc, its = packet.ssrc, router.route(packet)
            if its is not route:
                _hand_on(packets, route)
                packets, route = [], its
        packets.append(packet)
    _hand_on(packets, route)
    return size


def _hand_on(packets: list[RtpPacket], route: Route[RtpStream] | None) -> None:
    if route is not None:
        try:
            route.target.rtp(packets, route.layer)
        except Exception:  # it would end the reading of the socket, not only of these packets
            logger.exception("RTP packets could not be taken")
