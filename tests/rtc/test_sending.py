"""What an m-line sends goes on as one stream, whatever becomes of its tracks; and what is said of it has effect."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
)
from av import AudioFrame, VideoFrame

from peer.rtc.encoding import level_of
from peer.rtc.header import Format
from peer.rtc.pacer import AGAIN, PICTURE, SOUND
from peer.rtc.packet import RtpPacket
from peer.rtc.sending import MediaSender, SendParameters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PCMU = SendParameters(RTCRtpCodecParameters("audio/PCMU", 8000, 1, 0), Format(0, 8000), "name")
VP8 = SendParameters(RTCRtpCodecParameters("video/VP8", 90000, None, 96), Format(96, 90000, 97), "name")
G722 = SendParameters(RTCRtpCodecParameters("audio/G722", 8000, 1, 9), Format(9, 8000), "name")
OPUS = SendParameters(RTCRtpCodecParameters("audio/opus", 48000, 2, 111), Format(111, 48000), "name")


class Line:
    """The transport: keeps what is sent."""

    def __init__(self) -> None:
        self.rtp: list[RtpPacket] = []
        self.rtcp: list[Any] = []
        self.urgencies: list[int] = []
        self.losses: list[float] = []
        self.looked_after = 0
        self.senders: list[MediaSender] = []
        self._came = asyncio.Event()

    def send_rtp(self, packets: list[bytes], urgency: int) -> None:
        self.rtp += [RtpPacket(data) for data in packets]
        self.urgencies += [urgency] * len(packets)
        self._came.set()

    def told_loss(self, fraction: float) -> None:
        self.losses.append(fraction)

    def look_after(self, late: float) -> None:
        self.looked_after += 1

    def send_rtcp(self, data: bytes) -> None:
        self.rtcp += RtcpPacket.parse(data)
        self._came.set()

    def add_sender(self, sender: MediaSender) -> None:
        self.senders.append(sender)

    def remove_sender(self, sender: MediaSender) -> None:
        self.senders.remove(sender)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not reached():
                self._came.clear()
                await self._came.wait()


class Pictures(MediaStreamTrack):
    """A picture whenever one is let out."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.out: asyncio.Queue[Any] = asyncio.Queue()
        self.number = 0

    def let_out(self, count: int = 1) -> None:
        for _ in range(count):
            frame = VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * self.number % 255, np.uint8))
            frame.pts, frame.time_base = 3000 * self.number, fractions.Fraction(1, 90000)
            self.number += 1
            self.out.put_nowait(frame)

    async def recv(self) -> Any:
        found = await self.out.get()
        if isinstance(found, Exception):
            raise found
        return found


class Unasked(MediaStreamTrack):
    """Nobody may ask it for a frame."""

    kind = "audio"

    async def recv(self) -> Any:
        pytest.fail("it was asked for a frame")


@contextlib.asynccontextmanager
async def sending(kind: str) -> AsyncIterator[tuple[MediaSender, Line]]:
    line = Line()
    sender = MediaSender(kind, line, 5, 6)
    try:
        yield sender, line
    finally:
        await sender.stop()
        assert line.senders == []


def keyframe(packet: RtpPacket) -> bool:
    """The first packet of a picture in VP8: what follows the payload descriptor says it."""
    return not packet.payload[4 if packet.payload[0] & 0x80 else 1] & 1


async def test_frames_are_sent_once_it_is_agreed_as_what() -> None:
    async with sending("audio") as (sender, line):
        sender.replace_track(Unasked())
        for _ in range(10):
            await asyncio.sleep(0)
        assert line.rtp == line.senders == []
        sender.replace_track(AudioStreamTrack())
        sender.configure(PCMU)
        await line.until(lambda: len(line.rtp) > 2)
        assert line.senders == [sender]
        first, second = line.rtp[:2]
        assert (first.payload_type, first.ssrc, len(first.payload)) == (0, 5, 160)
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 160
        assert set(line.urgencies) == {SOUND}
    assert [type(each) for each in line.rtcp] == [RtcpByePacket]


async def test_it_outlives_its_track() -> None:
    async with sending("audio") as (sender, line):
        sender.configure(PCMU)
        for _ in range(2):
            track = AudioStreamTrack()
            sender.replace_track(track)
            before = len(line.rtp)
            await line.until(lambda before=before: len(line.rtp) > before)
            track.stop()
            async with asyncio.timeout(5):
                while sender.track is not None:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0)
        numbers = [packet.sequence_number for packet in line.rtp]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len({packet.ssrc for packet in line.rtp}) == 1


