"""The pictures of a source are encoded once for all who take them, for what their paths take; files are not at all."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from peer.media.encoder import EncoderSettings
from peer.media.file import FileSource
from peer.media.pattern import TestPictures as Pattern
from peer.media.push import PictureSource
from peer.rtc import picturefeed, rungs
from peer.rtc.feed import feed_of, feeds
from peer.rtc.picturefeed import PictureFeed
from peer.rtc.rungs import EncoderRung
from peer.rtc.stats import SourceCounts
from tests.rtc.eager import Eager, clip, decoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def takes(subscription: Any, bitrate: int, lasting: int | None = None) -> None:
    """So much is said of its path; `lasting`: once its queues are empty."""
    subscription.limit(bitrate, bitrate if lasting is None else lasting)


class Stage:
    """A source, and those who take of it."""

    def __init__(self, source: Any, settings: EncoderSettings | None = None) -> None:
        self.source = source
        self._settings = settings or EncoderSettings()
        self._subscriptions: list[Any] = []
        key = (source, self._settings)
        self.feed = feed_of(key, lambda: PictureFeed(*key))

    def join(self, *names: str, bitrate: int | None = None) -> tuple[Eager, Any]:
        taker = Eager(*names)
        subscription = self.feed.subscribe(taker, taker.counts)
        if bitrate is not None:
            takes(subscription, bitrate)
            self.feed.reconsider()
        self._subscriptions.append(subscription)
        return taker, subscription

    async def close(self) -> None:
        for each in self._subscriptions:
            each.close()
        await self.source.close()
        assert feeds() == []


@pytest.fixture
async def pushed() -> AsyncIterator[Stage]:
    stage = Stage(PictureSource())
    yield stage
    await stage.close()


@pytest.fixture
async def moving() -> AsyncIterator[Stage]:
    stage = Stage(Pattern(160, 120, 30))
    yield stage
    await stage.close()


def push(stage: Stage, brightness: int = 90, size: tuple[int, int] = (64, 48)) -> None:
    stage.source.push(np.full((size[1], size[0], 3), brightness, np.uint8))


async def test_all_get_the_same_frames_of_one_encoder(moving: Stage) -> None:
    takers = [moving.join()[0] for _ in range(3)]
    for taker in takers:
        await taker.until(lambda taker=taker: len(taker.frames) >= 5)  # type: ignore[misc]
    first, *others = (taker.frames[:5] for taker in takers)
    for other in others:
        assert all(mine is theirs for mine, theirs in zip(first, other, strict=True))
    assert [frame.keyframe for frame in first] == [True, False, False, False, False]
    assert moving.feed.encodes <= len(takers[0].frames) + 1
    assert len(decoded("VP8", first)) == 5


async def test_many_are_given_a_frame_a_few_at_a_time(pushed: Stage) -> None:
    takers = [pushed.join() for _ in range(3 * rungs.AT_ONCE + 1)]
    push(pushed)
    first, last = takers[0][0], takers[-1]
    await first.more()
    assert last[0].frames == [], "the loop has other things to do, too"
    gone = takers[-2]
    gone[1].close()
    await last[0].more()
    assert all(taker.frames == first.frames for taker, _ in takers[:-2])
    assert gone[0].frames == [], "who is gone gets nothing"
    for _ in range(2):
        push(pushed)
        await last[0].more()
    assert last[0].frames == first.frames


async def test_timestamps_are_those_of_the_source(pushed: Stage) -> None:
    taker, _ = pushed.join()
    await asyncio.sleep(0)
    for _ in range(3):
        push(pushed)
        await taker.more()
    found = [frame.timestamp for frame in taker.frames]
    assert found == sorted(set(found))


async def test_who_joins_soon_after_a_keyframe_gets_what_was_sent(pushed: Stage) -> None:
    first, _ = pushed.join()
    push(pushed)
    await first.keyframe()
    early, _ = pushed.join()
    await early.more()
    assert early.frames == first.frames and early.frames[0].keyframe


async def test_who_joins_later_gets_the_last_picture_once_more(pushed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a keyframe, and without waiting until it would be sent again anyway."""
    monkeypatch.setattr(picturefeed, "REPEAT", 1000.0)
    monkeypatch.setattr(rungs, "KEYFRAME_GAP", 0.0)
    first, _ = pushed.join()
    push(pushed)
    await first.keyframe()
    late, _ = pushed.join()
    assert late.frames == []
    keyframe = await late.keyframe()
    assert keyframe in first.frames, "it is one for all"


