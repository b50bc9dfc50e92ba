"""AV1 payloads become temporal units of whole OBUs; bytes that are none raise ValueError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.concealment import SoundCounts
from peer.rtc.decoders import open_decoder
from peer.rtc.frames import Codec, EncodedFrame
from peer.rtc.payload import FrameData, depacketiser_for
from peer.rtc.payload.av1 import FRAME, PADDING, TEMPORAL_DELIMITER, Av1Depacketiser, leb128, picture_size, read_leb128

HEADER, KEY, *DELTAS = (
    bytes.fromhex(obu)
    for obu in (
        "08000000032c7fc4af9004",
        "3010008b4008204100000000ebc9c54b80",
        "30300200000000228c0000010001000016ddb19b33144c",
        "3030040080000062780000010001000016ddb0d925b41df0",
    )
)
"""OBUs of three pictures of 72x64, without a size, as they are in packets."""


def obu(kind: int, payload: bytes) -> bytes:
    return bytes([kind << 3]) + payload


def sized(*obus: bytes) -> bytes:
    return b"".join(bytes([each[0] | 2]) + leb128(len(each) - 1) + each[1:] for each in obus)


def packets(*obus: bytes, size: int) -> list[bytes]:
    """As a sender splits a temporal unit: each packet has `size` bytes of OBUs at most, all with a length (W = 0)."""
    found: list[bytes] = []
    room, going_on = 0, False
    for each in obus:
        at = 0
        while at < len(each):
            if room == 0:
                found.append(bytes([0x80 if going_on else 0]))
                room = size
            part = each[at : at + room]
            at += len(part)
            room -= len(part)
            going_on = at < len(each)
            found[-1] = bytes([found[-1][0] | (0x40 if going_on else 0)]) + found[-1][1:] + leb128(len(part)) + part
    return found


def assembled(*payloads: bytes) -> FrameData:
    depacketiser = Av1Depacketiser()
    return depacketiser.assemble([depacketiser.parse(each) for each in payloads])


def test_the_first_packet_of_a_sequence_begins_with_a_keyframe() -> None:
    depacketiser = Av1Depacketiser()
    for first, begins in ((0x28, True), (0x20, False), (0xA8, False)):
        chunk = depacketiser.parse(bytes([first]) + leb128(len(HEADER)) + HEADER + KEY)
        assert chunk.starts_frame is chunk.keyframe is begins


def test_a_keyframe_says_its_size_and_each_obu_has_one() -> None:
    frame = assembled(b"\x28" + leb128(len(HEADER)) + HEADER + KEY)
    assert frame == FrameData(sized(HEADER, KEY), True, 72, 64)
    assert assembled(b"\x10" + DELTAS[0]) == FrameData(sized(DELTAS[0]), False)


def test_a_keyframe_without_a_sequence_header_begins_nothing() -> None:
    assert not assembled(b"\x10" + KEY).keyframe


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_of_counted_elements_has_no_length(count: int) -> None:
    obus = [HEADER, KEY, DELTAS[0]][-count:]
    payload = bytes([count << 4]) + b"".join(leb128(len(each)) + each for each in obus[:-1]) + obus[-1]
    assert assembled(payload).data == sized(*obus)


def test_what_is_not_stored_is_left_out() -> None:
    obus = (obu(TEMPORAL_DELIMITER, b""), HEADER, KEY, obu(PADDING, b"xxx"))
    payload = b"\x00" + b"".join(leb128(len(each)) + each for each in obus)
    assert assembled(payload).data == sized(HEADER, KEY)
    assert assembled(b"\x10" + HEADER) == FrameData(b"", False), "no picture in it"


def test_obus_that_have_a_size_and_an_extension_keep_them() -> None:
    extended = bytes([FRAME << 3 | 4, 0x20]) + DELTAS[0][1:]
    with_size = bytes([FRAME << 3 | 6, 0x20]) + leb128(len(DELTAS[0]) - 1) + DELTAS[0][1:]
    assert assembled(b"\x10" + extended).data == assembled(b"\x10" + with_size).data == with_size


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_obus_that_are_spread_over_packets_are_joined(size: int) -> None:
    assert assembled(*packets(HEADER, KEY, size=size)) == FrameData(sized(HEADER, KEY), True, 72, 64)


def test_a_part_that_is_missing_raises() -> None:
    whole = packets(HEADER, KEY, size=9)
    assert len(whole) == 4
    for missing in (0, 1, 2, 3):
        rest = [each for number, each in enumerate(whole) if number != missing]
        if missing in (0, 3):
            with pytest.raises(ValueError, match="AV1 OBU"):
                assembled(*rest)
        else:
            assert assembled(*rest).data != sized(HEADER, KEY), "the jitter buffer never gives it such frames"


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "without an OBU"),
        (b"\x10", "without an OBU"),
        (b"\x00\x00", "empty or longer"),
        (b"\x00\x05abc", "empty or longer"),
        (b"\x20\x05abc", "empty or longer"),
        (b"\x20\x03abc", "empty or longer"),
        (b"\x00\xff\xff\xff\xff\x00a", "does not end"),
        (b"\x10\xb0x", "forbidden"),
        (b"\x10\x34", "extension"),
        (b"\x10\x32\x05abc", "longer than its element"),
        (b"\x50" + KEY, "does not end"),
        (b"\x90" + KEY, "part is missing"),
    ],
)
def test_payloads_that_are_none(payload: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        assembled(payload)


def bits(*fields: tuple[int, int]) -> bytes:
    """Values and how many bits they have."""
    text = "".join(format(value, f"0{count}b") for value, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


SIZE = ((10, 4), (9, 4), (1279, 11), (719, 10))


@pytest.mark.parametrize(
    "fields",
    [
        ((0, 3), (1, 1), (1, 1), (5, 5)),  # a reduced still picture
        ((0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), (0, 12), (5, 5)),
        ((0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (1, 5), *(((0, 12), (9, 5), (1, 1)) * 2)),  # levels with a tier
        ((0, 3), (0, 1), (0, 1), (0, 1), (1, 1), (0, 5), (0, 12), (5, 5), (1, 1), (7, 4)),  # a display delay
        # timing info with ticks per picture (4, as Exp-Golomb), without a decoder model
        ((0, 3), (0, 1), (0, 1), (1, 1), (1, 32), (30, 32), (1, 1), (5, 5), (0, 1), (0, 1), (0, 5), (0, 12), (5, 5)),
        # with a decoder model of 10 bits
        (
            *((0, 3), (0, 1), (0, 1), (1, 1), (1, 32), (30, 32), (0, 1), (1, 1), (9, 5), (1, 32), (4, 5), (4, 5)),
            *((0, 1), (0, 5), (0, 12), (5, 5), (1, 1), (3, 10), (4, 10), (1, 1)),
        ),
    ],
)
def test_sequence_headers_of_every_shape(fields: tuple[tuple[int, int], ...]) -> None:
    header = bits(*fields, *SIZE)
    assert picture_size(header) == (1280, 720)
    for cut in range(len(header) - 1):
        with pytest.raises(ValueError, match="cut short|does not end"):
            picture_size(header[:cut])


def test_what_comes_out_can_be_decoded() -> None:
    codec = Codec("AV1", 90000, 1, 45)
    decoder = open_decoder(codec, SoundCounts())
    for number, obus in enumerate(([HEADER, KEY], *([each] for each in DELTAS))):
        frame = assembled(*packets(*obus, size=12))
        assert frame.keyframe == (number == 0)
        (decoded,) = decoder.decode(EncodedFrame(codec, frame.data, number * 3000, 0.0, frame.keyframe))
        assert (decoded.frame.width, decoded.frame.height) == (72, 64)  # type: ignore[union-attr]


@given(st.integers(0, (1 << 28) - 1))
def test_lengths_come_back(value: int) -> None:
    assert read_leb128(b"x" + leb128(value) + b"x", 1) == (value, 1 + len(leb128(value)))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.integers(1, 60))
def test_whatever_is_split_comes_back_whole(payloads: list[bytes], size: int) -> None:
    obus = [obu(FRAME, each) for each in payloads]
    assert assembled(*packets(*obus, size=size)).data == sized(*obus)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_raise_nothing_but_value_error(payloads: list[bytes]) -> None:
    depacketiser = depacketiser_for(Codec("av1", 90000))
    assert isinstance(depacketiser, Av1Depacketiser)
    try:
        frame = depacketiser.assemble([depacketiser.parse(payload) for payload in payloads])
    except ValueError:
        return
    assert (frame.width > 0 and frame.height > 0) == frame.keyframe
