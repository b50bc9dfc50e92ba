"""The entries of `getStats()`: the types of aiortc, the names and units of W3C webrtc-stats."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from aiortc import RTCInboundRtpStreamStats, RTCRemoteOutboundRtpStreamStats, RTCStatsReport, VideoStreamTrack

from peer.media.pattern import TestPictures as Pattern
from peer.rtc import report
from peer.rtc.ice.candidate import Candidate
from peer.rtc.ice.pairs import PairReport
from peer.rtc.layers import Layer
from peer.rtc.outbound import OutboundCounts
from peer.rtc.rtcp import SenderReported
from peer.rtc.sender import OutboundPictures, OutboundSound
from peer.rtc.stats import DecodeCounts, InboundCounts

HOST = Candidate("1", 1, "udp", 2130706431, "192.0.2.1", 50000, "host", username_fragment="abcdefgh")
RELAY = Candidate(
    *("2", 1, "udp", 16777215, "203.0.113.7", 3478, "relay"),
    related_address="192.0.2.1",
    related_port=50000,
    url="turn:turn.example",
    relay_protocol="tls",
)
FAR = Candidate("3", 1, "udp", 5, "198.51.100.9", 9, "srflx")
UNTRIED = Candidate("4", 1, "tcp", 5, "198.51.100.9", 9, "host", tcp_type="active")


class Transport:
    stats_id = "transport_1"
    sender_reports = {5: SenderReported(datetime(2026, 1, 1, tzinfo=UTC), 10, 1000)}

    def statistics(self) -> RTCStatsReport:
        return RTCStatsReport()


class Remote:
    kind, mid, width, height = "video", "1", 640, 480

    def __init__(self, counts: dict[str, InboundCounts], layers: list[Layer]) -> None:
        self.counts, self.layers = lambda: counts, layers
        self.layer = layers[-1].rid if layers else None
        self.decoding = lambda: DecodeCounts(20, 3, 5, 96_000, 4800, 960, 2)


class Receiver:
    transport = Transport()

    def __init__(self, counts: dict[str, InboundCounts], *layers: Layer) -> None:
        self.remote = Remote(counts, list(layers))


def inbound(receiver: Receiver) -> list[Any]:
    return list(report.inbound(receiver).values())  # type: ignore[arg-type]


def test_what_came_of_a_stream() -> None:
    counts = InboundCounts("VP8", 5, 100, 3, 9000, 30, 2, 7, 1, 0.002, 4, 1.5, 1, 6.5, 8, 9, 10, 0.25, 11, 12)
    entry, remote = inbound(Receiver({"": counts}))
    assert (entry.freezeCount, entry.totalFreezesDuration) == (4, 1.5)
    assert (entry.pauseCount, entry.totalPausesDuration) == (1, 6.5)
    assert isinstance(entry, RTCInboundRtpStreamStats) and entry.type == "inbound-rtp"
    assert (entry.ssrc, entry.kind, entry.transportId, entry.mid, entry.rid) == (5, "video", "transport_1", "1", "")
    assert (entry.packetsReceived, entry.packetsLost, entry.jitter, entry.codec) == (100, 3, 0.002, "VP8")
    assert (entry.bytesReceived, entry.framesReceived, entry.framesDropped) == (9000, 30, 2 + 5)
    assert (entry.nackCount, entry.pliCount, entry.frameWidth, entry.frameHeight) == (7, 1, 640, 480)
    assert (entry.packetsDiscarded, entry.retransmittedPacketsReceived, entry.firCount) == (8, 10, 0)
    assert (entry.jitterBufferDelay, entry.jitterBufferEmittedCount, entry.framesPerSecond) == (0.25, 11, 12)
    assert (entry.framesDecoded, entry.keyFramesDecoded, entry.totalSamplesReceived) == (20, 3, 96_000)
    assert (entry.concealedSamples, entry.silentConcealedSamples, entry.concealmentEvents) == (4800, 960, 2)
    assert isinstance(remote, RTCRemoteOutboundRtpStreamStats) and remote.type == "remote-outbound-rtp"
    assert (remote.ssrc, remote.packetsSent, remote.bytesSent) == (5, 10, 1000)
    assert remote.remoteTimestamp == datetime(2026, 1, 1, tzinfo=UTC)


def test_each_layer_has_an_entry() -> None:
    counts = {rid: InboundCounts("VP8", ssrc) for rid, ssrc in (("q", 6), ("h", 7))}
    entries = inbound(Receiver(counts, Layer("q", 320, 180), Layer("h", 640, 360)))
    assert [(each.rid, each.ssrc, each.frameWidth, each.frameHeight) for each in entries] == [
        ("q", 6, 320, 180),
        ("h", 7, 640, 360),
    ]
    assert len({each.id for each in entries}) == 2
    assert [each.framesDecoded for each in entries] == [0, 20], "only the layer that is shown is decoded"


def outbound(track: Any) -> dict[str, Any]:
    stream = SimpleNamespace(counts=OutboundCounts(packets=9, frames=7))
    media = SimpleNamespace(stream=stream, ssrc=5, target=300_000)
    sender = SimpleNamespace(media=media, transport=Transport(), kind=track.kind, track=track, codec="VP8")
    return {each.type: each for each in report.outbound(sender).values()}  # type: ignore[arg-type]


async def test_pictures_that_are_sent_have_a_source() -> None:
    shown = OutboundPictures()
    shown.counts.frames, shown.counts.encoded, shown.counts.dropped = 8, 6, 2
    shown.show(Pattern(160, 120, 30))
    entries = outbound(shown)
    source, sent = entries["media-source"], entries["outbound-rtp"]
    assert (source.kind, source.trackIdentifier, source.frames) == ("video", shown.id, 8)
    assert (source.width, source.height) == (160, 120)
    assert sent.mediaSourceId == source.id
    assert (sent.framesSent, sent.framesEncoded, sent.framesDropped) == (7, 6, 2)
    shown.stop()
    source = outbound(shown)["media-source"]
    assert (source.frames, source.width, source.height) == (8, None, None)


async def test_of_other_tracks_no_source_is_known() -> None:
    for track in (OutboundSound(), VideoStreamTrack()):
        entries = outbound(track)
        assert "media-source" not in entries
        sent = entries["outbound-rtp"]
        assert sent.mediaSourceId is sent.framesEncoded is sent.framesDropped is None


def test_nothing_came() -> None:
    assert inbound(Receiver({})) == []


class Ice:
    def __init__(self, *pairs: PairReport) -> None:
        self.pairs = lambda: list(pairs)
        self.candidates, self.remote_candidates = [HOST], [FAR, UNTRIED]


def path(*pairs: PairReport) -> Any:
    outgoing = SimpleNamespace(estimate=1_234_567)
    return SimpleNamespace(ice=Ice(*pairs), dtls=SimpleNamespace(outgoing=outgoing))


def pair(local: Candidate, remote: Candidate, **options: Any) -> PairReport:
    fields = {
        **{"local": local, "remote": remote, "state": "succeeded", "nominated": True, "selected": True},
        **{"round_trip_time": 0.02, "reason": "direct", "bytes_sent": 1, "bytes_received": 2, "packets_sent": 3},
        **{"packets_received": 4, "requests_sent": 5, "responses_received": 6, "requests_received": 7},
        **{"responses_sent": 8, "id": f"{local.foundation}-{remote.foundation}", "priority": 1},
        **{"total_round_trip_time": 0.5, "last_response": None},
    }
    return PairReport(**(fields | options))


def test_candidates_and_their_pairs() -> None:
    found = report.candidates(
        path(pair(HOST, FAR), pair(RELAY, FAR, state="failed", selected=False, round_trip_time=None))
    )
    kinds = [each.type for each in found.values()]
    assert sorted(kinds) == ["candidate-pair"] * 2 + ["local-candidate"] * 2 + ["remote-candidate"] * 2
    for key, each in found.items():
        assert key == each.id and isinstance(each.timestamp, datetime)
    first, second = (each for each in found.values() if each.type == "candidate-pair")
    local, remote = found[first.localCandidateId], found[first.remoteCandidateId]
    assert (local.address, local.port, local.protocol, local.candidateType) == ("192.0.2.1", 50000, "udp", "host")
    assert (local.priority, local.foundation, local.usernameFragment) == (2130706431, "1", "abcdefgh")
    assert (remote.address, remote.candidateType) == ("198.51.100.9", "srflx")
    assert (first.state, first.nominated, first.selected, first.reason) == ("succeeded", True, True, "direct")
    assert (first.currentRoundTripTime, first.bytesSent, first.bytesReceived) == (0.02, 1, 2)
    assert (first.packetsSent, first.packetsReceived, first.totalRoundTripTime) == (3, 4, 0.5)
    counted = first.requestsSent, first.responsesReceived, first.requestsReceived, first.responsesSent
    assert counted == (5, 6, 7, 8)
    assert (second.state, second.selected, second.currentRoundTripTime) == ("failed", False, None)
    assert (first.availableOutgoingBitrate, second.availableOutgoingBitrate) == (1_234_567, None)
    relay = found[second.localCandidateId]
    assert (relay.candidateType, relay.url, relay.relayProtocol) == ("relay", "turn:turn.example", "tls")
    assert (relay.relatedAddress, relay.relatedPort, relay.tcpType) == ("192.0.2.1", 50000, None)


def test_candidates_without_pairs() -> None:
    found = report.candidates(path())
    assert [each.tcpType for each in found.values()] == [None, None, "active"]
