"""Publishes with FFmpeg's WHIP muxer, in a process of its own: PyAV keeps the interpreter locked while it connects.

python tests/ffmpeg_publisher.py URL CERTIFICATE KEY PICTURES
"""

from __future__ import annotations

import logging
import sys
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE = 25
SAMPLES = 48000 // RATE


def publish(url: str, certificate: str, key: str, pictures: int) -> None:
    logging.basicConfig(level=logging.INFO)
    av.logging.set_level(av.logging.VERBOSE)
    # Its own certificate is on the curve P-224, which OpenSSL and the browsers refuse in TLS.
    options = {"cert_file": certificate, "key_file": key}
    with av.open(url, "w", format="whip", options=options) as container:
        streams = video(container), sound(container)
        begun = 0.0
        for number in range(pictures):
            for stream, frame in zip(streams, frames(number), strict=True):
                container.mux(stream.encode(frame))  # the first one connects
            begun = begun or time.monotonic()
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))  # as a camera would give them
        for stream in streams:
            container.mux(stream.encode(None))


def video(container: Any) -> Any:
    options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": str(RATE)}
    stream = container.add_stream("libx264", rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.codec_context.max_b_frames = 0
    return stream


def sound(container: Any) -> Any:
    stream = container.add_stream("libopus", rate=48000)
    stream.codec_context.layout = "stereo"
    return stream


def frames(number: int) -> tuple[av.VideoFrame, av.AudioFrame]:
    picture = av.VideoFrame.from_ndarray(np.full((240, 320, 3), number % 256, np.uint8), format="rgb24")
    picture.pts, picture.time_base = number, Fraction(1, RATE)
    tone = np.sin(2 * np.pi * 440 * np.arange(number * SAMPLES, (number + 1) * SAMPLES) / 48000) * 8000
    heard = av.AudioFrame.from_ndarray(np.repeat(tone.astype(np.int16), 2).reshape(1, -1), "s16", "stereo")
    heard.sample_rate, heard.pts, heard.time_base = 48000, number * SAMPLES, Fraction(1, 48000)
    return picture, heard


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
