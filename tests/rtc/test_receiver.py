"""Tracks of the other side: who takes gets frames, whatever the others do and however the codec changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from peer.errors import UsageError
from peer.rtc.clock import ParticipantClock
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.inbound import ReceiveParameters
from peer.rtc.receiver import MAX_LAYERS, RemoteTrack
from peer.rtc.takers import BEGINNING_BYTES, ENCODED_BYTES
from tests.rooms import soon
from tests.rtc import packets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OPUS, PCMU = Codec("opus", 48000, 2, 111), Codec("PCMU", 8000, 1, 0)


class Out:
    """Feedback that goes nowhere."""

    def nack(self, media_ssrc: int, lost: list[int]) -> None: ...
    def pli(self, media_ssrc: int) -> None: ...
    def round_trip_time(self) -> None: ...


@pytest.fixture
async def track() -> AsyncIterator[RemoteTrack]:
    one = RemoteTrack("audio", Out(), ParticipantClock(), lambda now: None)  # type: ignore[arg-type]
    one.mid = "0"
    yield one
    one.end()
    await one.finish()


def opus() -> bytes:
    return packets.opus()[0]


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


async def test_a_slow_taker_of_large_frames_loses_the_oldest(track: RemoteTrack) -> None:
    taker = track.encoded()
    for number in range(10):
        track.emit(EncodedFrame(OPUS, bytes(ENCODED_BYTES // 4), number, 0.0))
    assert taker.dropped == 6
    track.emit(EncodedFrame(OPUS, bytes(ENCODED_BYTES + 1), 10, 0.0))
    assert ((await anext(taker)).timestamp, taker.dropped) == (10, 10), "one is always there"
    taker.close()


async def test_nothing_is_decoded_while_nobody_takes_it(track: RemoteTrack) -> None:
    for number in range(5):
        track.emit(EncodedFrame(OPUS, b"damaged", number, 0.0))
    assert (track.stats().frames_decoded, track.stats().frames_dropped) == (0, 0)


async def test_each_takes_at_a_rate_of_its_own(track: RemoteTrack) -> None:
    takers = [track.sound(16000, 1), track.sound(48000, 2), track.sound(8000, 2)]
    for number in range(3):
        track.emit(EncodedFrame(OPUS, opus(), number * 960, number / 50))
    for taker, shape in zip(takers, ((320, 1), (960, 2), (160, 2)), strict=True):
        heard = [await soon(anext(taker)) for _ in range(3)]
        assert heard[-1].array.shape == shape and heard[-1].array.dtype == "int16"
        taker.close()


async def test_sound_has_no_hole_where_packets_were_lost(track: RemoteTrack) -> None:
    sound, frames = track.sound(48000, 2), track.frames()
    for number in (0, 1, 5):
        whole = number < 2
        track.emit(EncodedFrame(OPUS, opus(), number * 960, number / 50, complete_before=whole))
    heard = [await soon(anext(sound)) for _ in range(6)]
    assert [each.time for each in heard] == pytest.approx([number / 50 for number in range(6)])
    assert [(await soon(anext(frames))).encoded.timestamp for _ in range(6)] == [960 * n for n in range(6)]
    stats = track.stats()
    assert (stats.total_samples_received, stats.concealed_samples) == (6 * 960, 3 * 960)
    assert (stats.concealment_events, stats.silent_concealed_samples, stats.frames_decoded) == (1, 0, 3)
    for taker in (sound, frames):
        taker.close()


async def test_a_slow_taker_hurts_only_itself(track: RemoteTrack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.rtc.takers.SOUND_WAITING", 5)
    slow, quick = track.sound(), track.sound()
    for number in range(25):
        track.emit(EncodedFrame(OPUS, opus(), number * 960, number / 50))
        await soon(anext(quick))
    assert (slow.dropped, quick.dropped) == (20, 0)
    assert (await soon(anext(slow))).time == pytest.approx(20 / 50), "the oldest went"
    for taker in (slow, quick):
        taker.close()


async def test_when_the_last_taker_leaves_the_decoder_goes(track: RemoteTrack) -> None:
    taker = track.frames()
    track.emit(EncodedFrame(OPUS, opus(), 0, 0.0))
    await soon(anext(taker))
    decoder = vars(track)["_decoder"]
    taker.close()
    assert decoder.busy
    track.emit(EncodedFrame(OPUS, opus(), 960, 0.02))
    assert not decoder.busy and vars(decoder)["_stream"] is None
    again = track.sound()
    track.emit(EncodedFrame(OPUS, opus(), 960 * 150, 3.0))
    assert (await soon(anext(again))).time == 3.0, "what came while nobody took it is no hole"
    again.close()


async def test_after_the_end_there_is_nothing(track: RemoteTrack) -> None:
    sound = track.sound()
    track.end()
    track.end()
    for taker in (sound, track.sound(), track.encoded()):
        with pytest.raises(StopAsyncIteration):
            await soon(anext(taker))  # type: ignore[arg-type]


async def test_reports_about_streams_that_nothing_came_of_are_not_kept(track: RemoteTrack) -> None:
    track.configure(ReceiveParameters([packets.OPUS]))
    track.rtp([packets.packet(packets.OPUS, 0, 0, opus())], "")
    for ssrc in range(1000):
        track.sender_report(ssrc, 1 << 63, 0, 0.0)
    (stream,) = vars(track)["_streams_in"].values()
    assert list(vars(stream)["_reports"]) == [5]


async def test_before_anything_was_agreed_nothing_is_taken(track: RemoteTrack) -> None:
    track.rtp([packets.packet(packets.OPUS, 0, 0, opus())], "")
    assert track.counts() == {} and track.stats().packets_received == 0


async def test_media_is_a_sign_of_life_and_tells_that_it_begins(video: Simulcast) -> None:
    began: list[bool] = []
    track = video.track
    track.on_media = lambda: began.append(track.active)
    video.take("q", 0)
    assert (began, len(video.heard)) == ([], 1), "what still comes while the other side holds begins nothing"
    for _ in range(2):
        track.active = True
        video.take("q", 1)
        video.take("q", 2)
    assert began == [True, True]


async def test_of_a_simulcast_the_largest_layer_is_handed_on(video: Simulcast) -> None:
    got: list[int] = []
    video.track.subscribe(lambda frame: got.append(frame.width))
    for sequence, rid in enumerate(("q", "h", "q", "h")):
        video.take(rid, sequence // 2, keyframe=True)
    assert got == [64, 128, 128]
    assert video.track.layer == "h" and [each.rid for each in video.track.layers] == ["q", "h"]
    assert (video.track.width, video.track.height) == (128, 96)
    assert {rid: each.frames for rid, each in video.track.counts().items()} == {"q": 2, "h": 2}
    assert video.track.stats().packets_received == 4


async def test_a_keyframe_is_asked_of_a_larger_layer(video: Simulcast) -> None:
    video.take("q", 0, keyframe=True)
    video.take("h", 0, keyframe=True)
    video.plis.clear()
    video.track.request_keyframe()
    assert sorted(video.plis) == [SSRCS["q"], SSRCS["h"]]


async def test_packets_of_which_the_layer_is_not_known_are_dropped(video: Simulcast) -> None:
    video.take("q", 0, keyframe=True)
    video.take("", 0, keyframe=True)
    assert list(video.track.counts()) == ["q"]


async def test_what_began_without_its_layer_is_that_layer(video: Simulcast) -> None:
    video.take("", 0, keyframe=True)
    video.take("q", 1, keyframe=True)
    video.take("", 2, keyframe=True)
    assert list(video.track.counts()) == ["q"]


async def test_layers_are_bounded(video: Simulcast) -> None:
    for number in range(MAX_LAYERS + 5):
        video.take(f"layer{number}", 0, keyframe=True)
    assert len(video.track.counts()) == MAX_LAYERS == len(video.track.layers)


async def test_a_simulcast_may_become_one_stream(video: Simulcast) -> None:
    video.take("h", 0, keyframe=True)
    video.track.configure(ReceiveParameters([packets.VP8]))
    got: list[int] = []
    video.track.subscribe(lambda frame: got.append(frame.width))
    video.take("", 5, keyframe=True)
    assert got == [64] and video.track.layers == [] and video.track.layer is None


async def test_the_streams_that_came_are_known(video: Simulcast) -> None:
    now = time.monotonic()
    for rid in ("q", "h"):
        video.take(rid, 0, keyframe=True)
    assert set(video.track.sources()) == {SSRCS["q"], SSRCS["h"]}
    assert all(at >= now for at in video.track.sources().values())


async def test_a_beginning_of_many_bytes_is_not_kept(track: RemoteTrack) -> None:
    for number in range(3):
        track.emit(EncodedFrame(OPUS, bytes(BEGINNING_BYTES // 2), number * 960, 0.0))
    assert vars(track)["_beginning"] is None


async def test_the_beginning_is_kept_for_a_moment_only(track: RemoteTrack) -> None:
    track.emit(EncodedFrame(OPUS, opus(), 0, 0.0))
    assert len(vars(track)["_beginning"].frames) == 1
    track.end()
    assert vars(track)["_beginning"] is None


SSRCS = {"q": 5, "h": 6, "": 7}


class Simulcast:
    """A track with layers, and what it asked for."""

    def __init__(self) -> None:
        self.plis: list[int] = []
        self.heard: list[float] = []
        out = Out()
        out.pli = self.plis.append  # type: ignore[method-assign]
        self.track = RemoteTrack("video", out, ParticipantClock(), self.heard.append)  # type: ignore[arg-type]
        self.track.configure(ReceiveParameters([packets.VP8], layers=("q", "h")))

    def take(self, rid: str, sequence: int, *, keyframe: bool = False) -> None:
        size = 2 if rid == "h" else 1
        payload = KEYFRAMES[size] if keyframe else b"\x10\x01\x00\x00rest"
        one = packets.packet(packets.VP8, sequence, sequence * 3000, payload, ssrc=SSRCS.get(rid, 9))
        self.track.rtp([one], rid)


KEYFRAMES = {size: packets.pictures(1, 64 * size, 48 * size)[0] for size in (1, 2)}


@pytest.fixture
async def video() -> AsyncIterator[Simulcast]:
    one = Simulcast()
    yield one
    one.track.end()
    await one.track.finish()


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
