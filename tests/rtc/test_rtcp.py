"""Which streams of ours an RTCP packet is about, whatever is in it."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    pack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.rtcp import estimated, media_sources
from tests.harness.examples import examples

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


def test_what_it_estimates() -> None:
    assert estimated(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(100_000, [7]))) == 100_000
    assert estimated(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=7)) is None
    with pytest.raises(ValueError, match="REMB"):
        estimated(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=b"LNTF1234"))


RTCP = st.builds(
    lambda head, kind, words, remb: (
        bytes([0x80 | head, kind]) + words.to_bytes(2, "big") + (b"\0" * 8 + b"REMB" if remb else b"")
    ),
    st.integers(0, 63),
    st.sampled_from([192, 200, 201, 202, 203, 204, 205, 206, 207]),
    st.integers(0, 12),
    st.booleans(),
)


@examples(300)
@given(st.lists(st.tuples(RTCP, st.binary(max_size=48)), min_size=1, max_size=3), st.binary(max_size=20))
def test_hostile_bytes_raise_nothing_but_value_error_and_struct_error(
    parts: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    """What is known of aiortc's parser, and enough for those who take what it gave."""
    whole = [head + body[: len(body) // 4 * 4] for head, body in parts]
    exact = [data[:2] + (len(data) // 4 - 1).to_bytes(2, "big") + data[4:] for data in whole]
    for data in (b"".join(whole) + rest, b"".join(exact), b"".join(exact) + rest):
        with contextlib.suppress(ValueError, struct.error):
            for packet in RtcpPacket.parse(data):
                media_sources(packet)


@given(st.integers(0, 31), st.binary(max_size=40))
def test_whatever_is_in_it(kind: int, content: bytes) -> None:
    packet = RtcpPsfbPacket(fmt=kind, ssrc=1, media_ssrc=7, fci=content)
    with contextlib.suppress(ValueError, struct.error):  # what its caller passes over
        assert all(0 <= ssrc < 1 << 32 for ssrc in media_sources(packet))
