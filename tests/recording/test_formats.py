"""Which container holds which codecs, and when a file can go on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording import av1, formats, vp9
from peer.recording.formats import FORMATS, Format, VideoFormat, container, continues, video_format
from peer.rtc.frames import Codec, EncodedFrame
from tests.recording.containers import HOLDS
from tests.recording.synthetic import AV1, G722, H264, OPUS, PCMA, PCMU, VP8, VP9, video

VIDEO = (VP8, VP9, AV1, H264)
AUDIO = (OPUS, PCMU, PCMA, G722)


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("picture", [*VIDEO, None])
@pytest.mark.parametrize("sound", [*AUDIO, None])
def test_what_a_container_cannot_hold_goes_to_matroska(
    wanted: Format, picture: Codec | None, sound: Codec | None
) -> None:
    pictures, sounds = HOLDS[wanted]
    holds = (picture is None or picture in pictures) and (sound is None or sound in sounds)
    assert container(wanted, picture, sound) == (wanted if holds else "mkv")


def test_only_known_codecs_are_recorded() -> None:
    assert all(map(formats.is_video, VIDEO)) and all(map(formats.is_audio, AUDIO))
    for codec in (Codec("rtx", 90000), Codec("telephone-event", 8000)):
        assert not formats.is_video(codec) and not formats.is_audio(codec)


@pytest.mark.parametrize("codec", VIDEO)
def test_a_file_begins_with_a_keyframe_that_can_be_described(codec: Codec) -> None:
    keyframe, delta = video(0.1, codec)[:2]
    described = video_format(keyframe)
    assert described is not None and (described.width, described.height) == (320, 240)
    assert (described.private == b"") == (codec is VP8)
    assert video_format(delta) is None
    if codec is not VP8:
        assert video_format(replace(delta, keyframe=True)) is None, "it says so, but is none"


def test_vp9_is_described_as_mp4_wants_it() -> None:
    assert video_format(video(0.1, VP9)[0]).private == bytes((0, 20, 0x82, 2, 2, 2, 0, 0))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        # profile 1, 8 bits, BT.601, studio range, 4:4:4, 640 x 480
        ("10 1 0 0 0 1 0" + f"{0x498342:024b}" + "001 0 0 0 0" + f"{639:016b}{479:016b}", (1, 30, 0x86, 5, 6, 6, 0, 0)),
        # profile 1, RGB
        ("10 1 0 0 0 1 0" + f"{0x498342:024b}" + "111 0" + f"{639:016b}{479:016b}", (1, 30, 0x87, 1, 13, 0, 0, 0)),
        # profile 2, 10 bits, BT.2020, full range, 7680 x 4320
        ("10 0 1 0 0 1 0" + f"{0x498342:024b}" + "0 101 1" + f"{7679:016b}{4319:016b}", (2, 61, 0xA3, 9, 14, 9, 0, 0)),
        # profile 3, 12 bits, 4:2:2
        ("10 1 1 0 0 0 1 0" + f"{0x498342:024b}" + "1 010 0 1 0 0" + f"{9:016b}{9:016b}", (3, 10, 0xC4, 1, 1, 1, 0, 0)),
    ],
)
def test_colours_of_vp9(bits: str, expected: tuple[int, ...]) -> None:
    text = bits.replace(" ", "")
    text += "0" * (-len(text) % 8)
    assert vp9.decoder_configuration(int(text, 2).to_bytes(len(text) // 8, "big")) == bytes(expected)


def test_av1_is_described_by_its_sequence_header() -> None:
    data = video(0.1, AV1)[0].data
    record = av1.decoder_configuration(data)
    assert record is not None and record[:4] == b"\x81\x00\x0c\x00"
    assert record[4:] in data, "the sequence header follows, as it came"
    unsized = bytes((record[4] & ~2,)) + record[6:]
    assert av1.decoder_configuration(unsized) == record, "the last unit needs no size"


@given(st.binary(max_size=80), st.sampled_from((b"", b"\x0a\x40", b"\x82\x49\x83\x42")))
def test_any_bytes_are_taken(data: bytes, start: bytes) -> None:
    for codec in (VP9, AV1, H264):
        video_format(EncodedFrame(codec, start + data, 0, 0.0, keyframe=True, width=2, height=2))


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("codec", VIDEO)
def test_another_size_needs_another_file_where_players_rely_on_the_header(wanted: Format, codec: Codec) -> None:
    present, small = VideoFormat(codec, 640, 480), VideoFormat(codec, 320, 240)
    assert continues(present, replace(present, private=b"other sets"), wanted)
    mp4 = wanted == "mp4" and codec is not VP8
    assert continues(present, small, wanted) == (codec is not H264 and not mp4)
    assert not continues(None, present, wanted)
    assert not continues(present, replace(present, codec=replace(codec, name="other")), wanted)
