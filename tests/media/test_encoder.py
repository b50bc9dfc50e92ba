"""What is encoded decodes; the rate is kept to; where it is low, pictures become smaller instead of broken."""

from __future__ import annotations

from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from av import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from peer.errors import UsageError
from peer.media.encoder import (
    ENLARGE,
    HIGHER_AFTER,
    MIN_SIDE,
    SCALES,
    START_BITRATE,
    EncoderSettings,
    VideoEncoder,
    fitted,
    most_for,
    scale_for,
    scaled,
)
from peer.rtc.payload.h264 import IDR, PPS, SPS, split_nal_units

STEP = 3000


def frame(number: int, width: int = 320, height: int = 240) -> VideoFrame:
    """Noise that moves: enough of it to fill any rate."""
    return VideoFrame.from_ndarray(np.roll(_noise(width, height), 5 * number, axis=1), format="rgb24")


@cache
def _noise(width: int, height: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)


def decoded(codec: str, data: list[bytes]) -> list[Any]:
    decoder: Any = av.CodecContext.create({"VP8": "vp8", "H264": "h264"}[codec], "r")
    packets = [av.Packet(each) for each in data]
    return [picture for packet in [*packets, None] for picture in decoder.decode(packet)]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_every_picture_comes_out_at_once(codec: str) -> None:
    encoder = VideoEncoder(codec)
    found = [encoder.encode(frame(number), STEP * number, keyframe=number == 3) for number in range(6)]
    assert [each is not None and each.keyframe for each in found] == [True, False, False, True, False, False]
    pictures = decoded(codec, [each.data for each in found if each is not None])
    assert [(each.width, each.height) for each in pictures] == [(320, 240)] * 6


def test_a_keyframe_of_h264_brings_its_parameter_sets() -> None:
    encoder = VideoEncoder("h264")
    for number in range(3):
        found = encoder.encode(frame(number), STEP * number, keyframe=True)
        assert found is not None
        assert {unit[0] & 0x1F for unit in split_nal_units(found.data)} >= {SPS, PPS, IDR}


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_the_rate_is_kept_to_down_and_up(codec: str) -> None:
    encoder, at = VideoEncoder(codec), 0
    for wanted in (500_000, 150_000, 500_000):
        encoder.bitrate = wanted
        size = 0
        for number in range(90):
            at += STEP
            found = encoder.encode(frame(number), at)
            size += len(found.data) if found is not None and number >= 30 else 0
        assert 0.6 * wanted < size * 8 / 2 < 1.3 * wanted


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_small_changes_of_the_rate_bring_no_keyframe(codec: str) -> None:
    encoder = VideoEncoder(codec)
    keyframes = 0
    for number in range(60):
        encoder.bitrate = 400_000 + 40_000 * (number % 2)
        found = encoder.encode(frame(number), STEP * number)
        keyframes += found is not None and found.keyframe
    assert keyframes == 1


def test_a_rate_that_climbs_brings_few_keyframes() -> None:
    encoder = VideoEncoder("VP8")
    keyframes = 0
    for number in range(90):
        encoder.bitrate = round(100_000 * 1.05**number)
        found = encoder.encode(frame(number, 64, 48), STEP * number)
        keyframes += found is not None and found.keyframe
    assert keyframes <= 1 + 90 * STEP // HIGHER_AFTER


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_the_size_follows_the_rate_and_the_source(codec: str) -> None:
    encoder = VideoEncoder(codec)
    sizes = []
    for number, (bitrate, width) in enumerate([(1_500_000, 640), (80_000, 640), (80_000, 320), (1_500_000, 640)]):
        encoder.bitrate = bitrate
        found = encoder.encode(frame(number, width, width * 3 // 4), STEP * number, keyframe=True)
        assert found is not None
        (picture,) = decoded(codec, [found.data])
        sizes.append((picture.width, picture.height))
    assert sizes == [(640, 480), (320, 240), (320, 240), (640, 480)]


def test_h264_takes_another_rate_while_it_runs() -> None:
    encoder, keyframes = VideoEncoder("H264"), 0
    for number in range(60):
        encoder.bitrate = round(800_000 * 0.98**number)
        found = encoder.encode(frame(number), STEP * number)
        keyframes += found is not None and found.keyframe
    assert encoder.bitrate < 300_000 and keyframes <= 2


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_what_was_asked_for_is_kept_to(codec: str) -> None:
    preset = {"VP8": "8", "H264": "ultrafast"}[codec]
    encoder = VideoEncoder(codec, EncoderSettings(max_bitrate=100_000, size=(200, 160), preset=preset))
    encoder.bitrate = 2_000_000
    data = []
    for number in range(60):
        found = encoder.encode(frame(number), STEP * number)
        assert found is not None
        data.append(found.data)
    assert {(each.width, each.height) for each in decoded(codec, data)} == {(200, 150)}
    assert sum(map(len, data[30:])) * 8 < 200_000


@pytest.mark.parametrize(
    "given",
    [
        {"codec": "AV1"},
        {"max_bitrate": 10},
        {"fps": 0},
        {"fps": 1000},
        {"size": (0, 100)},
        {"size": (100, 100_000)},
        {"preset": "quick"},
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(given)) if "codec" not in given else "VP8 or H264"):
        EncoderSettings(**given)


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(16, 3000), st.integers(16, 3000))
def test_pictures_fit_and_keep_their_shape(width: int, height: int, most_width: int, most_height: int) -> None:
    made = fitted(width, height, (most_width, most_height))
    assert made[0] <= max(most_width, 2) and made[1] <= max(most_height, 2)
    assert made == (width, height) or all(side % 2 == 0 and side >= 2 for side in made)
    assert made == (width, height) or made[0] >= most_width - 2 or made[1] >= most_height - 2


@pytest.mark.parametrize("codec", ["VP9", "opus", ""])
def test_other_codecs_are_refused(codec: str) -> None:
    with pytest.raises(ValueError, match="VP8 or H264"):
        VideoEncoder(codec)


@given(st.integers(2, 4000), st.integers(2, 4000), st.integers(0, 10_000_000), st.sampled_from(SCALES))
def test_sizes_are_even_and_no_smaller_than_they_have_to_be(
    width: int, height: int, bitrate: int, before: float
) -> None:
    scale = scale_for(width, height, bitrate, before)
    sides = scaled(width, height, scale)
    assert all(side % 2 == 0 and side >= 2 for side in sides)
    assert sides[0] <= width + 1 and sides[1] <= height + 1
    assert min(sides) >= min(width, height, MIN_SIDE) - 1
    assert scale_for(width, height, bitrate, scale) == scale, "it stays there"
    assert scale_for(width, height, round(bitrate * ENLARGE) + 1, before) >= scale


def test_larger_pictures_may_take_more() -> None:
    limits = [most_for(width * width * 9 // 16) for width in (160, 640, 960, 1280, 1920)]
    assert limits == sorted(limits) and limits[0] < START_BITRATE < limits[1]
