"""What a process tells of itself: how late its loop is, what its encoders had no time for."""

from __future__ import annotations

import asyncio

import pytest

from peer.media.encoder import EncoderSettings
from peer.media.pattern import TestPictures
from peer.rtc.picturefeed import PictureFeed
from peer.swarm import watch
from peer.swarm.watch import INTERVAL, EncoderWatch, LoopWatch, readings, resident


def test_a_loop_that_stands_still_is_not_looked_at_less() -> None:
    assert readings(-0.001) == [0.0] and readings(0.01) == [0.01]
    assert readings(3.5 * INTERVAL) == pytest.approx([share * INTERVAL for share in (3.5, 2.5, 1.5, 0.5)])


async def test_the_loop_is_looked_at_until_somebody_takes_the_readings() -> None:
    one = LoopWatch()
    running = asyncio.create_task(one.run())
    while len(one.lags) < 2:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(INTERVAL / 10)
    running.cancel()
    lags, cpu, seconds = one.take()
    assert len(lags) >= 2 and min(lags) >= 0 and 0 <= cpu and seconds >= 2 * INTERVAL
    assert one.lags == []


async def test_what_encoders_had_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = [PictureFeed(TestPictures(160, 120, 15), EncoderSettings()) for _ in range(2)]
    monkeypatch.setattr(watch, "feeds", lambda: [object(), *feeds])
    one = EncoderWatch()
    assert one.take() == (0, 0)
    for feed in feeds:
        feed.encodes, feed.dropped = 8, 2
    assert one.take() == (20, 4) and one.take() == (0, 0)
    feeds[0].encodes = 9
    assert one.take() == (1, 0)
    feeds.pop()
    assert one.take() == (0, 0)


def test_memory() -> None:
    assert resident() > 1 << 20
