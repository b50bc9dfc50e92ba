"""What is sent about received media is what aiortc, and with it a browser, reads."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

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

from peer.rtc.feedback import MAX_NOTED, MAX_SSRCS, REMB_INTERVAL, Bandwidth, Feedback
from peer.rtc.ticks import TICK

if TYPE_CHECKING:
    from collections.abc import Iterable


def said(method: str, *arguments: Any) -> Any:
    sent: list[bytes] = []
    getattr(Feedback(7, sent.append, lambda: None), method)(*arguments)
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


class Told:
    """Takes the estimates that are sent."""

    def __init__(self) -> None:
        self.rembs: list[tuple[int, list[int]]] = []

    def remb(self, bitrate: int, ssrcs: list[int]) -> None:
        self.rembs.append((bitrate, ssrcs))


async def timed(bandwidth: Bandwidth, out: Any, ssrcs: Iterable[int]) -> None:
    """Packets of 1000 bytes, one each 10 ms, that say when they left."""
    for ssrc in ssrcs:
        now = asyncio.get_running_loop().time()
        bandwidth.timed(int(now * (1 << 18)) & 0xFFFFFF, 1000, ssrc, out, now)
        await asyncio.sleep(0.01)


@pytest.mark.virtual_time
async def test_all_streams_share_one_estimate() -> None:
    """Two streams of about 400 kb/s each: the estimate is for both."""
    bandwidth, out = Bandwidth(), Told()
    await timed(bandwidth, out, [5 + number % 2 for number in range(2000)])
    estimate, named = out.rembs[-1]
    assert named == [5, 6] and 700_000 < estimate < 1_400_000
    assert 25 <= len(out.rembs) <= 17 / REMB_INTERVAL, "told twice a second or so after the first three"


@pytest.mark.virtual_time
async def test_an_estimate_names_the_newest_streams_only() -> None:
    bandwidth, out = Bandwidth(), Told()
    await timed(bandwidth, out, range(1000))
    _, named = out.rembs[-1]
    assert len(named) == MAX_SSRCS and min(named) > 900


@pytest.mark.virtual_time
async def test_what_is_noted_is_bounded() -> None:
    bandwidth, out = Bandwidth(), Feedback(7, lambda _: None, lambda: None)
    for number in range(3 * MAX_NOTED):
        bandwidth.numbered(number, 5, out, asyncio.get_running_loop().time())
    assert len(vars(bandwidth)["_numbered"]) <= MAX_NOTED + 1
    await asyncio.sleep(1)
    assert vars(bandwidth)["_numbered"] == []


@pytest.mark.virtual_time
async def test_arrivals_are_told_every_tenth_of_a_second_while_there_are_any() -> None:
    sent: list[bytes] = []
    bandwidth, out = Bandwidth(), Feedback(7, sent.append, lambda: None)
    for number in range(30):
        bandwidth.numbered(number, 5, out, asyncio.get_running_loop().time())
        await asyncio.sleep(TICK / 10)
    await asyncio.sleep(10)
    assert 3 <= len(sent) <= 5
    for packet in sent:
        first, kind, _, ssrc, media_ssrc = struct.unpack_from("!BBHII", packet)
        assert (first & 0x1F, kind, ssrc, media_ssrc) == (15, 205, 7, 5)


@pytest.mark.virtual_time
async def test_nothing_is_sent_any_more_after_the_end() -> None:
    """Packets may still come until the socket is closed."""
    sent: list[bytes] = []
    out = Feedback(7, sent.append, lambda: None)
    told, over = Bandwidth(), Bandwidth()
    told.numbered(1, 5, out, 0.0)
    over.close()
    over.numbered(1, 5, out, 0.0)
    await asyncio.sleep(2 * TICK)
    assert len(sent) == 1
    told.close()
