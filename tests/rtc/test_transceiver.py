"""Senders go on through holds, other codecs and other tracks; a transceiver that is stopped lets go at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCCertificate, RTCRtpCodecCapability, RTCRtpReceiver
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from av import AudioFrame

from peer.rtc.codecs import CAPABILITIES, MID, TRANSPORT_FEEDBACK, TRANSPORT_WIDE, Codec
from peer.rtc.dtls import DtlsTransport
from peer.rtc.effects import Transceiver
from peer.rtc.packet import RtpPacket
from peer.rtc.sdp import Extension
from peer.rtc.transceiver import RtpReceiver, RtpSender, RtpTransceiver, codec_parameters, random_ssrc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

CERTIFICATE = RTCCertificate.generateCertificate()
PCMU, PCMA = (next(c for c in CAPABILITIES["audio"] if c.name == name) for name in ("PCMU", "PCMA"))
EXTENSIONS = [Extension(1, MID)]


class Quiet(AudioStreamTrack):
    """Silence, fast, that tells when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self._reads: asyncio.Queue[None] = asyncio.Queue()

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.002)
        frame = AudioFrame(format="s16", layout="mono", samples=160)
        frame.planes[0].update(bytes(320))
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        self._reads.put_nowait(None)
        return frame

    async def read(self, times: int) -> None:
        """Until it was read so many times more."""
        while not self._reads.empty():
            self._reads.get_nowait()
        for _ in range(times):
            await asyncio.wait_for(self._reads.get(), 10)


class Odd(Quiet):
    """Its frames are none that an encoder takes."""

    async def recv(self) -> AudioFrame:
        frame = await super().recv()
        return AudioFrame(format="flt", layout="mono", samples=frame.samples)


class Ice:
    role, state = "controlled", "connected"


class Transport(DtlsTransport):
    """Takes what a sender sends, unprotected."""

    def __init__(self) -> None:
        super().__init__(Ice(), CERTIFICATE)  # type: ignore[arg-type]
        self.sent: asyncio.Queue[RtpPacket] = asyncio.Queue()
        self.byes: list[bytes] = []

    def send_rtp(self, data: bytes, urgency: int = 0) -> None:
        self.sent.put_nowait(RtpPacket(data))

    def send_rtcp(self, data: bytes) -> None:
        if data[1] == 203:
            self.byes.append(data)

    async def packet(self) -> RtpPacket:  # type: ignore[override]
        """The next that is sent from now on."""
        while not self.sent.empty():
            self.sent.get_nowait()
        return await asyncio.wait_for(self.sent.get(), 10)


class Made:
    """A sender of its own, with what a connection gives it."""

    def __init__(self, kind: str = "audio") -> None:
        self.record = Transceiver(kind, cname="me", ssrc=5, rtx_ssrc=6)
        self.record.current_direction = "sendrecv"
        self.transport = Transport()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sender = RtpSender(self.record, self.transport)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def configure(self, *codecs: Codec, mid: str = "0") -> None:
        self.sender.configure(codecs or [PCMU], EXTENSIONS, mid)

    async def close(self) -> None:
        await self.sender.stop()
        await asyncio.gather(*self.tasks)


@pytest.fixture
async def made() -> AsyncIterator[Made]:
    one = Made()
    yield one
    await one.close()


async def test_what_was_agreed_is_sent(made: Made) -> None:
    made.sender.replaceTrack(Quiet())
    assert made.sender.codec == ""
    made.configure()
    packet = await made.transport.packet()
    assert (packet.ssrc, packet.payload_type, packet.extension(1)) == (5, 0, b"0")
    assert (made.sender.codec, made.sender.kind, made.sender.transport) == ("PCMU", "audio", made.transport)
    assert any(each.type == "outbound-rtp" for each in (await made.sender.getStats()).values())


@pytest.mark.parametrize("told", [True, False])
async def test_packets_have_room_for_a_number_where_arrivals_are_told(told: bool) -> None:
    one = Made()
    one.sender.replaceTrack(Quiet())
    opus = replace(PCMU, feedback=(TRANSPORT_FEEDBACK,) if told else ())
    one.sender.configure([opus], [*EXTENSIONS, Extension(5, TRANSPORT_WIDE)], "0")
    packet = await one.transport.packet()
    assert (packet.extension(5), packet.extension(1)) == (b"\0\0" if told else None, b"0")
    await one.close()


async def test_the_same_agreement_once_more_changes_nothing(made: Made) -> None:
    made.sender.replaceTrack(Quiet())
    made.configure()
    first = await made.transport.packet()
    made.configure()
    assert (await made.transport.packet()).ssrc == first.ssrc == made.record.ssrc
    assert made.transport.byes == []


