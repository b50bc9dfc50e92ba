"""What is sent about received media is what aiortc, and with it a browser, reads."""

from __future__ import annotations

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

from peer.rtc.feedback import Feedback


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