async def test_what_some_were_not_given_yet_does_not_pile_up(pushed: Stage) -> None:
    takers = [pushed.join()[0] for _ in range(3 * rungs.AT_ONCE)]
    push(pushed)
    await takers[0].more()
    (rung,) = pushed.feed._rungs
    frame = takers[0].frames[0]
    for count in range(1, 4 * rungs.BEHIND):  # faster than the loop has its turns
        rung.deliver(frame)
        assert len(takers[-1].frames) >= count - rungs.BEHIND
    await takers[-1].until(lambda: len(takers[-1].frames) == 4 * rungs.BEHIND)
    assert all(len(taker.frames) == 4 * rungs.BEHIND for taker in takers)


async def test_keyframes_that_several_ask_for_are_one(moving: Stage) -> None:
    takers = [moving.join() for _ in range(4)]
    first = takers[0][0]
    await first.keyframe()
    for _, subscription in takers:
        subscription.request_keyframe()
        subscription.request_keyframe()
    await first.keyframe()
    await first.more(5)
    assert sum(frame.keyframe for frame in first.frames) == 2


async def test_each_codec_has_its_encoder(moving: Stage) -> None:
    (vp8, _), (h264, _) = moving.join("VP8", "H264"), moving.join("H264")
    await h264.more(3)
    await vp8.more(3)
    assert {frame.codec.name for frame in vp8.frames} == {"VP8"}
    assert len(decoded("H264", h264.frames)) == len(h264.frames)


async def test_paths_that_take_less_get_an_encoder_of_their_own(moving: Stage) -> None:
    wide, narrow = moving.join(bitrate=600_000), moving.join(bitrate=70_000)
    for taker, _ in (wide, narrow):
        await taker.until(lambda taker=taker: taker.frames)  # type: ignore[misc]
    await wide[0].more(5)
    assert narrow[1].on is not wide[1].on
    assert narrow[1].on.encoder.bitrate == 70_000 and wide[1].on.encoder.bitrate == 600_000


