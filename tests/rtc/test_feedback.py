"""What is sent about received media is what aiortc, and with it a browser, reads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiortc.rtp import (
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    unpack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.feedback import FEEDBACK_INTERVAL, MAX_SSRCS, Bandwidth, Feedback


def said(method: str, *arguments: Any) -> Any:
    sent: list[bytes] = []
    getattr(Feedback(7, sent.append), method)(*arguments)
    (data,) = sent
    (packet,) = RtcpPacket.parse(data)
    return packet


@given(st.sets(st.integers(0, 0xFFFF), min_size=1, max_size=60))
def test_packets_are_asked_for_again(lost: set[int]) -> None:
    packet = said("nack", 5, list(lost))
    assert isinstance(packet, RtcpRtpfbPacket)
    assert (packet.fmt, packet.ssrc, packet.media_ssrc, set(packet.lost)) == (1, 7, 5, lost)


def test_a_picture_is_asked_for() -> None:
    packet = said("pli", 5)
    assert isinstance(packet, RtcpPsfbPacket)
    assert (packet.fmt, packet.ssrc, packet.media_ssrc) == (1, 7, 5)


def test_the_estimated_bandwidth() -> None:
    packet = said("remb", 1_000_000, [5, 6])
    assert isinstance(packet, RtcpPsfbPacket)
    bitrate, ssrcs = unpack_remb_fci(packet.fci)
    assert bitrate == pytest.approx(1_000_000, rel=0.01) and ssrcs == [5, 6]


@pytest.mark.parametrize("streams", [1, 31, 40])
def test_reports_fit_into_one_packet(streams: int) -> None:
    reports = [
        RtcpReceiverInfo(ssrc=ssrc, fraction_lost=1, packets_lost=2, highest_sequence=3, jitter=4, lsr=5, dlsr=6)
        for ssrc in range(streams)
    ]
    packet = said("receiver_report", reports)
    assert isinstance(packet, RtcpRrPacket)
    assert packet.ssrc == 7 and packet.reports == reports[:31]


def test_all_streams_share_one_estimate() -> None:
    """Two streams of about 400 kb/s each: the estimate is for both."""
    bandwidth, now, estimate = Bandwidth(), 10.0, None
    for number in range(2000):
        now += 0.01
        sent = int(now * (1 << 18)) & 0xFFFFFF
        estimate = bandwidth.arrived(sent, 1000, 5 + number % 2, now) or estimate
    assert estimate is not None and estimate[1] == [5, 6]
    assert 700_000 < estimate[0] < 1_300_000


def test_an_estimate_names_the_newest_streams_only() -> None:
    bandwidth, now, named = Bandwidth(), 10.0, []
    for ssrc in range(1000):
        now += 0.01
        _, named = bandwidth.arrived(int(now * (1 << 18)) & 0xFFFFFF, 1000, ssrc, now) or (0, named)
    assert len(named) == MAX_SSRCS and min(named) > 900


@pytest.mark.virtual_time
async def test_arrivals_are_told_every_tenth_of_a_second_while_there_are_any() -> None:
    sent: list[bytes] = []
    bandwidth, out = Bandwidth(), Feedback(7, sent.append)
    for number in range(30):
        bandwidth.note_arrival(number, 5, out, time.monotonic())
        await asyncio.sleep(FEEDBACK_INTERVAL / 10)
    await asyncio.sleep(10)
    packets = [packet for data in sent for packet in RtcpPacket.parse(data)]
    assert 3 <= len(packets) <= 4
    for packet in packets:
        assert isinstance(packet, RtcpRtpfbPacket)
        assert (packet.fmt, packet.ssrc, packet.media_ssrc) == (15, 7, 5)
