"""Sound, where one packet is one frame: Opus (RFC 7587), PCMU, PCMA and G722 (RFC 3551)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload import Chunk, FrameData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.frames import Codec

MAX_SAMPLES = 5760
"""Of one Opus packet: 120 ms (RFC 6716 section 3.2.5)."""


class AudioDepacketiser:
    """The payload is the frame; every frame decodes by itself."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when it is empty."""
        if not payload:
            raise ValueError("an audio payload without a byte")
        return Chunk(payload, True, True)

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """The frame of one packet. Raises ValueError for any other number of chunks."""
        if len(chunks) != 1:
            raise ValueError(f"an audio frame is one packet, not {len(chunks)}")
        return FrameData(chunks[0].data, True)


def samples(codec: Codec, data: bytes) -> int:
    """Samples of each channel in one frame; of Opus at 48 kHz (RFC 6716 section 3.1), of G722 at 16 kHz."""
    name = codec.name.upper()
    if name != "OPUS":
        return 2 * len(data) if name == "G722" else len(data)
    return _opus_samples(data)


def duration(name: str, data: bytes) -> int:
    """Units of the RTP clock in one frame of the codec of that name; G722 counts half of its samples (RFC 3551)."""
    return _opus_samples(data) if name.upper() == "OPUS" and data else len(data)


def _opus_samples(data: bytes) -> int:
    configuration, frames = data[0] >> 3, data[0] & 0x03
    if configuration < 12:  # SILK
        size = (480, 960, 1920, 2880)[configuration & 0x03]
    elif configuration < 16:  # hybrid
        size = (480, 960)[configuration & 0x01]
    else:  # CELT
        size = 120 << (configuration & 0x03)
    count = 1 if frames == 0 else 2 if frames < 3 else data[1] & 0x3F if len(data) > 1 else 0
    return min(size * count, MAX_SAMPLES)
