"""Packets of one stream come out as frames; another SSRC or codec takes over; feedback goes to its sender."""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.clock import ParticipantClock
from peer.rtc.codecs import EVENTS
from peer.rtc.inbound import KEYFRAME_RETRIES, KEYFRAME_SPACING, MAX_SSRCS, InboundRtp, ReceiveParameters
from peer.rtc.jitter import JitterBuffer
from peer.rtc.packet import RtpPacket
from tests.harness.examples import examples
from tests.rtc.packets import H264, OPUS, PCMU, SEND_TIME_ID, TRANSPORT_WIDE_ID, VP8, VP8_RTX, opus, packet, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiortc.rtp import RtcpReceiverInfo

    from peer.rtc.codecs import Codec
    from peer.rtc.frames import EncodedFrame, Kind
    from peer.rtc.transportwide import Arrivals

PICTURES = pictures(4)
EVENT = EVENTS[0]


class Out:
    """Feedback that is written down."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[int, list[int]]] = asyncio.Queue()
        self.plis: list[int] = []
        self.rembs: list[tuple[int, list[int]]] = []
        self.told: list[int] = []
        """Streams whose sender was told of arrivals."""
        self.reports: asyncio.Queue[list[RtcpReceiverInfo]] = asyncio.Queue()
        self.rtt: float | None = None

    def round_trip_time(self) -> float | None:
        return self.rtt

    def nack(self, media_ssrc: int, lost: list[int]) -> None:
        self.asked.put_nowait((media_ssrc, lost))

    def pli(self, media_ssrc: int) -> None:
        self.plis.append(media_ssrc)

    def remb(self, bitrate: int, ssrcs: list[int]) -> None:
        self.rembs.append((bitrate, ssrcs))

    def transport_wide(self, arrivals: Arrivals, media_ssrc: int, now: float) -> None:
        self.told.append(media_ssrc)

    def receiver_report(self, reports: list[RtcpReceiverInfo]) -> None:
        self.reports.put_nowait(reports)


class Receiving:
    def __init__(self, kind: Kind) -> None:
        self.out = Out()
        self.frames: list[EncodedFrame] = []
        self.clock = ParticipantClock()
        self.stream = InboundRtp(kind, self.out, self.clock, self.frames.append)  # type: ignore[arg-type]

    def take(self, *arguments: object, **options: object) -> None:
        self.stream.rtp([packet(*arguments, **options)])  # type: ignore[arg-type]


@pytest.fixture
async def video() -> Iterator[Receiving]:  # type: ignore[misc]
    one = Receiving("video")
    one.stream.configure(ReceiveParameters([VP8, VP8_RTX, H264], abs_send_time=SEND_TIME_ID))
    yield one
    one.stream.close()


@pytest.fixture
async def audio() -> Iterator[Receiving]:  # type: ignore[misc]
    one = Receiving("audio")
    one.stream.configure(ReceiveParameters([OPUS, PCMU, EVENT]))
    yield one
    one.stream.close()


async def test_packets_become_frames_at_once(video: Receiving) -> None:
    for number, payload in enumerate(PICTURES):
        video.take(VP8, number, number * 3000, payload)
    assert [frame.timestamp for frame in video.frames] == [0, 3000, 6000, 9000]
    assert [frame.keyframe for frame in video.frames] == [True, False, False, False]
    assert (video.frames[0].width, video.frames[0].height, video.frames[0].codec.name) == (64, 48, "VP8")
    counts = video.stream.counts()
    assert (counts.codec, counts.ssrc, counts.packets, counts.frames, counts.lost) == ("VP8", 5, 4, 4, 0)
    assert counts.bytes == sum(map(len, PICTURES))


async def test_a_codec_that_was_not_agreed_is_dropped(audio: Receiving) -> None:
    audio.take(VP8, 1, 0, PICTURES[0])
    assert audio.frames == [] and audio.stream.counts().packets == 0


async def test_what_is_lost_is_asked_for_and_taken_when_it_comes_again(video: Receiving) -> None:
    video.take(VP8, 0, 0, PICTURES[0])
    video.take(VP8, 2, 6000, PICTURES[2])
    assert await asyncio.wait_for(video.out.asked.get(), 10) == (5, [1])
    video.take(VP8_RTX, 77, 3000, b"\x00\x01" + PICTURES[1], ssrc=6)
    assert [frame.timestamp for frame in video.frames] == [0, 3000, 6000]
    assert video.stream.counts().nacks == 1


async def test_the_round_trip_time_of_the_path_is_told_to_the_buffer(
    video: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a stream begins, and again with each report: by then it may be another."""
    told: list[float] = []
    monkeypatch.setattr(JitterBuffer, "set_rtt", lambda _, seconds: told.append(seconds))
    video.take(VP8, 0, 0, PICTURES[0])
    assert told == [], "it is not known yet"
    video.out.rtt = 0.03
    await asyncio.wait_for(video.out.reports.get(), 10)
    assert told == [0.03]
    video.take(H264, 0, 0, b"\x65\x80")
    assert told == [0.03, 0.03]


