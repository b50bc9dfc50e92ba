"""Formats and segments of a recording, as far as the files on the disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from peer.errors import UsageError
from peer.recording.formats import FORMATS, Format
from peer.recording.recorder import ParticipantRecorder
from peer.recording.verify import verify
from peer.recording.writer import Options
from tests.recording.containers import USUAL
from tests.recording.synthetic import H264, PCMU, SMALL, VP8, FakeTrack, audio, feed, merged, shifted, video

if TYPE_CHECKING:
    from pathlib import Path

    from peer.recording.files import RecordedFile
    from peer.rtc.frames import EncodedFrame


async def record(folder: Path, options: Options, *batches: list[EncodedFrame]) -> list[RecordedFile]:
    recorder = ParticipantRecorder(folder, "alice", options=options)
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    recorder.add(sound)
    recorder.add(picture)
    for frames in batches:
        feed(frames, audio=sound, video=picture)
    files = await recorder.close()
    assert recorder.error is None and all(file.whole for file in files)
    return files


async def plays(file: RecordedFile, *, video: int, audio: int, tolerance: float = 0.1) -> None:
    expect = [kind for kind, codec in (("audio", file.audio_codec), ("video", file.video_codec)) if codec]
    found = await asyncio.to_thread(verify, file.path, expect=expect, tolerance=tolerance)
    assert found.problems == []
    assert (found.video_frames, found.audio_frames) == (file.video_frames, file.audio_frames) == (video, audio)


@pytest.mark.parametrize("form", FORMATS)
async def test_the_container_that_was_asked_for(tmp_path: Path, form: Format) -> None:
    (file,) = await record(tmp_path, Options(format=form), merged(audio(2), video(2, USUAL[form])))
    assert file.path.suffix == f".{form}"
    start = (await asyncio.to_thread(file.path.read_bytes))[:64]
    assert {"mkv": b"matroska", "webm": b"webm", "mp4": b"ftyp"}[form] in start
    await plays(file, video=60, audio=100)


@pytest.mark.parametrize(("form", "codec"), [("webm", H264), ("mp4", VP8)])
async def test_what_the_container_cannot_hold_is_not_lost(
    tmp_path: Path, form: Format, codec: object, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = video(2, H264 if codec is H264 else VP8)
    (file,) = await record(tmp_path, Options(format=form), merged(audio(2), pictures))
    assert file.path.suffix == ".mkv"
    await plays(file, video=60, audio=100)
    (told,) = [one for one in caplog.messages if "cannot hold" in one]
    assert f"{form} cannot hold {file.video_codec} and opus, which goes to a .mkv file" in told


async def test_each_file_has_the_container_that_holds_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    later = shifted(merged(audio(1, PCMU), video(1)), 1)
    last = shifted(merged(audio(1), video(1)), 2)
    files = await record(tmp_path, Options(format="webm"), merged(audio(1), video(1)), later, last)
    assert [file.path.suffix for file in files] == [".webm", ".mkv", ".webm"]
    assert sum("cannot hold" in one for one in caplog.messages) == 1
    stem = files[0].path.stem
    assert [file.path.stem for file in files] == [stem, f"{stem}-2", f"{stem}-3"]
    for file in files:
        await plays(file, video=30, audio=50)


async def test_another_size_in_mp4_is_another_file(tmp_path: Path) -> None:
    turned = shifted(merged(video(1, H264, size=SMALL), audio(1)), 1)
    files = await record(tmp_path, Options(format="mp4"), merged(audio(1), video(1, H264)), turned)
    assert [file.path.suffix for file in files] == [".mp4", ".mp4"]
    for file in files:
        await plays(file, video=30, audio=50)


@pytest.mark.parametrize("form", FORMATS)
async def test_segments_together_are_the_whole(tmp_path: Path, form: Format) -> None:
    frames = merged(audio(3), video(3, USUAL[form]))
    files = await record(tmp_path, Options(format=form, segment=1.0), frames)
    assert len(files) == 3 and len({file.path for file in files}) == 3
    for file in files:
        await plays(file, video=30, audio=50)
        assert file.seconds == pytest.approx(29 / 30, abs=0.02), "its time begins at its first frame"


async def test_sound_alone_has_segments(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(segment=1.5))
    sound = FakeTrack("audio")
    recorder.add(sound)
    sound.feed(*audio(5))
    files = await recorder.close()
    assert [file.audio_frames for file in files] == [75, 75, 75, 25]
    for file in files:
        await plays(file, video=0, audio=file.audio_frames)


async def test_a_keyframe_is_asked_for_where_a_segment_ends(tmp_path: Path) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(segment=1.2, keyframe_interval=0.01))
    picture = FakeTrack("video")
    recorder.add(picture)
    asked = asyncio.Event()
    picture.feed(*video(1))
    picture.on_request = asked.set
    picture.feed(*shifted(video(1, first=0)[1:20], 1))
    await asyncio.wait_for(asked.wait(), 5)
    picture.feed(*shifted(video(1), 2))
    files = await recorder.close()
    assert [file.video_frames for file in files] == [49, 30]


@pytest.mark.parametrize("form", FORMATS)
async def test_hold_and_unhold_go_on_in_the_same_file(tmp_path: Path, form: Format) -> None:
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(format=form))
    sound, picture = FakeTrack("audio"), FakeTrack("video")
    for start in (0.0, 40.0):
        recorder.add(sound)
        recorder.add(picture)
        feed(shifted(merged(audio(1), video(1, USUAL[form])), start), audio=sound, video=picture)
        recorder.remove(sound)
        recorder.remove(picture)
    (file,) = await recorder.close()
    assert file.whole and file.seconds == pytest.approx(41, abs=0.04)
    await plays(file, video=60, audio=100)


@pytest.mark.parametrize("form", FORMATS)
async def test_a_frame_that_nothing_follows_is_on_the_disk_soon(tmp_path: Path, form: Format) -> None:
    options = Options(format=form, flush_interval=0.05)
    recorder = ParticipantRecorder(tmp_path, "alice", options=options)
    picture = FakeTrack("video")
    recorder.add(picture)
    frame = video(1, USUAL[form])[0]
    picture.feed(frame)
    async with asyncio.timeout(5):
        while True:
            if recorder.files and recorder.files[0].bytes >= len(frame.data):
                break
            await asyncio.sleep(0.005)
    found = await asyncio.to_thread(verify, recorder.files[0].path, expect=("video",))
    assert found.video_frames == 1
    await recorder.close()


async def test_many_segments_are_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.recording.writer._MAX_FILES", 2)
    now = 100.0
    recorder = ParticipantRecorder(tmp_path, "alice", options=Options(segment=1.0, now=lambda: now))
    sound = FakeTrack("audio")
    recorder.add(sound)
    now = 105.0
    sound.feed(*audio(5))
    assert len(await recorder.close()) == 5 and recorder.error is None


@pytest.mark.parametrize("nonsense", [{"format": "avi"}, {"segment": 0}, {"segment": 0.9}, {"segment": float("nan")}])
def test_options_that_cannot_be(nonsense: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="use"):
        Options(**nonsense)  # type: ignore[arg-type]
