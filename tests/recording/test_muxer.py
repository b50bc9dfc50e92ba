"""How long a picture lasts in a Matroska file; what it shares with other containers is in test_containers.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest

from peer.recording.muxer import Rhythm
from tests.recording.containers import write
from tests.recording.synthetic import video

if TYPE_CHECKING:
    from pathlib import Path


def rate_of(path: Path) -> object:
    with av.open(str(path)) as container:
        return container.streams.video[0].average_rate


@pytest.mark.parametrize("fps", [15, 24, 30, 60])
def test_a_finished_file_says_its_frame_rate(tmp_path: Path, fps: int) -> None:
    keyframe = video(1)[0]
    jitter = [0.0, 0.004, -0.003, 0.002]
    write(tmp_path / "it.mkv", [replace(keyframe, time=i / fps + jitter[i % 4] / (fps / 15)) for i in range(2 * fps)])
    assert rate_of(tmp_path / "it.mkv") == fps


@pytest.mark.parametrize("intervals", [[0.2, 0.03, 0.5, 0.01] * 10, [3.0] * 20, [1 / 30] * 5, [0.05] * 30 + [0.02]])
def test_an_irregular_stream_has_no_rhythm(intervals: list[float]) -> None:
    rhythm = Rhythm()
    for interval in intervals:
        rhythm.add(interval)
    assert rhythm.seconds() is None
