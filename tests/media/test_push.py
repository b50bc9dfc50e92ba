"""What a program pushes arrives as it was, late joiners see the last picture, nothing grows without bound."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from peer.errors import UsageError
from peer.media import PictureSource, SoundSource
from tests.media.contract import DEADLINE, check_picture_source, check_sound_source, eventually


def solid(colour: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:  # type: ignore[type-arg]
    return np.full((height, width, 3), colour, np.uint8)


async def test_pictures_keep_the_contract() -> None:
    source = PictureSource()
    await check_picture_source(source, lambda: source.push(solid((9, 9, 9), 49, 63)))


@pytest.mark.parametrize("rate", [48_000, 16_000, 44_100])
async def test_sound_keeps_the_contract(rate: int) -> None:
    source = SoundSource(rate)
    await check_sound_source(source, lambda: source.push(np.full(rate // 50, 5000, np.int16)))


async def test_the_newest_wins_and_may_change_its_size() -> None:
    source = PictureSource()
    reader = source.open()
    for level in range(10):
        source.push(solid((level, 0, 0), 48 + level * 2))
    first, second = await reader.next(), await reader.next()
    assert (first.array[0, 0, 0], second.array[0, 0, 0]) == (8, 9)
    assert second.array.shape == (66, 64, 3)
    assert reader.dropped == 8
    assert (source.width, source.height) == (64, 66)
    await source.close()


async def test_the_array_may_be_drawn_on_after_the_push() -> None:
    source = PictureSource()
    reader = source.open()
    array = solid((1, 2, 3))
    source.push(array)
    array[:] = 77
    source.push(array[:, :, ::-1], order="bgr")
    assert (await reader.next()).array[0, 0].tolist() == [1, 2, 3]
    array[:] = (10, 20, 30)
    source.push(array, order="bgr")
    await reader.next()
    assert (await reader.next()).array[0, 0].tolist() == [30, 20, 10]
    await source.close()


async def test_a_late_call_first_gets_the_last_picture() -> None:
    source = PictureSource()
    source.push(solid((5, 5, 5)))
    assert (await source.open().next()).array[0, 0, 0] == 5
    await source.close()
    source.push(solid((6, 6, 6)))
    assert source.open().ended


async def test_pushing_from_another_thread() -> None:
    source, sound = PictureSource(), SoundSource()
    reader, ear = source.open(), sound.open()
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    thread = threading.Thread(target=lambda: (source.push(solid((1, 1, 1))), sound.push(np.ones(960, np.int16))))
    thread.start()
    async with asyncio.timeout(DEADLINE):
        assert (await waiting).array[0, 0, 0] == 1
    await eventually(lambda: not thread.is_alive())
    assert ear.read(960).all()
    await source.close()
    await sound.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([[1]], "not list"),
        (np.zeros((4, 4), np.uint8), "shape HxWx3, not 4x4"),
        (np.zeros((4, 4, 4), np.uint8), "without alpha"),
        (np.zeros((4, 4, 3), np.float32), "dtype uint8, not float32"),
        (np.zeros((1, 4, 3), np.uint8), "2 to 8192 pixels"),
        (np.zeros((2, 9000, 3), np.uint8), "2 to 8192 pixels"),
    ],
)
def test_wrong_pictures_are_refused_by_name(wrong: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        PictureSource().push(wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([0], "not list"),
        (np.zeros((1, 2, 3), np.int16), "not 1x2x3"),
        (np.zeros((2, 960), np.int16), "not 2x960; transpose"),
        (np.zeros(4, np.int32), "int16 or float32, not int32"),
    ],
)
def test_wrong_sound_is_refused_by_name(wrong: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SoundSource().push(wrong)


def test_wrong_options_are_refused() -> None:
    for make in (
        lambda: PictureSource(fps=0),
        lambda: SoundSource(rate=5),
        lambda: SoundSource(channels=3),
        lambda: SoundSource(seconds=0),
        lambda: PictureSource().push(solid((1, 1, 1)), order="rgba"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            make()


@pytest.mark.virtual_time
async def test_tick_keeps_the_rate_and_leaves_out_what_is_late() -> None:
    loop = asyncio.get_running_loop()
    source = PictureSource(fps=10, clock=loop.time)
    start = await source.tick()
    due = [await source.tick() for _ in range(3)]
    await asyncio.sleep(0.25)
    due += [await source.tick() for _ in range(2)]
    assert np.allclose(np.array(due) - start, [0.1, 0.2, 0.3, 0.6, 0.7])
    assert loop.time() == pytest.approx(due[-1])
    with pytest.raises(UsageError, match="fps=30"):
        await PictureSource().tick()


async def test_sound_of_any_kind_arrives_as_int16() -> None:
    source = SoundSource()
    ear = source.open()
    source.push(np.array([0.5, -0.5, 2.0, np.nan], np.float32))
    source.push(np.array([[100, 300], [-100, -300]], np.int16))
    assert ear.read(6)[:, 0].tolist() == [16384, -16384, 32767, 0, 200, -200]
    await source.close()
    stereo = SoundSource(channels=2)
    ear = stereo.open()
    stereo.push(np.array([1, 2], np.int16))
    assert ear.read(2).tolist() == [[1, 1], [2, 2]]
    await stereo.close()


async def test_other_rates_keep_their_length_and_pitch() -> None:
    source = SoundSource(rate=16_000)
    ear = source.open()
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(8_000) / 16_000)).astype(np.int16)
    for start in range(0, 8_000, 320):
        source.push(tone[start : start + 320])
    assert ear.buffered == pytest.approx(0.5, abs=0.003)
    pcm = ear.read(23_800)[:, 0]
    assert np.count_nonzero(np.diff(np.signbit(pcm))) == pytest.approx(2 * 500 * 23_800 / 48_000, abs=3)
    await source.close()


async def test_too_much_sound_loses_its_oldest_and_counts() -> None:
    source = SoundSource(seconds=0.1)
    ear = source.open()
    source.push(np.arange(6_000, dtype=np.int16))
    assert ear.buffered == pytest.approx(0.1) and ear.dropped == 1_200
    assert ear.read(2)[:, 0].tolist() == [1_200, 1_201]
    source.push(np.ones(10, np.int16))
    assert ear.dropped == 1_208
    await source.close()


async def test_what_was_said_before_anybody_listened_is_heard() -> None:
    source = SoundSource(seconds=0.1)
    source.push(np.arange(6_000, dtype=np.int16))
    assert source.buffered == pytest.approx(0.1)
    assert source.open().read(1)[0, 0] == 1_200
    assert source.open().buffered == 0, "once"
    await source.close()


async def test_silence_when_there_is_nothing_and_at_once_after_clear() -> None:
    source = SoundSource()
    ear = source.open()
    assert not ear.read(960).any() and ear.underruns == 0, "waiting for the first word is no fault"
    source.push(np.ones(1_000, np.int16))
    assert ear.read(960).all()
    assert ear.read(960).sum() == 40 and ear.underruns == 1
    source.push(np.ones(9_600, np.int16))
    source.clear()
    assert not ear.read(960).any() and ear.underruns == 1
    await source.close()


async def test_drained_waits_for_the_slowest() -> None:
    source = SoundSource()
    ears = source.open(), source.open()
    source.push(np.ones(4_800, np.int16))
    waiting = asyncio.create_task(source.drained(below=0.05))
    for ear in ears:
        await asyncio.sleep(0)
        assert not waiting.done()
        ear.read(2_400)
    async with asyncio.timeout(DEADLINE):
        await waiting
    rest = asyncio.create_task(source.drained())
    await asyncio.sleep(0)
    assert not rest.done()
    await source.close()
    async with asyncio.timeout(DEADLINE):
        await rest
    assert ears[0].read(2_400).all() and ears[0].ended, "what was pushed before the end is heard"


async def test_pictures_are_drained_when_every_call_took_them() -> None:
    source = PictureSource()
    async with asyncio.timeout(DEADLINE):
        await source.drained()  # nothing was pushed
    source.push(solid((1, 1, 1)))
    waiting = asyncio.create_task(source.drained())
    await asyncio.sleep(0)
    assert not waiting.done(), "nobody has seen it"
    first, second = source.open(), source.open()
    await first.next()
    await asyncio.sleep(0)
    assert not waiting.done()
    await second.next()
    async with asyncio.timeout(DEADLINE):
        await waiting
    source.push(solid((2, 2, 2)))
    gone = asyncio.create_task(source.drained())
    await first.next()
    second.close()
    async with asyncio.timeout(DEADLINE):
        await gone
    source.push(solid((3, 3, 3)))
    closed = asyncio.create_task(source.drained())
    await asyncio.sleep(0)
    assert not closed.done()
    await source.close()
    async with asyncio.timeout(DEADLINE):
        await closed


async def test_pushing_from_a_thread_drained_paces_it_to_what_is_taken() -> None:
    source = PictureSource()
    reader = source.open()

    async def push() -> None:
        for number in range(5):
            await asyncio.to_thread(source.push, solid((10 * number,) * 3))
            await source.drained()

    async with asyncio.timeout(DEADLINE):
        pushing = asyncio.create_task(push())
        seen = [int((await reader.next()).array[0, 0, 0]) for _ in range(5)]
        await pushing
    assert seen == [0, 10, 20, 30, 40] and reader.dropped == 0
    await source.close()


async def test_the_time_of_a_picture_is_the_clocks_or_the_callers() -> None:
    source = PictureSource(clock=lambda: 7.0)
    reader = source.open()
    source.push(solid((1, 1, 1)))
    source.push(solid((2, 2, 2)), time=3.5)
    assert [(await reader.next()).time for _ in range(2)] == [7.0, 3.5]
    await source.close()
