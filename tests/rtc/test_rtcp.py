"""Which streams of ours an RTCP packet is about, whatever is in it."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket, RtcpRtpfbPacket, pack_remb_fci
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.rtcp import media_sources

REPORT = RtcpReceiverInfo(ssrc=7, fraction_lost=0, packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0)

FIR = bytes([0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("packet", "ssrcs"),
    [
        (RtcpRrPacket(ssrc=1, reports=[REPORT, REPORT]), [7, 7]),
        (RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=7), [7]),
        (RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=7), [7]),
        (RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(100, [7, 8])), [7, 8]),
        (
            RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=FIR),
            [7, 8],
        ),
        (RtcpByePacket(sources=[7]), []),
    ],
    ids=["reports", "PLI", "NACK", "REMB", "FIR", "BYE"],
)
def test_what_it_is_about(packet: Any, ssrcs: list[int]) -> None:
    assert media_sources(packet) == ssrcs


@given(st.integers(0, 31), st.binary(max_size=40))
def test_whatever_is_in_it(kind: int, content: bytes) -> None:
    packet = RtcpPsfbPacket(fmt=kind, ssrc=1, media_ssrc=7, fci=content)
    with contextlib.suppress(ValueError, struct.error):  # what its caller passes over
        assert all(0 <= ssrc < 1 << 32 for ssrc in media_sources(packet))
