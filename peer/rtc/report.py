"""`getStats()`: aiortc's entries, and those of W3C webrtc-stats that it lacks (candidates, pairs, frames)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiortc import (
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCRemoteInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCStatsReport,
    RTCTransportStats,
)
from aiortc.clock import current_datetime
from aiortc.stats import RTCStats

from peer.rtc.sender import OutboundPictures
from peer.rtc.stats import DecodeCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.pairs import PairReport
    from peer.rtc.path import Path
    from peer.rtc.stats import InboundCounts
    from peer.rtc.transceiver import RtpReceiver, RtpSender


@dataclass
class InboundRtpStreamStats(RTCInboundRtpStreamStats):
    """What came in of one stream (webrtc-stats section 8.5); one entry for each simulcast layer."""

    mid: str
    rid: str
    codec: str
    bytesReceived: int
    framesReceived: int
    framesDropped: int
    nackCount: int
    pliCount: int
    frameWidth: int
    frameHeight: int
    freezeCount: int
    totalFreezesDuration: float
    pauseCount: int
    totalPausesDuration: float
    packetsDiscarded: int
    retransmittedPacketsReceived: int
    firCount: int
    """Always 0: keyframes are asked for with PLI."""
    framesDecoded: int
    """0 while nobody takes pictures, sound or frames, as all that counts what is decoded."""
    keyFramesDecoded: int
    framesPerSecond: int
    """Frames handed on in the last second, decoded or not."""
    jitterBufferDelay: float
    jitterBufferEmittedCount: int
    totalSamplesReceived: int
    concealedSamples: int
    silentConcealedSamples: int
    concealmentEvents: int


@dataclass
class OutboundRtpStreamStats(RTCOutboundRtpStreamStats):
    """What went out of one stream (webrtc-stats section 8.7); packets and bytes with what was sent again."""

    codec: str
    framesSent: int
    """Of sound too, 20 ms each."""
    retransmittedPacketsSent: int
    retransmittedBytesSent: int
    nackCount: int
    pliCount: int
    firCount: int
    targetBitrate: int | None
    """Bits per second that pictures are encoded with at most; None before anything is known of the path."""
    mediaSourceId: str | None
    """Of the `media-source` entry; None where there is none."""
    framesEncoded: int | None
    """Of pictures; 0 of a file that is sent as it is. None of sound, and of tracks that a program encodes itself."""
    framesDropped: int | None
    """The same, those that were left out because those before were still being encoded. Ours: W3C counts no such."""


@dataclass
class VideoSourceStats(RTCStats):
    """Where the pictures of a track come from (RTCVideoSourceStats of webrtc-stats)."""

    trackIdentifier: str
    kind: str
    width: int | None
    """None where it is not known beforehand, and while nothing is shown."""
    height: int | None
    frames: int
    """Pictures that came while they were sent, those that were left out included."""


@dataclass
class TransportStats(RTCTransportStats):
    """The path that everything takes (webrtc-stats section 8.11)."""

    selectedCandidatePairId: str | None
    """None before there is one."""


@dataclass
class IceCandidateStats(RTCStats):
    """A candidate of ours (`local-candidate`) or of the other side (`remote-candidate`)."""

    address: str
    port: int
    protocol: str
    candidateType: str
    priority: int
    foundation: str
    url: str | None
    relayProtocol: str | None
    relatedAddress: str | None
    relatedPort: int | None
    usernameFragment: str | None
    tcpType: str | None


@dataclass
class IceCandidatePairStats(RTCStats):
    """A pair of candidates that was tried; `selected` is the one that carries the call, `reason` says why."""

    localCandidateId: str
    remoteCandidateId: str
    state: str
    nominated: bool
    selected: bool
    currentRoundTripTime: float | None
    """Seconds, of the last check that was answered; None before there was one."""
    totalRoundTripTime: float
    packetsSent: int
    packetsReceived: int
    bytesSent: int
    bytesReceived: int
    requestsSent: int
    requestsReceived: int
    responsesSent: int
    responsesReceived: int
    availableOutgoingBitrate: int | None
    """Bits per second that the path takes, by our estimate; None where it is not in use, or nothing is known of it."""
    reason: str


def outbound(sender: RtpSender) -> RTCStatsReport:
    """What one sender sent, what the other side says of it, and its transport."""
    report = RTCStatsReport()
    counts, transport_id = sender.media.stream.counts, sender.transport.stats_id
    track, source = sender.track, _source(sender)
    given = track.counts if isinstance(track, OutboundPictures) else None
    if source is not None:
        report.add(source)
    report.add(
        OutboundRtpStreamStats(
            timestamp=current_datetime(),
            type="outbound-rtp",
            id=f"outbound-rtp_{id(sender)}",
            ssrc=sender.media.ssrc,
            kind=sender.kind,
            transportId=transport_id,
            packetsSent=counts.packets + counts.again + counts.probes,
            bytesSent=counts.bytes + counts.bytes_again + counts.bytes_probes,
            trackId=track.id if track is not None else "",
            codec=sender.codec,
            framesSent=counts.frames,
            retransmittedPacketsSent=counts.again,
            retransmittedBytesSent=counts.bytes_again,
            nackCount=counts.nacks,
            pliCount=counts.plis,
            firCount=counts.firs,
            targetBitrate=sender.media.target,
            mediaSourceId=source.id if source is not None else None,
            framesEncoded=given.encoded if given is not None else None,
            framesDropped=given.dropped if given is not None else None,
        )
    )
    if counts.reported:
        report.add(
            RTCRemoteInboundRtpStreamStats(
                timestamp=current_datetime(),
                type="remote-inbound-rtp",
                id=f"remote-inbound-rtp_{id(sender)}",
                ssrc=sender.media.ssrc,
                kind=sender.kind,
                transportId=transport_id,
                packetsReceived=counts.packets - counts.lost,
                packetsLost=counts.lost,
                jitter=counts.jitter,  # type: ignore[arg-type]  # seconds as in W3C; aiortc's are units of the RTP clock
                roundTripTime=counts.round_trip_time,  # type: ignore[arg-type]  # None before it is known, as aiortc's
                fractionLost=counts.fraction_lost,
            )
        )
    report.update(sender.transport.statistics())
    return report


def _source(sender: RtpSender) -> VideoSourceStats | None:
    """Of what is shown; None of sound, and of a program's own tracks, of which nothing is known."""
    track = sender.track
    if not isinstance(track, OutboundPictures):
        return None
    width, height = track.size
    return VideoSourceStats(
        timestamp=current_datetime(),
        type="media-source",
        id=f"media-source_{id(sender)}",
        trackIdentifier=track.id,
        kind=track.kind,
        width=width,
        height=height,
        frames=track.counts.frames,
    )


