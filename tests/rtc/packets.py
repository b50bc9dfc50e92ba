"""RTP packets as a browser sends them, for the tests of what receives them."""

from __future__ import annotations

import time
from typing import Any

import av
import numpy as np

from peer.rtc.codecs import CAPABILITIES, Codec
from peer.rtc.packet import RtpPacket
from tests.harness.encoders import video_encoder

VP8, VP8_RTX = CAPABILITIES["video"][:2]
H264 = CAPABILITIES["video"][2]
OPUS = CAPABILITIES["audio"][0]
PCMU = next(each for each in CAPABILITIES["audio"] if each.name == "PCMU")
SEND_TIME_ID = 3
TRANSPORT_WIDE_ID = 4


def packet(
    codec: Codec,
    sequence: int,
    timestamp: int,
    payload: bytes,
    *,
    ssrc: int = 5,
    send_time: int | None = None,
    number: int | None = None,
    at: float | None = None,
) -> RtpPacket:
    """One packet with the marker set, which came `at`, by default now.

    With an absolute sending time and a transport-wide number if they are given.
    """
    extensions = b""
    if send_time is not None:
        extensions += bytes([SEND_TIME_ID << 4 | 2]) + (send_time & 0xFFFFFF).to_bytes(3, "big")
    if number is not None:
        extensions += bytes([TRANSPORT_WIDE_ID << 4 | 1]) + (number & 0xFFFF).to_bytes(2, "big")
    head = bytes([0x90 if extensions else 0x80, 0x80 | codec.payload_type])
    head += (sequence & 0xFFFF).to_bytes(2, "big") + (timestamp & 0xFFFFFFFF).to_bytes(4, "big")
    head += ssrc.to_bytes(4, "big")
    if extensions:
        extensions += bytes(-len(extensions) % 4)
        head += b"\xbe\xde" + (len(extensions) // 4).to_bytes(2, "big") + extensions
    return RtpPacket(head + payload, time.monotonic() if at is None else at)


def pictures(count: int, width: int = 64, height: int = 48) -> list[bytes]:
    """Payloads of VP8, a picture in each; the first is a keyframe."""
    encoder = video_encoder("libvpx", (width, height))
    made: list[bytes] = []
    for number in range(count):
        shade = np.full((height, width, 3), 40 + 5 * number, np.uint8)
        frame = av.VideoFrame.from_ndarray(shade).reformat(format="yuv420p")
        frame.pts = number * 3000
        made += [b"\x10" + bytes(each) for each in encoder.encode(frame)]
    return made


def opus(count: int = 1) -> list[bytes]:
    """Packets of 20 ms of silence."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48000, "stereo", "s16"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="stereo")
    frame.sample_rate = 48000
    made = [bytes(each) for each in [*encoder.encode(frame), *encoder.encode(None)]]
    return [made[0]] * count
