"""H.264 between its two wrappings: start codes as in Annex B, and lengths as in ISO/IEC 14496-15 (Matroska, MP4)."""

from __future__ import annotations

_SPS = 7
_PPS = 8
_START_CODE = b"\x00\x00\x01"
_MAX_SETS = 31


def nal_units(data: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes; what precedes the first start code is left out."""
    # A NAL unit never ends in a zero byte (ITU-T H.264, 7.4.1), so trailing zeros belong to the next start code.
    return [unit for part in data.split(_START_CODE)[1:] if (unit := part.rstrip(b"\x00"))]


def length_prefixed(data: bytes) -> bytes:
    """One Annex B access unit as Matroska stores it: each NAL unit after its length in four bytes."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in nal_units(data))


def decoder_configuration(data: bytes) -> bytes | None:
    """The AVCDecoderConfigurationRecord for the parameter sets in an Annex B access unit; None when it holds none."""
    units = nal_units(data)
    sps = [unit for unit in units if unit[0] & 0x1F == _SPS and 4 <= len(unit) <= 0xFFFF][:_MAX_SETS]
    pps = [unit for unit in units if unit[0] & 0x1F == _PPS and len(unit) <= 0xFFFF][:_MAX_SETS]
    if not sps or not pps:
        return None
    profile, compatibility, level = sps[0][1:4]
    record = bytes((1, profile, compatibility, level, 0xFF, 0xE0 | len(sps)))
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sps)
    record += bytes((len(pps),)) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in pps)
    if profile in (100, 110, 122, 144):
        # High profiles append chroma format and bit depths; WebRTC sends 4:2:0 with 8 bits only.
        record += bytes((0xFC | 1, 0xF8, 0xF8, 0))
    return record
