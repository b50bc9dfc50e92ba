"""A participant's recording: tracks in, files out, the loop never held up, the call never hurt."""

from __future__ import annotations

import asyncio
import io
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from peer.recording import matroska
from peer.recording.recorder import ParticipantRecorder
from peer.recording.verify import verify
from peer.recording.writer import Options
from tests.recording.synthetic import H264, OPUS, PCMU, SMALL, VP8, FakeTrack, audio, feed, merged, shifted, video

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable
    from pathlib import Path

    from peer.recording.files import RecordedFile

FAST = Options(keyframe_interval=0.01)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for a condition that another thread brings about."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def checked(file: RecordedFile) -> None:
    """The file is what its entry says, and decodes."""
    expect = [kind for kind, codec in (("audio", file.audio_codec), ("video", file.video_codec)) if codec]
    found = await asyncio.to_thread(verify, file.path, expect=expect, tolerance=10.0)
    assert found.problems == []
    assert (found.video_frames, found.audio_frames) == (file.video_frames, file.audio_frames)
    assert found.seconds == pytest.approx(file.seconds, abs=0.06)
    size = await asyncio.to_thread(lambda: file.path.stat().st_size)
    assert file.bytes <= size < file.bytes + 4096


@pytest.mark.parametrize("codec", [VP8, H264])
async def test_audio_and_video_in_one_file(tmp_path: Path, codec: object) -> None:
    assert codec in (VP8, H264)
    recorder = ParticipantRecorder(tmp_path / "new" / "folder", "alice")
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    assert picture.requests == 1, "a keyframe is asked for at the start"
    pictures = video(2, VP8 if codec is VP8 else H264, start=7)
    feed(merged(audio(2, start=7), pictures), audio=sound, video=picture)
    (file,) = await recorder.close()
    assert file.whole and file.error is None and file.gaps == ()
    assert (file.video_frames, file.audio_frames) == (60, 100)
    assert file.name == "alice" and file.path.parent == tmp_path / "new" / "folder"
    assert file.tracks == ("audio", "video")
    assert not sound.takers and not picture.takers
    await checked(file)


async def test_the_files_can_be_watched(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound = FakeTrack("audio")
    recorder.add(sound)
    assert recorder.files == []
    sound.feed(*audio(2))
    await until(lambda: bool(recorder.files) and recorder.files[0].seconds > 1.9)
    (file,) = recorder.files
    assert not file.whole and file.error is None and file.bytes > 1000
    assert (await recorder.close())[0].whole


async def test_what_nothing_follows_is_on_the_disk_soon(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(flush_interval=0.05))
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(0.02))
    empty = len(matroska.header(None, OPUS, 0.0).data)
    await until(lambda: bool(recorder.files) and recorder.files[0].bytes > empty)
    found = await asyncio.to_thread(verify, recorder.files[0].path, expect=("audio",))
    assert found.audio_frames == 1
    await recorder.close()


