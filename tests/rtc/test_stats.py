"""Statistics: rates, and what is found by kind."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from peer.rtc.stats import ConnectionStats, InboundStats, OutboundStats, PairStats, bitrate

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
