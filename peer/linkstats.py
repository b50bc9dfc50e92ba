"""What a call's statistics say of its connection: the streams that go out, and the pair of candidates in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.ice.candidate import endpoint
from peer.rtc.stats import OutboundStats, PairStats

if TYPE_CHECKING:
    from peer.rtc.ice.transport import IceTransport
    from peer.rtc.transceiver import RtpTransceiver


def selected(ice: IceTransport) -> PairStats | None:
    """The selected candidate pair."""
    chosen = ice.selected_pair
    if chosen is None:
        return None
    local, remote = chosen.local, chosen.remote
    here, there = endpoint(local.address, local.port), endpoint(remote.address, remote.port)
    protocol = local.relay_protocol or local.protocol
    return PairStats(local.type, here, remote.type, there, protocol, chosen.round_trip_time, chosen.reason)


async def outbound(transceiver: RtpTransceiver) -> OutboundStats:
    """What was sent on one m-line so far."""
    packets = size = lost = 0
    round_trip = None
    frames = transceiver.sender.media.stream.counts.frames
    for entry in (await transceiver.sender.getStats()).values():
        if entry.type == "outbound-rtp":
            packets, size = entry.packetsSent, entry.bytesSent
        elif entry.type == "remote-inbound-rtp":
            lost, round_trip = entry.packetsLost, entry.roundTripTime
    return OutboundStats(transceiver.kind, transceiver.sender.codec, packets, size, frames, lost, round_trip)
