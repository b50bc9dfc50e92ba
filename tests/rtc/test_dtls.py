"""The packet path is plain calls that no bytes can break; and aiortc is inside as it is counted on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import aiortc
import pylibsrtp
import pytest
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
)
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st
from pyee.asyncio import AsyncIOEventEmitter
from pylibsrtp import Policy, Session

from peer.rtc import dtls as module
from peer.rtc.dtls import (
    HANDSHAKE_TIMEOUT,
    MAX_EARLY,
    DtlsTransport,
    SctpTransport,
    close_channel,
    data_on_its_way,
)
from peer.rtc.icepipe import IcePipe
from peer.rtc.pacer import PICTURE
from peer.rtc.rtcp import MAX_REPORTED
from peer.rtc.transportwide import Arrivals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from peer.rtc.packet import RtpPacket

CERTIFICATES = RTCCertificate.generateCertificate(), RTCCertificate.generateCertificate()
KEY = bytes(range(30))


class Ice:
    """A path that keeps what is sent, and hands it to the other side in the next turn of the loop."""

    role, state = "controlling", "connected"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.other: Callable[[bytes], None] | None = None
        self.sending: Callable[[], None] = lambda: None

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.sending()
        if self.other is not None:
            asyncio.get_running_loop().call_soon(self.other, data)

    def send_all(self, packets: list[bytes]) -> None:
        for data in packets:
            self.send(data)

    def heard(self, now: float) -> None: ...


class Stream:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[tuple[int, int, int]] = []

    def rtp(self, packets: list[RtpPacket], layer: str) -> None:
        self.packets += packets

    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None:
        self.reports.append((ssrc, ntp, rtp_timestamp))


class Sender:
    """What `DtlsTransport` wants of a sender: its SSRC, and to be told what is said about it."""

    kind, active = "audio", True

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self.told: list[Any] = []

    def take_rtcp(self, packet: Any) -> None:
        self.told.append(packet)


def transport(number: int = 0) -> tuple[DtlsTransport, Ice]:
    ice = Ice()
    return DtlsTransport(ice, CERTIFICATES[number]), ice  # type: ignore[arg-type]


def media(to: DtlsTransport, *packets: bytes) -> None:
    """As ICE hands them on."""
    to.media([(data, ("192.0.2.1", 9), time.monotonic()) for data in packets])


def into(to: DtlsTransport) -> Callable[[bytes], None]:
    """What takes a packet of any kind, as ICE tells them apart."""
    return lambda data: media(to, data) if data[0] > 127 else to.packet(data)


def keyed() -> tuple[DtlsTransport, Session]:
    """A transport that has keys though there was no handshake, and the session of who sends to it."""
    one, _ = transport()
    inbound = Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND)
    outbound = Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND)
    inbound.allow_repeat_tx = outbound.allow_repeat_tx = True
    vars(one)["_rx_srtp"] = Session(inbound)
    return one, Session(outbound)


def rtp(sequence: int = 1, ssrc: int = 5, payload: bytes = b"sound") -> bytes:
    return b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[DtlsTransport, DtlsTransport]]:
    """Two ends that trust each other, before the handshake."""
    (first, here), (second, there) = transport(0), transport(1)
    here.other, there.other = into(second), into(first)
    try:
        yield first, second
    finally:
        for each in (first, second):
            await each.stop()
            each.abandon()
        for _ in range(3):
            await asyncio.sleep(0)


def fingerprints(number: int) -> list[tuple[str, str]]:
    return [(each.algorithm, each.value) for each in CERTIFICATES[number].getFingerprints()]


async def shake(first: DtlsTransport, second: DtlsTransport, role: str = "client") -> None:
    other = "server" if role == "client" else "client"
    async with asyncio.timeout(10):
        await asyncio.gather(first.handshake(fingerprints(1), role), second.handshake(fingerprints(0), other))


@pytest.fixture
async def pair() -> AsyncIterator[tuple[DtlsTransport, DtlsTransport]]:
    async with two() as ends:
        await shake(*ends)
        yield ends


async def passed(ice: Any) -> None:
    """Until what was sent has arrived."""
    for _ in range(3):
        await asyncio.sleep(0)


# What is private in aiortc


def test_the_version_that_the_rest_of_this_file_was_written_for() -> None:
    assert aiortc.__version__.startswith("1.16.")


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (RTCDtlsTransport, "_set_role", ["self", "role"]),
        (RTCDtlsTransport, "_get_stats", ["self"]),
        (RTCDtlsTransport, "_set_state", ["self", "state"]),
        (RTCDtlsTransport, "_send_data", ["self", "data"]),
        (RTCSctpTransport, "_receive_chunk", ["self", "chunk"]),
        (RTCSctpTransport, "_reconfig_timer_cancel", ["self"]),
        (RTCSctpTransport, "_t1_cancel", ["self"]),
        (RTCSctpTransport, "_t2_cancel", ["self"]),
        (RTCSctpTransport, "_t3_cancel", ["self"]),
        (RTCSctpTransport, "_t1_expired", ["self"]),
        (RTCSctpTransport, "_send_chunk", ["self", "chunk"]),
        (RTCDataChannel, "_addBufferedAmount", ["self", "amount"]),
        (RTCSctpTransport, "_handle_data", ["self", "data"]),
        (RTCDataChannel, "_setReadyState", ["self", "state"]),
    ],
)
def test_the_private_methods_are_there(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


async def test_no_other_private_name_is_used() -> None:
    """Who uses another one writes the test for it too."""
    theirs = RTCDtlsTransport(Ice(), [CERTIFICATES[0]])  # type: ignore[arg-type]
    sctp = RTCSctpTransport(theirs)
    channel = RTCDataChannel(sctp, RTCDataChannelParameters("any"))
    assert set(vars(module)["_OF_ONE_ASSOCIATION"]) <= set(vars(sctp))
    used = set(re.findall(r"(?:\.|def )(_[a-zA-Z]\w*)", inspect.getsource(module)))
    private = {name for name in used if any(hasattr(each, name) for each in (theirs, sctp, channel))}
    ours = {name for name in private if hasattr(AsyncIOEventEmitter(), name) or name in vars(IcePipe)}
    assert private - ours == {
        # DTLS
        *("_set_role", "_state", "_set_state", "_send_data", "_get_stats", "_stats_id", "_task", "_ssl"),
        *("_rx_srtp", "_tx_srtp", "_RTCDtlsTransport__handshake_done"),
        # data channels
        *("_handle_data", "_receive_chunk", "_association_state", "_remote_verification_tag", "_data_channels"),
        *("_data_channel_queue", "_outbound_queue", "_sent_queue", "_setReadyState", "_addBufferedAmount"),
        *("_reconfig_timer_cancel", "_t1_cancel", "_t2_cancel", "_t3_cancel"),
        *("_send_chunk", "_t1_expired", "_t1_failures", "_rto", "_local_port", "_remote_port"),
    }


async def test_the_pipe_is_all_that_dtls_wants_of_its_path(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    """`_recv`, `_send` and `role`; nothing else of an ICE transport is asked for."""
    first, second = pair
    assert (first.state, second.state) == ("connected", "connected")
    assert (first.pipe.role, first.pipe.state) == ("controlling", "connected")
    assert first.transport is first.pipe  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("role", ["client", "server"])
async def test_the_role_decides_who_begins(role: str) -> None:
    async with two() as (first, second):
        begun: list[str] = []
        for name, each in (("first", first), ("second", second)):
            ice: Any = each.pipe.ice
            ice.sending = lambda name=name: begun.append(name)
        await shake(first, second, role)
        assert begun[0] == ("first" if role == "client" else "second")


async def test_keys_are_there_after_the_handshake_only() -> None:
    async with two() as (first, second):
        assert vars(first)["_rx_srtp"] is None and vars(first)["_tx_srtp"] is None
        await shake(first, second)
        data = rtp()
        assert vars(second)["_rx_srtp"].unprotect(vars(first)["_tx_srtp"].protect(data)) == data
        assert vars(first)["_rx_srtp"].unprotect_rtcp(vars(second)["_tx_srtp"].protect_rtcp(bye())) == bye()


async def test_a_certificate_that_was_not_named_ends_the_handshake() -> None:
    async with two() as (first, second), asyncio.timeout(10):
        await asyncio.gather(first.handshake(fingerprints(0), "client"), second.handshake(fingerprints(0), "server"))
        assert first.state == "failed"


@pytest.mark.virtual_time
async def test_a_handshake_that_is_not_taken_up_fails(caplog: pytest.LogCaptureFixture) -> None:
    async with two() as (first, second):
        first.pipe.ice.other = None
        await first.handshake(fingerprints(1), "client")
        assert (first.state, second.state) == ("failed", "new")
    assert f"within {HANDSHAKE_TIMEOUT:g} s" in caplog.text


async def test_a_channel_is_closed_and_tells_it() -> None:
    channel = RTCDataChannel(RTCSctpTransport(transport()[0]), RTCDataChannelParameters("any"))
    told: list[str] = []
    channel.on("close", lambda: told.append("close"))
    close_channel(channel)
    close_channel(channel)
    assert (channel.readyState, told) == ("closed", ["close"])


# Packets in


def test_a_packet_is_with_the_receiver_when_the_call_returns() -> None:
    """There is no loop here at all, so no queue, task or timer that could be on its way."""
    one, far = keyed()
    stream = Stream()
    one.router.add("0", stream, [0])
    threads = threading.active_count()
    for sequence in range(100):
        media(one, far.protect(rtp(sequence)))
        assert [each.sequence_number for each in stream.packets[-1:]] == [sequence]
    assert threading.active_count() == threads
    assert (one.packets_received, one.bytes_received) == (100, 100 * (len(rtp()) + 10))


async def test_on_a_loop_no_task_is_made_either(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    first, second = pair
    stream = Stream()
    second.router.add("0", stream, [0])
    data = [vars(first)["_tx_srtp"].protect(rtp(sequence)) for sequence in range(20)]
    before = asyncio.all_tasks()
    for each in data:
        media(second, each)
    assert len(stream.packets) == 20 and asyncio.all_tasks() == before


async def test_what_comes_before_the_keys_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async with two() as (client, server):
        stream = Stream()
        client.router.add("0", stream, [0])

        def begin() -> None:
            """The server has its keys while its last packets are on their way to the client."""
            if server.state == "connected":
                assert client.state == "connecting"
                for sequence in range(MAX_EARLY + 20):
                    media(client, vars(server)["_tx_srtp"].protect(rtp(sequence)))
                assert stream.packets == []

        server.on("statechange", begin)
        await shake(client, server)
        assert [each.sequence_number for each in stream.packets] == list(range(20, MAX_EARLY + 20))


def test_a_receiver_that_raises_costs_its_packet_only(caplog: pytest.LogCaptureFixture) -> None:
    one, far = keyed()

    class Broken(Stream):
        def rtp(self, packets: list[RtpPacket], layer: str) -> None:
            super().rtp(packets, layer)
            raise RuntimeError("receiver")

    stream = Broken()
    one.router.add("0", stream, [0])
    media(one, far.protect(rtp(1)))
    media(one, far.protect(rtp(2)))
    assert len(stream.packets) == 2 and "RuntimeError: receiver" in caplog.text


def test_what_nobody_takes_is_dropped() -> None:
    one, far = keyed()
    media(one, far.protect(rtp()))
    media(one, far.protect_rtcp(sender_report(9)))


@given(st.binary(max_size=80))
def test_hostile_bytes_never_raise(data: bytes) -> None:
    for one in (transport()[0], keyed()[0]):
        one.router.add("0", Stream(), [0])
        one.packet(data)
        media(one, b"\x80" + data)
        media(one, b"\x80\xc8" + data)


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 31), st.integers(192, 207))
def test_hostile_bytes_with_the_right_keys_never_raise(header: bytes, body: bytes, count: int, kind: int) -> None:
    one, far = keyed()
    stream, sender = Stream(), Sender(5)
    one.router.add("0", stream, [0])
    one.router.extensions(1, 2, 3)
    one.add_sender(sender)
    hostile_rtp = bytes([0x80 | count, header[0] & 0x3F if header else 0]) + bytes(10) + header + body
    hostile_rtcp = bytes([0x80 | count, kind, 0, len(body) // 4]) + body
    for protect, data in ((far.protect, hostile_rtp), (far.protect_rtcp, hostile_rtcp + bytes(8))):
        try:
            protected = protect(data)
        except pylibsrtp.Error:  # libsrtp itself takes only what looks right
            continue
        media(one, protected)


def test_packets_that_are_larger_than_any_are_dropped() -> None:
    one, _ = keyed()
    for data in (b"\x80" + bytes(65000), b"\x80\xc8" + bytes(65000)):
        one.packet(data)


# RTCP to senders


def bye(*ssrcs: int) -> bytes:
    return bytes(RtcpByePacket(sources=list(ssrcs) or [9]))


def sender_report(ssrc: int, *about: int, ntp: int = 1 << 63) -> bytes:
    info = RtcpSenderInfo(ntp_timestamp=ntp, rtp_timestamp=7, packet_count=3, octet_count=4)
    return bytes(RtcpSrPacket(ssrc=ssrc, sender_info=info, reports=[block(each) for each in about]))


def block(ssrc: int) -> RtcpReceiverInfo:
    return RtcpReceiverInfo(ssrc=ssrc, fraction_lost=0, packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0)


def nack(ssrc: int, lost: list[int]) -> bytes:
    packet = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=ssrc)
    packet.lost = lost
    return bytes(packet)


def fir(*ssrcs: int) -> bytes:
    """RFC 5104 section 4.3.1.1: the media source of the packet itself is 0."""
    entries = b"".join(ssrc.to_bytes(4, "big") + bytes([1, 0, 0, 0]) for ssrc in ssrcs)
    return bytes(RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=entries))


@pytest.mark.parametrize(
    "data",
    [
        nack(5, [1, 2]),
        bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=5)),
        fir(5),
        bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(100_000, [5]))),
        bytes(RtcpRrPacket(ssrc=1, reports=[block(5)])),
        sender_report(1, 5),
        bytes(RtcpRrPacket(ssrc=1, reports=[])) + fir(5),
    ],
    ids=["NACK", "PLI", "FIR", "REMB", "RR", "SR", "compound"],
)
def test_what_is_said_about_a_sender_reaches_it(data: bytes) -> None:
    one, far = keyed()
    right, wrong = Sender(5), Sender(6)
    for each in (right, wrong):
        one.add_sender(each)
    media(one, far.protect_rtcp(data))
    assert len(right.told) == 1 and wrong.told == []
    one.remove_sender(right)
    one.remove_sender(right)
    media(one, far.protect_rtcp(data))
    assert len(right.told) == 1


def test_an_estimate_counts_once_for_the_path() -> None:
    one, far = keyed()
    remb = bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(100_000, [5])))
    media(one, far.protect_rtcp(remb))
    assert one.outgoing.estimate is None, "it is about none of ours"
    one.add_sender(Sender(5))
    media(one, far.protect_rtcp(remb))
    assert one.outgoing.estimate == 100_000


def test_transport_wide_feedback_is_taken_out_of_a_compound() -> None:
    one, far = keyed()
    sender = Sender(5)
    one.add_sender(sender)
    arrivals = Arrivals()
    for _ in range(3):
        arrivals.add(one.outgoing.congestion.leaves([1000], 1.0), 2.0)
    (feedback,) = arrivals.take(1, 5, 3.0)
    assert one.outgoing.congestion.sent.times is not None
    media(one, far.protect_rtcp(bytes(RtcpRrPacket(ssrc=1, reports=[block(5)])) + feedback))
    assert one.outgoing.congestion.sent.times is None and one.outgoing.estimate is not None
    assert [type(each) for each in sender.told] == [RtcpRrPacket]


def test_feedback_that_cannot_be_read_harms_nothing() -> None:
    one, far = keyed()
    sender = Sender(5)
    one.add_sender(sender)
    broken = b"\x8f\xcd\x00\x04" + bytes(16)
    media(one, far.protect_rtcp(bytes(RtcpRrPacket(ssrc=1, reports=[block(5)])) + broken))
    assert len(sender.told) == 1


def test_what_is_said_about_several_reaches_each_once() -> None:
    one, far = keyed()
    senders = [Sender(5), Sender(6)]
    for each in senders:
        one.add_sender(each)
    media(one, far.protect_rtcp(fir(5, 6, 5)))
    remb = RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(100_000, [6, 5]))
    media(one, far.protect_rtcp(bytes(remb)))
    assert [len(each.told) for each in senders] == [2, 2]


def test_one_packet_of_a_compound_that_breaks_does_not_lose_the_others(caplog: pytest.LogCaptureFixture) -> None:
    one, far = keyed()

    class Broken(Sender):
        def take_rtcp(self, packet: Any) -> None:
            raise RuntimeError("sender")

    one.add_sender(Broken(5))
    right = Sender(6)
    one.add_sender(right)
    media(one, far.protect_rtcp(fir(5) + fir(6)))
    assert len(right.told) == 1 and "RuntimeError: sender" in caplog.text


@pytest.mark.parametrize("fci", [b"", b"REMB", b"LNTF1234", b"REMB\x09\x00\x00\x00"])
def test_application_feedback_that_is_no_remb_is_no_error(fci: bytes, caplog: pytest.LogCaptureFixture) -> None:
    one, far = keyed()
    media(one, far.protect_rtcp(bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=fci))))
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []


def test_sender_reports_reach_the_receiver_and_are_kept() -> None:
    one, far = keyed()
    stream = Stream()
    one.router.add("0", stream, [0], range(5, 500))
    media(one, far.protect_rtcp(sender_report(5)))
    media(one, far.protect_rtcp(sender_report(999)))
    assert stream.reports == [(5, 1 << 63, 7)]
    said = one.sender_reports.get(5)
    assert said is not None and (said.packets, said.bytes) == (3, 4)
    assert one.sender_reports.get(999) is None
    for ssrc in range(6, 200):
        media(one, far.protect_rtcp(sender_report(ssrc)))
    assert one.sender_reports.get(5) is None and len(one.sender_reports) == MAX_REPORTED


@pytest.mark.parametrize("ntp", [0, 1, (1 << 64) - 1])
def test_a_sender_may_have_any_time(ntp: int) -> None:
    one, far = keyed()
    one.router.add("0", Stream(), [0], [5])
    media(one, far.protect_rtcp(sender_report(5, ntp=ntp)))
    assert one.sender_reports.get(5) is not None


def test_a_bye_ends_nothing() -> None:
    one, far = keyed()
    stream = Stream()
    one.router.add("0", stream, [0])
    media(one, far.protect(rtp(1)))
    media(one, far.protect_rtcp(bye(5)))
    media(one, far.protect(rtp(2)))
    assert len(stream.packets) == 2


# Packets out


async def test_nothing_sent_raises_while_there_is_no_path() -> None:
    one, ice = transport()
    one.send_rtp([rtp()])
    one.send_rtcp(nack(5, [1]))
    assert ice.sent == []


async def test_what_cannot_be_protected_is_dropped(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    first, _ = pair
    sent = len(first.pipe.ice.sent)  # type: ignore[attr-defined]
    for data in (rtp(payload=bytes(2000)), rtp()[:5], b"\x80\xc8" + bytes(2000)):
        first.send_rtp([data])
    assert len(first.pipe.ice.sent) == sent  # type: ignore[attr-defined]


async def test_what_has_to_wait_leaves_soon(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    first, second = pair
    whole = asyncio.Event()

    class Counting(Stream):
        def rtp(self, packets: list[RtpPacket], layer: str) -> None:
            super().rtp(packets, layer)
            if len(self.packets) == 30:
                whole.set()

    stream = Counting()
    second.router.add("0", stream, [0])
    for number in range(30):
        first.send_rtp([rtp(number, payload=bytes(1000))], PICTURE)
    await passed(first)
    assert 0 < len(stream.packets) < 20
    await asyncio.wait_for(whole.wait(), 10)
    assert [each.sequence_number for each in stream.packets] == list(range(30))


@pytest.mark.parametrize("abandoned", [True, False])
async def test_what_waits_goes_with_the_path(pair: tuple[DtlsTransport, DtlsTransport], abandoned: bool) -> None:
    first, _ = pair
    for number in range(100):
        first.send_rtp([rtp(number, payload=bytes(1000))], PICTURE)
    assert first.outgoing.waiting > 0
    timer = vars(first)["_alarm"]
    if abandoned:
        first.abandon()
        assert timer.cancelled()
        first.send_rtp([rtp(100, payload=bytes(1000))], PICTURE)
    else:
        await first.stop()
        await passed(first)
        sent = first.packets_sent
        async with asyncio.timeout(10):
            while vars(first)["_alarm"] is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
        assert first.packets_sent == sent
        assert first.outgoing.waiting == 0


def test_the_path_is_looked_after_and_told_of_losses() -> None:
    one, _ = transport()
    one.look_after(0.0)
    one.told_loss(0.5)
    assert one.outgoing.estimate == 600_000


async def test_the_statistics_count_what_went_through(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    first, second = pair
    sent, received = first.bytes_sent, second.bytes_received
    first.send_rtp([rtp()])
    first.send_rtcp(bye())
    await passed(first)
    size = first.bytes_sent - sent
    assert size == second.bytes_received - received > len(rtp()) + len(bye())
    entry = first.statistics()[first.stats_id]
    assert (entry.dtlsState, entry.iceRole, entry.packetsSent) == ("connected", "controlling", first.packets_sent)


# Data channels


@pytest.fixture
async def channels(
    pair: tuple[DtlsTransport, DtlsTransport],
) -> AsyncIterator[tuple[RTCSctpTransport, RTCSctpTransport, RTCDataChannel, asyncio.Queue[Any]]]:
    first, second = (SctpTransport(each) for each in pair)
    got: asyncio.Queue[Any] = asyncio.Queue()
    second.on("datachannel", lambda channel: channel.on("message", got.put_nowait))
    channel = RTCDataChannel(first, RTCDataChannelParameters("any"))
    for each in (first, second):
        await each.start(RTCSctpCapabilities(65536), 5000)
    channel.send("first") if channel.readyState == "open" else channel.on("open", lambda: channel.send("first"))
    assert await asyncio.wait_for(got.get(), 10) == "first"
    yield first, second, channel, got
    for each in (first, second):
        await each.stop()


async def test_hostile_packets_of_the_data_channels_end_nothing(
    channels: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, channel, got = channels
    chance = random.Random(1)
    tag = vars(first)["_remote_verification_tag"]
    # Those that end an association by what they mean (ABORT, SHUTDOWN...) may do so.
    kinds = [kind for kind in range(256) if kind not in (6, 7, 8, 14)]
    for number in range(150):
        body = chance.randbytes(chance.randrange(40))
        chunks = bytes([chance.choice(kinds[:20]), chance.randrange(256)]) + (4 + len(body)).to_bytes(2, "big") + body
        if number % 3 == 0:
            chunks += bytes(-len(chunks) % 4) + bytes([1, 0, 0, 20]) + bytes(16)  # an INIT beside another chunk
        head = (5000).to_bytes(2, "big") * 2 + (0 if number % 3 == 0 else tag).to_bytes(4, "big")
        checksum = crc32c(head + bytes(4) + chunks).to_bytes(4, "little")
        await first.transport._send_data(head + checksum + chunks if number % 5 else chance.randbytes(50))
        await asyncio.sleep(0)
    await passed(first)
    assert second.transport.state == "connected"
    assert vars(second.transport)["_task"] is not None and not vars(second.transport)["_task"].done()


async def test_it_is_known_whether_all_data_has_arrived(channels: Any) -> None:
    first, second, channel, got = channels
    channel.send("x" * 50_000)
    assert data_on_its_way(first)
    assert len(await asyncio.wait_for(got.get(), 10)) == 50_000
    for _ in range(20):  # turns in which the acknowledgements arrive
        await asyncio.sleep(0)
    assert not data_on_its_way(first)


# Another association in the place of one


async def renewed(first: DtlsTransport, second: DtlsTransport) -> None:
    """Both begin anew, at the same time."""
    for each in (first, second):
        each.on_end = lambda: True
    async with asyncio.timeout(10):
        await asyncio.gather(first.renew(fingerprints(1), "client"), second.renew(fingerprints(0), "server"))


async def test_streams_go_on_over_another_association(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    first, second = pair
    states: list[str] = []
    for each in pair:
        each.on("statechange", lambda each=each: states.append(each.state))
    stream = Stream()
    second.router.add("0", stream, [0])
    key = vars(first)["_tx_srtp"]
    await renewed(first, second)
    assert vars(first)["_tx_srtp"] is not key
    first.send_rtp([rtp(7)])
    await passed(first)
    assert [each.sequence_number for each in stream.packets] == [7]
    assert "closed" not in states and "failed" not in states


async def test_a_goodbye_that_comes_as_another_association_begins(pair: tuple[DtlsTransport, DtlsTransport]) -> None:
    """The other side's end of the one before is taken when the new one has been asked for, and has not begun yet."""
    first, second = pair
    states: list[str] = []
    first.on("statechange", lambda: states.append(first.state))
    ended = vars(first)["_task"]
    first.on_end = lambda: True
    work = first.renew(fingerprints(1), "client")
    first.on_end = lambda: False
    await second.stop()
    await asyncio.wait_for(asyncio.wait([ended]), 10)
    assert states == ["new"]
    work.close()


