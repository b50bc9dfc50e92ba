"""VP9 as MP4 describes it: the record in vpcC ("VP Codec ISO Media File Format Binding"), from a keyframe. Pure."""

from __future__ import annotations

from typing import Final

from peer.rtc.payload.h264 import BitReader

_SYNC_CODE = 0x498342
_RGB = 7
_COLOURS: Final = {1: (5, 6, 6), 2: (1, 1, 1), 3: (6, 6, 6), 4: (7, 7, 7), 5: (9, 14, 9), _RGB: (1, 13, 0)}
"""`color_space` of the bitstream to colour primaries, transfer and matrix of ISO/IEC 23091-2."""
_SUBSAMPLING: Final = {(1, 1): 1, (1, 0): 2, (0, 1): 3, (0, 0): 3}
"""In width and height, to 4:2:0, 4:2:2 and 4:4:4; there is no number for 4:4:0."""
_UNSPECIFIED = (2, 2, 2)
_LEVELS: Final = (
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 41),
    (8_912_896, 51),
)
"""Largest luma picture of a level, times ten; of two with the same size, the one for 60 pictures a second (Annex A)."""
_HIGHEST_LEVEL = 61


def decoder_configuration(data: bytes) -> bytes | None:
    """The VPCodecConfigurationRecord for the keyframe in `data`; None where it is not one."""
    try:
        return _configuration(BitReader(data[:16]))
    except ValueError:
        return None


def _configuration(bits: BitReader) -> bytes | None:
    """Read uncompressed_header() (VP9 bitstream specification, section 6.2) as far as the size."""
    marker = bits.bits(2)
    profile = bits.bits(1) | bits.bits(1) << 1
    if profile == 3:
        bits.bits(1)
    existing, inter, _shown, _resilient = (bits.bits(1) for _ in range(4))
    if marker != 2 or existing or inter or bits.bits(24) != _SYNC_CODE:
        return None
    depth = 8 if profile < 2 else 12 if bits.bits(1) else 10
    space = bits.bits(3)
    full_range = 1 if space == _RGB else bits.bits(1)
    chroma = 3 if space == _RGB else 1  # 4:4:4; 4:2:0 with chroma at the place of luma
    if profile & 1:
        if space != _RGB:
            chroma = _SUBSAMPLING[bits.bits(1), bits.bits(1)]
        bits.bits(1)
    size = (bits.bits(16) + 1) * (bits.bits(16) + 1)
    level = next((level for largest, level in _LEVELS if size <= largest), _HIGHEST_LEVEL)
    colours = _COLOURS.get(space, _UNSPECIFIED)
    return bytes((profile, level, depth << 4 | chroma << 1 | full_range, *colours, 0, 0))
