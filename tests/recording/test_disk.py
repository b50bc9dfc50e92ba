"""Directories that cannot be written to are told in a sentence; files are never overwritten; a real disk fills up."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from peer.errors import DeviceError
from peer.recording.disk import disk_sentence, open_exclusive, prepare
from peer.recording.recorder import ParticipantRecorder
from peer.recording.verify import verify
from tests.recording.synthetic import FakeTrack, audio, feed, merged, shifted, video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_directory_is_made(tmp_path: Path) -> None:
    assert prepare(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match=r"file could not be written \(.+\); .+ choose another directory\.$"):
        prepare(tmp_path / "file")


def test_a_sentence_without_a_reason_of_the_system(tmp_path: Path) -> None:
    assert "(too many)" in disk_sentence("It ended", tmp_path, OSError("too many"))


def test_neither_files_nor_links_are_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            open_exclusive(tmp_path / name)
    assert (tmp_path / "file").read_text() == "precious" and not (tmp_path / "elsewhere").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; making one takes root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_disk_that_fills_up(small_disk: Path) -> None:
    told: list[str] = []
    recorder = ParticipantRecorder(small_disk, "alice", on_error=told.append)
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    for start in range(5):
        feed(shifted(merged(audio(1), video(1)), start), audio=sound, video=picture)
    (file,) = await recorder.close()
    assert told == [file.error] and "no space left on device" in told[0]
    found = await asyncio.to_thread(verify, file.path)
    assert found.problems == [] and 1 < found.seconds < 5
