"""AV1 as Matroska and MP4 describe it: the record in av1C ("AV1 Codec ISO Media File Format Binding"). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peer.rtc.payload.av1 import SEQUENCE_HEADER, Obu, operating_points, read_leb128
from peer.rtc.payload.h264 import BitReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_SEQUENCE_HEADER = 256
_SRGB = 0x010D00
"""BT.709 primaries, sRGB transfer, identity matrix: such pictures are never subsampled."""


def decoder_configuration(data: bytes) -> bytes | None:
    """The AV1CodecConfigurationRecord for a temporal unit in the low-overhead format (AV1 bitstream specification,
    section 5.2); None when it holds no sequence header."""
    try:
        for obu in _units(data):
            if obu.type == SEQUENCE_HEADER and len(obu.payload) <= _MAX_SEQUENCE_HEADER:
                return _record(BitReader(obu.payload)) + bytes(obu)
    except (ValueError, IndexError):
        pass
    return None


def _units(data: bytes) -> Iterator[Obu]:
    """Each OBU of a temporal unit (section 5.3); the last one may come without its size."""
    position = 0
    while position < len(data):
        start = position + (2 if data[position] & 4 else 1)
        size, begin = read_leb128(data, start) if data[position] & 2 else (len(data) - start, start)
        yield Obu(data[position:start], data[begin : begin + size])
        position = begin + size


def _record(bits: BitReader) -> bytes:
    """Read sequence_header_obu() (section 5.5) as far as the colours."""
    profile = bits.bits(3)
    bits.bits(1)
    reduced = bits.bits(1)
    level, tier = (bits.bits(5), 0) if reduced else operating_points(bits)
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
