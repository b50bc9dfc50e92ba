"""What every container has to do: all of it can be decoded, whole or cut off, and an error of the disk costs only what
came after it."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.formats import FORMATS, Format, Layout
from peer.recording.verify import verify
from tests.harness.examples import examples
from tests.harness.tools import require
from tests.recording.containers import HOLDS, USUAL, FullDisk, begin, layout, write
from tests.recording.synthetic import FPS, H264, OPUS, SMALL, VP8, audio, kind_of, merged, video

if TYPE_CHECKING:
    from collections.abc import Buffer
    from pathlib import Path

    from peer.rtc.frames import Codec, EncodedFrame

every_format = pytest.mark.parametrize("form", FORMATS)


def pairs() -> list[tuple[Format, Codec | None, Codec | None]]:
    """Everything that each container holds, and each stream by itself."""
    return [
        (form, picture, sound)
        for form, (pictures, sounds) in HOLDS.items()
        for picture in (*pictures, None)
        for sound in (*sounds, None)
        if picture or sound
    ]


def named(value: object) -> str:
    return getattr(value, "name", str(value))


def times(path: Path, kind: str) -> list[float]:
    """When the packets of a stream are, in seconds."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize(("form", "picture", "sound"), pairs(), ids=named)
def test_every_pair_of_codecs_decodes(tmp_path: Path, form: Format, picture: Codec | None, sound: Codec | None) -> None:
    frames = merged(video(2, picture, start=50) if picture else [], audio(2, sound, start=50) if sound else [])
    path = tmp_path / f"it.{form}"
    write(path, frames)
    expect = {kind_of(frame) for frame in frames}
    found = verify(path, expect=expect)
    assert found.problems == []
    assert (found.video_frames, found.audio_frames) == (2 * FPS if picture else 0, 100 if sound else 0)
    assert found.seconds == pytest.approx(2, abs=0.05)
    assert found.numbers == (1.0 if picture else None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "picture"),
    [(form, picture) for form, (pictures, _) in HOLDS.items() for picture in pictures],
    ids=named,
)
def test_ffmpeg_itself_has_no_complaint(tmp_path: Path, form: Format, picture: Codec) -> None:
    ffmpeg, ffprobe = require("ffmpeg", "ffprobe")
    path = tmp_path / f"it.{form}"
    write(path, merged(video(1, picture), audio(1)))
    decoded = subprocess.run(
        [ffmpeg, "-v", "warning", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert decoded.stderr == ""
    entries = "format=start_time,duration:stream=width,height:format_tags=creation_time"
    probed = subprocess.run(
        [ffprobe, "-v", "error", "-show_entries", entries, "-of", "json", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(probed.stdout)
    assert [(one.get("width"), one.get("height")) for one in told["streams"]] == [(320, 240), (None, None)]
    assert float(told["format"]["start_time"]) == 0
    assert float(told["format"]["duration"]) == pytest.approx(1, abs=0.04)
    assert told["format"]["tags"]["creation_time"] == "2023-11-14T22:13:20.000000Z"


@every_format
def test_payloads_and_times_come_back_unchanged(tmp_path: Path, form: Format) -> None:
    # Every picture comes at another distance, as from a browser that adapts: down to 4 ms, up to 400 ms.
    distances = [0.004, 0.0171, 0.4, 0.033, 0.0166667, 0.1] * 5
    moments = [sum(distances[:index]) for index in range(30)]
    pictures = [replace(frame, time=moment) for frame, moment in zip(video(1, USUAL[form]), moments, strict=True)]
    frames = merged(pictures, audio(1))
    write(tmp_path / f"it.{form}", frames)
    with av.open(str(tmp_path / f"it.{form}")) as container:
        packets = [
            (packet.stream.type, bytes(packet), packet.is_keyframe) for packet in container.demux() if packet.size
        ]
    assert [data for kind, data, _ in packets if kind == "audio"] == [frame.data for frame in audio(1)]
    shown = [(len(data), key) for kind, data, key in packets if kind == "video"]
    assert [key for _, key in shown] == [frame.keyframe for frame in pictures]
    if form != "mp4":
        assert [size for size, _ in shown] == [len(frame.data) for frame in pictures]
    tick = 1 / 90_000 if form == "mp4" else 1 / 10_000
    assert times(tmp_path / f"it.{form}", "video") == pytest.approx(moments, abs=tick / 2 + 1e-9)
    assert times(tmp_path / f"it.{form}", "audio") == pytest.approx([index / 50 for index in range(50)], abs=1e-9)


@every_format
def test_sixty_jittery_pictures_a_second_keep_their_places(tmp_path: Path, form: Format) -> None:
    jitter = [0.0, 0.0071, -0.0062, 0.003]
    moments = [index / 60 + jitter[index % 4] + (0.008 if index else 0) for index in range(90)]
    pictures = [replace(frame, time=moment) for frame, moment in zip(video(3, USUAL[form]), moments, strict=True)]
    write(tmp_path / f"it.{form}", pictures)
    assert times(tmp_path / f"it.{form}", "video") == pytest.approx(moments, abs=1e-4)
    assert verify(tmp_path / f"it.{form}", expect=("video",)).numbers == 1.0


@every_format
@pytest.mark.parametrize("late", ["video", "audio"])
def test_a_stream_that_starts_late_is_in_its_place(tmp_path: Path, form: Format, late: str) -> None:
    start = {"video": 0.0, "audio": 0.0, late: 1.9}
    path = tmp_path / f"it.{form}"
    write(path, merged(video(1, USUAL[form], start=start["video"]), audio(1, start=start["audio"])))
    tick = 1 / 90_000 if form == "mp4" else 1 / 10_000
    for kind, moment in start.items():
        assert times(path, kind)[0] == pytest.approx(moment, abs=tick)


@every_format
def test_a_file_can_be_sought_in(tmp_path: Path, form: Format) -> None:
    write(tmp_path / f"it.{form}", merged(video(3, USUAL[form]), audio(3)))
    with av.open(str(tmp_path / f"it.{form}")) as container:
        container.seek(2_100_000)
        packet = next(packet for packet in container.demux(video=0) if packet.size)
        assert packet.is_keyframe and packet.pts * packet.time_base == 2


@pytest.mark.parametrize("form", ["mkv", "webm"])
@pytest.mark.parametrize("cut", [0.35, 0.6, 0.97])
def test_a_file_that_was_cut_off_plays(tmp_path: Path, form: Format, cut: float) -> None:
    whole = tmp_path / f"whole.{form}"
    write(whole, merged(video(2, USUAL[form]), audio(2)))
    data = whole.read_bytes()
    path = tmp_path / f"cut.{form}"
    path.write_bytes(data[: round(len(data) * cut)])
    found = verify(path)
    assert found.seconds > 1.2 * cut
    assert found.numbers == 1.0


@every_format
@given(st.integers(40, 100))
@examples(25)
def test_wherever_writing_stops_what_is_there_plays(
    tmp_path_factory: pytest.TempPathFactory, form: Format, percent: int
) -> None:
    frames = merged(video(2, USUAL[form]), audio(2))
    path = tmp_path_factory.mktemp("killed") / f"it.{form}"
    with Killed(path, size_of(form) * percent // 100) as file:
        muxer = begin(form, file, layout(frames))
        last = 0.0
        with contextlib.suppress(Killed.End):
            for frame in frames:
                muxer.write(kind_of(frame), frame)
                last = frame.time
            muxer.close()
    found = verify(path)
    assert found.decode_errors == 0 and found.numbers == 1.0
    assert found.seconds > last - 0.6


class Killed(io.FileIO):
    """A file to which the process writes so many bytes before it is killed, at last a part of a piece."""

    class End(BaseException):
        pass

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self.room = room

    def write(self, data: Buffer) -> int:
        view = memoryview(data)
        written = super().write(view[: self.room])
        self.room -= written
        if written < len(view):
            raise Killed.End
        return written


@cache
def size_of(form: Format) -> int:
    """Bytes of the file of two seconds."""
    file = io.BytesIO()
    sizes: list[int] = []
    file.close = lambda: sizes.append(len(file.getvalue()))  # type: ignore[method-assign]
    frames = merged(video(2, USUAL[form]), audio(2))
    muxer = begin(form, file, layout(frames))  # type: ignore[arg-type]
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    muxer.close()
    return sizes[0]


@every_format
def test_flushed_at_least_each_half_second(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"it.{form}"
    frames = merged(video(2, USUAL[form]), audio(2))
    muxer = begin(form, path.open("xb", buffering=0), layout(frames))
    for frame in frames:
        muxer.write(kind_of(frame), frame)
        assert muxer.seconds >= frame.time - 0.56
        assert path.stat().st_size == muxer.length
    muxer.close()


@every_format
def test_a_still_picture_with_sound_is_flushed_too(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"it.{form}"
    picture, sounds = video(1, USUAL[form])[0], audio(2)
    muxer = begin(form, path.open("xb", buffering=0), layout([picture, *sounds]))
    muxer.write("video", picture)
    for frame in sounds:
        muxer.write("audio", frame)
    assert verify(path).video_frames == 1
    muxer.close()


@every_format
def test_what_is_flushed_is_in_the_file(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"it.{form}"
    frames = merged(video(0.3, USUAL[form]), audio(0.3))
    muxer = begin(form, path.open("xb", buffering=0), layout(frames))
    for frame in frames:
        muxer.write(kind_of(frame), frame)
        muxer.flush()
    muxer.flush()
    found = verify(path)
    assert (found.video_frames, found.audio_frames) == (9, 15)
    assert muxer.seconds == frames[-1].time
    muxer.close()
    assert verify(path).problems == []


@every_format
@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=30))
@examples(40)
def test_times_only_grow(form: Format, moments: list[float]) -> None:
    file = io.BytesIO()
    muxer = begin(form, file, Layout(None, OPUS, min(moments)))  # type: ignore[arg-type]
    packet = audio(0.02)[0]
    written = [muxer.write("audio", replace(packet, time=time)) for time in moments]
    assert all(before < after for before, after in zip(written, written[1:], strict=False))
    muxer.flush()
    with av.open(io.BytesIO(file.getvalue())) as container:
        read = [float(packet.pts * packet.time_base) for packet in container.demux() if packet.size]
    assert read == pytest.approx(written, abs=1e-9)


@every_format
@pytest.mark.parametrize("pause", [40.0, 300.0, 90_000.0])
def test_a_long_pause_breaks_nothing(tmp_path: Path, form: Format, pause: float) -> None:
    path = tmp_path / f"it.{form}"
    pictures, sounds = video(2, USUAL[form]), audio(2)
    later = [replace(frame, time=frame.time + pause) for frame in merged(pictures[30:], sounds[50:])]
    write(path, [*merged(pictures[:30], sounds[:50]), *later])
    found = verify(path)
    assert found.problems == [] and (found.video_frames, found.audio_frames) == (60, 100)
    for kind in ("video", "audio"):
        assert times(path, kind)[-1] == pytest.approx(pause + 2, abs=0.04)


@every_format
def test_streams_may_drift_apart_by_minutes(tmp_path: Path, form: Format) -> None:
    pictures, sounds = video(1, USUAL[form]), audio(1)
    frames = [pictures[0], replace(sounds[0], time=300.0), *pictures[1:], replace(sounds[1], time=300.02)]
    write(tmp_path / f"it.{form}", frames)
    assert times(tmp_path / f"it.{form}", "audio") == pytest.approx([300.0, 300.02], abs=1e-6)
    assert len(times(tmp_path / f"it.{form}", "video")) == 30


@pytest.mark.parametrize("form", ["mkv", "webm"])
def test_vp8_changes_its_size_within_a_file(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"it.{form}"
    write(path, [*video(1, VP8), *video(1, VP8, start=1, size=SMALL, first=30)])
    with av.open(str(path)) as container:
        sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
    assert sizes == {(320, 240), SMALL}


@pytest.mark.parametrize("form", ["mkv", "mp4"])
def test_other_parameter_sets_of_the_same_size_play(tmp_path: Path, form: Format) -> None:
    other = [replace(frame, time=frame.time + 1) for frame in encoded_otherwise()]
    path = tmp_path / f"it.{form}"
    assert layout(other) != layout(video(1, H264)), "the header describes the first ones only"
    write(path, [*video(1, H264), *other])
    found = verify(path, expect=("video",))
    assert found.problems == [] and found.video_frames == 60


def encoded_otherwise() -> list[EncodedFrame]:
    """The pictures of `video(1, H264)` in the main profile: CABAC, and so other parameter sets under the same ids."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 320, 240, "yuv420p", FPS
    encoder.options = {"profile": "main", "tune": "zerolatency", "x264-params": "bframes=0"}
    decoder = av.CodecContext.create("h264", "r")
    packets = []
    frames = video(1, H264)
    for frame in frames:
        for picture in decoder.decode(av.Packet(frame.data)):  # type: ignore[attr-defined]
            picture.pict_type = 0
            picture.pts = None
            packets += encoder.encode(picture)
    for picture in decoder.decode(None):  # type: ignore[attr-defined]
        picture.pict_type, picture.pts = 0, None
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    return [
        replace(frame, data=bytes(packet), keyframe=packet.is_keyframe)
        for frame, packet in zip(frames, packets, strict=True)
    ]


@every_format
@pytest.mark.parametrize("room", [150, 400, 30_000, 40_000])
def test_a_full_disk_leaves_what_fitted(tmp_path: Path, form: Format, room: int) -> None:
    path = tmp_path / f"it.{form}"
    frames = merged(video(3, USUAL[form]), audio(3))
    file = FullDisk(path, room)
    try:
        with pytest.raises(OSError, match="No space"):
            muxer = begin(form, file, layout(frames))
            for frame in frames:
                muxer.write(kind_of(frame), frame)
        if room >= 30_000:
            with contextlib.suppress(OSError):
                muxer.close()
            assert file.closed
            assert path.stat().st_size == muxer.length, "no part of a cluster or a fragment is left"
            found = verify(path)
            assert found.problems == [] and found.numbers == 1.0
            assert found.seconds == pytest.approx(muxer.seconds, abs=0.1)
            heard = times(path, "audio")
            assert heard == pytest.approx([index / 50 for index in range(len(heard))]), "nothing comes after a hole"
    finally:
        file.close()


@every_format
def test_the_index_stays_small(form: Format) -> None:
    file = io.BytesIO()
    muxer = begin(form, file, Layout(None, OPUS, 0.0), flush_interval=0.01)  # type: ignore[arg-type]
    packet = replace(audio(0.02)[0], data=b"\xfc")
    for index in range(9_000):  # more than twice what it may hold
        muxer.write("audio", replace(packet, time=index / 50))
    before = len(file.getvalue())
    kept: list[int] = []
    file.close = lambda: kept.append(len(file.getvalue()))  # type: ignore[method-assign]
    muxer.close()
    assert 0 < kept[0] - before < 4097 * 24


@every_format
def test_closing_twice_is_once(tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"it.{form}"
    muxer = write(path, audio(0.1))
    muxer.close()
    assert muxer.length == path.stat().st_size
