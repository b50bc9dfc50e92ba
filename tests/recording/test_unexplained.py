"""A hole in a file is explained by the gap map, or by a track that was not there."""

from __future__ import annotations

import pytest

from peer.recording.manifest import Gap, Manifest, Segment, Track
from peer.recording.unexplained import Hole, unexplained

SEGMENT = Segment(
    file="a.mkv",
    tracks=("v", "w"),
    start=100.0,
    end=200.0,
    bytes=1,
    video_frames=1,
    audio_frames=0,
    whole=True,
    sha256=None,
)


def track(name: str, begins: float | None = 100, removed: float | None = None) -> Track:
    return Track(id=name, kind="video", added=0, begins=begins, removed=removed, codecs=(), sizes=())


def found(
    tracks: list[Track], gaps: list[tuple[float, float]], *holes: tuple[float, float]
) -> list[tuple[float, float]]:
    manifest = Manifest(
        version=1,
        room="",
        participant="a",
        started="2026-11-24T15:00:00.000000Z",
        ended=200,
        state="finished",
        error=None,
        tracks=tuple(tracks),
        segments=(SEGMENT,),
        gaps=tuple(Gap(track="v", kind="video", start=start, end=end, cause="muted") for start, end in gaps),
    )
    return [hole[1:] for hole in unexplained(manifest, SEGMENT, [Hole("video", *hole) for hole in holes])]


def test_a_gap_explains_its_hole() -> None:
    assert found([track("v")], [(110, 120)], (10, 20)) == []
    assert found([track("v")], [(110, 114), (115, 120)], (9, 21)) == []


def test_what_no_gap_explains() -> None:
    assert found([track("v")], [], (10, 20)) == [(10, 20)]
    assert found([track("v")], [(114, 116)], (10, 20)) == [(10, 14), (16, 20)]
    assert found([track("v")], [(150, 160)], (10, 20), (50, 60)) == [(10, 20)]


def test_a_track_that_is_not_there_has_no_holes() -> None:
    assert found([track("v", removed=110)], [], (10, 90)) == []
    assert found([track("v", removed=110), track("w", begins=190)], [], (10, 90)) == []
    assert found([track("v", removed=110), track("w", begins=150)], [], (10, 90)) == [(50, 90)]
    assert found([track("v", begins=None)], [], (10, 90)) == []
    assert found([track("another")], [], (10, 90)) == []


def test_a_short_rest_is_none() -> None:
    assert found([track("v")], [(112, 118)], (10, 20)) == []
    assert found([track("v")], [(110, 120)], (10, 20.5)) == pytest.approx([])
