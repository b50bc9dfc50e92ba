"""Every private name of aiortc and aioice that `peer.rtc.stock` uses: there, and doing what is counted on."""

from __future__ import annotations

import ast
import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioice
import pytest
from aiortc import RTCIceGatherer, RTCIceTransport, RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpSenderInfo,
    RtcpSrPacket,
    RtpPacket,
    is_rtcp,
    unpack_remb_fci,
)

from peer.rtc import stock
from tests.rtc.wires import PATIENCE, Stock, connect, end_and_stock, frames, two_ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiortc.rtcrtpparameters import RTCRtpReceiveParameters

SOURCE = Path(stock.__file__)

NAMES = {
    "aioice": {"_closing", "_nominated"},
    "aiortc": {
        *("_codecs", "_connection", "_send_rtp", "_get_mline_index", "_set_mline_index", "_ssrc"),
        *("_register_rtp_receiver", "_unregister_rtp_receiver"),
        *("_handle_disconnect", "_handle_rtcp_packet", "_handle_rtp_packet"),
    },
    "ours": {"_tuned", "_consent_check", "_Registered", "_stream", "_transport", "_spawn", "_send"},
}
"""What tests below stand for; a name that is used and not listed here fails."""


def test_the_versions_are_the_pinned_ones() -> None:
    assert version("aiortc").startswith("1.16.") and version("aioice").startswith("0.13.")


