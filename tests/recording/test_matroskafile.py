"""Reads back what was written, cut off at any byte; anything else is refused, and nothing else is raised."""

from __future__ import annotations

import io
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording import matroska
from peer.recording.containers import create
from peer.recording.formats import Format, Layout, video_format
from peer.recording.matroska import AUDIO_TRACK, TICKS, VIDEO_TRACK
from peer.recording.matroskafile import NotOurs, beginning, clusters
from tests.recording.synthetic import H264, OPUS, SIZE, VP8, audio, kind_of, merged, video

STARTED = 1_795_532_645.25


class Kept(io.BytesIO):
    """Keeps what was in it when it is closed."""

    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


@cache
def written(codec: str = "VP8", *, closed: bool = True, form: Format = "mkv") -> bytes:
    frames = merged(audio(2), video(2, VP8 if codec == "VP8" else H264))
    first = next(frame for frame in frames if kind_of(frame) == "video")
    file = Kept()
    layout = Layout(video_format(first), OPUS, 0.0)
    muxer = create(form, file, layout, started=STARTED, flush_interval=0.5)  # type: ignore[arg-type]
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    if not closed:
        muxer.flush()
        return file.getvalue()
    muxer.close()
    return file.kept


@pytest.mark.parametrize(("codec", "name"), [("VP8", "V_VP8"), ("H264", "V_MPEG4/ISO/AVC")])
@pytest.mark.parametrize("closed", [True, False])
def test_what_was_written_is_read(codec: str, name: str, closed: bool) -> None:
    data = written(codec, closed=closed)
    start = beginning(data)
    assert start.codecs == {VIDEO_TRACK: name, AUDIO_TRACK: "A_OPUS"}
    assert start.size == SIZE and start.started == pytest.approx(STARTED, abs=1e-6)
    assert start.length == (len(data) if closed else None)
    found = list(clusters(data, start.media))
    blocks = [block for cluster in found for block in cluster.blocks]
    assert [sum(block.track == track for block in blocks) for track in (VIDEO_TRACK, AUDIO_TRACK)] == [60, 100]
    assert max(block.ticks for block in blocks) == round(1.98 * TICKS)
    assert [block.ticks for block in blocks if block.keyframe and block.track == VIDEO_TRACK] == [0, TICKS]
    assert not closed or found[-1].end < len(data), "the index follows"


def test_the_places_that_are_written_at_the_end_are_found() -> None:
    header = matroska.header(video_format(video(1)[0]), OPUS, STARTED)
    found = beginning(written()).header
    assert (found.segment, found.info, found.tracks) == (header.segment, header.info, header.tracks)
    assert (found.duration, found.frame_duration) == (header.duration, header.frame_duration)


def test_only_sound_has_no_place_for_the_length_of_a_picture() -> None:
    start = beginning(matroska.header(None, OPUS, STARTED).data)
    assert start.header.frame_duration is None and start.size == (0, 0) and start.codecs == {AUDIO_TRACK: "A_OPUS"}


def test_a_torn_end_costs_its_cluster_only() -> None:
    data = written(closed=False)
    start = beginning(data)
    whole = list(clusters(data, start.media))
    assert len(whole) > 3
    for cut in range(start.media, len(data), 97):
        found = list(clusters(data[:cut], start.media))
        assert found == [cluster for cluster in whole if cluster.end <= cut]


def test_what_a_power_cut_leaves_is_no_cluster() -> None:
    data = written(closed=False)
    start = beginning(data)
    whole = list(clusters(data, start.media))
    assert list(clusters(data + bytes(5000), start.media)) == whole
    last = whole[-1]
    assert list(clusters(data[: last.end - 500] + bytes(500), start.media)) == whole[:-1]


@given(st.integers(0, 400))
def test_a_torn_beginning_is_refused(cut: int) -> None:
    data = written()
    if cut < beginning(data).media:
        with pytest.raises(NotOurs):
            beginning(data[:cut])


def test_other_programs_files_are_refused() -> None:
    with pytest.raises(NotOurs, match="another program"):
        beginning(written().replace(b"webrtc-peer", b"Lavf60.16.1"))


@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    with pytest.raises(NotOurs):
        beginning(data)
    assert list(clusters(data, 0)) is not None


@given(st.data())
def test_a_changed_beginning_raises_nothing_else(draw: st.DataObject) -> None:
    data = bytearray(written()[:800])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        start = beginning(bytes(data))
    except NotOurs:
        return
    for cluster in clusters(bytes(data), start.media):
        assert cluster.end <= len(data)