@pytest.mark.parametrize(("codec", "mid"), [(PCMA, "0"), (PCMU, "1")], ids=["codec", "mid"])
async def test_another_codec_goes_on_in_the_same_stream(made: Made, codec: Codec, mid: str) -> None:
    track = Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    before = packet = await made.transport.packet()
    made.configure(codec, mid=mid)
    async with asyncio.timeout(10):
        while (packet.payload_type, packet.extension(1)) != (codec.payload_type, mid.encode()):
            before, packet = packet, await made.transport.sent.get()
    assert packet.ssrc == before.ssrc == made.record.ssrc == 5
    assert packet.sequence_number == before.sequence_number + 1 and packet.timestamp >= before.timestamp
    assert made.transport.byes == [] and track.readyState == "live" and made.sender.track is track


async def test_what_is_only_received_is_not_sent(made: Made) -> None:
    """A sendrecv m-line may carry VP9 to us, whatever its answer prefers; we send what we can, or nothing."""
    track = Quiet()
    made.sender.replaceTrack(track)
    other = Codec("audio", "other", 48000, 2, 100)
    made.configure(other, PCMU)
    assert (await made.transport.packet()).payload_type == 0 and made.sender.codec == "PCMU"
    made.configure(other)
    await silent(made, track)


async def test_nothing_is_sent_on_hold(made: Made) -> None:
    track = Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    await made.transport.packet()
    made.record.current_direction = "recvonly"
    made.configure()
    await silent(made, track)
    made.record.current_direction = "sendrecv"
    made.configure()
    assert (await made.transport.packet()).ssrc == 5


async def test_a_hold_outlives_the_end_of_the_track(made: Made) -> None:
    track = Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    await made.transport.packet()
    made.record.current_direction = "inactive"
    made.configure()
    track.stop()
    await dropped(made)
    made.sender.replaceTrack(another := Quiet())
    await silent(made, another)


async def test_a_track_that_ended_is_followed_by_another_in_the_same_stream(made: Made) -> None:
    track, another = Quiet(), Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    before = await made.transport.packet()
    track.stop()
    await dropped(made)
    assert made.sender.track is track
    made.sender.replaceTrack(another)
    after = await made.transport.packet()
    assert after.ssrc == made.record.ssrc == 5 and 0 < after.sequence_number - before.sequence_number < 100
    assert after.timestamp > before.timestamp
    assert made.sender.track is another and another.readyState == "live"


async def test_a_negotiation_after_the_track_ended_changes_nothing(made: Made) -> None:
    track = Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    track.stop()
    await dropped(made)
    made.sender.replaceTrack(None)
    made.configure(PCMA)
    made.sender.replaceTrack(Quiet())
    packet = await made.transport.packet()
    assert (packet.ssrc, packet.payload_type) == (5, PCMA.payload_type)


