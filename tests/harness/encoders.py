"""Encoders of pictures for the tests, made the way that lets many test processes share few cores."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """libvpx's threads wait for each other in a busy loop: with two each, six encoders on two cores take ten times as
    long."""
    encoder.thread_count = 1
    return encoder


@contextlib.contextmanager
def same_priority() -> Iterator[None]:
    """SVT-AV1 gives the thread that uses it real-time priority where it may, as root, and so all that comes after.

    Whatever spins then, libvpx for example, keeps everybody else from the processor.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
