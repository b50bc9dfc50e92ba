"""Tracks of the other side: who takes gets frames, whatever the others do and however the codec changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from peer.errors import UsageError
from peer.rtc.clock import ParticipantClock
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.receiver import RemoteTrack
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OPUS, PCMU = Codec("opus", 48000, 2, 111), Codec("PCMU", 8000, 1, 0)


class Out:
    """Feedback that goes nowhere."""

    def nack(self, media_ssrc: int, lost: list[int]) -> None: ...
    def pli(self, media_ssrc: int) -> None: ...


@pytest.fixture
async def track() -> AsyncIterator[RemoteTrack]:
    one = RemoteTrack("audio", Out(), ParticipantClock(), lambda now: None)  # type: ignore[arg-type]
    one.mid = "0"
    yield one
    one.end()
    await one.finish()


def opus() -> bytes:
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = 48000, "stereo", "s16"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="stereo")
    frame.sample_rate = 48000
    return bytes([*codec.encode(frame), *codec.encode(None)][0])


async def test_sound_goes_on_when_the_codec_changes(track: RemoteTrack) -> None:
    sound = track.sound(16000, 1)
    for number, (codec, data) in enumerate([(OPUS, opus()), (PCMU, b"\xff" * 160), (OPUS, opus())] * 2):
        track.emit(EncodedFrame(codec, data, number * 960, number / 50))
        heard = await soon(anext(sound))
        assert heard.rate == 16000 and heard.array.shape[1] == 1 and heard.time == number / 50
    sound.close()


async def test_a_taker_that_raises_gets_no_more_and_the_others_do(track: RemoteTrack) -> None:
    got: list[int] = []
    tried: list[int] = []

    def broken(frame: EncodedFrame) -> None:
        tried.append(frame.timestamp)
        raise RuntimeError("taker")

    track.subscribe(broken)
    leave = track.subscribe(lambda frame: got.append(frame.timestamp))
    for number in range(3):
        track.emit(EncodedFrame(OPUS, b"x", number, 0.0))
    leave()
    leave()
    track.emit(EncodedFrame(OPUS, b"x", 3, 0.0))
    assert (tried, got) == ([0], [0, 1, 2])
    assert track.codec == OPUS and track.id == "audio-0"


async def test_a_slow_taker_loses_the_oldest(track: RemoteTrack) -> None:
    taker = track.encoded(2)
    for number in range(5):
        track.emit(EncodedFrame(OPUS, b"x", number, 0.0))
    assert taker.dropped == 3
    assert [(await anext(taker)).timestamp for _ in range(2)] == [3, 4]
    taker.close()


async def test_nothing_is_decoded_while_nobody_takes_it(track: RemoteTrack) -> None:
    for number in range(5):
        track.emit(EncodedFrame(OPUS, b"damaged", number, 0.0))
    assert (track.stats().frames_decoded, track.stats().frames_dropped) == (0, 0)


async def test_after_the_end_there_is_nothing(track: RemoteTrack) -> None:
    sound = track.sound()
    track.end()
    track.end()
    for taker in (sound, track.sound(), track.encoded()):
        with pytest.raises(StopAsyncIteration):
            await soon(anext(taker))  # type: ignore[arg-type]


async def test_reports_about_streams_that_nothing_came_of_are_not_kept(track: RemoteTrack) -> None:
    for ssrc in range(1000):
        track.sender_report(ssrc, 1 << 63, 0, 0.0)
    assert vars(track._inbound)["_reports"] == {}


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (-5, 1), (48000, 0), (48000, 3)])
async def test_sound_that_cannot_be_is_refused(track: RemoteTrack, rate: int, channels: int) -> None:
    with pytest.raises(UsageError):
        track.sound(rate, channels)


async def test_a_track_gives_what_it_carries(track: RemoteTrack) -> None:
    with pytest.raises(UsageError, match=r"audio-0 has no pictures; take its sound"):
        track.pictures()
    video = RemoteTrack("video", Out(), ParticipantClock(), lambda now: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="take its pictures"):
        video.sound()
    video.end()
