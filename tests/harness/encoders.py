"""Encoders of pictures for the tests, made the way that lets many test processes share few cores."""

from __future__ import annotations

from fractions import Fraction

import av

REALTIME = {"deadline": "realtime", "lag-in-frames": "0"}
"""Options of libvpx: a picture comes out for each that goes in."""


def video_encoder(
    name: str, size: tuple[int, int], time_base: Fraction = Fraction(1, 90_000), options: dict[str, str] | None = None
) -> av.VideoCodecContext:
    """An encoder for pictures of `size` (width, height) in yuv420p, by the name that FFmpeg has for it."""
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = time_base
    encoder.options = dict(REALTIME if options is None else options)
    return one_thread(encoder)


def one_thread(encoder: av.VideoCodecContext) -> av.VideoCodecContext:
    """libvpx's threads wait for each other in a busy loop: a few encoders with two each bring two cores to a halt."""
    encoder.thread_count = 1
    return encoder
