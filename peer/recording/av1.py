"""AV1 as Matroska and MP4 describe it: the record in av1C ("AV1 Codec ISO Media File Format Binding"). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload.h264 import BitReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEQUENCE_HEADER = 1
_MAX_SEQUENCE_HEADER = 256
_SRGB = 0x010D00
"""BT.709 primaries, sRGB transfer, identity matrix: such pictures are never subsampled."""


def decoder_configuration(data: bytes) -> bytes | None:
    """The AV1CodecConfigurationRecord for a temporal unit in the low-overhead format (AV1 bitstream specification,
    section 5.2); None when it holds no sequence header."""
    try:
        for kind, content in _units(data):
            if kind == _SEQUENCE_HEADER and len(content) <= _MAX_SEQUENCE_HEADER:
                header = bytes((_SEQUENCE_HEADER << 3 | 2,)) + _leb128(len(content)) + content
                return _record(BitReader(content)) + header
    except (ValueError, IndexError):
        pass
    return None


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each OBU (section 5.3); the last one may come without its size."""
    position = 0
    while position < len(data):
        head = data[position]
        position += 2 if head & 4 else 1
        size = len(data) - position
        if head & 2:
            size, position = _read_leb128(data, position)
        yield head >> 3 & 15, data[position : position + size]
        position += size


def _record(bits: BitReader) -> bytes:
    """Read sequence_header_obu() (section 5.5) as far as the colours."""
    profile = bits.bits(3)
    bits.bits(1)
    reduced = bits.bits(1)
    level, tier = (bits.bits(5), 0) if reduced else _operating_points(bits)
    width, height = bits.bits(4) + 1, bits.bits(4) + 1
    bits.bits(width + height)
    if not reduced and bits.bits(1):
        bits.bits(7)
    bits.bits(3)
    if not reduced:
        _skip_tools(bits)
    bits.bits(3)
    high = bits.bits(1)
    twelve = bits.bits(1) if profile == 2 and high else 0
    mono = 0 if profile == 1 else bits.bits(1)
    colours = bits.bits(24) if bits.bits(1) else 0
    x, y, place = _subsampling(bits, profile, mono, int(colours == _SRGB), twelve)
    depths = tier << 7 | high << 6 | twelve << 5 | mono << 4 | x << 3 | y << 2 | place
    return bytes((0x81, profile << 5 | level, depths, 0))


def _operating_points(bits: BitReader) -> tuple[int, int]:
    """Level and tier of the first operating point."""
    delay_bits = 0
    if bits.bits(1):
        bits.bits(64)
        if bits.bits(1):
            bits.unsigned()
        if bits.bits(1):
            delay_bits = bits.bits(5) + 1
            bits.bits(42)
    delays = bits.bits(1)
    points = []
    for _ in range(bits.bits(5) + 1):
        bits.bits(12)
        level = bits.bits(5)
        points.append((level, bits.bits(1) if level > 7 else 0))
        if delay_bits and bits.bits(1):
            bits.bits(2 * delay_bits + 1)
        if delays and bits.bits(1):
            bits.bits(4)
    return points[0]


def _skip_tools(bits: BitReader) -> None:
    bits.bits(4)
    order_hint = bits.bits(1)
    if order_hint:
        bits.bits(2)
    if (bits.bits(1) or bits.bits(1)) and not bits.bits(1):  # screen content tools, and integer motion vectors
        bits.bits(1)
    if order_hint:
        bits.bits(3)


def _subsampling(bits: BitReader, profile: int, mono: int, srgb: int, twelve: int) -> tuple[int, int, int]:
    """Whether chroma is halved in width and in height, and where it is sampled."""
    if srgb and not mono:
        return 0, 0, 0
    bits.bits(1)
    if mono:
        return 1, 1, 0
    if profile < 2:
        x = y = 1 - profile
    elif twelve:
        x = bits.bits(1)
        y = bits.bits(1) if x else 0
    else:
        x, y = 1, 0
    return x, y, bits.bits(2) if x and y else 0


def _leb128(value: int) -> bytes:
    """A size of at most two bytes (section 4.10.5)."""
    return bytes((value,)) if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7))


def _read_leb128(data: bytes, position: int) -> tuple[int, int]:
    """A size, and the position after it. Raises IndexError where the data ends before."""
    value = 0
    for index in range(8):
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, position + index + 1
    raise ValueError("an OBU with a size that does not end")