async def test_another_track_is_sent_at_once_though_the_one_before_waits() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        silent, other = Pictures(), Pictures()
        sender.replace_track(silent)
        await asyncio.sleep(0)
        sender.replace_track(other)
        other.let_out()
        await line.until(lambda: len(line.rtp) >= 1)
        silent.let_out()
        other.let_out()
        await line.until(lambda: sender.stream.counts.frames == 2)
        assert silent.out.qsize() == 1


async def test_a_track_that_comes_back_begins_with_a_keyframe() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        for frames in (2, 4):
            sender.replace_track(track)
            track.let_out(2)
            await line.until(lambda frames=frames: sender.stream.counts.frames == frames)
            sender.replace_track(None)
        assert [keyframe(packet) for packet in line.rtp] == [True, False, True, False]
        times = [packet.timestamp for packet in line.rtp]
        assert all((after - before) & 0xFFFFFFFF < 1 << 31 for before, after in zip(times, times[1:], strict=False))


async def test_frames_are_dropped_while_nothing_is_to_be_sent() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        sender.enabled = False
        track.let_out(5)
        async with asyncio.timeout(5):
            while not track.out.empty():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
        sender.enabled = True
        track.let_out()
        await line.until(lambda: len(line.rtp) == 1)


async def test_a_frame_that_cannot_be_encoded_ends_its_track_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        broken = Pictures()
        sender.replace_track(broken)
        broken.out.put_nowait(OSError("no such picture"))
        async with asyncio.timeout(5):
            while sender.track is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
        assert "no such picture" in caplog.text
        good = Pictures()
        sender.replace_track(good)
        good.let_out()
        await line.until(lambda: len(line.rtp) == 1)


async def test_another_codec_is_sent_from_the_next_frame_on() -> None:
    async with sending("audio") as (sender, line):
        sender.configure(PCMU)
        sender.replace_track(AudioStreamTrack())
        await line.until(lambda: len(line.rtp) == 2)
        sender.configure(OPUS)
        await line.until(lambda: line.rtp[-1].payload_type == 111)
        types = [packet.payload_type for packet in line.rtp]
        assert types == sorted(types)
        sizes = {packet.payload_type: len(packet.payload) for packet in line.rtp}
        assert sizes[0] == 160 != sizes[111]


async def test_the_track_is_stopped_with_it_and_nothing_begins_after() -> None:
    line = Line()
    sender = MediaSender("video", line, 5, 6)
    track = Pictures()
    sender.replace_track(track)
    sender.configure(VP8)
    await sender.stop()
    await sender.stop()
    assert track.readyState == "ended" and line.senders == []
    assert [each.sources for each in line.rtcp] == [[5]]
    sender.configure(VP8)
    sender.replace_track(Pictures())
    await asyncio.sleep(0)
    assert line.senders == [] and line.rtp == []


async def test_who_never_began_says_no_goodbye() -> None:
    line = Line()
    await MediaSender("video", line, 5, 6).stop()
    assert line.rtcp == []


