"""The manifest beside a recording, as it is kept while media comes, and when things go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import av
import pytest

from peer.recording import manifestfile, manifestwriter, thread
from peer.recording.group import Recorder
from peer.recording.recorder import ParticipantRecorder
from peer.recording.writer import Options
from tests.recording.synthetic import H264, SIZE, SMALL, FakeTrack, audio, feed, merged, video
from tests.recording.test_recorder import Disk, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peer.recording.manifest import Manifest


class Clock:
    """The monotonic clock, which the test moves."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


async def told(recorder: ParticipantRecorder) -> Manifest:
    assert recorder.manifest is not None
    return await asyncio.to_thread(manifestfile.read, recorder.manifest)


async def told_when(recorder: ParticipantRecorder, condition: Callable[[Manifest], bool]) -> Manifest:
    """The manifest once it is there and as wanted; the writer's thread brings that about."""
    async with asyncio.timeout(5):
        while True:
            if recorder.manifest is not None:
                with contextlib.suppress(FileNotFoundError):
                    found = await told(recorder)
                    if condition(found):
                        return found
            await asyncio.sleep(0.005)


async def test_what_was_recorded_is_told(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", room="lab", options=Options(now=clock))
    assert recorder.manifest is None
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    clock.now += 0.25
    recorder.add(picture)
    feed(merged(audio(2, start=5001), video(1, start=5001)), audio=sound, video=picture)
    feed(video(1, start=5002, size=SMALL, first=30), video=picture)
    clock.now += 3
    (file,) = await recorder.close()
    found = await told(recorder)
    assert recorder.manifest == file.path.with_suffix(".json")
    assert (found.room, found.participant, found.state, found.error, found.repaired) == (
        "lab",
        "alice",
        "finished",
        None,
        False,
    )
    assert found.ended == 3.25
    (segment,) = found.segments
    data = await asyncio.to_thread(file.path.read_bytes)
    assert segment.sha256 == hashlib.sha256(data).hexdigest() and segment.bytes == len(data)
    assert (segment.file, segment.tracks, segment.whole) == (file.path.name, ("audio", "video"), True)
    assert (segment.video_frames, segment.audio_frames) == (60, 100)
    assert (segment.start, segment.end) == pytest.approx((1, 2.98), abs=0.01)
    first, second = found.tracks
    assert (first.id, first.added, first.begins) == ("audio", 0, 1)
    assert (second.id, second.added, second.begins) == ("video", 0.25, 1)
    assert [(size.start, size.width, size.height) for size in second.sizes] == [(1, *SIZE), (2, *SMALL)]
    assert found.gaps == ()


async def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic, wall = Clock(), Clock()
    wall.now = 1_800_000_000.0
    for module in ("group", "writer"):
        monkeypatch.setattr(f"peer.recording.{module}.time.time", wall)
    recorder = Recorder(tmp_path, options=Options(now=monotonic))
    starts = []
    for name in ("alice", "bob"):
        participant = recorder.participant(name)
        sound = FakeTrack("audio")
        participant.add(sound)
        sound.feed(*audio(1, start=monotonic.now + 0.5))
        (file,) = await recorder.finish(participant)
        found = await told(participant)
        started = datetime.fromisoformat(found.started)
        starts.append(started.timestamp())
        begins = started + timedelta(seconds=found.segments[0].start)
        assert await asyncio.to_thread(_date, file.path) == begins.isoformat().replace("+00:00", "Z")
        monotonic.now += 10
        wall.now -= 3600
    assert starts == [1_800_000_000, 1_800_000_010]
    assert [path.stem.partition("-")[0] for path in recorder.manifests] == ["alice", "bob"]


def _date(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.metadata["creation_time"]


async def test_a_hold_an_outage_and_a_muted_microphone(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock, behind=1000))
    sound = FakeTrack("audio")

    def speak(at: float) -> None:
        clock.now = 5000 + at
        sound.feed(*audio(1, start=clock.now))
        clock.now += 1

    recorder.add(sound)
    speak(0)
    recorder.remove(sound)
    clock.now += 2
    recorder.add(sound)
    speak(3.1)
    clock.now += 2.5
    recorder.disconnected(silence=2.4)
    clock.now += 1
    recorder.reconnected()
    speak(8)
    speak(15)
    (file,) = await recorder.close()
    expected = [(0.98, 3.1, "paused"), (4.08, 8, "disconnected"), (8.98, 15, "muted")]
    assert [(gap.start, gap.end, gap.cause) for gap in (await told(recorder)).gaps] == expected
    assert [(gap.start, gap.end, gap.cause) for gap in file.gaps] == [pytest.approx(gap, abs=0.001) for gap in expected]


async def test_it_is_there_from_the_first_file_on_and_rewritten(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock))
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1, start=5000))
    found = await told_when(recorder, lambda found: True)
    assert found.state == "recording" and found.segments[0].sha256 is None and not found.segments[0].whole
    clock.now += manifestwriter.REWRITE
    await told_when(recorder, lambda found: found.ended == manifestwriter.REWRITE)
    await recorder.close()


