"""A file plays in real time, its pictures beside its sound, pass after pass as if it were one long file."""

from __future__ import annotations

import asyncio
import itertools
import wave
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from peer.errors import DeviceError
from peer.media.camera import lavfi_address
from peer.media.container import Address
from peer.media.file import SOUND_LEAD, FileSource
from peer.media.marks import read_number
from peer.media.picture import upright
from peer.media.playing import READ_AHEAD, Playing, Wanted
from tests.media import clips
from tests.media.contract import (
    DEADLINE,
    TurnClock,
    check_picture_source,
    check_sound_source,
    eventually,
    take,
    threads,
)
from tests.rtc import eager

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def unplayable(folder: Path) -> Path:
    """A folder with files that lack something."""
    (folder / "text.webm").write_text("this is no film " * 200)
    (folder / "empty.webm").write_bytes(b"")
    clips.webm(folder / "silent.webm", 3, sound=False)
    clips.webm(folder / "blind.webm", 3, video=False)
    return folder


@pytest.fixture(scope="module")
def webm(folder: Path) -> Path:
    return clips.webm(folder / "clip.webm")


@pytest.fixture(scope="module")
def mp4(folder: Path) -> Path:
    return clips.mp4(folder / "clip.mp4")


@pytest.fixture(scope="module")
def gop(folder: Path) -> Path:
    """50 pictures, of which each tenth is a keyframe."""
    return eager.clip(folder / "gop.webm", gop=10, size=(64, 48))


