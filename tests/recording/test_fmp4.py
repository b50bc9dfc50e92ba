"""The boxes of a fragmented MP4 fit into each other and say what ISO/IEC 14496-12 wants there."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording import fmp4
from peer.recording.fmp4 import AUDIO_TRACK, VIDEO_TRACK, Run
from peer.recording.formats import VideoFormat
from tests.recording.synthetic import H264, OPUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer.rtc.frames import Codec

PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf", b"mfra"}
PICTURE = VideoFormat(H264, 640, 360, b"\1configuration")


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, int, bytes]]:
    """Type, offset and content of each box and what is in it."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        assert 8 <= size <= len(data) - position
        content = data[position + 8 : position + size]
        yield kind, start + position, content
        if kind in PARENTS:
            yield from boxes(content, start + position + 8)
        position += size
    assert position == len(data)


def content(data: bytes, kind: bytes) -> list[bytes]:
    return [found for name, _, found in boxes(data) if name == kind]


@pytest.mark.parametrize(("video", "audio"), [(PICTURE, OPUS), (PICTURE, None), (None, OPUS)])
def test_a_header_says_what_there_is(video: VideoFormat | None, audio: Codec | None) -> None:
    made = fmp4.header(video, audio, 1.7e9)
    tracks = [struct.unpack_from(">I", head, 20)[0] for head in content(made.data, b"tkhd")]
    extended = [struct.unpack_from(">I", found, 4)[0] for found in content(made.data, b"trex")]
    assert tracks == extended == [VIDEO_TRACK] * bool(video) + [AUDIO_TRACK] * bool(audio)
    entries = b"".join(content(made.data, b"stsd"))
    assert (b"avc1" in entries, b"\x02\x80\x01\x68" in entries) == (bool(video), bool(video))
    assert (b"Opus" in entries) == bool(audio)
    created = struct.unpack_from(">Q", content(made.data, b"mvhd")[0], 4)[0]
    assert created - 1.7e9 == 66 * 365 * 86400 + 17 * 86400, "counted from 1904"


def test_the_duration_has_its_place() -> None:
    made = fmp4.header(PICTURE, OPUS, 0.0)
    length = fmp4.duration(2.5)
    place = made.data[made.duration : made.duration + len(length)]
    assert place[4:8] == b"free"
    finished = made.data[: made.duration] + length + made.data[made.duration + len(length) :]
    assert [kind for kind, _, _ in boxes(finished)].count(b"mehd") == 1
    assert struct.unpack_from(">Q", content(finished, b"mehd")[0], 4)[0] == 2.5 * 90_000


def test_the_start_in_wall_clock_time_is_exact() -> None:
    ((_, _, told),) = boxes(fmp4.wall_clock(VIDEO_TRACK, 1.7e9 + 0.25))
    track, seconds, fraction, time = struct.unpack(">4xIIIQ", told)
    assert (track, seconds - 2_208_988_800, fraction, time) == (VIDEO_TRACK, 1.7e9, 1 << 30, 0)


SAMPLES = st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 2**32 - 1), st.booleans()), min_size=1, max_size=9)


@given(st.lists(st.tuples(st.sampled_from((VIDEO_TRACK, AUDIO_TRACK)), st.integers(0, 2**60), SAMPLES), min_size=1))
def test_a_fragment_is_read_back(wanted: list[tuple[int, int, list[tuple[bytes, int, bool]]]]) -> None:
    runs = [Run(track, time, *map(list, zip(*samples, strict=True))) for track, time, samples in wanted]  # type: ignore[arg-type]
    data = fmp4.fragment(7, runs)
    assert [kind for kind, offset, _ in boxes(data) if kind in (b"moof", b"mdat")] == [b"moof", b"mdat"]
    heads, times, tables = (content(data, kind) for kind in (b"tfhd", b"tfdt", b"trun"))
    read = []
    for head, time, table in zip(heads, times, tables, strict=True):
        count, place = struct.unpack_from(">II", table, 4)
        samples = []
        for index in range(count):
            length, size, flags = struct.unpack_from(">III", table, 12 + 12 * index)
            samples.append((data[place : place + size], length, flags == 0x0200_0000))
            place += size
        read.append((struct.unpack(">I", head[4:])[0], struct.unpack(">Q", time[4:])[0], samples))
    assert read == wanted


def test_the_index_is_found_from_the_end() -> None:
    data = fmp4.index(VIDEO_TRACK, [(0, 700), (90_000, 2**33)])
    assert struct.unpack(">I", data[-4:])[0] == len(data)
    (table,) = content(data, b"tfra")
    assert struct.unpack(">4xIIIQQ3BQQ3B", table) == (VIDEO_TRACK, 0, 2, 0, 700, 1, 1, 1, 90_000, 2**33, 1, 1, 1)
