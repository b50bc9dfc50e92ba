"""The code of bars is read back from what a network and an encoder leave of it, or not at all; never wrongly."""

from __future__ import annotations

from functools import cache
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.media.marks import MODULUS, Mark, age, read_mark, read_number, stamp
from peer.media.pattern import Canvas
from peer.media.picture import Picture
from tests.harness.encoders import REALTIME, video_encoder


@given(number=st.integers(0, 2 * MODULUS), ms=st.integers(0, MODULUS - 1), width=st.integers(80, 700))
def test_what_was_stamped_is_read(number: int, ms: int, width: int) -> None:
    array = np.zeros((width * 3 // 4, width, 3), np.uint8)
    stamp(array, number, ms)
    assert read_mark(array) == Mark(number % MODULUS, ms)


@given(number=st.integers(0, MODULUS - 1))
def test_in_a_luma_plane_too(number: int) -> None:
    luma = np.full((120, 160), 128, np.uint8)
    stamp(luma, number)
    assert read_number(luma) == number
    assert read_mark(luma) == Mark(number, None)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 300), height=st.integers(1, 200))
def test_noise_is_not_a_number(seed: int, width: int, height: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert read_number(noise) is None


@pytest.mark.parametrize("shape", [(480, 640, 3), (480, 640), (2, 2), (1, 1, 3)])
def test_a_plain_picture_has_no_number(shape: tuple[int, ...]) -> None:
    assert read_mark(np.full(shape, 200, np.uint8)) is None


@given(number=st.integers(0, MODULUS - 1), flipped=st.integers(2, 37))
def test_a_damaged_code_is_refused(number: int, flipped: int) -> None:
    array = np.zeros((240, 320, 3), np.uint8)
    stamp(array, number)
    cell = slice(flipped * 8, flipped * 8 + 8)
    array[:, cell] = 255 - array[:, cell]
    assert read_number(array) is None


def test_a_row_of_milliseconds_is_no_number() -> None:
    array = np.zeros((480, 640, 3), np.uint8)
    stamp(array, 77, 12345)
    array[405:435] = array[435:465]
    assert read_number(array) is None


def test_age_survives_the_wrap_of_the_stamp() -> None:
    wrapped = MODULUS / 1000 * 3
    assert age(MODULUS - 50, wrapped + 0.1) == pytest.approx(0.15, abs=0.002)
    assert age(200, wrapped + 0.1) == pytest.approx(-0.1, abs=0.002)


@cache
def compressed() -> tuple[list[int], list[Any], float]:
    """Numbers and decoded pictures (RGB) of a second of test pictures after VP8, and the bits per second it took."""
    canvas = Canvas(640, 480)
    limits = {"max-intra-rate": "300", "maxrate": "150000", "bufsize": "75000"}
    encoder = video_encoder("libvpx", (640, 480), options=REALTIME | limits | {"cpu-used": "8"})
    encoder.bit_rate = 150_000
    decoder: Any = av.CodecContext.create("vp8", "r")
    sent, pictures, size = [], [], 0
    for number in range(1000, 1030):
        frame = Picture(canvas.draw(number, taken_at(number)), number / 30).frame()
        for packet in encoder.encode(frame):
            size += packet.size
            sent.append(number)
            pictures += [one.to_ndarray(format="rgb24") for one in decoder.decode(packet)]
    return sent, pictures, size * 8.0


def taken_at(number: int) -> float:
    return 1_700_000_000 + number / 30


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.75])
def test_survives_vp8_at_150_kbit_and_scaling(scale: float) -> None:
    sent, pictures, rate = compressed()
    assert rate < 300_000, "the encoder was held short (a keyframe included)"
    assert len(sent) > 20
    read = [read_mark(cv2.resize(picture, None, fx=scale, fy=scale)) for picture in pictures]
    assert read == [Mark(number, int(taken_at(number) * 1000) % MODULUS) for number in sent]
