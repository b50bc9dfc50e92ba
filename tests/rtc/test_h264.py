"""H.264 payloads (RFC 6184) become Annex B access units; bytes that are none raise ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.frames import Codec
from peer.rtc.payload import FrameData, depacketiser_for
from peer.rtc.payload.h264 import MAX_PARAMETER_SET, BitReader, H264Depacketiser, picture_size, split_nal_units

START = b"\x00\x00\x00\x01"
IDR = b"\x65\x88key"
LATER_SLICE = b"\x65\x40key"  # first_mb_in_slice is not 0
SLICE = b"\x41\x9adelta"
PPS = b"\x68\xce\x3c\x80"
SEI = b"\x06\x05\x01\x00\x80"


class Bits:
    """Writes what BitReader reads."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, count: int, value: int) -> Bits:
        self.text += format(value, f"0{count}b")
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = format(value + 1, "b")
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values: int) -> Bits:
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def unit(self, header: int) -> bytes:
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        data = bytearray((header,))
        for index in range(0, len(text), 8):
            byte = int(text[index : index + 8], 2)
            if byte <= 3 and data.endswith(b"\x00\x00"):
                data.append(3)  # emulation prevention (H.264 section 7.4.1.1)
            data.append(byte)
        return bytes(data)


def sps(width: int = 1280, height: int = 720, identity: int = 0, *, crop: bool = True) -> bytes:
    """A baseline SPS of that size in macroblocks, cropped to it."""
    columns, rows = -(-width // 16), -(-height // 16)
    bits = Bits().u(8, 66).u(16, 0xC01F).ue(identity, 0, 0, 0, 1).u(1, 0).ue(columns - 1, rows - 1).u(1, 1).u(1, 1)
    if crop:
        bits.u(1, 1).ue(0, (columns * 16 - width) // 2, 0, (rows * 16 - height) // 2)
    else:
        bits.u(1, 0)
    return bits.u(1, 0).unit(0x67)


SPS = sps()


def stap(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def fragments(unit: bytes, size: int) -> list[bytes]:
    parts = [unit[index : index + size] for index in range(1, len(unit), size)]
    last = len(parts) - 1
    head, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    return [
        bytes((head, kind | (0x80 if index == 0 else 0) | (0x40 if index == last else 0))) + part
        for index, part in enumerate(parts)
    ]


def assemble(depacketiser: H264Depacketiser, *payloads: bytes) -> FrameData:
    return depacketiser.assemble([depacketiser.parse(payload) for payload in payloads])


def test_single_nal_units_become_an_access_unit() -> None:
    frame = assemble(H264Depacketiser(), SPS, PPS, IDR)
    assert frame == FrameData(START + SPS + START + PPS + START + IDR, True, 1280, 720)


def test_an_aggregation_packet_holds_several() -> None:
    frame = assemble(H264Depacketiser(), stap(SPS, PPS, SEI), IDR)
    assert frame == FrameData(START + START.join((SPS, PPS, SEI, IDR)), True, 1280, 720)


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_fragments_are_joined(size: int) -> None:
    frame = assemble(H264Depacketiser(), stap(SPS, PPS), *fragments(IDR, size))
    assert frame.data == START + START.join((SPS, PPS, IDR))
    assert frame.keyframe


def test_slices_are_no_keyframes() -> None:
    depacketiser = H264Depacketiser()
    assert assemble(depacketiser, SLICE) == FrameData(START + SLICE, False)
    assert assemble(depacketiser, *fragments(SLICE, 3)) == FrameData(START + SLICE, False)
    assert assemble(depacketiser, SEI, SLICE) == FrameData(START + SEI + START + SLICE, False)


def test_parameter_sets_are_put_before_an_idr_without() -> None:
    depacketiser = H264Depacketiser()
    assert assemble(depacketiser, SPS, PPS) == FrameData(b"", False)
    frame = assemble(depacketiser, IDR)
    assert frame == FrameData(START + START.join((SPS, PPS, IDR)), True, 1280, 720)
    other = sps(640, 360)
    frame = assemble(depacketiser, other, IDR)
    assert frame == FrameData(START + START.join((PPS, other, IDR)), True, 640, 360)


def test_parameter_sets_are_remembered_by_id() -> None:
    depacketiser = H264Depacketiser()
    second = sps(320, 240, identity=1)
    assemble(depacketiser, SPS, second, PPS)
    assert assemble(depacketiser, IDR).data == START + START.join((SPS, second, PPS, IDR))


def test_an_idr_without_any_parameter_sets_raises() -> None:
    with pytest.raises(ValueError, match="parameter sets"):
        assemble(H264Depacketiser(), IDR)


def test_parameter_sets_that_no_encoder_makes_are_not_remembered() -> None:
    depacketiser = H264Depacketiser()
    assemble(depacketiser, SPS + bytes(MAX_PARAMETER_SET) + b"\x80", PPS + b"\x01" * MAX_PARAMETER_SET)
    with pytest.raises(ValueError, match="parameter sets"):
        assemble(depacketiser, IDR)
    assemble(depacketiser, SPS, Bits().ue(256).unit(0x68))
    assert assemble(depacketiser, IDR).data == START + SPS + START + IDR
    fresh = H264Depacketiser()
    assemble(fresh, sps(identity=32))
    with pytest.raises(ValueError, match="parameter sets"):
        assemble(fresh, IDR)


@pytest.mark.parametrize(
    ("payload", "starts", "keyframe"),
    [
        (IDR, True, True),
        (LATER_SLICE, False, True),
        (SLICE, True, False),
        (b"\x41\x40", False, False),
        (SPS, True, True),
        (PPS, False, False),
        (b"\x09\x10", True, False),
        (SEI, False, False),
        (stap(SPS, PPS), True, True),
        (stap(SEI, SLICE), True, False),
        (fragments(IDR, 2)[0], True, True),
        (fragments(IDR, 2)[1], False, True),
        (fragments(SLICE, 2)[0], True, False),
    ],
)
def test_what_one_packet_tells(payload: bytes, starts: bool, keyframe: bool) -> None:
    chunk = H264Depacketiser().parse(payload)
    assert (chunk.starts_frame, chunk.keyframe) == (starts, keyframe)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "cut short"),
        (b"\x41", "cut short"),
        (b"\x7c\x85", "without a fragment"),
        (b"\x7c\x98a", "FU-A of"),
        (b"\x78\x00", "cut short"),
        (b"\x78\x00\x00", "cut short"),
        (b"\x78\x00\x05abcd", "cut short"),
        (b"\x40aa", "type 0"),
        (b"\x5daa", "type 29"),
    ],
)
def test_bad_payloads_raise(payload: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        H264Depacketiser().parse(payload)


def test_a_frame_that_begins_within_a_unit_raises() -> None:
    depacketiser = H264Depacketiser()
    with pytest.raises(ValueError, match="first packet"):
        assemble(depacketiser, fragments(IDR, 2)[1])
    with pytest.raises(ValueError, match="first packet"):
        depacketiser.assemble([])


def high(chroma: int, *, scaling: bool = False, interlaced: bool = False) -> Bits:
    """A High profile SPS up to and without the cropping: 64x64 samples."""
    bits = Bits().u(8, 100).u(16, 31).ue(0, chroma)
    if chroma == 3:
        bits.u(1, 0)
    bits.ue(0, 0).u(1, 0).u(1, int(scaling))
    if scaling:
        for index in range(12 if chroma == 3 else 8):
            if index == 0:
                bits.u(1, 1).se(*[1] * 16)
            elif index == 6:
                bits.u(1, 1).se(-8)  # next scale 0: the list ends here
            else:
                bits.u(1, 0)
    bits.ue(0, 1).u(1, 0).se(-3, 2).ue(2).se(1, -1)  # picture order count type 1
    bits.ue(1).u(1, 0).ue(3, 1 if interlaced else 3).u(1, 0 if interlaced else 1)
    if interlaced:
        bits.u(1, 0)
    return bits.u(1, 1)


@pytest.mark.parametrize(
    ("bits", "size"),
    [
        (high(1).u(1, 0), (64, 64)),
        (high(1, scaling=True).u(1, 1).ue(1, 2, 3, 4), (58, 50)),
        (high(1, interlaced=True).u(1, 1).ue(0, 1, 0, 1), (62, 60)),
        (high(2).u(1, 1).ue(0, 1, 0, 1), (62, 63)),
        (high(3, scaling=True).u(1, 1).ue(0, 1, 0, 1), (63, 63)),
        (high(0).u(1, 1).ue(0, 1, 0, 1), (63, 63)),
    ],
)
def test_picture_sizes_of_every_shape(bits: Bits, size: tuple[int, int]) -> None:
    assert picture_size(bits.u(1, 0).unit(0x67)) == size


@pytest.mark.parametrize("size", [(16, 16), (320, 240), (640, 360), (1920, 1080), (3840, 2160), (360, 640)])
def test_picture_sizes_are_cropped(size: tuple[int, int]) -> None:
    assert picture_size(sps(*size)) == size
    assert picture_size(sps(64, 64, crop=False)) == (64, 64)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (b"\x67", "cut short"),
        (SPS[:5], "cut short"),
        (Bits().u(8, 66).u(16, 0).u(40, 0).unit(0x67), "does not end"),
        (Bits().u(8, 66).u(16, 0).ue(0, 0, 1).u(1, 0).se(0, 0).ue(256).unit(0x67), "too long a cycle"),
        (Bits().u(8, 66).u(16, 0).ue(0, 0, 2, 1).u(1, 0).ue(5000, 3).u(4, 0b1100).unit(0x67), "impossible"),
        (Bits().u(8, 66).u(16, 0).ue(0, 0, 2, 1).u(1, 0).ue(3, 3).u(3, 0b111).ue(0, 32, 0, 0).unit(0x67), "impossible"),
    ],
)
def test_bad_sequence_parameter_sets_raise(unit: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        picture_size(unit)


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=10))
def test_exp_golomb_codes_read_back(values: list[int]) -> None:
    data = Bits().se(*values).text
    data += "0" * (-len(data) % 8)
    reader = BitReader(int(data, 2).to_bytes(len(data) // 8, "big"))
    assert [reader.signed() for _ in values] == values


def test_nal_units_are_split_at_start_codes_of_both_lengths() -> None:
    assert list(split_nal_units(START + b"ab" + b"\x00\x00\x01c\x00\x00" + START + START + b"d")) == [b"ab", b"c", b"d"]
    assert list(split_nal_units(b"nothing")) == []


PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([SPS, PPS, IDR, SLICE, SEI, stap(SPS, PPS), *fragments(IDR, 3)]),
    st.builds(lambda head, tail: head + tail, st.sampled_from([b"\x67", b"\x68", b"\x78\x00\x06\x67"]), st.binary()),
)


@given(st.lists(st.lists(PAYLOADS, max_size=4), max_size=4))
def test_any_bytes_raise_nothing_but_value_error(frames: list[list[bytes]]) -> None:
    depacketiser = depacketiser_for(Codec("H264", 90000))
    assert isinstance(depacketiser, H264Depacketiser)
    for payloads in frames:
        try:
            frame = assemble(depacketiser, *payloads)
        except ValueError:
            continue
        assert not frame.data or frame.data.startswith(START)
        assert frame.data or not frame.keyframe
