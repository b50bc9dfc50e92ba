"""What every source keeps to, checked the same way for all of them, and helpers to make time pass in their threads."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from peer.media.base import PictureReader, PictureSourceBase, SoundSourceBase, SourceEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.media.sound import Samples, SoundReader

DEADLINE = 10.0


class TurnClock:
    """A clock for source threads that only moves as far as the test allows."""

    def __init__(self) -> None:
        self._now = self._limit = 100.0
        self._moved = threading.Condition()
        self.waiting = False

    def now(self) -> float:
        return self._now

    def wait(self, stop: threading.Event, until: float) -> bool:
        with self._moved:
            while max(self._limit, self._now) < until and not stop.is_set():
                self.waiting = True
                self._moved.wait(0.005)
            self.waiting = False
            self._now = max(self._now, until)
        return stop.is_set()

    def allow(self, until: float) -> None:
        """Let the thread go on to `until`; does not wait for it."""
        with self._moved:
            self._limit = max(self._limit, until)
            self.waiting = False
            self._moved.notify_all()

    async def advance(self, seconds: float, running: Callable[[], bool]) -> None:
        """Let `seconds` pass, and wait until the thread has done all it had to do in them (or is not `running`)."""
        self.allow(self._limit + seconds)
        await eventually(lambda: self.waiting or not running())
        self._now = max(self._now, self._limit)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fails after a deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "this did not happen in time"
        await asyncio.sleep(0.001)


async def fed_until(condition: Callable[[], bool], feed: Callable[[], None]) -> None:
    """Like `eventually`, giving the source something each time."""

    def step() -> bool:
        feed()
        return condition()

    await eventually(step)


async def take(reader: PictureReader, count: int) -> list[float]:
    """The times of the next `count` pictures."""
    async with asyncio.timeout(DEADLINE):
        return [(await reader.next()).time for _ in range(count)]


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


async def check_picture_source(source: PictureSourceBase, feed: Callable[[], None] = lambda: None) -> None:
    """`source` is fresh and goes on until it is closed; `feed` makes it give a few pictures, if it has to be told."""
    before = threads()
    assert source.label
    first, second, slow = source.open(), source.open(), source.open()
    times: list[float] = []
    async with asyncio.timeout(DEADLINE):
        for _ in range(6):
            feed()
            picture = await first.next()
            await second.next()
            times.append(picture.time)
    _check_picture(picture)
    assert times == sorted(times), "times go forward"
    assert abs(times[-1] - time.monotonic()) < DEADLINE, "times are those of the monotonic clock"
    await fed_until(lambda: slow.dropped > 0, feed)
    kept = [await slow.next(), await slow.next()]
    assert kept[0].time >= times[0] and kept[0].time <= kept[1].time, "the newest are kept"

    second.close()
    second.close()
    with pytest.raises(SourceEnded):
        await second.next()
    feed()
    await take(first, 1)

    first.close()
    slow.close()
    again = source.open()
    feed()
    await take(again, 1)

    late = asyncio.create_task(_drain(again))
    await source.close()
    await source.close()
    async with asyncio.timeout(DEADLINE):
        await late
    assert again.ended
    with pytest.raises(SourceEnded):
        await again.next()
    assert threads() <= before, "closing leaves no thread"


async def _drain(reader: PictureReader) -> None:
    async for _ in reader:
        pass
    await reader.finished()


def _check_picture(picture: object) -> None:
    from peer.media.picture import Picture

    assert isinstance(picture, Picture)
    assert picture.array.dtype == np.uint8
    assert picture.array.shape == (picture.height, picture.width, 3)
    assert picture.width % 2 == 0 and picture.height % 2 == 0
    one, other = picture.frame(), picture.frame()
    assert isinstance(one, av.VideoFrame) and one.format.name == "yuv420p"
    assert (one.width, one.height) == (picture.width, picture.height)
    one.pts, one.pict_type = 1, av.video.frame.PictureType.I
    assert other.pts != 1 and other.pict_type != av.video.frame.PictureType.I, "encoders do not disturb each other"


async def check_sound_source(source: SoundSourceBase, feed: Callable[[], None] = lambda: None) -> None:
    """`source` is fresh, goes on until it is closed, and is not silent."""
    before = threads()
    assert source.label
    one, other = source.open(), source.open()
    for reader in (one, other):
        await fed_until(partial(_loud_read, reader), feed)
    assert not one.ended and one.channels == source.channels
    assert one.read(441).shape == (441, source.channels), "any number of samples can be read"

    other.close()
    other.close()
    assert other.ended and not _loud(other.read(960))
    await fed_until(partial(_loud_read, one), feed)

    one.close()
    again = source.open()
    await fed_until(partial(_loud_read, again), feed)
    await source.close()
    await source.close()
    again.read(48_000)
    assert again.ended
    async with asyncio.timeout(DEADLINE):
        await again.finished()
    assert threads() <= before, "closing leaves no thread"


def _loud_read(reader: SoundReader) -> bool:
    pcm = reader.read(960)
    assert pcm.shape == (960, reader.channels) and pcm.dtype == np.int16
    return _loud(pcm)


def _loud(pcm: Samples) -> bool:
    return bool(np.abs(pcm.astype(np.int32)).max() > 500)