async def test_channels_go_on_over_another_association(channels: Any) -> None:
    first, second, channel, got = channels
    await renewed(first.transport, second.transport)
    channel.send("second")
    assert await asyncio.wait_for(got.get(), 10) == "second"


async def test_what_was_not_acknowledged_is_sent_again(channels: Any) -> None:
    """The other side, a browser, begins SCTP anew too: each message arrives, and in its order."""
    first, second, channel, got = channels
    ice = first.transport.pipe.ice
    ice.other = None
    texts = ["one", "x" * 5000, "three"]
    for text in texts:
        channel.send(text)
    await passed(ice)
    assert data_on_its_way(first)
    ice.other = into(second.transport)
    again = SctpTransport(second.transport)
    again.on("datachannel", lambda channel: channel.on("message", got.put_nowait))
    second.transport._unregister_data_receiver(second)
    await again.start(RTCSctpCapabilities(65536), 5000)
    # The channel is not opened again: the browser keeps it, as the other side of ours does here.
    vars(again)["_data_channels"][channel.id] = next(iter(vars(second)["_data_channels"].values()))
    assert [await asyncio.wait_for(got.get(), 10) for _ in texts] == texts
    await again.stop()


async def test_the_end_that_is_not_one_keeps_the_channels(channels: Any) -> None:
    first, second, channel, got = channels
    asked: list[str] = []

    def ends() -> bool:
        asked.append("end")
        return True

    second.transport.on_end = ends
    await first._abort()
    await passed(first)
    assert asked and second.state == "connected"


async def test_an_abort_that_comes_as_another_association_begins(channels: Any) -> None:
    """A browser whose bundle moved ends SCTP too, and that may be read when the new association was asked for."""
    first, second, _, _ = channels
    ended = vars(second.transport)["_task"]
    work = second.transport.renew(fingerprints(1), "client")
    await first._abort()
    await passed(first)
    assert second.state == "connected" and not ended.done()
    work.close()
    ended.cancel()
    await asyncio.wait([ended])


def test_rtcp_that_aiortc_reads_is_what_aiortc_writes() -> None:
    """The builders of this file, against its parser: a mistake in them would make every test above empty."""
    for data in (nack(5, [1]), fir(5), bye(), sender_report(5, 6)):
        assert b"".join(bytes(each) for each in RtcpPacket.parse(data)) == data
