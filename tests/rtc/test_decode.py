"""Decoding on threads that are there while somebody decodes: order, damage, overload, the end."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from av import VideoFrame

from peer.rtc.decode import MAX_BYTES, MAX_WAITING, THREADS, Decoder
from peer.rtc.frames import Codec, EncodedFrame
from tests.harness.encoders import video_encoder
from tests.rooms import soon

if TYPE_CHECKING:
    import pytest

    from peer.rtc.decoders import DecodedFrame

VP8 = Codec("VP8", 90000, 1, 96)


def encoded(count: int) -> list[EncodedFrame]:
    """Pictures of 64x48 of growing brightness; the first is a keyframe."""
    encoder = video_encoder("libvpx", (64, 48), Fraction(1, 30))
    frames = []
    for number in range(count):
        picture = VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + number * 3, np.uint8))
        picture.pts = number
        frames += [(bytes(packet), packet.is_keyframe) for packet in encoder.encode(picture)]
    return [EncodedFrame(VP8, data, n * 3000, n / 30, key, 64, 48, True) for n, (data, key) in enumerate(frames)]


class Taken:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.asked = 0
        self.fails = False
        self._news = asyncio.Event()

    def deliver(self, decoded: DecodedFrame) -> None:
        self.times.append(decoded.time)
        self._news.set()
        if self.fails:
            self.fails = False
            raise RuntimeError("taker")

    def ask(self) -> None:
        self.asked += 1

    async def until(self, count: int) -> None:
        while len(self.times) < count:
            self._news.clear()
            await soon(self._news.wait())


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("peer-decode")]


async def test_frames_come_out_in_order_and_the_threads_end() -> None:
    frames = await asyncio.to_thread(encoded, 6)
    taken, other = Taken(), Taken()
    decoders = [Decoder(one.deliver, one.ask) for one in (taken, other)]
    for frame in frames:
        for decoder in decoders:
            decoder.push(frame)
    await taken.until(6)
    await other.until(6)
    assert taken.times == other.times == [frame.time for frame in frames]
    await decoders[0].close()
    decoders[1].push(frames[0])
    await other.until(7)
    assert threads()
    await decoders[1].close()
    await decoders[1].close()
    decoders[1].push(frames[0])
    async with asyncio.timeout(5):
        while threads():  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(0.01)


async def test_many_tracks_share_few_threads() -> None:
    frames = await asyncio.to_thread(encoded, 2)
    taken = [Taken() for _ in range(4 * THREADS)]
    decoders = [Decoder(one.deliver, one.ask) for one in taken]
    for frame in frames:
        for decoder in decoders:
            decoder.push(frame)
    for one in taken:
        await one.until(2)
    assert 0 < len(threads()) <= THREADS
    for decoder in decoders:
        await decoder.close()


async def test_it_begins_with_a_keyframe_and_after_damage_again() -> None:
    frames = await asyncio.to_thread(encoded, 4)
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    decoder.push(frames[1])
    assert decoder.dropped == 1
    decoder.push(frames[0])
    await taken.until(1)
    broken = EncodedFrame(VP8, b"\xff" * 9, 0, 0.5, True, 64, 48, True)
    decoder.push(broken)
    async with asyncio.timeout(5):
        while not taken.asked:  # noqa: ASYNC110 - a plain counter
            await asyncio.sleep(0.005)
    assert decoder.errors == 1
    decoder.push(frames[1])
    assert decoder.dropped == 2
    decoder.push(frames[0])
    await taken.until(2)
    await decoder.close()


async def test_a_decoder_that_falls_behind_drops_up_to_the_next_keyframe() -> None:
    frames = await asyncio.to_thread(encoded, 2)
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    decoder.push(frames[0])
    for _ in range(MAX_WAITING + 5):
        decoder.push(frames[1])
    assert taken.asked == 1 and decoder.dropped > MAX_WAITING
    await decoder.close()


async def test_a_decoder_does_not_keep_many_bytes() -> None:
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    large = EncodedFrame(VP8, bytes(MAX_BYTES // 2), 0, 0.0)
    for _ in range(4):
        decoder.push(large)
    assert (decoder.dropped, taken.asked) == (4, 1)
    await decoder.close()


async def test_a_taker_that_fails_does_not_stop_the_decoder(caplog: pytest.LogCaptureFixture) -> None:
    frames = await asyncio.to_thread(encoded, 3)
    taken = Taken()
    taken.fails = True
    decoder = Decoder(taken.deliver, taken.ask)
    for frame in frames:
        decoder.push(frame)
    await taken.until(3)
    assert "could not be handed on" in caplog.text
    await decoder.close()


async def test_a_codec_that_is_not_known_is_not_decoded() -> None:
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    decoder.push(EncodedFrame(Codec("H265", 90000, 1, 99), b"x", 0, 0.0, True, 0, 0, True))
    async with asyncio.timeout(5):
        while not decoder.errors:  # noqa: ASYNC110 - a plain counter
            await asyncio.sleep(0.005)
    await decoder.close()
    assert taken.times == []


async def test_another_codec_takes_over_while_frames_of_the_one_before_wait() -> None:
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    opus = EncodedFrame(Codec("opus", 48000, 2, 111), b"\xf8\xff\xfe", 0, 0.0)
    pcmu = EncodedFrame(Codec("PCMU", 8000, 1, 0), b"\xff" * 160, 0, 0.0)
    for frame in (opus, opus, pcmu, pcmu, opus):
        decoder.push(frame)
    await taken.until(5)
    await decoder.close()
    assert decoder.errors == 0


async def test_who_comes_back_begins_with_a_keyframe_and_between_nothing_is_kept() -> None:
    frames = await asyncio.to_thread(encoded, 4)
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    decoder.push(frames[0])
    await taken.until(1)
    decoder.rest()
    assert not decoder.busy and vars(decoder)["_stream"] is None
    async with asyncio.timeout(5):
        while threads():  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(0.01)
    decoder.push(frames[2])  # builds on pictures that were not decoded
    assert decoder.dropped == 1
    decoder.push(frames[0])
    decoder.push(frames[1])
    await taken.until(3)
    assert taken.times == [frames[0].time, frames[0].time, frames[1].time]
    await decoder.close()
    assert (decoder.frames, decoder.keyframes) == (3, 2)


async def test_resting_while_a_frame_is_decoded_lets_go_after_it() -> None:
    frames = await asyncio.to_thread(encoded, 2)
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    decoder.push(frames[0])
    await asyncio.sleep(0)
    decoder.push(frames[1])
    decoder.rest()
    await taken.until(1)
    async with asyncio.timeout(5):
        while threads():  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(0.01)
    assert taken.times == [frames[0].time] and vars(decoder)["_stream"] is None
    await decoder.close()


async def test_after_an_overload_another_codec_is_still_another() -> None:
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    opus = EncodedFrame(Codec("opus", 48000, 2, 111), b"\xf8\xff\xfe", 0, 0.0)
    pcmu = EncodedFrame(Codec("PCMU", 8000, 1, 0), b"\xff" * 160, 0, 0.0)
    decoder.push(opus)
    await taken.until(1)
    for _ in range(MAX_WAITING + 1):  # the last one clears them all
        decoder.push(pcmu)
    decoder.push(pcmu)
    await taken.until(2)
    await decoder.close()
    assert decoder.errors == 0


async def test_what_fills_a_hole_is_no_frame_that_came() -> None:
    taken = Taken()
    decoder = Decoder(taken.deliver, taken.ask)
    for timestamp in (0, 4 * 160):
        decoder.push(EncodedFrame(Codec("PCMU", 8000, 1, 0), b"\xff" * 160, timestamp, 0.0, complete_before=False))
    await taken.until(5)
    await decoder.close()
    assert decoder.frames == 2 and decoder.sound.concealed == 480 and decoder.sound.total == 800