async def test_who_moves_to_another_encoder_misses_nothing(moving: Stage) -> None:
    wide, mover = moving.join(bitrate=600_000), moving.join(bitrate=600_000)
    await mover[0].more(3)
    assert mover[1].on is wide[1].on
    takes(mover[1], 70_000)
    await mover[0].until(lambda: mover[1].on is not wide[1].on and len(mover[0].frames) > 10)
    timestamps = [frame.timestamp for frame in mover[0].frames]
    assert timestamps == sorted(timestamps) and len(set(timestamps)) >= len(timestamps) - 1
    times = [frame.timestamp for frame in wide[0].frames]
    assert set(times[: len(times) // 2]) <= set(timestamps), "no picture is left out"
    assert len(decoded("VP8", mover[0].frames)) == len(mover[0].frames)


async def test_who_moves_to_another_encoder_takes_nothing_from_those_who_stay(
    moving: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    encode = EncoderRung.encode

    def noted(rung: EncoderRung, *picture: Any) -> Any:
        if rung is stays:
            used.append(rung.encoder.bitrate)
        return encode(rung, *picture)

    (wide, one), (mover, other) = moving.join(bitrate=600_000), moving.join(bitrate=600_000)
    await mover.more(3)
    stays = one.on
    monkeypatch.setattr(EncoderRung, "encode", noted)
    takes(other, 70_000)
    await mover.until(lambda: other.on is not stays and len(mover.frames) > 10)
    await wide.more(2)
    assert set(used) == {600_000}


async def test_an_encoder_goes_along_with_all_who_take_of_it(moving: Stage) -> None:
    taker, subscription = moving.join(bitrate=600_000)
    await taker.more(2)
    rung = subscription.on
    takes(subscription, 200_000)
    await taker.until(lambda: rung.encoder.bitrate == 200_000)
    await taker.more(2)
    assert subscription.on is rung


async def test_what_is_muted_is_not_encoded_but_goes_on(moving: Stage) -> None:
    taker, subscription = moving.join()
    await taker.more(2)
    subscription.mute(True)
    assert moving.source._readers.all, "it is still being read"
    encodes = moving.feed.encodes
    other, _ = moving.join("H264")
    await other.more(3)
    count = len(taker.frames)
    await other.more(3)
    assert len(taker.frames) == count and moving.feed.encodes - encodes <= len(other.frames) + 1
    subscription.mute(False)
    assert (await taker.more())[0].keyframe


async def test_settings_are_kept_to() -> None:
    settings = EncoderSettings(codec="h264", max_bitrate=100_000, fps=10, size=(80, 80))
    stage = Stage(Pattern(160, 120, 30), settings)
    taker, subscription = stage.join("VP8", "H264")
    await taker.more(6)
    pictures = decoded("H264", taker.frames)
    assert {(each.width, each.height) for each in pictures} == {(80, 60)}
    times = [frame.timestamp for frame in taker.frames]
    assert times[-1] - times[0] > 90_000 * (len(times) - 2) / 10
    assert subscription.on.encoder.bitrate == 100_000
    await stage.close()


async def test_a_source_that_ends_tells_all(pushed: Stage) -> None:
    takers = [pushed.join()[0] for _ in range(2)]
    push(pushed)
    await takers[0].more()
    await pushed.source.close()
    for taker in takers:
        await taker.until(lambda taker=taker: taker.over)  # type: ignore[misc]
        assert taker.error is None
    assert feeds() == []


def of_time(stage: Stage, at: float) -> None:
    stage.source.push(np.full((48, 64, 3), 90, np.uint8), time=at)


@pytest.mark.virtual_time
async def test_twenty_of_thirty_pictures_a_second_are_two_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EncoderRung, "encode", lambda *given: ([b"payload"], True))
    stage = Stage(PictureSource(), EncoderSettings(fps=20))
    taker, _ = stage.join()
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    assert stage.source._readers.all
    for number in range(90):
        of_time(stage, 1000.0 + number / 30)
        await asyncio.sleep(1 / 30)
    numbers = [round(frame.timestamp / 90_000 * 30) - 30_000 for frame in taker.frames]
    assert numbers == [number for number in range(90) if number % 3 != 1]
    assert loop.time() >= 3 and taker.counts.frames == 90 and taker.counts.encoded == 60
    await stage.close()


async def test_what_a_slow_encoder_leaves_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each taker on its own, since it came, and on when the source is opened anew."""
    encoding, done = threading.Event(), threading.Event()

    def encode(*_: object) -> tuple[list[bytes], bool]:
        encoding.set()
        assert done.wait(10)
        return [b"payload"], True

    monkeypatch.setattr(EncoderRung, "encode", encode)
    stage = Stage(PictureSource())
    (first, one), (muted, other) = stage.join(), stage.join()
    other.mute(True)
    for count in (1, 2):
        push(stage)
        await asyncio.to_thread(encoding.wait, 10)
        for _ in range(5):
            push(stage)
        done.set()
        await first.until(lambda count=count: len(first.frames) >= 3 * count)  # type: ignore[misc]
        encoding.clear()
        done.clear()
    assert first.counts == SourceCounts(frames=12, encoded=6, dropped=6) and stage.feed.dropped == 6
    assert muted.counts == SourceCounts() and not muted.frames
    done.set()
    one.close()
    await stage.close()


async def test_who_takes_what_is_looked_at_once_for_all_that_changes(
    pushed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    reconsider = PictureFeed.reconsider
    monkeypatch.setattr(PictureFeed, "reconsider", lambda feed: (looked.append(1), reconsider(feed)))
    joined = [pushed.join() for _ in range(50)]
    for _, subscription in joined[25:]:
        subscription.close()
    await asyncio.sleep(0)
    assert len(looked) == 2, "for the first of them, and for all others"
    push(pushed)
    await joined[24][0].more()
    await asyncio.sleep(0)
    assert len(looked) <= 2 + -(-25 // rungs.AT_ONCE), "in each turn that gave some of them a keyframe"


# Files


@pytest.mark.parametrize(("codec", "suffix", "name"), [("libvpx", "webm", "VP8"), ("libx264", "mp4", "H264")])
async def test_a_file_is_sent_as_it_is(tmp_path: Path, codec: str, suffix: str, name: str) -> None:
    path = await asyncio.to_thread(
        clip, tmp_path / f"clip.{suffix}", codec=codec, pictures=20, profile="baseline", bf="0"
    )
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    taker, _ = stage.join(name)
    await taker.until(lambda: taker.over)
    assert len(taker.frames) == 20 and stage.feed.encodes == 0
    assert taker.counts == SourceCounts(frames=20)
    assert [index for index, frame in enumerate(taker.frames) if frame.keyframe] == [0, 10]
    assert set(np.diff([frame.timestamp for frame in taker.frames])) == {3600}
    assert len(decoded(name, taker.frames)) == 20
    await stage.close()


async def test_who_does_not_take_the_codec_of_a_file_gets_it_encoded(tmp_path: Path) -> None:
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm")
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    (plain, _), (encoded, _) = stage.join("VP8"), stage.join("H264")
    await encoded.more(5)
    await plain.more(3)
    assert {frame.codec.name for frame in encoded.frames} == {"H264"}
    assert {frame.codec.name for frame in plain.frames} == {"VP8"}
    assert len(decoded("H264", encoded.frames)) == len(encoded.frames)
    await stage.close()


async def test_a_path_that_is_too_narrow_for_a_file_gets_it_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picturefeed, "BENEFIT", 0.0)
    monkeypatch.setattr(picturefeed, "NARROW", 0.1)
    monkeypatch.setattr(picturefeed, "TOO_LATE", 1000.0)
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=200)
    source = (await FileSource.opened(str(path), "video", loop=True)).pictures
    stage = Stage(source)
    assert source.encoded is not None
    enough = source.encoded.bitrate * 2
    taker, subscription = stage.join(bitrate=enough)
    other, _ = stage.join(bitrate=enough)
    await taker.more(3)
    assert stage.feed.encodes == 0
    takes(subscription, source.encoded.bitrate // 2)
    await taker.until(lambda: stage.feed.encodes > 3)
    await taker.more(3)
    takes(subscription, enough)
    await taker.until(lambda: subscription.on is subscription.home is not None and not stage.feed._rungs)
    await taker.more(3)
    await other.more()
    assert len(decoded("VP8", taker.frames)) == len(taker.frames)
    times = [frame.timestamp for frame in taker.frames]
    assert max(np.diff(times)) < 90_000 * 0.4, "as long as decoding and encoding takes"
    await stage.close()


@pytest.mark.parametrize("benefit", [0.0, 1000.0])
async def test_a_path_that_is_choked_gets_nothing_more_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benefit: float
) -> None:
    """At once, and whether or not it just came: what it is sent there would be lost."""
    monkeypatch.setattr(picturefeed, "BENEFIT", benefit)
    monkeypatch.setattr(picturefeed, "NARROW", 1000.0)
    for late in ("LATE", "TOO_LATE"):  # as the machine may be
        monkeypatch.setattr(picturefeed, late, 1000.0)
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=200)
    stage = Stage((await FileSource.opened(str(path), "video", loop=True)).pictures)
    assert stage.source.encoded is not None
    enough = stage.source.encoded.bitrate * 2
    (taker, subscription), (other, unhurt) = stage.join(bitrate=enough), stage.join(bitrate=enough)
    for each in (taker, other):
        await each.more(3)
    takes(subscription, stage.source.encoded.bitrate // 3)
    monkeypatch.setattr(EncoderRung, "encoded", lambda *frame: None)  # nothing comes of it
    while subscription.on is stage.feed._file:
        await other.more()
    count = len(taker.frames)
    await other.more(10)
    assert len(taker.frames) == count and unhurt.on is stage.feed._file
    monkeypatch.undo()
    subscription.request_keyframe()  # the one that was made is gone
    assert (await taker.keyframe()).keyframe and isinstance(subscription.on, EncoderRung)
    await taker.more(3)
    assert len(decoded("VP8", taker.frames[count:])) == len(taker.frames) - count
    await stage.close()


@pytest.mark.parametrize(("benefit", "part"), [(0.0, 0.7), (1000.0, 0.1)])
async def test_a_queue_that_is_being_emptied_is_no_narrow_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benefit: float, part: float
) -> None:
    """Above all not that of the first pictures, which all leave at once."""
    monkeypatch.setattr(picturefeed, "BENEFIT", benefit)
    monkeypatch.setattr(picturefeed, "NARROW", 0.0)
    monkeypatch.setattr(picturefeed, "CHOKED_FOR", 0.0)
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=50)
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    taker, subscription = stage.join()
    await taker.more(3)
    assert stage.source.encoded is not None
    takes(subscription, round(part * stage.source.encoded.bitrate), lasting=stage.source.encoded.bitrate * 10)
    await taker.more(10)
    assert subscription.on is stage.feed._file and stage.feed.encodes == 0
    await stage.close()


async def test_who_joins_long_after_a_keyframe_of_a_file_does_not_wait_for_the_next(tmp_path: Path) -> None:
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=150, gop=150, size=(64, 48))
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    first, _ = stage.join()
    await first.until(lambda: len(first.frames) == 5)
    early, _ = stage.join()
    await early.more()
    assert early.frames == first.frames, "the keyframe is not old yet, and comes with all that refers to it"
    await first.until(lambda: len(first.frames) == 55)
    late, subscription = stage.join()
    keyframe = await late.keyframe()
    assert stage.feed.encodes > 0
    assert abs(keyframe.timestamp - first.frames[-1].timestamp) < 90_000 * 0.3, "what the others see, too"
    await late.more(3)
    assert len(decoded("VP8", late.frames)) == len(late.frames)
    subscription.close()
    await first.more(2)
    await stage.close()


async def test_a_lost_picture_of_a_file_is_made_up_for(tmp_path: Path) -> None:
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=150, gop=150, size=(64, 48))
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    taker, subscription = stage.join()
    await taker.until(lambda: len(taker.frames) == 5)
    subscription.request_keyframe()
    subscription.request_keyframe()
    assert taker.frames[5:] == taker.frames[:5], "the group of pictures once more, and once only"
    await taker.more(3)
    assert len(decoded("VP8", taker.frames[5:])) == len(taker.frames) - 5
    await stage.close()


@pytest.mark.parametrize("much", [False, True])
async def test_a_process_that_is_late_does_not_take_paths_for_narrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, much: bool
) -> None:
    """Its paths look so, and it has no time to encode."""
    monkeypatch.setattr(picturefeed, "BENEFIT", 0.0)
    monkeypatch.setattr(picturefeed, "NARROW", 0.0)
    monkeypatch.setattr(picturefeed, "LATE", float("-inf"))
    monkeypatch.setattr(picturefeed, "TOO_LATE", float("-inf") if much else 1000.0)
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=50)
    stage = Stage((await FileSource.opened(str(path), "video")).pictures)
    taker, subscription = stage.join()
    await taker.more(3)
    assert stage.source.encoded is not None
    takes(subscription, 1000 if much else round(stage.source.encoded.bitrate * 0.7))
    await taker.more(10)
    assert subscription.on is stage.feed._file and stage.feed.encodes == 0
    if not much:
        takes(subscription, 1000)  # its path takes hardly anything of what it is sent: that is not for being late
        await taker.until(lambda: isinstance(subscription.on, EncoderRung))
    await stage.close()


async def test_who_cannot_keep_up_with_encoding_sends_the_file_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picturefeed, "BENEFIT", 0.0)
    monkeypatch.setattr(picturefeed, "NARROW", 0.0)
    monkeypatch.setattr(picturefeed, "TOO_LATE", 1000.0)
    monkeypatch.setattr(picturefeed, "JUDGED", 2)
    path = await asyncio.to_thread(clip, tmp_path / "clip.webm", pictures=100)
    stage = Stage((await FileSource.opened(str(path), "video", loop=True)).pictures)
    taker, subscription = stage.join()
    await taker.more(3)
    assert stage.source.encoded is not None
    takes(subscription, 1000)
    await taker.until(lambda: isinstance(subscription.on, rungs.EncoderRung))
    takes(subscription, round(stage.source.encoded.bitrate * 0.7))
    for reader in stage.source.readers.all:
        reader.dropped = 1000
    await taker.until(lambda: subscription.on is stage.feed._file)
    await taker.more(3)
    assert stage.feed._rungs == []
    await stage.close()