def inbound(receiver: RtpReceiver) -> RTCStatsReport:
    """What one receiver received, and its transport."""
    report = RTCStatsReport()
    for rid, counts in receiver.remote.counts().items():
        report.add(_inbound_entry(receiver, rid, counts))
        if (said := receiver.transport.sender_reports.get(counts.ssrc)) is not None:
            report.add(
                RTCRemoteOutboundRtpStreamStats(
                    timestamp=current_datetime(),
                    type="remote-outbound-rtp",
                    id=f"remote-outbound-rtp_{id(receiver)}{rid}",
                    ssrc=counts.ssrc,
                    kind=receiver.remote.kind,
                    transportId=receiver.transport.stats_id,
                    packetsSent=said.packets,
                    bytesSent=said.bytes,
                    remoteTimestamp=said.time,
                )
            )
    report.update(receiver.transport.statistics())
    return report


def _inbound_entry(receiver: RtpReceiver, rid: str, counts: InboundCounts) -> InboundRtpStreamStats:
    remote = receiver.remote
    layer = next((each for each in remote.layers if each.rid == rid), None)
    decoding = remote.decoding() if rid == (remote.layer or "") else DecodeCounts()
    return InboundRtpStreamStats(
        timestamp=current_datetime(),
        type="inbound-rtp",
        id=f"inbound-rtp_{id(receiver)}{rid}",
        ssrc=counts.ssrc,
        kind=remote.kind,
        transportId=receiver.transport.stats_id,
        packetsReceived=counts.packets,
        packetsLost=counts.lost,
        jitter=counts.jitter,  # type: ignore[arg-type]  # seconds as in W3C; aiortc's are units of the RTP clock
        mid=remote.mid,
        rid=rid,
        codec=counts.codec,
        bytesReceived=counts.bytes,
        framesReceived=counts.frames,
        framesDropped=counts.dropped + decoding.dropped,
        nackCount=counts.nacks,
        pliCount=counts.plis,
        frameWidth=layer.width if layer else remote.width,
        frameHeight=layer.height if layer else remote.height,
        freezeCount=counts.freezes,
        totalFreezesDuration=counts.frozen,
        pauseCount=counts.pauses,
        totalPausesDuration=counts.paused,
        packetsDiscarded=counts.discarded,
        retransmittedPacketsReceived=counts.retransmitted,
        firCount=0,
        framesDecoded=decoding.frames,
        keyFramesDecoded=decoding.keyframes,
        framesPerSecond=counts.per_second,
        jitterBufferDelay=counts.delay,
        jitterBufferEmittedCount=counts.emitted,
        totalSamplesReceived=decoding.samples,
        concealedSamples=decoding.concealed,
        silentConcealedSamples=decoding.silent,
        concealmentEvents=decoding.events,
    )


