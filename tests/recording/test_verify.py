"""A verification finds what is wrong with a file, and says nothing bad about a good one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from peer.recording.verify import verify
from tests.recording.synthetic import H264, VP8, audio, merged, video
from tests.recording.test_muxer import write

if TYPE_CHECKING:
    from pathlib import Path

    from peer.rtc.frames import Codec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it.mkv"


def test_a_good_file(path: Path) -> None:
    write(path, merged(video(2), audio(2)))
    found = verify(path)
    assert found.ok and found.problems == []
    assert found.video_seconds == pytest.approx(2, abs=0.05) and found.audio_seconds == pytest.approx(2, abs=0.05)


def test_a_missing_stream(path: Path) -> None:
    write(path, audio(1))
    found = verify(path)
    assert not found.ok and found.problems == ["has no video stream where one is expected"]
    assert verify(path, expect=("audio",)).ok


def test_lengths_that_differ(path: Path) -> None:
    write(path, merged(video(2), audio(1)))
    assert not verify(path).ok
    assert verify(path, tolerance=2.0).ok


def test_missing_and_repeated_pictures_show_in_the_numbers(path: Path) -> None:
    frames = video(1) + video(1, start=1, first=60)
    write(path, frames)
    found = verify(path, expect=("video",))
    assert found.numbers == pytest.approx(58 / 59)
    assert found.ok


@pytest.mark.parametrize("codec", [VP8, H264])
def test_damage_is_found(path: Path, codec: Codec) -> None:
    frames = video(1, codec)
    frames[3] = replace(frames[3], data=frames[3].data[:6] + b"\xff" * 8)
    write(path, frames)
    found = verify(path, expect=("video",))
    assert not found.ok and found.decode_errors > 0


@pytest.mark.parametrize("data", [b"", b"not a recording", b"\x1a\x45\xdf\xa3" + bytes(100)])
def test_no_recording_at_all(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    found = verify(path)
    assert not found.ok and "cannot be read" in found.problems[-1]


def test_no_file(path: Path) -> None:
    assert "cannot be read" in verify(path).problems[0]
