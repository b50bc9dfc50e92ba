"""What travels between the network and the rest: one encoded picture, or one packet of encoded sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["audio", "video"]


@dataclass(frozen=True, slots=True)
class Codec:
    """A negotiated codec, named as in the RTP payload registry.

    `VP8`, `VP9`, `AV1`, `H264`, `opus`, `PCMU`, `PCMA` or `G722`.
    """

    name: str
    clock_rate: int
    """RTP clock rate in Hz (RFC 3551: G722 says 8000 although it samples at 16000)."""
    channels: int = 1
    payload_type: int = 0


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One complete frame as its sender encoded it.

    VP8 and VP9 as their bitstreams have it; of AV1 a temporal unit in the low-overhead format, each OBU with its size,
    without a temporal delimiter; H.264 in Annex B; one packet of sound.
    """

    codec: Codec
    data: bytes
    timestamp: int
    """RTP timestamp, unwrapped: it grows past 2**32 and never jumps back at the wrap."""
    time: float
    """Seconds on the participant's timeline, one for its audio and its video (local monotonic clock)."""
    keyframe: bool = True
    width: int = 0
    """Picture width in pixels where the frame itself says it (a keyframe), else 0."""
    height: int = 0
    complete_before: bool = True
    """False when frames between the previous one handed out and this one were lost."""
