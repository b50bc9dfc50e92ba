"""Outbound tracks: what they carry changes at any time, goes on in another connection, and ends with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from peer.media.push import PictureSource, SoundSource
from peer.rtc.feed import feeds
from peer.rtc.sender import OutboundPictures, OutboundSound
from tests.rtc.eager import Eager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def source() -> AsyncIterator[PictureSource]:
    made = PictureSource()
    made.push(np.full((48, 64, 3), 90, np.uint8))
    yield made
    await made.close()
    assert feeds() == []


async def test_nothing_is_read_before_somebody_takes_it(source: PictureSource) -> None:
    track = OutboundPictures()
    track.show(source)
    await asyncio.sleep(0)
    assert track.showing and not track.giving and not source._readers.all
    taker = Eager()
    track.feed(taker)
    await taker.keyframe()
    assert track.giving
    track.stop()
    assert not track.giving and not track.showing


async def test_another_source_takes_the_place_of_one(source: PictureSource) -> None:
    track, taker, other = OutboundPictures(), Eager(), PictureSource()
    track.feed(taker)
    track.show(source)
    await taker.keyframe()
    track.show(other)
    await asyncio.sleep(0)
    assert not source._readers.all
    other.push(np.full((96, 64, 3), 90, np.uint8))
    assert (await taker.keyframe()).timeline is not taker.frames[0].timeline
    track.show(None)
    assert not track.showing
    track.stop()
    await other.close()


async def test_a_source_that_ends_is_not_shown_any_more(source: PictureSource) -> None:
    track, taker = OutboundPictures(), Eager()
    track.feed(taker)
    track.show(source)
    await taker.keyframe()
    await source.close()
    async with asyncio.timeout(10):
        while track.showing:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
    assert not track.giving and not taker.over, "the sender goes on"
    track.stop()


async def test_what_is_held_is_not_given_and_goes_on(source: PictureSource) -> None:
    track, taker = OutboundPictures(), Eager()
    track.show(source)
    track.feed(taker)
    await taker.keyframe()
    track.hold(True)
    assert not track.giving and source._readers.all
    track.hold(False)
    await taker.keyframe()
    track.stop()


async def test_a_source_goes_on_in_another_track(source: PictureSource) -> None:
    before, after, taker = OutboundPictures(), OutboundPictures(), Eager()
    before.feed(taker)
    before.show(source)
    await taker.keyframe()
    reader = source._readers.all
    before.hand_over(after)
    before.stop()
    await asyncio.sleep(0)
    assert source._readers.all == reader, "it is still read"
    other = Eager()
    after.feed(other)
    await other.keyframe()
    assert source._readers.all == reader
    after.stop()


async def test_sound_goes_on_behind_a_playback() -> None:
    own, track, taker = SoundSource(), OutboundSound(), Eager("PCMU")
    track.feed(taker)
    track.carry(own)
    await taker.more(2)

    class Playing:
        stopped = False
        reads = 0

        def read(self, samples: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
            self.reads += 1
            return np.full((samples, 1), 9000, np.int16)

        def close(self) -> None:
            self.stopped = True

    playing = Playing()
    track.play(playing)  # type: ignore[arg-type]
    await taker.until(lambda: playing.reads > 3)
    own.push(np.full(960, 5, np.int16))
    async with asyncio.timeout(10):
        await own.drained()
    track.stop_playing(playing)  # type: ignore[arg-type]
    reads = playing.reads
    await taker.more(3)
    assert playing.reads == reads
    track.stop()
    await own.close()


async def test_a_playback_that_cannot_be_read_ends_and_the_next_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    track, taker = OutboundSound(), Eager("PCMU")
    track.feed(taker)

    class Playing:
        stopped = False

        def __init__(self, samples: int) -> None:
            self.samples = samples

        def read(self, samples: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
            if not self.samples:
                raise ValueError("nothing there")
            return np.full((samples, 1), 9000, np.int16)

        def close(self) -> None:
            self.stopped = True

    broken, sound = Playing(0), Playing(960)
    track.play(broken)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while not broken.stopped:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        await track.handed_on()
    assert "nothing there" in caplog.text
    await asyncio.sleep(0)
    track.play(sound)  # type: ignore[arg-type]
    await taker.more(2)
    track.stop()


async def test_it_is_for_senders_of_ours_only() -> None:
    from aiortc.mediastreams import MediaStreamError

    with pytest.raises(MediaStreamError, match="connection of ours"):
        await OutboundPictures().recv()