async def test_sound_that_is_lost_is_asked_for_too(audio: Receiving) -> None:
    (data,) = opus()
    for number in (0, 2):
        audio.take(OPUS, number, number * 960, data)
    assert await asyncio.wait_for(audio.out.asked.get(), 10) == (5, [1])
    audio.take(OPUS, 1, 960, data)
    assert [frame.timestamp for frame in audio.frames] == [0, 960, 1920]


def key(event: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", event, 0x8A if end else 10, duration)


async def test_keys_among_sound_are_told_and_nothing_of_it_is_missing(audio: Receiving) -> None:
    told: list[tuple[str, float]] = []
    audio.stream.keys.on_key = lambda pressed, seconds: told.append((pressed, seconds))
    (data,), began = opus(), time.monotonic()
    number = itertools.count(65530)

    def take(codec: Codec, timestamp: int, payload: bytes, at: int) -> None:
        audio.take(codec, next(number), timestamp, payload, at=began + at / 48000)

    for at in range(0, 9600, 960):
        take(OPUS, at, data, at)
    for at in range(960, 5760, 960):
        take(EVENT, 9600, key(5, at), 9600 + at)
    assert told == []
    for at in range(4800, 7680, 960):
        take(EVENT, 9600, key(5, 4800, end=True), 9600 + at + 960)
        take(OPUS, 9600 + at, data, 9600 + at)
    assert told == [("5", 0.1)]
    assert [frame.timestamp for frame in audio.frames] == [*range(0, 9600, 960), 14400, 15360, 16320]
    assert all(frame.complete_before for frame in audio.frames)
    assert audio.out.asked.empty()
    counts = audio.stream.counts()
    assert (counts.packets, counts.lost, counts.frames) == (21, 0, 13)
    assert counts.jitter < 0.005, "one timestamp for 100 ms says nothing about the network"
    assert len(audio.stream.sources()) == 1


async def test_a_packet_of_a_key_that_is_lost_is_asked_for_as_sound_is(audio: Receiving) -> None:
    told: list[str] = []
    audio.stream.keys.on_key = lambda pressed, _: told.append(pressed)
    (data,) = opus()
    audio.take(OPUS, 0, 0, data)
    audio.take(EVENT, 1, 960, key(5, 960))
    audio.take(EVENT, 3, 960, key(5, 2880, end=True))
    audio.take(OPUS, 4, 3840, data)
    assert told == ["5"]
    assert await asyncio.wait_for(audio.out.asked.get(), 10) == (5, [2])
    audio.take(EVENT, 2, 960, key(5, 1920))
    assert told == ["5"] and [frame.timestamp for frame in audio.frames] == [0, 3840]
    assert audio.stream.counts().lost == 0


async def test_keys_before_any_sound(audio: Receiving) -> None:
    told: list[str] = []
    audio.stream.keys.on_key = lambda pressed, _: told.append(pressed)
    audio.take(EVENT, 7, 960, key(5, 960, end=True))
    assert told == ["5"] and audio.frames == []
    (data,) = opus()
    audio.take(OPUS, 8, 2880, data)
    audio.take(EVENT, 1, 960, key(6, 960, end=True), ssrc=6)
    audio.take(OPUS, 9, 3840, data)
    assert told == ["5", "6"] and [frame.timestamp for frame in audio.frames] == [2880, 3840]
    assert audio.out.asked.empty(), "numbers of another stream say nothing about this one"


@pytest.mark.parametrize("payload", [b"", b"\xff", bytes(1000), b"\x10\x8a\x03\x20", b"\xff" * 4])
async def test_events_that_are_no_keys_do_no_harm(audio: Receiving, payload: bytes) -> None:
    told: list[str] = []
    audio.stream.keys.on_key = lambda pressed, _: told.append(pressed)
    (data,) = opus()
    audio.take(OPUS, 0, 0, data)
    audio.take(EVENT, 1, 0xFFFFFFFF, payload)
    audio.take(OPUS, 2, 1920, data)
    audio.stream.close()
    assert told == [] and [frame.timestamp for frame in audio.frames] == [0, 1920]
    assert audio.frames[1].complete_before


async def test_probes_and_retransmissions_of_nothing_are_dropped(video: Receiving) -> None:
    video.take(VP8_RTX, 77, 0, b"\x00\x01" + PICTURES[1], ssrc=6)
    video.take(VP8, 0, 0, PICTURES[0])
    for payload in (b"", b"x"):
        video.take(VP8_RTX, 78, 3000, payload, ssrc=6)
    assert len(video.frames) == 1


async def test_a_late_retransmission_does_not_bring_the_stream_before_back(video: Receiving) -> None:
    video.take(VP8, 0, 0, PICTURES[0], ssrc=5)
    video.take(VP8_RTX, 1, 0, b"\x00\x05" + PICTURES[1], ssrc=6)
    video.take(VP8, 100, 0, PICTURES[0], ssrc=15)
    video.take(VP8_RTX, 2, 0, b"\x00\x01" + PICTURES[1], ssrc=6)
    video.take(VP8, 101, 3000, PICTURES[1], ssrc=15)
    assert len(video.frames) == 3 and video.stream.counts().ssrc == 15


async def test_repairs_that_the_description_names(video: Receiving) -> None:
    video.stream.configure(ReceiveParameters([VP8, VP8_RTX], repairs={60: 15}))
    video.take(VP8, 0, 0, PICTURES[0], ssrc=15)
    video.take(VP8, 2, 6000, PICTURES[2], ssrc=15)
    video.take(VP8_RTX, 9, 3000, b"\x00\x01" + PICTURES[1], ssrc=60)
    assert len(video.frames) == 3


async def test_another_stream_takes_over_and_the_counters_go_on(audio: Receiving) -> None:
    (data,) = opus()
    for ssrc in range(5, 5 + 2 * MAX_SSRCS):
        for number in range(2):
            audio.take(OPUS, number, number * 960, data, ssrc=ssrc)
    counts = audio.stream.counts()
    assert (counts.ssrc, counts.packets, counts.frames) == (4 + 2 * MAX_SSRCS, 4 * MAX_SSRCS, 4 * MAX_SSRCS)
    assert len(audio.stream.sources()) == MAX_SSRCS and counts.ssrc in audio.stream.sources()


async def test_another_codec_takes_over(audio: Receiving) -> None:
    (data,) = opus()
    audio.take(OPUS, 0, 0, data)
    audio.take(PCMU, 1, 960, b"\xff" * 160)
    audio.take(OPUS, 2, 1920, data)
    assert [frame.codec.name for frame in audio.frames] == ["opus", "PCMU", "opus"]


async def test_the_parameters_may_change(audio: Receiving) -> None:
    (data,) = opus()
    audio.take(OPUS, 0, 0, data)
    audio.stream.configure(ReceiveParameters([PCMU]))
    audio.take(OPUS, 1, 960, data)
    audio.take(PCMU, 2, 960, b"\xff" * 160)
    assert [frame.codec.name for frame in audio.frames] == ["opus", "PCMU"]


async def test_keyframes_are_not_asked_for_all_the_time(video: Receiving) -> None:
    video.stream.request_keyframe()
    assert video.out.plis == [], "nothing has come yet that one could be asked of"
    video.take(VP8, 0, 0, PICTURES[0])
    for _ in range(10):
        video.stream.request_keyframe()
    assert video.out.plis == [5] and video.stream.counts().plis == 1


@pytest.mark.virtual_time
async def test_a_keyframe_is_asked_for_until_it_comes(video: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
    video.take(VP8, 0, 0, PICTURES[0])
    video.stream.request_keyframe()
    await asyncio.sleep(1.6)
    assert len(video.out.plis) == 3, "it may have been lost on its way"
    video.take(VP8, 1, 3000, PICTURES[0])
    await asyncio.sleep(60)
    assert len(video.out.plis) == 3


@pytest.mark.virtual_time
async def test_a_sender_that_gives_no_keyframe_is_not_asked_for_ever(
    video: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
    video.take(VP8, 0, 0, PICTURES[0])
    for times in (1, 2):
        video.stream.request_keyframe()
        await asyncio.sleep(60)
        assert len(video.out.plis) == times * (1 + len(KEYFRAME_RETRIES))


@pytest.mark.virtual_time
async def test_who_asks_right_after_a_keyframe_gets_another(video: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little later: one that begins to look in that moment needs it as much as the one before."""
    monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
    for number in range(2):
        video.take(VP8, number, number * 3000, PICTURES[0])
        video.stream.request_keyframe()
    assert len(video.out.plis) == 1
    await asyncio.sleep(KEYFRAME_SPACING + 0.01)
    assert len(video.out.plis) == 2


async def test_no_keyframe_is_asked_of_sound(audio: Receiving) -> None:
    audio.take(OPUS, 0, 0, opus()[0])
    audio.stream.request_keyframe()
    assert audio.out.plis == []


async def test_one_packet_of_several_that_fails_costs_only_itself(
    audio: Receiving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    audio.take(OPUS, 0, 0, opus()[0])
    add = JitterBuffer.add

    def failing(self: JitterBuffer, number: int, *arguments: object, **options: object) -> bool:
        if number == 2:
            raise RuntimeError("a bug")
        return add(self, number, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(JitterBuffer, "add", failing)
    audio.stream.rtp([packet(OPUS, number, number * 960, opus()[0]) for number in (1, 2, 3)])
    assert audio.stream.counts().packets == 4 and "RuntimeError: a bug" in caplog.text


async def test_pictures_that_stand_still_are_counted(video: Receiving) -> None:
    now = time.monotonic()
    for number in range(20):
        now += 1.0 if number == 15 else 0.03
        video.stream.rtp([packet(VP8, number, number * 3000, PICTURES[min(number, 1)], at=now)])
    counts = video.stream.counts()
    assert (counts.freezes, counts.pauses) == (1, 0) and counts.frozen == pytest.approx(1.0)


@pytest.mark.virtual_time
async def test_repaired_and_late_packets_are_counted_and_the_delay_they_cost(
    video: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
    video.take(VP8, 0, 0, PICTURES[0])
    video.take(VP8, 3, 9000, PICTURES[3])
    await video.out.asked.get()
    await asyncio.sleep(0.02)
    for sequence in (1, 2):
        video.take(VP8_RTX, 70 + sequence, sequence * 3000, bytes([0, sequence]) + PICTURES[sequence], ssrc=6)
    counts = video.stream.counts()
    assert (counts.packets, counts.retransmitted, counts.repaired, counts.lost) == (4, 2, 2, 0)
    assert counts.nacks == 1, "one RTCP packet asked for both"
    assert (counts.emitted, counts.per_second, counts.frames) == (4, 4, 4)
    assert counts.delay == pytest.approx(0.03, abs=0.01), "only the last frame waited"
    video.take(VP8, 5, 15000, PICTURES[0])
    await asyncio.sleep(1.5)
    assert (video.stream.counts().lost, video.stream.counts().discarded) == (1, 0)
    video.take(VP8, 4, 12000, PICTURES[0])
    counts = video.stream.counts()
    assert (counts.lost, counts.discarded) == (0, 1), "it came after all, and too late"
    assert counts.nacks > 2 and counts.per_second == 0
    video.take(VP8, 0, 0, PICTURES[0], ssrc=7)
    assert video.stream.counts().discarded == 1 and video.stream.counts().repaired == 2


async def test_of_sound_samples_are_counted(audio: Receiving) -> None:
    audio.take(OPUS, 0, 0, opus()[0])
    audio.take(PCMU, 1, 960, b"\xff" * 160)
    counts = audio.stream.counts()
    assert (counts.emitted, counts.per_second, counts.delay) == (960 + 160, 0, 0.0)


async def timed(stream: InboundRtp) -> None:
    """Four seconds of packets that say when they left, and that have no number."""
    for number in range(400):
        now = asyncio.get_running_loop().time()
        stream.rtp([packet(VP8, number, number * 900, PICTURES[0], send_time=int(now * (1 << 18)), at=now)])
        await asyncio.sleep(0.01)


@pytest.mark.virtual_time
async def test_the_bandwidth_is_estimated(video: Receiving) -> None:
    await timed(video.stream)
    assert video.out.rembs and all(ssrcs == [5] for _, ssrcs in video.out.rembs)


@pytest.mark.virtual_time
async def test_a_sender_that_numbers_its_packets_is_told_of_arrivals_instead(video: Receiving) -> None:
    video.stream.configure(
        ReceiveParameters([VP8, VP8_RTX], abs_send_time=SEND_TIME_ID, transport_wide=TRANSPORT_WIDE_ID)
    )
    now = time.monotonic()
    for number in range(400):
        sent = int(number * 0.01 * (1 << 18))
        at = now + number * 0.01
        one = packet(VP8, number, number * 900, PICTURES[0], send_time=sent, number=number, at=at)
        video.stream.rtp([one])
    await asyncio.sleep(1)
    assert video.out.rembs == [] and video.out.told == [5]


@pytest.mark.virtual_time
async def test_a_sender_that_does_not_number_them_is_told_an_estimate(video: Receiving) -> None:
    video.stream.configure(ReceiveParameters([VP8], abs_send_time=SEND_TIME_ID, transport_wide=TRANSPORT_WIDE_ID))
    await timed(video.stream)
    assert video.out.rembs and video.out.told == []


@pytest.mark.virtual_time
async def test_reports_are_sent_and_answer_those_of_the_sender(audio: Receiving) -> None:
    audio.stream.sender_report(5, 0x1234_5678_9ABC_DEF0, 0, time.monotonic())
    for number in (0, 1, 3):
        audio.take(OPUS, number, number * 960, opus()[0])
    audio.stream.sender_report(5, 0x1234_5678_9ABC_DEF0, 0, time.monotonic())
    (report,) = await asyncio.wait_for(audio.out.reports.get(), 10)
    assert (report.ssrc, report.highest_sequence, report.packets_lost, report.lsr) == (5, 3, 1, 0x5678_9ABC)
    assert 0 <= report.dlsr < 10 * 65536


async def test_after_the_end_nothing_happens(video: Receiving) -> None:
    video.take(VP8, 0, 0, PICTURES[0])
    video.take(VP8, 2, 6000, PICTURES[2])
    video.stream.close()
    video.stream.configure(ReceiveParameters([VP8]))
    video.take(VP8, 1, 3000, PICTURES[1])
    assert len(video.frames) == 1
    video.stream.request_keyframe()
    assert vars(video.stream)["_keyframe_timer"] is None and video.out.plis == []
    assert vars(video.stream)["_timer"] is None and vars(video.stream)["_report_timer"] is None
    assert vars(video.clock)["_tracks"] == {}


HOSTILE = st.tuples(
    st.binary(min_size=11, max_size=40),
    st.sampled_from([VP8.payload_type, VP8_RTX.payload_type, H264.payload_type, OPUS.payload_type, 0, 63]),
    st.integers(0, 20) | st.integers(0, 0xFFFF),
    st.integers(0, 3) | st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=20) | st.sampled_from(PICTURES).map(lambda data: b"\0\1" + data),
)


@examples(50)
@given(st.lists(HOSTILE, max_size=60), st.sampled_from(["audio", "video"]))
async def test_whatever_comes_nothing_is_raised_and_little_kept(
    packets: list[tuple[bytes, int, int, int, bytes]], kind: Kind
) -> None:
    one = Receiving(kind)
    one.stream.configure(ReceiveParameters([VP8, VP8_RTX, H264, OPUS], abs_send_time=SEND_TIME_ID))
    for head, payload_type, sequence, ssrc, payload in packets:
        numbers = sequence.to_bytes(2, "big") + head[:4] + ssrc.to_bytes(4, "big")
        extensions = b"\xbe\xde\0\1" + head[5:9]
        data = bytes([0x90 | head[9] & 0x20, head[10] & 0x80 | payload_type]) + numbers + extensions + payload
        try:
            received = RtpPacket(data, time.monotonic())
        except ValueError:  # padding that is longer than the packet
            continue
        one.stream.rtp([received])
        one.stream.sender_report(ssrc, int.from_bytes(head[:8], "big"), sequence, time.monotonic())
    assert len(one.stream.sources()) <= MAX_SSRCS
    assert one.stream.counts().packets <= len(packets)
    one.stream.close()
