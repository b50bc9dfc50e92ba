"""What the muxer wrote can be decoded, whole or cut off, and an error of the disk costs only what came after it."""

from __future__ import annotations

import contextlib
import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.recording.matroska import TICKS
from peer.recording.muxer import Layout, Muxer, Rhythm, video_format
from peer.recording.verify import verify
from tests.harness.tools import require
from tests.recording.synthetic import FPS, G722, H264, OPUS, PCMA, PCMU, VP8, audio, kind_of, merged, video

if TYPE_CHECKING:
    from collections.abc import Buffer
    from pathlib import Path

    from peer.rtc.frames import Codec, EncodedFrame


class FullDisk(io.FileIO):
    """A file on a disk with room for `room` bytes."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self.room = room

    def write(self, data: Buffer) -> int:
        fits = min(len(memoryview(data)), self.room - self.tell())
        if fits <= 0:
            raise OSError(28, "No space left on device")
        return super().write(memoryview(data)[:fits])


def layout(frames: list[EncodedFrame]) -> Layout:
    pictures = [frame for frame in frames if kind_of(frame) == "video"]
    sounds = [frame for frame in frames if kind_of(frame) == "audio"]
    return Layout(video_format(pictures[0]) if pictures else None, sounds[0].codec if sounds else None, frames[0].time)


def write(path: Path, frames: list[EncodedFrame]) -> Muxer:
    muxer = Muxer(path.open("xb", buffering=0), layout(frames), started=1.7e9)
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    muxer.close()
    return muxer


@pytest.mark.parametrize("sound", [OPUS, PCMU, PCMA, G722, None])
@pytest.mark.parametrize("picture", [VP8, H264, None])
def test_every_pair_of_codecs_decodes(tmp_path: Path, picture: Codec | None, sound: Codec | None) -> None:
    frames = merged(video(2, picture, start=50) if picture else [], audio(2, sound, start=50) if sound else [])
    if not frames:
        return
    path = tmp_path / "it.mkv"
    write(path, frames)
    expect = {kind_of(frame) for frame in frames}
    found = verify(path, expect=expect)
    assert found.problems == []
    assert (found.video_frames, found.audio_frames) == (2 * FPS if picture else 0, 100 if sound else 0)
    assert found.seconds == pytest.approx(2, abs=0.05)
    assert found.numbers == (1.0 if picture else None)


@pytest.mark.parametrize("picture", [VP8, H264])
def test_ffmpeg_itself_has_no_complaint(tmp_path: Path, picture: Codec) -> None:
    ffmpeg, ffprobe = require("ffmpeg", "ffprobe")
    path = tmp_path / "it.mkv"
    write(path, merged(video(1, picture), audio(1)))
    decoded = subprocess.run(
        [ffmpeg, "-v", "warning", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert decoded.stderr == ""
    probed = subprocess.run(
        [ffprobe, "-v", "error", "-show_entries", "format=start_time:stream=width", "-of", "csv=p=0", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert probed.stdout.split() == ["320", "0.000000"]


def test_payloads_come_back_unchanged(tmp_path: Path) -> None:
    frames = merged(video(1), audio(1))
    write(tmp_path / "it.mkv", frames)
    with av.open(str(tmp_path / "it.mkv")) as container:
        packets = [
            (packet.stream.type, bytes(packet), packet.is_keyframe, packet.pts)
            for packet in container.demux()
            if packet.size
        ]
    assert sorted(data for _, data, _, _ in packets) == sorted(frame.data for frame in frames)
    pictures = [(keyframe, pts) for kind, _, keyframe, pts in packets if kind == "video"]
    assert [keyframe for keyframe, _ in pictures] == [frame.keyframe for frame in video(1)]
    assert [pts for _, pts in pictures] == [round(index * TICKS / FPS) for index in range(FPS)]


def test_a_file_can_be_sought_in(tmp_path: Path) -> None:
    write(tmp_path / "it.mkv", merged(video(3, H264), audio(3)))
    with av.open(str(tmp_path / "it.mkv")) as container:
        container.seek(2_100_000)
        packet = next(packet for packet in container.demux(video=0) if packet.size)
        assert packet.is_keyframe and packet.pts * packet.time_base == 2


@pytest.mark.parametrize("cut", [0.35, 0.6, 0.97])
def test_a_file_that_was_cut_off_plays(tmp_path: Path, cut: float) -> None:
    whole = tmp_path / "whole.mkv"
    frames = merged(video(2), audio(2))
    muxer = Muxer(whole.open("xb", buffering=0), layout(frames), started=0)
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    data = whole.read_bytes()
    muxer.close()
    (tmp_path / "cut.mkv").write_bytes(data[: round(len(data) * cut)])
    found = verify(tmp_path / "cut.mkv")
    assert found.seconds > 1.2 * cut
    assert found.numbers == 1.0


def test_flushed_at_least_each_half_second(tmp_path: Path) -> None:
    path = tmp_path / "it.mkv"
    frames = merged(video(2), audio(2))
    muxer = Muxer(path.open("xb", buffering=0), layout(frames), started=0)
    for frame in frames:
        muxer.write(kind_of(frame), frame)
        assert muxer.seconds >= frame.time - 0.52
        assert path.stat().st_size == muxer.length
    muxer.close()


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=30))
@settings(max_examples=40)
def test_times_only_grow(times: list[float]) -> None:
    file = io.BytesIO()
    muxer = Muxer(file, Layout(None, OPUS, min(times)), started=0)  # type: ignore[arg-type]
    packet = audio(0.02)[0]
    written = [muxer.write("audio", replace(packet, time=time)) for time in times]
    assert all(before < after for before, after in zip(written, written[1:], strict=False))
    muxer.flush()
    with av.open(io.BytesIO(file.getvalue())) as container:
        read = [round(float(packet.pts * packet.time_base), 4) for packet in container.demux() if packet.size]
    assert read == written


def test_streams_may_drift_apart_by_minutes(tmp_path: Path) -> None:
    pictures, sounds = video(1), audio(1)
    frames = [pictures[0], replace(sounds[0], time=300.0), *pictures[1:], replace(sounds[1], time=300.02)]
    write(tmp_path / "it.mkv", frames)
    with av.open(str(tmp_path / "it.mkv")) as container:
        times = [round(packet.pts * packet.time_base, 2) for packet in container.demux(audio=0) if packet.size]
    assert [float(time) for time in times] == [300.0, 300.02]


@pytest.mark.parametrize("room", [150, 400, 20_000, 30_000])
def test_a_full_disk_leaves_what_fitted(tmp_path: Path, room: int) -> None:
    path = tmp_path / "it.mkv"
    frames = merged(video(2), audio(2))
    file = FullDisk(path, room)
    try:
        with pytest.raises(OSError, match="No space"):
            muxer = Muxer(file, layout(frames), started=0)
            for frame in frames:
                muxer.write(kind_of(frame), frame)
        if room >= 20_000:
            with contextlib.suppress(OSError):
                muxer.close()
            assert file.closed
            assert path.stat().st_size == muxer.length, "no part of a cluster is left"
            found = verify(path)
            assert found.problems == [] and found.numbers == 1.0
            assert found.seconds == pytest.approx(muxer.seconds, abs=0.1)
    finally:
        file.close()


def test_the_index_stays_small() -> None:
    file = io.BytesIO()
    muxer = Muxer(file, Layout(None, OPUS, 0.0), started=0, flush_interval=0.01)  # type: ignore[arg-type]
    packet = replace(audio(0.02)[0], data=b"\xfc")
    for index in range(20_000):
        muxer.write("audio", replace(packet, time=index / 50))
    before = len(file.getvalue())
    kept: list[int] = []
    file.close = lambda: kept.append(len(file.getvalue()))  # type: ignore[method-assign]
    muxer.close()
    assert 0 < kept[0] - before < 4097 * 24


def test_closing_twice_is_once(tmp_path: Path) -> None:
    muxer = write(tmp_path / "it.mkv", audio(0.1))
    muxer.close()
    assert muxer.length == (tmp_path / "it.mkv").stat().st_size


def rate_of(path: Path) -> object:
    with av.open(str(path)) as container:
        return container.streams.video[0].average_rate


@pytest.mark.parametrize("fps", [15, 24, 30, 60])
def test_a_finished_file_says_its_frame_rate(tmp_path: Path, fps: int) -> None:
    keyframe = video(1)[0]
    jitter = [0.0, 0.004, -0.003, 0.002]
    write(tmp_path / "it.mkv", [replace(keyframe, time=i / fps + jitter[i % 4] / (fps / 15)) for i in range(2 * fps)])
    assert rate_of(tmp_path / "it.mkv") == fps


@pytest.mark.parametrize("intervals", [[0.2, 0.03, 0.5, 0.01] * 10, [3.0] * 20, [1 / 30] * 5, [0.05] * 30 + [0.02]])
def test_an_irregular_stream_has_no_rhythm(intervals: list[float]) -> None:
    rhythm = Rhythm()
    for interval in intervals:
        rhythm.add(interval)
    assert rhythm.seconds() is None
