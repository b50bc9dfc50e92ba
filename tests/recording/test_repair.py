"""Recordings on the disk: found, held against their manifests, and put in order after a crash."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from peer.errors import UsageError
from peer.recording import manifestfile
from peer.recording.check import Checked, check
from peer.recording.disk import open_exclusive
from peer.recording.found import Found, find
from peer.recording.group import Recorder
from peer.recording.manifest import Gap, Manifest
from peer.recording.repair import repair
from tests.recording.synthetic import FakeTrack, audio, feed, merged, video

if TYPE_CHECKING:
    from pathlib import Path


KILLED, OPEN = "its process was killed while it recorded; run peer repair", "was not closed; run peer repair"


@pytest.fixture
async def whole(tmp_path: Path) -> Path:
    """A directory with the recordings of alice, two files, and of bob."""
    recorder = Recorder(tmp_path / "room", room="lab")
    for name in ("alice", "bob"):
        participant = recorder.participant(name)
        sound, picture = FakeTrack("audio"), FakeTrack("video")
        participant.add(sound)
        participant.add(picture)
        if name == "alice":
            screen = FakeTrack("video", "screen")
            participant.add(screen)
            screen.feed(*video(1))
        feed(merged(audio(2), video(2)), audio=sound, video=picture)
        await recorder.finish(participant)
    return tmp_path / "room"


def one(directory: Path, pattern: str) -> Path:
    (path,) = directory.glob(pattern)
    return path


def checked(*paths: Path) -> dict[str, Checked]:
    """By name of the file."""
    return {row.path.name: row for found in find(paths) for row in check(found)}


def problems(*paths: Path) -> list[str]:
    return [problem for row in checked(*paths).values() for problem in row.problems]


def repaired(*paths: Path) -> list[str]:
    """What stayed wrong."""
    return [problem for found in find(paths) for problem in repair(found).problems]


def killed(directory: Path, name: str = "bob") -> Path:
    """Make it look as if the process had been killed: a manifest that does not know the end, a torn file."""
    path = one(directory, f"{name}*.json")
    manifest = manifestfile.read(path)
    segments = tuple(structs.replace(each, sha256=None, whole=False, bytes=9) for each in manifest.segments)
    manifestfile.write(path, structs.replace(manifest, state="recording", segments=segments))
    for segment in segments:
        media = path.with_name(segment.file)
        data = media.read_bytes()
        media.write_bytes(data[: len(data) * 9 // 10])
    return path


def changed(path: Path, **fields: object) -> Manifest:
    manifest = structs.replace(manifestfile.read(path), **fields)
    manifestfile.write(path, manifest)
    return manifest


# Found


def test_directories_manifests_and_files_are_found(whole: Path) -> None:
    alice, bob = find([whole])
    assert (alice.participant, len(alice.media), bob.participant, len(bob.media)) == ("alice", 2, "bob", 1)
    assert alice.media[1].stem == alice.media[0].stem + "-2" == alice.path.stem + "-2"
    (by_manifest,) = find([alice.path])
    (by_file,) = find([alice.media[1]])
    assert by_manifest == alice
    assert by_file.media == alice.media[1:] and by_file.everything == alice.everything


def test_what_is_none_is_refused(whole: Path) -> None:
    (whole / "notes.txt").write_text("hello")
    (whole / "other.json").write_text("{}")
    assert len(find([whole])) == 2, "other files may lie beside them"
    for name in ("nothing", "notes.txt", "other.json"):
        with pytest.raises(UsageError, match=name):
            find([whole / name])


def test_files_without_a_manifest_are_told_apart_by_their_names(whole: Path) -> None:
    for path in whole.glob("*.json"):
        path.unlink()
    shutil.copy(one(whole, "bob*.mkv"), whole / "clip.mkv")
    found = find([whole])
    assert [(each.participant, len(each.media)) for each in found] == [("alice", 2), ("bob", 1), ("clip", 1)]
    assert all(each.manifest is None and each.trouble is None for each in found)


# Checked


def test_whole_recordings_are_in_order(whole: Path) -> None:
    rows = checked(whole)
    assert all(row.ok and row.notes == [] and row.missing == {} for row in rows.values())
    bob = rows[one(whole, "bob*.mkv").name]
    assert (bob.participant, bob.video_frames, bob.audio_frames) == ("bob", 60, 100)
    assert bob.seconds == pytest.approx(2, abs=0.05) and bob.skew == pytest.approx(0, abs=0.05)


def test_each_difference_is_named(whole: Path) -> None:
    media, manifest = one(whole, "bob*.mkv"), one(whole, "bob*.json")
    (segment,) = manifestfile.read(manifest).segments
    data = bytearray(media.read_bytes())
    data[-10] ^= 1
    media.write_bytes(data)
    assert problems(media) == ["is not the file that was recorded: its SHA-256 differs"]
    media.write_bytes(data + b"\xec\x80")
    assert any("bytes, and" in text for text in problems(media)) and any("was not closed" in t for t in problems(media))
    media.unlink()
    assert problems(manifest) == ["is missing"]
    media.write_bytes(b"nothing at all")
    assert any("cannot be played" in text for text in problems(manifest))
    media.unlink()
    media.mkdir()
    assert problems(manifest) == ["cannot be read (Is a directory)"]


def test_lengths_and_frames_are_compared(whole: Path) -> None:
    media, manifest = one(whole, "bob*.mkv"), one(whole, "bob*.json")
    (segment,) = manifestfile.read(manifest).segments
    changed(manifest, segments=(structs.replace(segment, end=segment.end + 1, video_frames=61),))
    assert [text.partition(" ")[0] for text in problems(media)] == ["lasts", "holds"]


def test_what_is_missing_is_summed_up_and_a_failure_told(whole: Path) -> None:
    manifest = one(whole, "bob*.json")
    (segment,) = manifestfile.read(manifest).segments
    gaps = (
        Gap(track="video", kind="video", start=segment.start + 1, end=segment.start + 1.5, cause="lost"),
        Gap(track="audio", kind="audio", start=segment.end - 0.5, end=segment.end + 9, cause="disk"),
    )
    changed(manifest, gaps=gaps, state="failed", error="The disk is full.")
    (row,) = checked(manifest).values()
    assert row.missing == pytest.approx({"lost": 0.5, "disk": 9.5})
    assert row.problems == ["it ended early: The disk is full."]


@pytest.fixture
async def holed(tmp_path: Path) -> Path:
    """The manifest of a recording whose camera was off for four seconds."""
    recorder = Recorder(tmp_path)
    participant = recorder.participant("alice")
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    participant.add(sound)
    participant.add(picture)
    sounds = [frame for start in (0, 2, 4) for frame in audio(2, start=start)]
    feed(merged(sounds, video(1), video(1, start=5)), audio=sound, video=picture)
    await recorder.close()
    (path,) = recorder.manifests
    return path


def test_a_hole_has_to_be_explained(holed: Path) -> None:
    path = holed
    (row,) = checked(path).values()
    assert row.ok and row.missing == pytest.approx({"muted": 4 + 1 / 30}, abs=0.01)
    changed(path, gaps=())
    (problem,) = problems(path)
    assert "no pictures from 1.0 to 5.0 s, and the manifest does not say why" in problem
    left_out = structs.replace(manifestfile.read(path).left_out, gaps=1)
    changed(path, left_out=left_out)
    (row,) = checked(path).values()
    assert row.ok and "not every gap" in row.notes[0]


def test_manifests_that_are_none(whole: Path) -> None:
    path = one(whole, "bob*.json")
    path.write_text('{"version": 2}')
    assert any("cannot be used" in text for text in problems(path))
    assert repaired(path)[0].endswith("move it away, and repair again to have one made")
    assert path.read_text() == '{"version": 2}', "one of a newer version is worth something"


def test_a_manifest_without_files(whole: Path) -> None:
    path = one(whole, "bob*.json")
    one(whole, "bob*.mkv").unlink()
    changed(path, segments=())
    assert checked(path)[path.name].ok
    changed(path, state="recording")
    assert "killed" in problems(path)[0]


# Being recorded


def test_what_is_being_recorded_is_left_alone(whole: Path) -> None:
    path = killed(whole)
    media = one(whole, "bob*.mkv")
    media.unlink()
    with open_exclusive(media) as file:
        file.write(b"what there is so far")
        (row,) = checked(path).values()
        assert row.ok and row.notes == ["is being recorded"]
        assert repaired(path) == [f"{path.name} is being recorded; repair it afterwards"]
    assert media.read_bytes() == b"what there is so far"
    assert any("killed" in text for text in problems(path))


# Repaired


def test_finished_recordings_are_not_touched(whole: Path) -> None:
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in whole.iterdir()}
    assert [repair(found).done for found in find([whole])] == [[], []]
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in whole.iterdir()} == before


def test_what_a_killed_process_left(whole: Path) -> None:
    path = killed(whole, "alice")
    before = manifestfile.read(path)
    assert problems(path) == [KILLED, OPEN, OPEN]
    assert repaired(path) == []
    after = manifestfile.read(path)
    assert (after.state, after.repaired, after.participant, after.room) == ("finished", True, "alice", "lab")
    assert after.started == before.started and after.tracks == before.tracks
    for segment, was in zip(after.segments, before.segments, strict=True):
        media = path.with_name(segment.file)
        assert segment.sha256 == manifestfile.sha256(media) and segment.bytes == media.stat().st_size
        assert segment.start == was.start and segment.end < was.end and not segment.whole
        for track in segment.tracks:
            (gap,) = (gap for gap in after.gaps if gap.track == track)
            assert (gap.start, gap.end, gap.cause) == (segment.end, was.end, "disk")
    assert problems(whole) == [] and repaired(whole) == []


def test_a_digest_that_was_not_ready_is_filled_in(whole: Path) -> None:
    path = one(whole, "bob*.json")
    manifest = manifestfile.read(path)
    changed(path, segments=tuple(structs.replace(each, sha256=None) for each in manifest.segments))
    (row,) = checked(path).values()
    assert row.ok and "no digest" in row.notes[0]
    assert repaired(path) == []
    assert manifestfile.read(path) == structs.replace(manifest, repaired=True)


def test_a_failed_recording_stays_one(whole: Path) -> None:
    path = killed(whole)
    changed(path, state="failed", error="The disk is full.")
    assert repaired(path) == []
    assert manifestfile.read(path).state == "failed"
    assert problems(path) == ["it ended early: The disk is full."]


def test_manifests_are_made_where_there_are_none(whole: Path) -> None:
    before = {path.name: manifestfile.read(path) for path in whole.glob("*.json")}
    for path in whole.glob("*.json"):
        path.unlink()
    assert all(row.ok and "no manifest" in row.notes[0] for row in checked(one(whole, "bob*.mkv")).values())
    assert repaired(whole) == []
    assert problems(whole) == []
    for name, was in before.items():
        made = manifestfile.read(whole / name)
        assert made.participant == was.participant and made.state == "finished" and made.repaired
        assert {each.file for each in made.segments} == {each.file for each in was.segments}
        assert {track.kind for track in made.tracks} == {"audio", "video"}
        assert {track.codecs[0].name for track in made.tracks} == {"VP8", "opus"}


def test_a_file_that_the_manifest_did_not_get_to_know(whole: Path) -> None:
    path = killed(whole, "alice")
    manifest = manifestfile.read(path)
    tracks = tuple(structs.replace(each, begins=None, codecs=(), sizes=()) for each in manifest.tracks)
    changed(path, segments=manifest.segments[:1], tracks=tracks)
    (found,) = find([path])
    assert [each.name for each in found.extra] == [manifest.segments[1].file]
    assert set(problems(path)) == {KILLED, OPEN}
    assert repaired(path) == []
    assert all(track.begins is not None and track.codecs for track in manifestfile.read(path).tracks)
    adopted = {each.file: each for each in manifestfile.read(path).segments}[manifest.segments[1].file]
    assert adopted.start == pytest.approx(manifest.segments[1].start, abs=0.01)
    assert problems(path) == []


def test_what_cannot_be_repaired_is_told(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = killed(whole)
    media = one(whole, "bob*.mkv")
    data = media.read_bytes()
    media.write_bytes(b"nothing")
    assert repaired(path) == [f"{media.name} cannot be repaired: it is no Matroska file"]
    path.unlink()
    assert repaired(media) == [f"{media.name} cannot be repaired: it is no Matroska file"] and not path.exists()
    media.write_bytes(data)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peer.recording.mend.os.fsync", refuse)
    (problem,) = repaired(media)
    assert "no space left on device" in problem and media.read_bytes() == data


def test_a_file_that_is_gone(whole: Path) -> None:
    path = killed(whole)
    media = one(whole, "bob*.mkv")
    media.unlink()
    assert repaired(path) == [f"{media.name} is missing"]
    assert manifestfile.read(path).state == "finished"
    assert problems(path) == ["is missing"]


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    assert find([tmp_path]) == []
    assert isinstance(repair(Found(tmp_path / "a.json")).problems, list)
    assert list(tmp_path.iterdir()) == []
