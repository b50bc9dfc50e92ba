"""A file that nobody closed becomes whole, and stays as it was until the whole one is complete."""

from __future__ import annotations

import json
import os
import subprocess
from shutil import which
from typing import TYPE_CHECKING

import av
import pytest

from peer.recording import matroska, mend
from peer.recording.fmp4 import box
from peer.recording.matroskafile import NotOurs
from peer.recording.verify import verify
from tests.recording.synthetic import OPUS, SIZE
from tests.recording.test_matroskafile import STARTED, written

if TYPE_CHECKING:
    from pathlib import Path


def lying(directory: Path, data: bytes, name: str = "alice.mkv") -> Path:
    path = directory / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_torn_file_becomes_whole(tmp_path: Path, codec: str) -> None:
    path = lying(tmp_path, written(codec, closed=False)[:-1000])
    lost = mend.torn(path)
    assert lost and mend.mend(path) == lost
    assert mend.torn(path) is None
    found = verify(path)
    assert found.problems == [] and found.numbers == 1.0 and found.seconds > 1.4
    content = mend.examine(path)
    assert content.frames == {"video": found.video_frames, "audio": found.audio_frames}
    assert content.codecs == {"video": codec, "audio": "opus"} and content.started == pytest.approx(STARTED)
    with av.open(os.fspath(path)) as container:
        assert container.duration is not None and abs(container.duration / 1e6 - content.seconds) < 0.001
        container.seek(1_100_000)
        assert next(container.demux(video=0)).pts > 0, "there is an index"
    assert [each.name for each in tmp_path.iterdir()] == ["alice.mkv"]


@pytest.mark.skipif(which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_agrees(tmp_path: Path) -> None:
    path = lying(tmp_path, written(closed=False)[:-1000])
    mend.mend(path)
    command = ["ffprobe", "-v", "warning", "-of", "json", "-show_format", "-show_streams", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert found.stderr == ""
    told = json.loads(found.stdout)
    assert float(told["format"]["duration"]) > 1.4 and told["streams"][0]["r_frame_rate"] == "30/1"


def test_a_whole_file_is_not_torn(tmp_path: Path) -> None:
    path = lying(tmp_path, written())
    assert mend.torn(path) is None
    assert mend.torn(lying(tmp_path, written("H264", form="mp4"), "a.mp4")) is None
    assert mend.torn(lying(tmp_path, written("H264", form="mp4", closed=False), "a.mp4")) is None, "it needs no closing"


@pytest.mark.parametrize("cut", [100, 5000])
def test_a_torn_fragment_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = lying(tmp_path, written("H264", form="mp4", closed=False)[:-cut], "alice.mp4")
    lost = mend.torn(path)
    assert lost and mend.mend(path) == lost and mend.torn(path) is None
    found = verify(path)
    assert found.problems == [] and found.numbers == 1.0 and found.seconds > 0.9
    assert mend.examine(path).frames == {"video": found.video_frames, "audio": found.audio_frames}


def test_a_file_that_was_closed_and_lost_its_end(tmp_path: Path) -> None:
    path = lying(tmp_path, written()[:20_000])
    assert mend.torn(path)
    mend.mend(path)
    assert verify(path).problems == []


def test_a_file_without_media(tmp_path: Path) -> None:
    path = lying(tmp_path, matroska.header(None, OPUS, STARTED).data)
    assert mend.torn(path) == 0 and mend.mend(path) == 0
    assert mend.torn(path) is None and mend.examine(path).frames == {"audio": 0}


@pytest.mark.parametrize("data", [b"", b"nothing"])
def test_what_is_no_recording_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = lying(tmp_path, data)
    for function in (mend.torn, mend.mend, mend.examine):
        with pytest.raises(NotOurs):
            function(path)
    assert path.read_bytes() == data


def test_the_original_stays_until_the_new_one_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(closed=False)[:-1000]
    path = lying(tmp_path, data)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peer.recording.mend.os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        mend.mend(path)
    assert path.read_bytes() == data and [each.name for each in tmp_path.iterdir()] == ["alice.mkv"]


def test_an_mp4_is_examined_by_ffmpeg(tmp_path: Path) -> None:
    path = lying(tmp_path, written("H264", form="mp4"), "alice.mp4")
    content = mend.examine(path)
    assert content.frames == {"video": 60, "audio": 100} and content.codecs == {"video": "H264", "audio": "opus"}
    assert content.seconds == pytest.approx(1.98, abs=0.01) and content.size == SIZE
    assert content.started == pytest.approx(STARTED, abs=1e-6)
    path.write_bytes(b"nothing")
    for function in (mend.torn, mend.examine):
        with pytest.raises(NotOurs, match="no MP4"):
            function(path)
    path.write_bytes(box(b"ftyp", b"isom") + box(b"moov", bytes(100)))
    with pytest.raises(NotOurs, match="cannot be read"):
        mend.examine(path)