def test_every_private_name_is_known_here() -> None:
    tree = ast.parse(SOURCE.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
    used = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert used <= set().union(*NAMES.values())


class Recorder:
    """A stream that writes down what it gets."""

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[tuple[int, int, int]] = []
        self.configured = 0
        self.closed = 0
        self.fails = False

    def configure(self, parameters: RTCRtpReceiveParameters) -> None:
        self.configured += 1

    def rtp(self, packet: RtpPacket, now: float) -> None:
        if self.fails:
            raise RuntimeError("stream")
        self.packets.append(packet)

    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None:
        self.reports.append((ssrc, ntp, rtp_timestamp))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
async def pc() -> AsyncIterator[RTCPeerConnection]:
    connection = RTCPeerConnection()
    yield connection
    await connection.close()


# Receiving


def test_the_methods_that_are_replaced_exist_and_are_coroutines() -> None:
    for name in ("receive", "stop"):
        assert asyncio.iscoroutinefunction(getattr(RTCRtpReceiver, name))
    for name in ("_handle_disconnect", "_handle_rtcp_packet", "_handle_rtp_packet"):
        assert callable(getattr(RTCRtpReceiver, name))


async def test_a_stream_is_configured_fed_and_closed_by_the_engine() -> None:
    async with end_and_stock() as (end, other):
        other.send("video")
        await other.pc.setLocalDescription(await other.pc.createOffer())
        stream = Recorder()
        adopt = end.connection._adopt
        end.connection._adopt = lambda transceiver: stock.take_over(transceiver.receiver, stream)  # type: ignore[assignment,method-assign,misc]
        from signaling.messages import SessionDescription

        answer = await end.connection.answer(SessionDescription("offer", other.pc.localDescription.sdp))
        end.connection._adopt = adopt  # type: ignore[method-assign]
        from aiortc import RTCSessionDescription

        await other.pc.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await end.watcher.heard("connected")
        await _until(lambda: len(stream.packets) >= 3)
        assert stream.configured == 1 and stream.closed == 0
        receiver = end.connection._pc.getTransceivers()[0].receiver
        await receiver.stop()
        assert stream.closed == 1
        taken = len(stream.packets)
        sent = (await other.pc.getSenders()[0].getStats()).values()
        assert any(entry.type == "outbound-rtp" for entry in sent)
        await asyncio.sleep(0.1)  # a packet that is on its way needs no longer than this
        assert len(stream.packets) == taken, "it is out of the router"


async def _until(true: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.01)


async def test_rtcp_is_read_and_a_failing_stream_harms_nobody(pc: RTCPeerConnection) -> None:
    receiver = pc.addTransceiver("video").receiver
    stream = Recorder()
    stock.take_over(receiver, stream)
    registered = receiver.receive.__self__  # type: ignore[attr-defined]
    info = RtcpSenderInfo(ntp_timestamp=7 << 32, rtp_timestamp=9, packet_count=1, octet_count=1)
    await registered._handle_rtcp_packet(RtcpSrPacket(ssrc=5, sender_info=info))
    assert stream.reports == [(5, 7 << 32, 9)]
    await registered._handle_rtcp_packet(RtcpByePacket(sources=[5]))
    registered._handle_disconnect()
    assert stream.closed == 0
    stream.fails = True
    await registered._handle_rtp_packet(RtpPacket(), 0)


# Feedback


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.broken = False

    async def _send_rtp(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionError
        self.sent.append(data)


async def test_feedback_is_what_the_rfcs_say(pc: RTCPeerConnection) -> None:
    transceiver = pc.addTransceiver("video")
    wire, sending = Wire(), []
    out = stock.RtcpOut(transceiver, sending.append)
    out._transport = wire  # type: ignore[assignment]
    out.nack(7, [3, 1, 2])
    out.pli(7)
    out.remb(1_000_000, [7, 8])
    report = RtcpReceiverInfo(ssrc=7, fraction_lost=1, packets_lost=2, highest_sequence=3, jitter=4, lsr=5, dlsr=6)
    out.receiver_report([report])
    for work in sending:
        await work
    assert all(is_rtcp(data) for data in wire.sent)
    nack, pli, remb, rr = (RtcpPacket.parse(data)[0] for data in wire.sent)
    own = transceiver.sender._ssrc
    assert all(packet.ssrc == own for packet in (nack, pli, remb, rr))
    assert (nack.fmt, nack.media_ssrc, nack.lost) == (RTCP_RTPFB_NACK, 7, [1, 2, 3])
    assert (pli.fmt, pli.media_ssrc) == (RTCP_PSFB_PLI, 7)
    assert remb.fmt == RTCP_PSFB_APP
    bitrate, ssrcs = unpack_remb_fci(remb.fci)
    assert bitrate == pytest.approx(1_000_000, rel=0.01) and ssrcs == [7, 8]
    assert rr.reports == [report]
    wire.broken = True
    await out._send(wire.sent[0])


# ICE


async def test_tuning_replaces_what_aioice_calls_and_only_once() -> None:
    transport = RTCIceTransport(RTCIceGatherer(iceServers=[]))
    connection = transport._connection
    assert isinstance(connection, aioice.Connection)
    assert asyncio.iscoroutinefunction(aioice.Connection.get_component_candidates)
    assert asyncio.iscoroutinefunction(aioice.Connection.query_consent)
    stock.tune_ice(transport, Watch())
    gather = connection.get_component_candidates
    stock.tune_ice(transport, Watch())
    assert connection.get_component_candidates is gather
    await transport.iceGatherer.gather()
    assert transport.iceGatherer.getLocalCandidates()
    await transport.stop()


class Watch:
    round_trip_time: float | None = None

    def heard(self, now: float) -> None: ...


async def test_loopback_is_gathered_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: [])
    transport = RTCIceTransport(RTCIceGatherer(iceServers=[]))
    stock.tune_ice(transport, Watch())
    await transport.iceGatherer.gather()
    assert [candidate.ip for candidate in transport.iceGatherer.getLocalCandidates()] == ["127.0.0.1"]
    await transport.stop()


async def test_a_closed_connection_starts_no_checks() -> None:
    transport = RTCIceTransport(RTCIceGatherer(iceServers=[]))
    stock.tune_ice(transport, Watch())
    await transport._connection.close()
    assert transport._connection._closing is True
    async with asyncio.timeout(1):
        await transport._connection.query_consent()


async def test_the_selected_pair_and_the_codec_can_be_read() -> None:
    async with two_ends() as (caller, callee):
        transport = None
        caller.send_pictures()
        await connect(caller, callee)
        transport = caller.connection._ice_transport()
        assert transport is not None
        pair = stock.selected_pair(transport)
        assert pair is not None and pair[0].type == "host" and pair[1].port > 0
        transceivers = caller.connection._pc.getTransceivers()
        assert [stock.sending_codec(t) for t in transceivers] == ["opus", "VP8"]
        await frames(callee.track("video"), 1)


async def test_before_there_is_a_pair_or_a_codec(pc: RTCPeerConnection) -> None:
    transceiver = pc.addTransceiver("audio")
    assert stock.sending_codec(transceiver) == ""
    assert stock.selected_pair(transceiver.receiver.transport.transport) is None


async def test_a_retired_transceiver_leaves_its_m_line(pc: RTCPeerConnection) -> None:
    transceiver = pc.addTransceiver("audio")
    pc.addTransceiver("video")
    await pc.setLocalDescription(await pc.createOffer())
    assert transceiver._get_mline_index() == 0 and not stock.retired(transceiver)
    stock.retire(transceiver)
    assert stock.retired(transceiver)


async def test_gathering_does_not_wait_long_for_a_silent_server() -> None:
    other = Stock()
    try:
        calls: list[int] = []
        transport = RTCIceTransport(RTCIceGatherer(iceServers=[]))

        async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[Any]:
            calls.append(timeout)
            return []

        transport._connection.get_component_candidates = gather  # type: ignore[method-assign]
        stock.tune_ice(transport, Watch())
        await transport._connection.gather_candidates()
        assert calls == [stock.GATHER_TIMEOUT]
        await transport.stop()
    finally:
        await other.close()