@pytest.mark.parametrize(("parameters", "step"), [(OPUS, 960), (PCMU, 160), (G722, 160)])
async def test_each_packet_of_a_long_frame_of_sound_has_its_own_time(parameters: SendParameters, step: int) -> None:
    async with sending("audio") as (sender, line):
        sender.configure(parameters)
        track = Pictures()
        track.kind = "audio"
        sender.replace_track(track)
        for number in range(3):
            sound = AudioFrame.from_ndarray(np.zeros((1, 2 * 2880), np.int16), "s16", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 2880 * number, fractions.Fraction(1, 48000)
            track.out.put_nowait(sound)
        await line.until(lambda: len(line.rtp) >= 8)
        times = [packet.timestamp for packet in line.rtp]
        assert {(after - before) & 0xFFFFFFFF for before, after in zip(times, times[1:], strict=False)} == {step}
        assert [packet.marker for packet in line.rtp] == [1] + [0] * (len(line.rtp) - 1)


@pytest.mark.parametrize("lacking", ["pts", "time_base"])
async def test_a_picture_without_a_time_says_what_to_do(lacking: str, caplog: pytest.LogCaptureFixture) -> None:
    async with sending("video") as (sender, _):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        frame = VideoFrame(64, 48, "yuv420p")
        frame.pts = None if lacking == "pts" else 3000
        track.out.put_nowait(frame)
        async with asyncio.timeout(5):
            while sender.track is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
    assert "set its pts and time_base" in caplog.text


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize(("peak", "level"), [(32767, 0), (3277, 20), (1, 90), (0, 127)])
def test_the_level_of_sound_is_below_full_scale(peak: int, level: int, layout: str) -> None:
    channels = 1 if layout == "mono" else 2
    square = np.tile(np.array([peak, -peak], np.int16).repeat(channels), 480)[None]
    assert level_of(AudioFrame.from_ndarray(square, "s16", layout)) == level


# What the other side says


@pytest.mark.parametrize(
    ("packet", "counted"),
    [
        (RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=5), "plis"),
        (RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=bytes([0, 0, 0, 5, 1, 0, 0, 0])), "firs"),
    ],
)
async def test_the_next_picture_is_a_keyframe_where_one_is_asked_for(
    packet: Any, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.rtc.sending.KEYFRAME_GAP", 0.0)
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        track.let_out(2)
        await line.until(lambda: len(line.rtp) == 2)
        sender.take_rtcp(packet)
        track.let_out(2)
        await line.until(lambda: len(line.rtp) == 4)
        assert [keyframe(each) for each in line.rtp] == [True, False, True, False]
        assert getattr(sender.stream.counts, counted) == 1


async def test_who_asks_often_gets_few_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.rtc.sending.KEYFRAME_GAP", float("inf"))
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        for count in range(1, 7):
            if count > 1:
                sender.request_keyframe()
            track.let_out()
            await line.until(lambda count=count: len(line.rtp) == count)
        assert sum(map(keyframe, line.rtp)) == 1
        monkeypatch.setattr("peer.rtc.sending.KEYFRAME_GAP", 0.0)  # a while passes
        track.let_out()
        await line.until(lambda: len(line.rtp) == 7)
        assert keyframe(line.rtp[-1]), "asked for meanwhile, and not forgotten"


async def test_lost_packets_are_sent_again_at_once() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        track.let_out()
        await line.until(lambda: len(line.rtp) == 1)
        nack = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=5)
        nack.lost = [line.rtp[0].sequence_number, 65535]
        sender.take_rtcp(nack)
        assert len(line.rtp) == 2
        assert line.rtp[1].repaired(96, 5).payload == line.rtp[0].payload
        assert line.urgencies == [PICTURE, AGAIN]


async def test_its_share_of_the_path_is_what_the_encoder_keeps_to() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        assert sender.target is None
        sender.limit(300_000, 300_000)
        track = Pictures()
        assert not sender.active
        sender.replace_track(track)
        track.let_out()
        await line.until(lambda: len(line.rtp) == 1)
        encoder = vars(vars(sender)["_encoding"])["_encoder"]
        assert (encoder.bitrate, sender.target, sender.active) == (300_000, 300_000, True)
        sender.limit(200_000, 200_000)
        assert (encoder.bitrate, sender.target) == (200_000, 200_000)
        sender.enabled = False
        assert not sender.active


@pytest.mark.virtual_time
async def test_reports_are_sent_and_answered() -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        await asyncio.sleep(5)
        assert line.rtcp == [], "nothing was sent that could be reported"
        track = Pictures()
        sender.replace_track(track)
        track.let_out()
        await line.until(lambda: len(line.rtp) == 1)
        await asyncio.sleep(10)
        reports = [each for each in line.rtcp if isinstance(each, RtcpSrPacket)]
        assert 6 <= len(reports) <= 20
        assert len(line.rtcp) == 2 * len(reports), "each comes with the name of the stream"
        assert {(each.ssrc, each.sender_info.packet_count) for each in reports} == {(5, 1)}
        lsr = reports[-1].sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF
        for ssrc, lost in ((5, 3), (7, 9)):
            about = RtcpReceiverInfo(
                ssrc=ssrc, fraction_lost=128, packets_lost=lost, highest_sequence=0, jitter=0, lsr=lsr, dlsr=0
            )
            sender.take_rtcp(RtcpRrPacket(ssrc=1, reports=[about]))
        counts = sender.stream.counts
        assert (counts.lost, counts.fraction_lost) == (3, 0.5)
        assert counts.round_trip_time is not None
        assert line.losses == [0.5]
        assert line.looked_after >= len(reports), "so often does the transport see that the other side fell silent"


async def test_a_track_that_ends_by_itself_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with sending("video") as (sender, line):
        sender.configure(VP8)
        track = Pictures()
        sender.replace_track(track)
        track.out.put_nowait(MediaStreamError())
        async with asyncio.timeout(5):
            while sender.track is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
    assert caplog.text == "" and line.rtp == []
