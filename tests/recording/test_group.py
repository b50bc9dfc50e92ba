"""Everyone in one directory: participants come, go and come back; one bad recording does not hurt the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from peer.errors import DeviceError
from peer.recording.group import Recorder
from tests.recording.synthetic import FakeTrack, audio

if TYPE_CHECKING:
    from pathlib import Path


async def test_all_files_are_in_one_list(tmp_path: Path) -> None:
    async with Recorder(tmp_path / "recordings") as recorder:
        tracks = {name: FakeTrack("audio") for name in ("alice", "bob")}
        participants = {name: recorder.participant(name) for name in tracks}
        for name, track in tracks.items():
            participants[name].add(track)
            track.feed(*audio(1))
        (gone,) = await recorder.finish(participants["alice"])
        assert gone.whole and recorder.files[0] == gone
        assert await recorder.finish(participants["alice"]) == [gone]
        again = recorder.participant("alice")
        again.add(tracks["alice"])
        tracks["alice"].feed(*audio(1))
    assert sorted(file.name for file in recorder.files) == ["alice", "alice", "bob"]
    assert all(file.whole for file in recorder.files)
    assert len({file.path for file in recorder.files}) == 3
    assert await recorder.close() == recorder.files


async def test_nothing_is_recorded_after_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    assert not recorder.closed
    await recorder.close()
    assert recorder.closed
    late, track = recorder.participant("late"), FakeTrack("audio")
    late.add(track)
    assert not track.takers and await late.close() == []


async def test_a_directory_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "file").write_text, "in the way")
    with pytest.raises(DeviceError, match="choose another directory"):
        async with Recorder(tmp_path / "file"):
            pytest.fail("nothing can be recorded here")


async def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    await Recorder(tmp_path / "a" / "b").check()
    assert await asyncio.to_thread(lambda: [path.name for path in tmp_path.rglob("*")]) == ["a", "b"]


async def test_errors_are_told_with_the_name(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    recorder = Recorder(tmp_path / "gone", on_error=lambda name, sentence: told.append((name, sentence)))
    await recorder.check()
    await asyncio.to_thread((tmp_path / "gone").rmdir)
    await asyncio.to_thread((tmp_path / "gone").write_text, "in the way")
    participant, track = recorder.participant("alice"), FakeTrack("audio")
    participant.add(track)
    track.feed(*audio(1))
    await recorder.close()
    assert [name for name, _ in told] == ["alice"] and recorder.errors == [told[0][1]]


async def test_a_handler_that_raises_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def handler(name: str, sentence: str) -> None:
        raise RuntimeError("in the handler")

    await asyncio.to_thread((tmp_path / "file").write_text, "in the way")
    recorder = Recorder(tmp_path / "file", on_error=handler)
    participant, track = recorder.participant("alice"), FakeTrack("audio")
    participant.add(track)
    track.feed(*audio(1))
    await recorder.close()
    assert len(recorder.errors) == 1 and "in the handler" in caplog.text
