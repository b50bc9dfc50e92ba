"""H.264 keeps its NAL units when it changes from start codes to lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.recording.avc import decoder_configuration, length_prefixed, nal_units
from tests.recording.synthetic import H264, video

# A NAL unit never contains a start code and never ends in zero.
UNIT = st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\0\0", b"\0\3") + b"\x80")


@given(st.lists(UNIT, max_size=8), st.booleans())
def test_units_survive(units: list[bytes], long_codes: bool) -> None:
    code = b"\0\0\0\1" if long_codes else b"\0\0\1"
    stream = b"".join(code + unit for unit in units)
    assert nal_units(stream) == units
    rest, read = length_prefixed(stream), []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        read.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    assert read == units


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(data: bytes) -> None:
    length_prefixed(data)
    decoder_configuration(data)


def test_a_keyframe_says_how_to_decode() -> None:
    keyframe, delta = video(0.1, H264)[:2]
    record = decoder_configuration(keyframe.data)
    assert record is not None
    sps = next(unit for unit in nal_units(keyframe.data) if unit[0] & 0x1F == 7)
    assert record[:6] == bytes((1, *sps[1:4], 0xFF, 0xE1))
    assert sps in record
    assert decoder_configuration(delta.data) is None


def test_high_profile_says_its_chroma_and_depth() -> None:
    stream = b"\0\0\1\x67\x64\x00\x1f\xac\0\0\1\x68\xee\x80"
    record = decoder_configuration(stream)
    assert record is not None
    assert record.endswith(b"\x68\xee\x80" + bytes((0xFD, 0xF8, 0xF8, 0)))
