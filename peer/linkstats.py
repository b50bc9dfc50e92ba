"""What a call's statistics say of its connection: the pair of candidates in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.ice.candidate import endpoint
from peer.rtc.stats import PairStats

if TYPE_CHECKING:
    from peer.rtc.ice.transport import IceTransport


def selected(ice: IceTransport) -> PairStats | None:
    """The selected candidate pair."""
    chosen = ice.selected_pair
    if chosen is None:
        return None
    local, remote = chosen.local, chosen.remote
    here, there = endpoint(local.address, local.port), endpoint(remote.address, remote.port)
    protocol = local.relay_protocol or local.protocol
    return PairStats(local.type, here, remote.type, there, protocol, chosen.round_trip_time, chosen.reason)
