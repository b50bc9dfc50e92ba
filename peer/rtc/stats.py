"""Statistics of a connection: the W3C webrtc-stats names, in snake case; seconds, bytes, packets. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InboundStats:
    """One received track (RTCInboundRtpStreamStats)."""

    track: str
    kind: str
    codec: str
    active: bool
    """Whether the other side says that it sends at the moment."""
    packets_received: int
    packets_lost: int
    bytes_received: int
    """Payload bytes, without headers (webrtc-stats section 8.6)."""
    frames_received: int
    """Complete encoded frames; for audio, packets in order."""
    frames_dropped: int
    frames_decoded: int
    nack_count: int
    pli_count: int
    jitter: float
    """Seconds."""
    frame_width: int
    frame_height: int
    freeze_count: int = 0
    """Pictures that stood for much longer than usual."""
    total_freezes_duration: float = 0.0
    """Seconds."""
    pause_count: int = 0
    """Pictures that stood for more than five seconds; those are no freezes."""
    total_pauses_duration: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class OutboundStats:
    """One sent track (RTCOutboundRtpStreamStats with what the other side reports of it)."""

    kind: str
    codec: str
    packets_sent: int
    bytes_sent: int
    frames_sent: int
    packets_lost: int
    """As last reported by the other side."""
    round_trip_time: float | None
    """Seconds; None before the first report."""


@dataclass(frozen=True, slots=True)
class PairStats:
    """The selected candidate pair (RTCIceCandidatePairStats)."""

    local_type: str
    """`host`, `srflx`, `prflx` or `relay` (RFC 8445)."""
    local_address: str
    remote_type: str
    remote_address: str
    protocol: str
    """`udp` or `tcp`; of a relay how it is reached: `udp`, `tcp` or `tls`."""
    round_trip_time: float | None
    """Seconds, of the newest check that was answered."""
    reason: str = ""
    """Why this pair was chosen."""

    def __str__(self) -> str:
        return f"{self.local_type} {self.protocol} {self.local_address} - {self.remote_type} {self.remote_address}"


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Everything at one moment; `time` is on the monotonic clock."""

    time: float
    state: str
    inbound: tuple[InboundStats, ...]
    outbound: tuple[OutboundStats, ...]
    pair: PairStats | None

    def received(self, kind: str) -> InboundStats | None:
        """The first received track of a kind."""
        return next((entry for entry in self.inbound if entry.kind == kind), None)

    def sent(self, kind: str) -> OutboundStats | None:
        """The sent track of a kind."""
        return next((entry for entry in self.outbound if entry.kind == kind), None)


def bitrate(before: ConnectionStats, after: ConnectionStats) -> tuple[float, float]:
    """Bits per second received and sent between two moments, payload only; zeros when no time passed."""
    seconds = after.time - before.time
    if seconds <= 0:
        return 0.0, 0.0
    received = sum(e.bytes_received for e in after.inbound) - sum(e.bytes_received for e in before.inbound)
    sent = sum(e.bytes_sent for e in after.outbound) - sum(e.bytes_sent for e in before.outbound)
    return max(0.0, received * 8 / seconds), max(0.0, sent * 8 / seconds)
