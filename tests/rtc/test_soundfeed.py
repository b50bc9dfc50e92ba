"""The sound of a source is encoded once for all who take it, on one beat; Opus in a file is not encoded at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from peer.media.file import FileSource
from peer.media.push import SoundSource
from peer.media.tone import TestTone as Tone
from peer.rtc.feed import feed_of, feeds
from peer.rtc.soundfeed import GRID, SAMPLES, SoundEncoder, SoundFeed
from tests.rtc.eager import Eager, clip

if TYPE_CHECKING:
    from pathlib import Path


def feed(source: Any) -> SoundFeed:
    return feed_of(source, lambda: SoundFeed(source))


async def test_all_get_the_same_packets_of_one_encoder() -> None:
    source = Tone()
    takers = [Eager("opus"), Eager("opus")]
    subscriptions = [feed(source).subscribe(taker) for taker in takers]
    for taker in takers:
        await taker.more(5)
    common = takers[1].frames[:4]
    assert [frame for frame in takers[0].frames if frame in common] == common
    assert all(step % SAMPLES == 0 for step in np.diff([frame.timestamp for frame in common])), "on the beat"
    assert all(frame.timeline is GRID and frame.level is not None for frame in common)
    for each in subscriptions:
        each.close()
    await source.close()
    assert feeds() == []


async def test_who_takes_what_is_looked_at_once_for_all_who_come(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    reconsider = SoundFeed.reconsider
    monkeypatch.setattr(SoundFeed, "reconsider", lambda feed: (looked.append(1), reconsider(feed)))
    source, takers = Tone(), [Eager("opus", "PCMU") for _ in range(50)]
    subscriptions = [feed(source).subscribe(taker) for taker in takers]
    for taker in takers:
        await taker.more()
    assert len(looked) == 2, "for the first of them, and for all others"
    for each in subscriptions:
        each.close()
    assert len(looked) == 2 and feeds() == []
    await source.close()


async def test_each_codec_has_its_encoder() -> None:
    source = Tone()
    opus, pcmu = Eager("opus"), Eager("PCMU")
    subscriptions = [feed(source).subscribe(taker) for taker in (opus, pcmu)]
    await opus.more(3)
    await pcmu.more(3)
    assert {frame.codec.name for frame in opus.frames} == {"opus"}
    assert {len(frame.payloads[0]) for frame in pcmu.frames} == {160}
    for each in subscriptions:
        each.close()
    await source.close()


async def test_what_is_muted_is_read_all_the_same() -> None:
    source, taker = SoundSource(), Eager("opus")
    subscription = feed(source).subscribe(taker)
    subscription.mute(True)
    await asyncio.sleep(0)
    source.push(np.full(4800, 1000, np.int16))
    async with asyncio.timeout(10):
        await source.drained()
    assert taker.frames == []
    subscription.mute(False)
    await taker.more()
    subscription.close()
    subscription.close()
    await source.close()


async def test_a_source_that_ends_tells_all() -> None:
    source, takers = SoundSource(), [Eager("opus"), Eager("PCMA")]
    for taker in takers:
        feed(source).subscribe(taker)
    await takers[0].more()
    await source.close()
    for taker in takers:
        await taker.until(lambda taker=taker: taker.over)  # type: ignore[misc]
    assert feeds() == []


async def test_opus_of_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=10, sound=True)
    source = (await FileSource.opened(str(path), "audio")).sound
    plain, encoded = Eager("opus"), Eager("PCMU")
    for taker in (plain, encoded):
        feed(source).subscribe(taker)
    await plain.until(lambda: plain.over)
    await encoded.until(lambda: encoded.over)
    assert 19 <= len(plain.frames) <= 21
    assert set(np.diff([frame.timestamp for frame in plain.frames][1:])) <= {912, 960, 1008}, "to the millisecond"
    assert all(frame.level is None and frame.timeline is not GRID for frame in plain.frames)
    assert len(encoded.frames) > 12
    await source.close()


@pytest.mark.parametrize("name", ["opus", "G722", "PCMU", "PCMA"])
async def test_every_codec_is_encoded(name: str) -> None:
    encoder = SoundEncoder(name)
    found = [await encoder.encode(np.full((SAMPLES, 1), 1000, np.int16), tick) for tick in range(4)]
    assert any(each is not None and each.codec.name == name for each in found)


def test_other_codecs_are_refused() -> None:
    with pytest.raises(ValueError, match="not sent as speex"):
        SoundEncoder("speex")
