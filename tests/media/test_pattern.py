"""The test picture moves, keeps its rate, is numbered without gaps and says when it was taken."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from peer.media.marks import read_mark
from peer.media.pattern import FLASH, Canvas, TestPictures
from peer.media.picture import Picture
from tests.media.contract import DEADLINE, TurnClock, check_picture_source, take


async def test_keeps_the_contract() -> None:
    await check_picture_source(TestPictures(160, 120, 60))


async def test_numbers_and_times_follow_each_other() -> None:
    clock = TurnClock()
    source = TestPictures(320, 240, 25, clock=clock, wall=lambda: 1_000_000 + clock.now())
    reader = source.open()
    marks, times = [], []
    async with asyncio.timeout(DEADLINE):
        for _ in range(50):
            picture = await reader.next()
            marks.append(read_mark(picture.array))
            times.append(picture.time)
            clock.allow(picture.time + 0.05)
    await source.close()
    assert [mark.number for mark in marks if mark] == list(range(50))
    assert np.allclose(np.diff(times), 0.04)
    assert [mark.milliseconds for mark in marks if mark] == [int((1e6 + at + 1e-9) * 1000) % 2**24 for at in times]


async def test_skips_what_is_late_and_stays_on_its_grid() -> None:
    class Sluggish(TurnClock):
        """Wakes up 0.1 s late once."""

        def wait(self, stop: object, until: float) -> bool:
            stopped = super().wait(stop, until)  # type: ignore[arg-type]
            if until - 100 > 0.19 and not self.late:
                self.late = True
                self._now += 0.1
            return stopped

        late = False

    clock = Sluggish()
    source = TestPictures(160, 120, 25, clock=clock)
    reader = source.open()
    times = []
    for _ in range(8):
        times += await take(reader, 1)
        clock.allow(times[-1] + 0.05)
    await source.close()
    slots = [round((at - 100) * 25, 6) for at in times]
    assert slots == [0, 1, 2, 3, 4, 5, 7, 8]


async def test_numbers_go_on_when_readers_come_and_go() -> None:
    source = TestPictures(160, 120, 100)
    reader = source.open()
    await take(reader, 3)
    reader.close()
    reader = source.open()
    mark = read_mark((await reader.next()).array)
    assert mark is not None and mark.number >= 3
    await source.close()


def test_the_picture_moves_and_flashes_at_full_seconds() -> None:
    canvas = Canvas(320, 240)
    quiet, later, flash = (canvas.draw(7, at) for at in (1000.5, 1001.5, 1001.0 + FLASH / 2))
    assert (quiet[:120] != later[:120]).any()
    assert (flash[:120] == 235).sum() > (later[:120] == 235).sum() + 500


def test_colours_survive_the_way_through_yuv() -> None:
    array = Picture(Canvas(640, 480).draw(0, 1000.5), 0.0).array
    grey, *_, blue = (array[20, x].astype(int) for x in range(45, 640, 91))
    assert np.ptp(grey) < 6 and blue[2] > 150 > 60 > blue[0]


def test_drawing_is_cheap_enough_for_every_call() -> None:
    canvas = Canvas(640, 480)
    canvas.draw(0, 0)
    times = []
    for number in range(20):
        start = time.thread_time()
        canvas.draw(number, number / 30)
        times.append(time.thread_time() - start)
    assert min(times) < 0.02, "a 30 Hz picture cannot take most of its own period"
