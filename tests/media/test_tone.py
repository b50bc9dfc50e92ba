"""The test tone: one pitch at -20 dBFS, a beep at each full second, no click anywhere."""

from __future__ import annotations

import numpy as np

from peer.media.tone import TestTone
from tests.media.contract import check_sound_source


async def test_keeps_the_contract() -> None:
    await check_sound_source(TestTone())


def _pitch(pcm: np.ndarray) -> float:  # type: ignore[type-arg]
    spectrum = np.abs(np.fft.rfft(pcm[:, 0] * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 48_000 / len(pcm))


async def test_pitches_level_and_joints() -> None:
    now = 10.5
    source = TestTone(wall=lambda: now)
    reader = source.open()
    pieces = []
    for _ in range(60):
        pieces.append(reader.read(960))
        now += 0.02
    await source.close()
    pcm = np.concatenate(pieces)
    assert abs(_pitch(pcm[:9600]) - 440) < 6
    assert abs(_pitch(pcm[24_000:28_800]) - 1000) < 11, "the beep starts at 11.0"
    assert abs(_pitch(pcm[28_800:38_400]) - 440) < 6
    assert np.abs(pcm).max() == 3277
    assert np.abs(np.diff(pcm[:, 0].astype(int))).max() <= 3277 * 2 * np.pi * 1000 / 48_000 + 2


async def test_after_a_pause_the_beep_is_on_the_second_again() -> None:
    now = 10.0
    source = TestTone(wall=lambda: now)
    reader = source.open()
    reader.read(960)
    now = 12.5
    reader.read(960)
    beep = reader.read(24_000)[-480:]
    now = 13.0
    assert abs(_pitch(reader.read(4800)) - 1000) < 11 or abs(_pitch(beep) - 1000) < 150
    await source.close()
