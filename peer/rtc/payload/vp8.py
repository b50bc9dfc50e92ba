"""VP8 over RTP (RFC 7741): the payload descriptor, and what the frame header says (RFC 6386 section 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload import Chunk, FrameData

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYFRAME_HEADER = 10
START_CODE = b"\x9d\x01\x2a"


def descriptor_size(payload: bytes) -> int:
    """Bytes of the payload descriptor (RFC 7741 section 4.2). Raises ValueError when it is cut short."""
    size = 1
    try:
        if payload[0] & 0x80:  # X: an extension
            extension = payload[1]
            size = 2
            if extension & 0x80:  # I: a picture id of 7 or, with M, 15 bits
                size = 4 if payload[2] & 0x80 else 3
            if extension & 0x40:  # L: TL0PICIDX
                size += 1
            if extension & 0x30:  # T or K: TID, Y and KEYIDX share a byte
                size += 1
        payload[size - 1]  # it is there
    except IndexError:
        raise ValueError("a VP8 payload descriptor that is cut short") from None
    return size


class Vp8Depacketiser:
    """Frames of VP8; keeps no state."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when there is no VP8 in it."""
        size = descriptor_size(payload)
        if len(payload) == size:
            raise ValueError("a VP8 payload without VP8 in it")
        # S with partition index 0 (section 4.2): the first packet of a frame; P is 0 in a keyframe (section 4.3).
        starts = payload[0] & 0x17 == 0x10
        return Chunk(payload[size:], starts, starts and not payload[size] & 0x01)

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """Join the chunks of one frame. Raises ValueError without the frame's start or with a bad keyframe header."""
        if not chunks or not chunks[0].starts_frame:
            raise ValueError("a VP8 frame without its first packet")
        data = chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])
        if data[0] & 0x01:
            return FrameData(data, False)
        if len(data) < KEYFRAME_HEADER or data[3:6] != START_CODE:
            raise ValueError("a VP8 keyframe without its start code")
        # 14 bits each; the two above them ask for upscaling, which no decoder of today does.
        width = int.from_bytes(data[6:8], "little") & 0x3FFF
        height = int.from_bytes(data[8:10], "little") & 0x3FFF
        if not width or not height:
            raise ValueError("a VP8 keyframe without a size")
        return FrameData(data, True, width, height)