def transport(path: Path) -> RTCStatsReport:
    """What went over a path in all, and which pair of candidates it uses."""
    pair = path.ice.selected_pair
    chosen = _pair_id(pair) if pair is not None else None
    report = path.dtls.statistics()
    for key, entry in report.items():
        report[key] = TransportStats(**vars(entry), selectedCandidatePairId=chosen)
    return report


def candidates(path: Path) -> RTCStatsReport:
    """The candidates of a path, and their pairs."""
    report, ice = RTCStatsReport(), path.ice
    pairs = ice.pairs()
    local, remote = [*ice.candidates, *(p.local for p in pairs)], [*ice.remote_candidates, *(p.remote for p in pairs)]
    for kind, found in (("local", local), ("remote", remote)):
        for candidate in _distinct(found):
            report.add(_candidate_entry(kind, candidate))
    for pair in pairs:
        report.add(
            IceCandidatePairStats(
                timestamp=current_datetime(),
                type="candidate-pair",
                id=_pair_id(pair),
                localCandidateId=f"local-candidate_{_key(pair.local)}",
                remoteCandidateId=f"remote-candidate_{_key(pair.remote)}",
                state=pair.state,
                nominated=pair.nominated,
                selected=pair.selected,
                currentRoundTripTime=pair.round_trip_time,
                totalRoundTripTime=pair.total_round_trip_time,
                packetsSent=pair.packets_sent,
                packetsReceived=pair.packets_received,
                bytesSent=pair.bytes_sent,
                bytesReceived=pair.bytes_received,
                requestsSent=pair.requests_sent,
                requestsReceived=pair.requests_received,
                responsesSent=pair.responses_sent,
                responsesReceived=pair.responses_received,
                availableOutgoingBitrate=path.dtls.outgoing.estimate if pair.selected else None,
                reason=pair.reason,
            )
        )
    return report


def _pair_id(pair: PairReport) -> str:
    return f"candidate-pair_{pair.id}"


def _distinct(found: Iterable[Candidate]) -> list[Candidate]:
    return list({_key(each): each for each in found}.values())


def _key(candidate: Candidate) -> str:
    return f"{candidate.protocol}:{candidate.type}:{candidate.address}:{candidate.port}"


def _candidate_entry(kind: str, candidate: Candidate) -> IceCandidateStats:
    return IceCandidateStats(
        timestamp=current_datetime(),
        type=f"{kind}-candidate",
        id=f"{kind}-candidate_{_key(candidate)}",
        address=candidate.address,
        port=candidate.port,
        protocol=candidate.protocol,
        candidateType=candidate.type,
        priority=candidate.priority,
        foundation=candidate.foundation,
        url=candidate.url,
        relayProtocol=candidate.relay_protocol,
        relatedAddress=candidate.related_address,
        relatedPort=candidate.related_port,
        usernameFragment=candidate.username_fragment,
        tcpType=candidate.tcp_type,
    )