async def test_video_that_comes_late_makes_a_second_file(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    feed(merged(audio(5), video(2, start=3)), audio=sound, video=picture)
    first, second = await recorder.close()
    assert (first.video_codec, first.audio_codec, first.video_frames) == (None, "opus", 0)
    assert (second.video_codec, second.audio_codec, second.video_frames) == ("VP8", "opus", 60)
    assert second.path.stem == first.path.stem + "-2"
    assert first.audio_frames + second.audio_frames == 250
    for file in (first, second):
        assert file.whole
        await checked(file)


async def test_sound_that_comes_late_makes_a_second_file(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=FAST)
    picture, sound = FakeTrack("video"), FakeTrack("audio")
    recorder.add(picture)
    feed(video(2), video=picture)
    await until(lambda: bool(recorder.files) and recorder.files[0].video_frames == 60)
    asked = picture.requests
    recorder.add(sound)
    feed(audio(0.1, PCMU, start=2), audio=sound)
    await until(lambda: picture.requests > asked)  # the next file has to begin with a keyframe
    feed(merged(audio(1, PCMU, start=2.1), video(1, start=2.1, first=60)), audio=sound, video=picture)
    first, second = await recorder.close()
    assert first.audio_codec is None and (second.video_frames, second.audio_frames) == (30, 55)
    await checked(first)
    await checked(second)


async def test_only_audio_and_only_video(tmp_path: Path) -> None:
    for kind, frames in (("audio", audio(1)), ("video", video(1))):
        recorder = ParticipantRecorder(tmp_path, "same name")
        track = FakeTrack("audio" if kind == "audio" else "video")
        recorder.add(track)
        track.feed(*frames)
        (file,) = await recorder.close()
        assert file.whole and (file.video_codec is None) == (kind == "audio")
        await checked(file)
    assert len(list(await asyncio.to_thread(lambda: list(tmp_path.glob("*.mkv"))))) == 2, "nothing is overwritten"


async def test_a_size_change_in_h264_is_a_new_file_and_in_vp8_is_not(tmp_path: Path) -> None:
    for codec, expected in ((VP8, 1), (H264, 2)):
        recorder = ParticipantRecorder(tmp_path, codec.name)
        track = FakeTrack("video")
        recorder.add(track)
        track.feed(*video(1, codec), *video(1, codec, start=1, size=SMALL, first=30))
        files = await recorder.close()
        assert len(files) == expected and all(file.whole for file in files)
        assert sum(file.video_frames for file in files) == 60
        for file in files:
            await checked(file)


async def test_a_screen_share_gets_a_file_of_its_own(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound, camera, screen = FakeTrack("audio"), FakeTrack("video", "camera"), FakeTrack("video", "screen")
    for track in (sound, camera, screen):
        recorder.add(track)
    feed(merged(audio(1), video(1)), audio=sound, video=camera)
    screen.feed(*video(1, H264))
    recorder.remove(screen)
    assert not screen.takers
    feed(shifted(merged(audio(1), video(1)), 1), audio=sound, video=camera)
    files = sorted(await recorder.close(), key=lambda file: file.tracks)
    assert [file.tracks for file in files] == [("audio", "camera"), ("screen",)]
    assert [(file.video_frames, file.audio_frames) for file in files] == [(60, 100), (30, 0)]
    assert all(file.whole for file in files)


async def test_a_replaced_camera_goes_on_in_the_same_file(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound, first, second = FakeTrack("audio"), FakeTrack("video", "one"), FakeTrack("video", "two")
    recorder.add(sound)
    recorder.add(first)
    feed(merged(audio(1), video(1)), audio=sound, video=first)
    recorder.remove(first)
    recorder.add(second)
    assert second.requests == 1
    feed(shifted(merged(audio(1), video(1)), 1), audio=sound, video=second)
    (file,) = await recorder.close()
    assert file.tracks == ("audio", "one", "two") and file.video_frames == 60
    await checked(file)


async def test_keyframes_are_asked_for_until_one_comes(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=FAST)
    track = FakeTrack("video")
    recorder.add(track)
    track.feed(*video(1)[1:10])
    await until(lambda: track.requests >= 4)
    track.feed(*video(1))
    await until(lambda: bool(recorder.files))
    asked = track.requests
    await asyncio.sleep(5 * FAST.keyframe_interval)
    assert track.requests == asked
    (file,) = await recorder.close()
    assert file.video_frames == 30


async def test_a_loss_is_noted_and_a_keyframe_asked_for(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=FAST)
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    pictures, sounds = video(2), audio(2)
    # Each stream misses 0.2 s: frames 10 to 15 of the pictures, 50 to 59 of the sound.
    pictures[16] = replace(pictures[16], complete_before=False)
    sounds[60] = replace(sounds[60], complete_before=False)
    feed(merged(pictures[:10], sounds[:17]), audio=sound, video=picture)
    await asyncio.sleep(3 * FAST.keyframe_interval)
    assert picture.requests == 1, "the keyframe came"
    feed(merged(pictures[16:20], sounds[17:20]), audio=sound, video=picture)
    assert picture.requests == 2
    feed(merged(pictures[20:], sounds[20:50] + sounds[60:]), audio=sound, video=picture)
    (file,) = await recorder.close()
    assert [(gap.kind, gap.cause) for gap in file.gaps] == [("video", "lost"), ("audio", "lost")]
    assert file.gaps[0][1:3] == pytest.approx((9 / 30, 16 / 30), abs=0.002)
    assert file.gaps[1][1:3] == pytest.approx((0.98, 1.2), abs=0.002)
    assert file.whole, "what got lost on the way was not dropped by us"
    assert file.video_frames == 54


async def test_a_track_that_cannot_be_asked_does_no_harm(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ConnectionError("closed")

    recorder = ParticipantRecorder(tmp_path, "alice")
    track = FakeTrack("video")
    track.on_request = refuse
    recorder.add(track)
    track.feed(*video(1))
    assert (await recorder.close())[0].whole


async def test_closing_is_idempotent_and_survives_cancellation(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1))
    closing = asyncio.create_task(recorder.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    first, second = await asyncio.gather(recorder.close(), recorder.close())
    assert first == second and first[0].whole
    recorder.add(sound)
    recorder.remove(sound)
    assert not sound.takers


async def test_closing_without_media_makes_no_file(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path / "never", "alice")
    assert await recorder.close() == []
    recorder = ParticipantRecorder(tmp_path / "never", "alice")
    recorder.add(FakeTrack("video"))
    assert await recorder.close() == []
    assert not await asyncio.to_thread((tmp_path / "never").exists)


class Disk:
    """Opens files that stop taking data after `room` bytes, or that take none until `go` is set."""

    def __init__(self, room: int = 1 << 40, *, stuck: bool = False) -> None:
        self.room = room
        self.go = threading.Event()
        if not stuck:
            self.go.set()

    def __call__(self, path: Path) -> io.RawIOBase:
        disk = self

        class File(io.FileIO):
            def write(self, data: Buffer) -> int:
                assert disk.go.wait(30)
                fits = min(len(memoryview(data)), disk.room - self.tell())
                if fits <= 0:
                    raise OSError(28, "No space left on device")
                return super().write(memoryview(data)[:fits])

        return File(path, "xb")


async def test_a_full_disk_ends_the_recording_and_says_so_once(tmp_path: Path) -> None:
    told: list[str] = []
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(opener=Disk(25_000)), on_error=told.append)
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    for start in range(3):
        feed(shifted(merged(audio(1), video(1)), start), audio=sound, video=picture)
    await until(lambda: bool(told))
    assert "no space left" in told[0] and "alice" in told[0]
    assert not sound.takers and not picture.takers, "the tracks are let go"
    assert recorder.error == told[0] and recorder.closed
    (file,) = await recorder.close()
    assert len(told) == 1
    assert file.error == told[0] and not file.whole
    found = await asyncio.to_thread(verify, file.path)
    assert found.decode_errors == 0 and found.seconds > 0.4, "what was written plays"


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "file").write_text, "in the way")
    told: list[str] = []
    recorder = ParticipantRecorder(tmp_path / "file" / "dir", "alice", on_error=told.append)
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(0.1))
    assert await recorder.close() == []
    assert recorder.error is not None and told == [recorder.error]


