"""Statistics of a connection: the W3C webrtc-stats names, in snake case; seconds, bytes, packets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class TrackState(TypedDict):
    """What a track knows of itself, for its statistics."""

    track: str
    kind: str
    active: bool
    frame_width: int
    frame_height: int


@dataclass(slots=True)
class InboundCounts:
    """What came of one stream, over all SSRCs and codecs that it had."""

    codec: str = ""
    ssrc: int = 0
    packets: int = 0
    lost: int = 0
    bytes: int = 0
    frames: int = 0
    dropped: int = 0
    nacks: int = 0
    """RTCP packets of generic NACK that were sent."""
    plis: int = 0
    jitter: float = 0.0
    freezes: int = 0
    frozen: float = 0.0
    pauses: int = 0
    paused: float = 0.0
    discarded: int = 0
    """Packets that came too late."""
    repaired: int = 0
    """Packets that came in time after they had been asked for."""
    retransmitted: int = 0
    """Packets that came as retransmissions (RFC 4588), asked for or as probes."""
    delay: float = 0.0
    """Seconds in the jitter buffer, of each of `emitted`, in all."""
    emitted: int = 0
    """Frames of video, or samples of sound."""
    per_second: int = 0
    """Frames of video in the last second."""


@dataclass(slots=True)
class SourceCounts:
    """What the source of a sent track gave while the track was sent, and what became of it: pictures."""

    frames: int = 0
    """All that it gave, those that were left out included."""
    encoded: int = 0
    """Those that were encoded for it; of a file that is sent as it is, none are."""
    dropped: int = 0
    """Those that were left out because those before were still being encoded."""


@dataclass(frozen=True, slots=True)
class DecodeCounts:
    """What was decoded of one track; nothing while nobody takes pictures, sound or frames."""

    frames: int = 0
    keyframes: int = 0
    dropped: int = 0
    """Frames that waited for too long, or for a keyframe."""
    samples: int = 0
    """Of sound, concealed ones included."""
    concealed: int = 0
    silent: int = 0
    """Those of the concealed samples that are silence."""
    events: int = 0


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
    """0 while nobody takes pictures, sound or frames."""
    nack_count: int
    """RTCP packets that ask for lost packets, sent."""
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
    packets_discarded: int = 0
    """Packets that came too late to be of use; those are not counted as lost."""
    packets_repaired: int = 0
    """Packets that came in time after they had been asked for."""
    retransmitted_packets_received: int = 0
    """Packets that came as retransmissions (RFC 4588), asked for or as probes; part of `packets_received`."""
    frames_per_second: int = 0
    """Frames of video handed on in the last second, decoded or not."""
    key_frames_decoded: int = 0
    jitter_buffer_delay: float = 0.0
    """Seconds from the first packet until it was handed on, of each of `jitter_buffer_emitted_count`, in all."""
    jitter_buffer_emitted_count: int = 0
    """Frames of video, or samples of sound, handed on."""
    total_samples_received: int = 0
    """Samples of decoded sound, concealed ones included; 0 while nobody takes it."""
    concealed_samples: int = 0
    """Samples made here in the place of lost ones."""
    silent_concealed_samples: int = 0
    """Those of them that are silence."""
    concealment_events: int = 0
    """Stretches of concealed samples."""


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
    source_frames: int = 0
    """Pictures that the source gave while they were sent (`frames` of RTCVideoSourceStats), those left out included."""
    frames_encoded: int = 0
    """Pictures that were encoded; less than were sent where a file is sent as it is."""
    frames_dropped: int = 0
    """Pictures that were left out because encoding them is more than the machine has the time for (not in W3C)."""


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


def inbound_stats(
    counts: Collection[InboundCounts], shown: InboundCounts, decoding: DecodeCounts, **track: Unpack[TrackState]
) -> InboundStats:
    """What came of a track: of all its layers together, and of the one that is shown."""
    return InboundStats(
        **track,
        codec=shown.codec,
        packets_received=sum(each.packets for each in counts),
        packets_lost=sum(each.lost for each in counts),
        bytes_received=sum(each.bytes for each in counts),
        frames_received=shown.frames,
        frames_dropped=shown.dropped + decoding.dropped,
        frames_decoded=decoding.frames,
        nack_count=sum(each.nacks for each in counts),
        pli_count=sum(each.plis for each in counts),
        jitter=shown.jitter,
        freeze_count=shown.freezes,
        total_freezes_duration=shown.frozen,
        pause_count=shown.pauses,
        total_pauses_duration=shown.paused,
        packets_discarded=sum(each.discarded for each in counts),
        packets_repaired=sum(each.repaired for each in counts),
        retransmitted_packets_received=sum(each.retransmitted for each in counts),
        frames_per_second=shown.per_second,
        key_frames_decoded=decoding.keyframes,
        jitter_buffer_delay=shown.delay,
        jitter_buffer_emitted_count=shown.emitted,
        total_samples_received=decoding.samples,
        concealed_samples=decoding.concealed,
        silent_concealed_samples=decoding.silent,
        concealment_events=decoding.events,
    )


def outbound_stats(entries: Iterable[Any]) -> OutboundStats:
    """What was sent of a track; `entries`: those of its sender's `getStats()`."""
    found = {entry.type: entry for entry in entries}
    sent, said, source = found["outbound-rtp"], found.get("remote-inbound-rtp"), found.get("media-source")
    return OutboundStats(
        kind=sent.kind,
        codec=sent.codec,
        packets_sent=sent.packetsSent,
        bytes_sent=sent.bytesSent,
        frames_sent=sent.framesSent,
        packets_lost=said.packetsLost if said is not None else 0,
        round_trip_time=said.roundTripTime if said is not None else None,
        source_frames=source.frames if source is not None else 0,
        frames_encoded=sent.framesEncoded or 0,
        frames_dropped=sent.framesDropped or 0,
    )


def bitrate(before: ConnectionStats, after: ConnectionStats) -> tuple[float, float]:
    """Bits per second received and sent between two moments, payload only; zeros when no time passed."""
    seconds = after.time - before.time
    if seconds <= 0:
        return 0.0, 0.0
    received = sum(e.bytes_received for e in after.inbound) - sum(e.bytes_received for e in before.inbound)
    sent = sum(e.bytes_sent for e in after.outbound) - sum(e.bytes_sent for e in before.outbound)
    return max(0.0, received * 8 / seconds), max(0.0, sent * 8 / seconds)
