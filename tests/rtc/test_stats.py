"""Statistics: rates, and what is found by kind."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import pytest

from peer.rtc.stats import (
    ConnectionStats,
    DecodeCounts,
    InboundCounts,
    InboundStats,
    OutboundStats,
    PairStats,
    bitrate,
    inbound_stats,
    outbound_stats,
)

INBOUND = InboundStats("video-1", "video", "VP8", True, 10, 0, 1000, 5, 0, 5, 0, 1, 0.001, 160, 120)
OUTBOUND = OutboundStats("audio", "opus", 20, 500, 20, 0, None)
PAIR = PairStats("host", "192.0.2.1:5000", "prflx", "192.0.2.2:6000", "udp", 0.02)
NOW = ConnectionStats(100.0, "connected", (INBOUND,), (OUTBOUND,), PAIR)


def test_tracks_are_found_by_kind() -> None:
    assert NOW.received("video") is INBOUND
    assert NOW.received("audio") is None
    assert NOW.sent("audio") is OUTBOUND
    assert NOW.sent("video") is None


def test_a_pair_reads_like_a_sentence() -> None:
    assert str(PAIR) == "host udp 192.0.2.1:5000 - prflx 192.0.2.2:6000"


def test_what_was_sent_is_put_together_from_the_entries_of_w3c() -> None:
    sent = SimpleNamespace(type="outbound-rtp", kind="video", codec="VP8", packetsSent=9, bytesSent=900, framesSent=7)
    sent.framesEncoded, sent.framesDropped = 5, 2
    said = SimpleNamespace(type="remote-inbound-rtp", packetsLost=1, roundTripTime=0.05)
    source, path = SimpleNamespace(type="media-source", frames=8), SimpleNamespace(type="transport")
    assert outbound_stats([source, sent, said, path]) == OutboundStats("video", "VP8", 9, 900, 7, 1, 0.05, 8, 5, 2)
    sent.framesEncoded = sent.framesDropped = None
    assert outbound_stats([sent]) == OutboundStats("video", "VP8", 9, 900, 7, 0, None)


def test_rates_are_in_bits_per_second() -> None:
    later = replace(
        NOW,
        time=102.0,
        inbound=(replace(INBOUND, bytes_received=2000), replace(INBOUND, track="audio-0", bytes_received=500)),
        outbound=(replace(OUTBOUND, bytes_sent=1500),),
    )
    assert bitrate(NOW, later) == (6000, 4000)


def test_rates_never_divide_by_zero_or_go_below_it() -> None:
    assert bitrate(NOW, NOW) == (0, 0)
    assert bitrate(replace(NOW, time=101), NOW) == (0, 0)
    fewer = replace(NOW, time=101, inbound=(), outbound=())
    assert bitrate(NOW, fewer) == (0, 0)


def test_a_snapshot_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        NOW.state = "closed"  # type: ignore[misc]


def test_of_layers_what_came_is_added_and_the_rest_is_of_the_one_shown() -> None:
    shown = InboundCounts("VP8", 5, 100, 3, 9000, 30, 2, 7, 1, 0.002, 4, 1.5, 1, 6.5, 8, 9, 10, 0.25, 11, 12)
    other = InboundCounts("VP8", 6, 50, 1, 2000, 15, 1, 2, 3, 0.1, 1, 1, 1, 1, 1, 2, 3, 1, 1, 1)
    decoding = DecodeCounts(20, 3, 5, 96_000, 4800, 960, 2)
    stats = inbound_stats(
        [shown, other], shown, decoding, track="video-1", kind="video", active=True, frame_width=640, frame_height=480
    )
    assert (stats.track, stats.kind, stats.codec, stats.active) == ("video-1", "video", "VP8", True)
    assert (stats.packets_received, stats.packets_lost, stats.bytes_received) == (150, 4, 11_000)
    assert (stats.frames_received, stats.frames_dropped, stats.frames_decoded) == (30, 2 + 5, 20)
    assert (stats.nack_count, stats.pli_count, stats.jitter) == (9, 4, 0.002)
    assert (stats.frame_width, stats.frame_height, stats.frames_per_second) == (640, 480, 12)
    assert (stats.freeze_count, stats.total_freezes_duration) == (4, 1.5)
    assert (stats.pause_count, stats.total_pauses_duration) == (1, 6.5)
    assert (stats.packets_discarded, stats.packets_repaired, stats.retransmitted_packets_received) == (9, 11, 13)
    assert (stats.jitter_buffer_delay, stats.jitter_buffer_emitted_count) == (0.25, 11)
    assert (stats.key_frames_decoded, stats.total_samples_received) == (3, 96_000)
    assert (stats.concealed_samples, stats.silent_concealed_samples, stats.concealment_events) == (4800, 960, 2)
