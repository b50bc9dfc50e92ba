"""Directories that cannot be written to are told in a sentence; files are never overwritten; a real disk fills up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from peer.errors import DeviceError
from peer.recording import manifestfile
from peer.recording.check import check
from peer.recording.disk import disk_sentence, is_being_written, open_exclusive, prepare
from peer.recording.formats import FORMATS, Format
from peer.recording.found import find
from peer.recording.recorder import ParticipantRecorder
from peer.recording.repair import repair
from peer.recording.verify import verify
from peer.recording.writer import Options
from tests.recording.containers import USUAL
from tests.recording.synthetic import H264, SMALL, FakeTrack, audio, feed, merged, shifted, video
from tests.recording.test_recorder import until

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


@pytest.mark.parametrize("form", FORMATS)
async def test_a_disk_that_fills_up(small_disk: Path, form: Format) -> None:
    told: list[str] = []
    now = 5000.0
    options = Options(format=form, now=lambda: now, behind=1000)
    recorder = ParticipantRecorder(small_disk, "alice", options=options, on_error=told.append)
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    for start in range(5):
        feed(shifted(merged(audio(1), video(1, USUAL[form])), 5000 + start), audio=sound, video=picture)
    now += 5
    (file,) = await recorder.close()
    assert told == [file.error] and "no space left on device" in told[0]
    found = await asyncio.to_thread(verify, file.path)
    assert found.problems == [] and 0.4 < found.seconds < 5
    assert recorder.manifest is not None
    manifest = await asyncio.to_thread(manifestfile.read, recorder.manifest)
    # There is room for the last word where the last cluster did not fit, or there is not: then the one before stays.
    assert (manifest.state, manifest.error) in (("failed", told[0]), ("recording", None))
    assert [segment.file for segment in manifest.segments] == [file.path.name]
    assert [path.suffix for path in sorted(await asyncio.to_thread(lambda: list(small_disk.iterdir())))] == [
        ".json",
        f".{form}",
    ]


async def test_a_disk_so_full_that_not_even_the_manifest_fits(small_disk: Path) -> None:
    clock = 5000.0
    recorder = ParticipantRecorder(small_disk, "alice", options=Options(now=lambda: clock, behind=1000))
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1, start=5000))
    await until(lambda: recorder.manifest is not None)
    path = recorder.manifest
    assert path is not None
    before = await asyncio.to_thread(when_there, path)
    await asyncio.to_thread(fill, small_disk / "filling")
    clock += 100
    sound.feed(*audio(5, start=5001))
    await until(lambda: recorder.error is not None)
    (file,) = await recorder.close()
    assert await asyncio.to_thread(path.read_bytes) == before, "the older one survives whole"
    assert (await asyncio.to_thread(verify, file.path, expect=("audio",))).problems == []
    await asyncio.to_thread((small_disk / "filling").unlink)
    (found,) = await asyncio.to_thread(find, [path])
    assert (await asyncio.to_thread(repair, found)).problems == []
    (found,) = await asyncio.to_thread(find, [path])
    assert [row.problems for row in await asyncio.to_thread(lambda: list(check(found)))] == [[]]


def when_there(path: Path) -> bytes:
    """The content of a file that another thread writes."""
    deadline = time.monotonic() + 5
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return path.read_bytes()


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


async def test_a_directory_that_goes_away(tmp_path: Path) -> None:
    """The file that is open goes on in memory of the system; the next one cannot be made where nobody can write."""
    told: list[str] = []
    directory = tmp_path / "room"
    recorder = ParticipantRecorder(directory, "alice", on_error=told.append)
    picture = FakeTrack("video")
    recorder.add(picture)
    picture.feed(*video(1, H264))
    await until(lambda: bool(recorder.files))
    await asyncio.to_thread(directory.rename, tmp_path / "gone")
    await asyncio.to_thread(directory.write_text, "in the way")
    picture.feed(*video(1, H264, start=1, size=SMALL, first=30))
    files = await recorder.close()
    assert len(files) == 1 and len(told) == 1 and "could not be written" in told[0]
    assert await asyncio.to_thread(directory.read_text) == "in the way"


def test_whether_a_file_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open_exclusive(path):
        assert is_being_written(path)
    assert not is_being_written(path)
    with pytest.raises(FileNotFoundError):
        is_being_written(tmp_path / "nothing")


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("peer.recording.disk.fcntl.flock", refuse)
    with open_exclusive(tmp_path / "file"):
        assert not is_being_written(tmp_path / "file")
    monkeypatch.setattr("peer.recording.disk.fcntl", None)
    with open_exclusive(tmp_path / "other"):
        assert not is_being_written(tmp_path / "other")