@pytest.fixture(params=["webm", "mp4"])
def clip(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


async def test_pictures_keep_the_contract(webm: Path) -> None:
    await check_picture_source((await FileSource.opened(str(webm), "video", loop=True)).pictures)


async def test_sound_keeps_the_contract(mp4: Path) -> None:
    await check_sound_source((await FileSource.opened(str(mp4), "audio", loop=True, channels=2)).sound)


def test_three_passes_are_one_timeline(clip: Path) -> None:
    playing = Playing(Address(str(clip), "clip"), Wanted(), loop=True)
    times, numbers, pieces = [], [], []
    for item in playing.decode():
        if isinstance(item.content, np.ndarray):
            pieces.append((item.due, item.content))
            continue
        times.append(item.due)
        numbers.append(read_number(item.content.to_ndarray(format="rgb24")))
        if len(times) == 75:
            break
    assert numbers == list(range(25)) * 3, "no picture lost, none twice, those held back by the decoder included"
    steps = np.diff(times)
    inside = np.delete(steps, [24, 49])
    assert np.allclose(inside, 0.04, atol=0.0015), "a later pass is no faster than the first"
    # The sound of a clip may be a few packets longer than its pictures: the pass ends with the longer one.
    assert all(0.039 <= step <= 0.11 for step in steps[[24, 49]])
    ends = [due + len(pcm) / 48_000 for due, pcm in pieces]
    gaps = np.array([due for due, _ in pieces[1:]]) - np.array(ends[:-1])
    assert np.abs(gaps).max() < 0.1
    assert np.median(np.abs(gaps)) < 0.002


def test_what_nobody_wants_is_not_decoded(webm: Path) -> None:
    wanted = Wanted(video=False, audio=True)
    kinds = []
    playing = Playing(Address(str(webm), "clip"), wanted, loop=True)
    for item in playing.decode():
        kinds.append("audio" if isinstance(item.content, np.ndarray) else "video")
        if len(kinds) == 10:
            wanted.video = True
        if kinds[-1] == "video":
            break
    assert "video" not in kinds[:10]
    number = read_number(item.content.to_ndarray(format="rgb24"))
    assert number == round(item.due * 25), "what refers to those before it is seen whole"
    assert item.due < READ_AHEAD, "and what is not due yet is not left out"


@pytest.mark.parametrize("read", range(14, 40))
def test_who_begins_to_watch_sees_what_is_shown_now(gop: Path, read: int) -> None:
    """Whatever was read since: a keyframe that is not due yet is nothing to wait for."""
    wanted = Wanted(video=False, audio=False, video_packets=True)
    due = 0.0
    for number, item in enumerate(Playing(Address(str(gop), "clip"), wanted).decode()):
        wanted.video = number >= read
        if isinstance(item.content, av.VideoFrame):
            break
        due = item.due
    assert isinstance(item.content, av.VideoFrame)
    assert 0 < item.due - (due - READ_AHEAD) < 0.045


def test_what_is_kept_for_who_begins_to_watch_has_an_end(gop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.media.playing._UNDECODED", 5)
    wanted = Wanted(video=False, audio=False, video_packets=True)
    numbers = []
    for number, item in enumerate(Playing(Address(str(gop), "clip"), wanted).decode()):
        wanted.video = number >= 17
        if isinstance(item.content, av.VideoFrame):
            numbers.append(round(item.due * 25))
    assert numbers == list(range(20, 50)), "from the next keyframe on, as those before are too many"


def test_what_nobody_wants_at_all_ends_when_it_is_stopped(webm: Path) -> None:
    asked = itertools.count()
    nothing = Wanted(video=False, audio=False)
    playing = Playing(Address(str(webm), "clip"), nothing, loop=True, stopped=lambda: next(asked) > 200)
    assert list(playing.decode()) == []


async def test_plays_in_real_time_and_ends(webm: Path) -> None:
    clock = TurnClock()
    source = await FileSource.opened(str(webm), "video", clock=clock)
    assert (source.pictures.width, source.pictures.height, source.pictures.fps) == (320, 240, 25)
    assert source.has == {"video", "audio"}
    reader = source.pictures.open()
    seen = []
    async with asyncio.timeout(DEADLINE):
        clock.allow(100 + SOUND_LEAD + 0.01)
        async for picture in reader:
            seen.append((picture.time, read_number(picture.array)))
            clock.allow(picture.time + 0.05)
            if len(seen) == 25:
                clock.allow(200)
        await reader.finished()
    assert reader.ended and reader.dropped == 0
    assert [number for _, number in seen] == list(range(25))
    assert seen[0][0] == pytest.approx(100 + SOUND_LEAD, abs=0.02)
    assert seen[-1][0] - seen[0][0] == pytest.approx(0.96, abs=0.002)
    await source.close()


async def test_sound_is_read_beside_the_picture_it_belongs_to(folder: Path) -> None:
    graph = "testsrc=size=64x64:rate=50:duration=2[out0];sine=frequency=440:duration=2[out1]"
    clock = TurnClock()
    source = await FileSource.opened(lavfi_address(graph), "video", "audio", clock=clock)
    pictures, sound = source.pictures.open(), source.sound.open()
    first_picture = asyncio.create_task(pictures.next())
    await eventually(lambda: clock.waiting)
    heard = []
    for _ in range(60):
        await clock.advance(0.02, lambda: not sound._over)
        heard.append(sound.read(960))
    pcm = np.concatenate(heard)[:, 0]
    began = 100 + np.argmax(np.abs(pcm) > 100) / 48_000
    assert began == pytest.approx((await first_picture).time, abs=0.03)
    assert sound.underruns == 0 and sound.dropped == 0
    start = int((began - 100) * 48_000)
    assert np.abs(pcm[start:]).reshape(-1)[: 48_000 - 960].max() > 3000
    quiet = np.convolve(np.abs(pcm[start + 480 : 52_000]), np.ones(200), "valid")
    assert quiet.min() > 0, "no hole in the sound"
    await source.close()


async def test_a_second_reader_joins_where_the_file_is(webm: Path) -> None:
    source = await FileSource.opened(str(webm), "video", loop=True)
    first = source.pictures.open()
    await take(first, 5)
    second = source.pictures.open()
    number = read_number((await second.next()).array)
    assert number is not None and number >= 4
    await source.close()


async def test_starts_over_for_the_next_reader_after_the_end(webm: Path) -> None:
    source = await FileSource.opened(str(webm), "video")
    for _ in range(2):
        reader = source.pictures.open()
        assert read_number((await reader.next()).array) == 0
        reader.close()
    await source.close()


async def test_closing_one_side_leaves_the_other(webm: Path) -> None:
    before = threads()
    source = await FileSource.opened(str(webm), "video", "audio", loop=True)
    pictures, sound = source.pictures.open(), source.sound.open()
    await take(pictures, 2)
    await source.sound.close()
    sound.read(48_000)
    assert sound.ended
    await take(pictures, 2)
    await source.pictures.close()
    assert threads() <= before


async def test_close_without_a_reader_gives_the_file_back(webm: Path) -> None:
    source = await FileSource.opened(str(webm))
    await source.close()
    assert source.has == frozenset()


@pytest.mark.parametrize(
    ("name", "needs", "says"),
    [
        ("missing.webm", ("video",), "does not exist; check the path"),
        (".", ("video",), "is not a file; check the path"),
        ("text.webm", ("video",), "holds no pictures or sound that FFmpeg knows"),
        ("empty.webm", ("video",), "check that the file is complete"),
        ("silent.webm", ("audio",), "has no sound; use --audio with another source"),
        ("blind.webm", ("video",), "has no pictures; use --video with another source"),
    ],
)
async def test_what_cannot_be_played_is_said_at_opening(
    unplayable: Path, name: str, needs: tuple[str, ...], says: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        await FileSource.opened(str(unplayable / name), *needs)
    assert says in str(caught.value)


async def test_a_file_that_vanishes_ends_its_readers_with_an_error(folder: Path) -> None:
    path = await asyncio.to_thread(clips.webm, folder / "vanishing.webm", 5)
    source = await FileSource.opened(str(path), "video", loop=True)
    path.unlink()
    reader = source.pictures.open()
    with pytest.raises(DeviceError, match="does not exist"):
        async with asyncio.timeout(DEADLINE):
            while True:
                await reader.next()
    with pytest.raises(DeviceError):
        await reader.finished()
    await source.close()


def test_damage_inside_does_not_end_a_file(folder: Path, webm: Path) -> None:
    whole = webm.read_bytes()
    path = folder / "damaged.webm"
    path.write_bytes(whole[: len(whole) // 2] + bytes(300) + whole[len(whole) // 2 + 300 : -len(whole) // 5])
    count = sum(1 for item in Playing(Address(str(path), "clip"), Wanted()).decode())
    assert count > 10


def test_a_wave_file_at_another_rate(folder: Path) -> None:
    path = folder / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(22_050)
        tone = (9000 * np.sin(2 * np.pi * 440 * np.arange(6615) / 22_050)).astype("<i2")
        file.writeframes(np.repeat(tone, 2).tobytes())
    playing = Playing(Address(str(path), "tone"), Wanted())
    pieces = [item.content for item in playing.decode()]
    pcm = np.concatenate([piece for piece in pieces if isinstance(piece, np.ndarray)])
    assert pcm.shape[1] == 1
    assert len(pcm) == pytest.approx(0.3 * 48_000, abs=48), "to the last sample"
    assert playing.length == pytest.approx(0.3, abs=0.001)
    crossings = np.count_nonzero(np.diff(np.signbit(pcm[:, 0])))
    assert crossings == pytest.approx(2 * 440 * 0.3, abs=3)


async def test_odd_sizes_are_made_even(folder: Path) -> None:
    path = folder / "odd.png"
    assert cv2.imwrite(str(path), np.full((61, 81, 3), (10, 20, 200), np.uint8))
    source = await FileSource.opened(str(path), "video")
    picture = await source.pictures.open().next()
    assert picture.array.shape == (60, 80, 3)
    assert (picture.frame().width, picture.frame().height) == (80, 60)
    assert np.abs(picture.array[5, 5].astype(int) - (200, 20, 10)).max() < 8
    await source.close()


def test_what_was_filmed_sideways_is_shown_upright(folder: Path, mp4: Path) -> None:
    path = clips.turned(folder / "turned.mp4", mp4)
    frame = next(item.content for item in Playing(Address(str(path), "clip"), Wanted(audio=False)).decode())
    assert isinstance(frame, av.VideoFrame)
    picture = upright(frame, 1.0)
    assert (picture.width, picture.height) == (240, 320)
    assert read_number(picture.array) is None
    assert read_number(np.rot90(picture.array, -1)) == 0
