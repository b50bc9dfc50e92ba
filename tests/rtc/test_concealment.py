"""Which holes in sound are filled, and with what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.concealment import Hole, SoundTimeline, loudness, repeated, returning
from peer.rtc.frames import Codec, EncodedFrame

OPUS, G722 = Codec("opus", 48000, 2, 111), Codec("G722", 8000, 1, 9)


def frame(timestamp: int, *, lost: bool = False, codec: Codec = OPUS) -> EncodedFrame:
    return EncodedFrame(codec, b"x", timestamp, timestamp / codec.clock_rate, complete_before=not lost)


@pytest.fixture
def timeline() -> SoundTimeline:
    one = SoundTimeline(OPUS, 48000)
    assert one.hole(frame(5000, lost=True)) is None, "nothing is missing before the first"
    one.heard(frame(5000), 960)
    return one


@pytest.mark.parametrize(
    ("timestamp", "lost", "hole"),
    [
        (5960, False, None),
        (5960, True, None),
        (5961, True, Hole(1, True)),
        (8840, True, Hole(2880, True)),
        (8840, False, Hole(2880, False)),
        (5960 + 48_000, False, Hole(48_000, False)),
        (5960 + 48_001, True, None),
        (4000, True, None),
        (1 << 40, True, None),
    ],
)
def test_a_hole_is_what_the_timestamps_skip(
    timeline: SoundTimeline, timestamp: int, lost: bool, hole: Hole | None
) -> None:
    assert timeline.hole(frame(timestamp, lost=lost)) == hole


def test_a_damaged_frame_leaves_a_lost_hole_and_only_one(timeline: SoundTimeline) -> None:
    timeline.damaged()
    assert timeline.hole(frame(6920)) == Hole(960, True)
    timeline.heard(frame(6920), 960)
    assert timeline.hole(frame(8840)) == Hole(960, False)


def test_the_rtp_clock_of_g722_is_half_its_sample_rate() -> None:
    timeline = SoundTimeline(G722, 16000)
    timeline.heard(frame(0, codec=G722), 320)
    assert timeline.hole(replace(frame(480, codec=G722), complete_before=False)) == Hole(640, True)


def test_it_is_loud_for_60_ms_and_silent_after_120() -> None:
    gain = loudness(0, 8000, 8000)[:, 0]
    assert gain.shape == (8000,)
    assert (gain[:481] == 1).all() and (gain[960:] == 0).all()
    assert (np.diff(gain[480:961]) < 0).all()
    assert gain[720] == pytest.approx(0.5)
    assert np.array_equal(loudness(700, 50, 8000)[:, 0], gain[700:750])


def test_what_is_repeated_goes_on_where_the_sound_was_and_never_leaps() -> None:
    before = (1000 * np.sin(np.arange(160) * 0.21)).astype(np.int16)[:, np.newaxis]
    after = np.concatenate([repeated(before, 0, 300), repeated(before, 300, 500)])
    whole = np.concatenate([before, after])[:, 0].astype(int)
    assert np.abs(np.diff(whole)).max() <= np.abs(np.diff(before[:, 0].astype(int))).max()
    assert np.array_equal(after[:160], before[::-1])


def test_with_nothing_before_it_is_silent() -> None:
    assert np.array_equal(repeated(np.zeros((0, 2), np.int16), 0, 5), np.zeros((5, 2), np.int16))


def test_it_comes_back_within_5_ms() -> None:
    sound = np.full((160, 1), 1000, np.int16)
    back = returning(sound, 0.0, 8000)
    assert back[0] == 0 and (np.diff(back[:40, 0]) > 0).all() and (back[40:] == 1000).all()
    assert (returning(sound, 1.0, 8000) == sound).all()
    assert len(returning(sound[:3], 0.5, 8000)) == 3


@given(st.integers(0, 1 << 34), st.booleans(), st.integers(1, 5760))
def test_a_hole_is_never_longer_than_a_second(timestamp: int, lost: bool, samples: int) -> None:
    timeline = SoundTimeline(OPUS, 48000)
    timeline.heard(frame(1 << 33), samples)
    hole = timeline.hole(frame(timestamp, lost=lost))
    assert hole is None or 0 < hole.samples <= 48_000