async def test_a_file_is_hashed_while_the_next_is_written(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock))
    screen, sound = FakeTrack("video", "screen"), FakeTrack("audio")
    recorder.add(FakeTrack("video"))
    recorder.add(sound)
    recorder.add(screen)
    screen.feed(*video(1, start=5000))
    recorder.remove(screen)

    def hashed(found: Manifest) -> bool:
        clock.now += manifestwriter.SOONEST
        return found.segments[0].sha256 is not None

    assert (await told_when(recorder, hashed)).state == "recording"
    await recorder.close()


async def test_digests_that_take_too_long_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "EXTRA", 0.0)
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1))
    (file,) = await recorder.close()
    found = await told(recorder)
    assert file.whole and found.state == "finished" and found.segments[0].sha256 is None


async def test_a_file_that_cannot_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    for method in ("__init__", "work"):
        with monkeypatch.context() as patch:
            patch.setattr(manifestfile.Hashing, method, refuse)
            recorder = ParticipantRecorder(tmp_path, method)
            sound = FakeTrack("audio")
            recorder.add(sound)
            sound.feed(*audio(1))
            (file,) = await recorder.close()
            assert file.whole and (await told(recorder)).segments[0].sha256 is None
    assert caplog.text.count("could not be read for its digest") == 2


async def test_a_manifest_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = threading.Semaphore(0)

    def refuse(*_: object) -> None:
        tries.release()
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(manifestfile, "write", refuse)
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1))
    (file,) = await recorder.close()
    assert file.whole and recorder.error is None
    assert tries.acquire(blocking=False) and caplog.text.count("Read-only file system") == 1, "told once"


async def test_no_file_of_others_is_overwritten(tmp_path: Path) -> None:
    clock = Clock()
    first = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock))
    sound = FakeTrack("audio")
    first.add(sound)
    sound.feed(*audio(0.5, start=5000))
    (file,) = await first.close()
    await asyncio.to_thread(file.path.unlink)
    # Within the same second, and should it not be, nothing is in the way at all.
    second = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock))
    second.add(sound)
    sound.feed(*audio(0.5, start=5000))
    await second.close()
    assert first.manifest != second.manifest and first.manifest is not None
    assert (await asyncio.to_thread(manifestfile.read, first.manifest)).segments[0].file == file.path.name


async def test_what_a_full_disk_did_not_take_is_told(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(opener=Disk(25_000), now=clock))
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    feed(merged(audio(3, start=5000), video(3, start=5000)), audio=sound, video=picture)
    clock.now += 3
    await until(lambda: recorder.error is not None)
    (file,) = await recorder.close()
    found = await told(recorder)
    (segment,) = found.segments
    assert found.state == "failed" and found.error == recorder.error and "no space left" in found.error
    assert not segment.whole and segment.sha256 == await asyncio.to_thread(manifestfile.sha256, file.path)
    assert sorted({gap.cause for gap in found.gaps}) == ["disk"] and {gap.kind for gap in found.gaps} == {
        "audio",
        "video",
    }
    for gap in found.gaps:
        assert gap.start == pytest.approx(segment.end, abs=0.04) and gap.end == 3
    with av.open(str(file.path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    assert len(packets) == segment.video_frames + segment.audio_frames
    assert max(float(packet.pts * packet.time_base) for packet in packets) == pytest.approx(
        segment.end - segment.start, abs=0.04
    )


async def test_a_codec_change_that_waits_for_its_keyframe(tmp_path: Path) -> None:
    clock = Clock()
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(now=clock))
    picture = FakeTrack("video")
    recorder.add(picture)
    picture.feed(*video(1, start=5000))
    picture.feed(*(replace(frame, keyframe=False, width=0, height=0) for frame in video(1, H264, start=5001)))
    picture.feed(*video(1, H264, start=5002))
    await recorder.close()
    found = await told(recorder)
    (gap,) = found.gaps
    assert (gap.kind, gap.cause) == ("video", "disk")
    assert (gap.start, gap.end) == pytest.approx((29 / 30, 2), abs=0.001)
    assert [segment.whole for segment in found.segments] == [False, True]
