"""VP9 over RTP (RFC 9628): the payload descriptor, and what the frame header says (VP9 bitstream section 6.2).

Of spatial layers (SVC) the lowest is taken: it decodes by itself, and no browser sends more without being asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peer.rtc.payload import Chunk, FrameData
from peer.rtc.payload.h264 import BitReader

if TYPE_CHECKING:
    from collections.abc import Sequence

SYNC_CODE = 0x498342
HEADER = 24
"""Bytes of a frame in which its header says the size, at most."""


class Descriptor(NamedTuple):
    """What a payload descriptor says (RFC 9628 section 4.2)."""

    size: int
    """Bytes of the descriptor itself."""
    begins: bool
    """B: a layer frame begins."""
    predicted: bool
    """P: it is predicted from other pictures."""
    spatial: int
    """SID: the spatial layer, 0 for the lowest or only one."""


def descriptor(payload: bytes) -> Descriptor:
    """The payload descriptor at the start. Raises ValueError when it is cut short."""
    try:
        return _descriptor(payload)
    except IndexError:
        raise ValueError("a VP9 payload descriptor that is cut short") from None


def _descriptor(payload: bytes) -> Descriptor:
    flags = payload[0]
    at, spatial = 1, 0
    if flags & 0x80:  # I: a picture id of 7 or, with M, 15 bits
        at += 2 if payload[at] & 0x80 else 1
    if flags & 0x20:  # L: layer indices, without F with TL0PICIDX
        spatial = payload[at] >> 1 & 0x07
        at += 1 if flags & 0x10 else 2
    if flags & 0x50 == 0x50:  # F and P: up to three reference indices, N says that another follows
        for _ in range(3):
            at += 1
            if not payload[at - 1] & 0x01:
                break
    if flags & 0x02:  # V: scalability structure
        at = _skip_structure(payload, at)
    if at > len(payload):
        raise IndexError
    return Descriptor(at, bool(flags & 0x08), bool(flags & 0x40), spatial)


def _skip_structure(payload: bytes, at: int) -> int:
    """RFC 9628 section 4.2.1."""
    head = payload[at]
    at += 1
    if head & 0x10:  # Y: width and height of each layer
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:  # G: how a group of pictures refers to others
        count = payload[at]
        at += 1
        for _ in range(count):
            at += 1 + (payload[at] >> 2 & 0x03)
    return at


class Vp9Depacketiser:
    """Frames of VP9; keeps no state. Chunks hold whole payloads, as `assemble` needs to know the layer."""

    def parse(self, payload: bytes) -> Chunk:
        """Read one payload. Raises ValueError when there is no VP9 in it."""
        said = descriptor(payload)
        if len(payload) == said.size:
            raise ValueError("a VP9 payload without VP9 in it")
        starts = said.begins and said.spatial == 0
        return Chunk(payload, starts, starts and not said.predicted and is_keyframe(payload[said.size]))

    def assemble(self, chunks: Sequence[Chunk]) -> FrameData:
        """Join the chunks of one frame. Raises ValueError without the frame's start or with a bad keyframe header."""
        if not chunks or not chunks[0].starts_frame:
            raise ValueError("a VP9 frame without its first packet")
        described = [(descriptor(chunk.data), chunk.data) for chunk in chunks]
        data = b"".join([payload[said.size :] for said, payload in described if said.spatial == 0])
        if not is_keyframe(data[0]):
            return FrameData(data, False)
        return FrameData(data, True, *picture_size(data))


def is_keyframe(first: int) -> bool:
    """By the first byte of a frame of profile 0: frame_marker 2, then neither show_existing_frame nor frame_type."""
    return first & 0xFC == 0x80


def picture_size(frame: bytes) -> tuple[int, int]:
    """Width and height in pixels of a keyframe of profile 0. Raises ValueError for what is none."""
    reader = BitReader(frame[:HEADER])
    reader.bits(8)
    if reader.bits(24) != SYNC_CODE:
        raise ValueError("a VP9 keyframe without its sync code")
    if reader.bits(3) == 7:
        raise ValueError("a VP9 keyframe of profile 0 in RGB")
    reader.bits(1)
    return reader.bits(16) + 1, reader.bits(16) + 1
