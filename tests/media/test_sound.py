"""The ring gives back what it was given, in order, and stays beside the clock of its source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.media.sound import Ring, SoundReader, mixed

SAMPLES = 48_000


def ramp(length: int, start: int = 1) -> np.ndarray:  # type: ignore[type-arg]
    return np.arange(start, start + length, dtype=np.int16)[:, None]


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 25)), max_size=40), capacity=st.integers(1, 16))
def test_ring_is_a_bounded_queue(steps: list[tuple[bool, int]], capacity: int) -> None:
    ring, model, number = Ring(capacity, 1), [], 1
    for write, count in steps:
        if write:
            lost = ring.write(ramp(count, number))
            model += range(number, number + count)
            number += count
            assert lost == max(0, len(model) - capacity)
            model = model[-capacity:]
        else:
            expected = model[:count] + [0] * (count - len(model))
            assert ring.read(count)[:, 0].tolist() == expected
            model = model[count:]
        assert ring.filled == len(model)


async def test_sound_that_is_not_due_yet_waits() -> None:
    reader = SoundReader()
    reader.write_due(ramp(960), due=10.1, now=10.0)
    reader.write_due(ramp(960), due=10.12, now=10.0)
    pcm = reader.read(4_800 + 1_920)[:, 0]
    assert not pcm[:4_800].any() and pcm[4_800:].all()


async def test_sound_that_comes_late_loses_its_beginning() -> None:
    reader = SoundReader()
    reader.write_due(ramp(4_800), due=10.0, now=10.05)
    assert reader.read(1)[0, 0] == 2_401


async def test_rounded_times_tear_nothing() -> None:
    reader = SoundReader()
    for index in range(40):
        reader.write_due(ramp(960), due=10.1 + index * 0.02 + (0.001 if index % 2 else -0.001), now=10 + index * 0.02)
        reader.read(960)
    assert reader.underruns == 0 and reader.dropped == 0
    assert reader.buffered == pytest.approx(0.1, abs=0.003)


async def test_a_hole_in_the_file_is_silence_of_its_length() -> None:
    reader = SoundReader()
    reader.write_due(ramp(960), due=10.0, now=10.0)
    reader.write_due(ramp(960), due=10.12, now=10.0)
    pcm = reader.read(6_720)[:, 0]
    assert pcm[:960].all() and not pcm[960:5_760].any() and pcm[5_760:].all()


async def test_an_overlap_is_cut() -> None:
    reader = SoundReader()
    reader.write_due(ramp(4_800), due=10.0, now=10.0)
    reader.write_due(ramp(4_800), due=10.05, now=10.0)
    assert reader.buffered == pytest.approx(0.15)


async def test_after_a_pause_of_the_reader_the_sound_is_current() -> None:
    reader = SoundReader()
    for index in range(25):
        reader.write_due(ramp(960), due=10.1 + index * 0.02, now=10.0 + index * 0.02)
    assert reader.dropped > 0
    assert reader.buffered <= 0.25


async def test_live_overflow_shrinks_to_what_is_kept() -> None:
    reader = SoundReader(seconds=0.25, keep=0.06)
    reader.write(ramp(12_000))
    reader.write(ramp(480))
    assert reader.buffered == pytest.approx(0.06)
    assert reader.dropped == 12_480 - 2_880


async def test_closing_forgets_and_ending_does_not() -> None:
    left, ended = SoundReader(), SoundReader()
    for reader in (left, ended):
        reader.write(ramp(960))
    left.close()
    ended.end()
    assert left.ended and not left.read(960).any()
    assert not ended.ended and ended.read(960).all() and ended.ended
    ended.write(ramp(960))
    assert not ended.read(960).any()


def test_mixing() -> None:
    stereo = np.array([[30_000, 32_000], [-5, -7]], np.int16)
    assert mixed(stereo, 1).tolist() == [[31_000], [-6]]
    assert mixed(stereo, 2) is stereo
    assert mixed(stereo[:, :1], 2).tolist() == [[30_000, 30_000], [-5, -5]]