async def test_a_disk_that_is_too_slow_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    now = 100.0
    disk = Disk(stuck=True)
    told: list[str] = []
    options = Options(opener=disk, now=lambda: now)
    recorder = ParticipantRecorder(tmp_path, "alice", options=options, on_error=told.append)
    sound = FakeTrack("audio")
    recorder.add(sound)
    frames = audio(2)
    sound.feed(*frames[:50])
    await until(lambda: any(tmp_path.iterdir()))
    now += 9.9
    sound.feed(*frames[50:60])
    assert told == []
    now += 0.2
    sound.feed(*frames[60:70])
    assert len(told) == 1 and "too slowly" in told[0]
    assert not sound.takers
    disk.go.set()
    files = await recorder.close()
    assert all(not file.whole and file.error == told[0] for file in files)
    assert len(told) == 1


async def test_what_waits_to_be_written_is_bounded(tmp_path: Path) -> None:
    disk = Disk(stuck=True)
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(opener=disk, max_queued=10_000))
    picture = FakeTrack("video")
    recorder.add(picture)
    picture.feed(*video(2))
    assert recorder.error is not None and recorder.closed
    disk.go.set()
    await recorder.close()


async def test_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.recording.recorder.CLOSE_DEADLINE", 0.05)
    disk = Disk(stuck=True)
    told: list[str] = []
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(opener=disk), on_error=told.append)
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1))
    await recorder.close()
    assert len(told) == 1 and "in time" in told[0]
    disk.go.set()
    await until(lambda: not any(thread.name.startswith("recording") for thread in threading.enumerate()))


async def test_a_mistake_of_ours_is_told_and_the_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> float:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("peer.recording.muxer.Muxer.write", broken)
    recorder = ParticipantRecorder(tmp_path, "alice")
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(1))
    (file,) = await recorder.close()
    assert file.error is not None and "oops" in file.error and not file.whole
    assert "ZeroDivisionError" in caplog.text


async def test_hostile_names_and_endless_tracks(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "../../../evil\0name")
    tracks = [FakeTrack("audio", f"track {index}") for index in range(100)]
    for track in tracks:
        recorder.add(track)
        track.feed(*audio(0.1))
    files = await recorder.close()
    assert len(files) == 16 and all(file.path.parent == tmp_path for file in files)
    found = await asyncio.to_thread(lambda: list(tmp_path.rglob("*")))
    assert recorder.manifest is not None
    assert sorted(found) == sorted([recorder.manifest, *(file.path for file in files)])