async def test_what_cannot_be_encoded_costs_its_track_only(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    made.sender.replaceTrack(Odd())
    made.configure()
    await dropped(made)
    assert "could not be encoded as PCMU" in caplog.text
    made.sender.replaceTrack(Quiet())
    assert (await made.transport.packet()).ssrc == 5


async def test_another_track_in_the_place_of_one_that_flows(made: Made) -> None:
    first, second = Quiet(), Quiet()
    made.sender.replaceTrack(first)
    made.configure()
    before = await made.transport.packet()
    made.sender.replaceTrack(second)
    after = await made.transport.packet()
    assert after.ssrc == before.ssrc and first.readyState == "live"
    made.sender.replaceTrack(None)
    made.sender.replaceTrack(first)
    await first.read(2)
    assert (await made.transport.packet()).ssrc == before.ssrc


async def test_a_track_of_the_other_kind_is_refused(made: Made) -> None:
    with pytest.raises(ValueError, match="video cannot be sent in the place of audio"):
        made.sender.replaceTrack(VideoStreamTrack())
    assert made.sender.track is None


async def test_what_is_detached_sends_nothing_ever_again(made: Made) -> None:
    track = Quiet()
    made.sender.replaceTrack(track)
    made.configure()
    await made.transport.packet()
    made.sender.detach()
    await made.sender.stop()
    for _ in range(2):
        made.configure(PCMA)
        made.sender.replaceTrack(track)
    assert made.sender.track is None and track.readyState == "live"
    assert len(asyncio.all_tasks()) == 1


async def test_nothing_in_common_sends_nothing(made: Made) -> None:
    made.sender.replaceTrack(Quiet())
    made.sender.configure([], EXTENSIONS, "0")
    assert len(asyncio.all_tasks()) == 1


async def dropped(made: Made) -> None:
    """Until it was seen inside that the track ended, or cannot be used."""
    async with asyncio.timeout(10):
        while made.sender.media.track is not None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def silent(made: Made, track: Quiet) -> None:
    """The track is read on and on, and nothing of it is sent."""
    await track.read(3)  # what was on its way through the encoder
    while not made.transport.sent.empty():
        made.transport.sent.get_nowait()
    await track.read(5)
    assert made.transport.sent.empty()


# Transceivers


class Shell:
    """A transceiver, and what it told."""

    def __init__(self, kind: str = "audio") -> None:
        self.record = Transceiver(kind)
        self.told: list[str] = []
        part: Any = None
        self.transceiver = RtpTransceiver(
            self.record, part, part, lambda: self.told.append("changed"), lambda _: self.told.append("ended")
        )


def test_a_direction_that_changes_needs_negotiation() -> None:
    shell = Shell()
    shell.transceiver.direction = "sendrecv"
    assert shell.told == []
    shell.transceiver.direction = "recvonly"
    assert (shell.record.direction, shell.told) == ("recvonly", ["changed"])
    with pytest.raises(ValueError, match="use one of inactive, sendonly, recvonly, sendrecv"):
        shell.transceiver.direction = "both"


async def test_stop_may_be_awaited_or_not() -> None:
    shell = Shell()
    shell.record.mid = "0"
    shell.transceiver.stop()
    await shell.transceiver.stop()
    assert shell.told == ["ended", "changed"]
    assert (shell.transceiver.direction, shell.transceiver.stopped, shell.record.stopped) == ("stopped", True, False)


def test_one_that_was_never_offered_is_stopped_at_once() -> None:
    shell = Shell()
    shell.transceiver.stop()
    assert shell.record.stopped and shell.transceiver.mid is None and shell.transceiver.currentDirection is None


def test_codec_preferences() -> None:
    shell = Shell("video")
    known = {each.mimeType: each for each in RtpSender.getCapabilities("video").codecs}
    shell.transceiver.setCodecPreferences([known["video/H264"], known["video/rtx"]])
    assert {each.name.lower() for each in shell.record.preferences} == {"h264", "rtx"}
    shell.transceiver.setCodecPreferences([known["video/VP8"]])
    assert [each.name for each in shell.record.preferences] == ["VP8"]
    shell.transceiver.setCodecPreferences([])
    assert shell.record.preferences == ()
    with pytest.raises(ValueError, match="Codec is not in capabilities"):
        shell.transceiver.setCodecPreferences([RTCRtpCodecCapability("video/VP7", 90000)])


def test_what_can_only_be_received_can_be_preferred() -> None:
    shell = Shell("video")
    assert "video/VP9" not in {each.mimeType for each in RtpSender.getCapabilities("video").codecs}
    found = RtpReceiver.getCapabilities("video")
    assert found is not None
    known = {each.mimeType: each for each in found.codecs}
    shell.transceiver.setCodecPreferences([known["video/AV1"], known["video/VP9"], known["video/rtx"]])
    names = [each.name for each in shell.record.preferences]
    assert names == ["AV1", "rtx", "VP9", "rtx"]


def test_sound_as_aiortc_has_it_and_keys_can_be_received() -> None:
    found, known = RtpReceiver.getCapabilities("audio"), RTCRtpReceiver.getCapabilities("audio")
    assert found is not None and known is not None
    more = found.codecs[len(known.codecs) :]
    assert found.codecs[: len(known.codecs)] == known.codecs
    assert [(each.mimeType, each.clockRate) for each in more] == [
        *(("audio/telephone-event", 48000), ("audio/telephone-event", 8000))
    ]
    shell = Shell("audio")
    shell.transceiver.setCodecPreferences([more[1], *(each for each in known.codecs if each.mimeType == "audio/PCMU")])
    assert [each.name for each in shell.record.preferences] == ["PCMU", "telephone-event"], "never first"
    shell.transceiver.setCodecPreferences(more)
    assert shell.record.preferences == (), "they are nothing by themselves"


def test_codecs_as_aiortc_writes_them() -> None:
    video = [codec_parameters(each) for each in CAPABILITIES["video"]]
    assert (video[0].mimeType, video[0].clockRate, video[0].channels) == ("video/VP8", 90000, None)
    assert ("nack", "pli") in [(each.type, each.parameter) for each in video[0].rtcpFeedback]
    assert video[1].parameters == {"apt": video[0].payloadType}
    opus = codec_parameters(CAPABILITIES["audio"][0])
    assert (opus.mimeType, opus.channels, opus.parameters["useinbandfec"]) == ("audio/opus", 2, "1")


def test_ssrcs_are_never_0() -> None:
    assert all(0 < random_ssrc() < 1 << 32 for _ in range(100))
