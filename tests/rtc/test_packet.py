"""RTP packets are read as aiortc reads them, and hostile bytes end in ValueError."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtp import HeaderExtensionsMap, unpack_header_extensions
from aiortc.rtp import RtpPacket as TheirPacket
from hypothesis import example, given
from hypothesis import strategies as st

from peer.rtc.packet import NumberReader, RtpPacket

VALUES = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=5)


def one_byte(values: dict[int, bytes]) -> bytes:
    return b"".join(bytes([number << 4 | len(value) - 1]) + value for number, value in values.items())


def two_bytes(values: dict[int, bytes]) -> bytes:
    return b"".join(bytes([number, len(value)]) + value for number, value in values.items())


def raw(
    payload: bytes = b"picture", profile: int = 0, extensions: bytes | None = None, padding: int = 0, csrcs: int = 0
) -> bytes:
    first = 0x80 | (extensions is not None) << 4 | bool(padding) << 5 | csrcs
    data = bytes([first, 0x80 | 96]) + bytes.fromhex("1234 00000bb8 0000abcd") + b"csrc" * csrcs
    if extensions is not None:
        extensions += bytes(-len(extensions) % 4)
        data += profile.to_bytes(2, "big") + (len(extensions) // 4).to_bytes(2, "big") + extensions
    return data + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


@given(
    st.integers(0, 63) | st.integers(96, 127),
    st.integers(0, 1),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=40),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=15),
    st.integers(0, 20),
    st.none() | st.integers(0, 0xFFFFFF),
    st.none() | st.sampled_from(["0", "video"]),
)
def test_it_reads_what_aiortc_writes(
    payload_type: int,
    marker: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    csrc: list[int],
    padding: int,
    sent: int | None,
    mid: str | None,
) -> None:
    theirs = TheirPacket(payload_type, marker, sequence, timestamp, ssrc, payload)
    theirs.csrc, theirs.padding_size = csrc, padding
    theirs.extensions.abs_send_time, theirs.extensions.mid = sent, mid
    known = HeaderExtensionsMap()
    vars(known)["_HeaderExtensionsMap__ids"].abs_send_time, vars(known)["_HeaderExtensionsMap__ids"].mid = 3, 1
    data = theirs.serialize(known)
    ours, again = RtpPacket(data), TheirPacket.parse(data, known)
    for name in ("payload_type", "marker", "sequence_number", "timestamp", "ssrc", "payload"):
        assert getattr(ours, name) == getattr(theirs, name) == getattr(again, name), name
    assert ours.size == len(data)
    assert ours.extension(3) == (None if sent is None else sent.to_bytes(3, "big"))
    assert ours.extension(1) == (None if mid is None else mid.encode())


@given(VALUES, st.integers(0, 3))
def test_one_byte_extensions(values: dict[int, bytes], padding: int) -> None:
    data = bytes(padding) + one_byte(values)
    packet = RtpPacket(raw(profile=0xBEDE, extensions=data))
    assert {number: packet.extension(number) for number in range(1, 15)} == dict.fromkeys(range(1, 15)) | values
    assert dict(unpack_header_extensions(0xBEDE, data + bytes(-len(data) % 4))) == values
    assert packet.payload == b"picture"


@given(st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=5), st.integers(0, 15))
def test_two_byte_extensions(values: dict[int, bytes], bits: int) -> None:
    packet = RtpPacket(raw(profile=0x1000 | bits, extensions=b"\0" + two_bytes(values)))
    assert {number: packet.extension(number) for number in values} == values
    assert packet.extension(next(number for number in range(1, 7) if number not in values)) is None


def test_extensions_of_another_kind_are_passed_over() -> None:
    packet = RtpPacket(raw(profile=0x1234, extensions=one_byte({1: b"0"})))
    assert packet.extension(1) is None and packet.payload == b"picture"
    assert RtpPacket(raw()).extension(1) is None


def test_after_id_15_nothing_is_read() -> None:
    """RFC 8285 section 4.2."""
    packet = RtpPacket(raw(profile=0xBEDE, extensions=one_byte({1: b"a", 15: b"b", 2: b"c"})))
    assert (packet.extension(1), packet.extension(2), packet.extension(15)) == (b"a", None, None)


@pytest.mark.parametrize(("profile", "extensions"), [(0xBEDE, b"\x1f" + b"abc"), (0x1000, b"\x01\x10ab")])
def test_an_extension_that_is_cut_off_is_none(profile: int, extensions: bytes) -> None:
    assert RtpPacket(raw(profile=profile, extensions=extensions)).extension(1) is None


@pytest.mark.parametrize("padding", [1, 4, 255])
def test_padding_is_no_payload(padding: int) -> None:
    assert RtpPacket(raw(padding=padding)).payload == b"picture"
    assert RtpPacket(raw(payload=b"", padding=padding)).payload == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        raw()[:11],
        b"\x40" + raw()[1:],
        raw(csrcs=3)[:20],
        raw(extensions=b"abcd")[:14],
        raw(extensions=b"abcd", payload=b"")[:-2],
        b"\xa0" + raw()[1:-1] + b"\0",
        b"\xa0" + raw()[1:-1] + b"\xff",
    ],
    ids=["empty", "short", "version", "csrcs", "extension head", "extension", "padding of 0", "padding too long"],
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        RtpPacket(data)


@given(st.binary(max_size=64))
@example(b"\x90" + bytes(11) + b"\xbe\xde\x00\x01\x10\x00\x00\x00")
@example(b"\xbf" + b"\xff" * 63)
def test_hostile_bytes_end_in_value_error(data: bytes) -> None:
    for bytes_ in (data, b"\x90" + data, b"\xb1" + data):
        try:
            packet = RtpPacket(bytes_)
        except ValueError:
            continue
        for number in (0, 1, 14, 15, 255):
            packet.extension(number)
        assert len(packet.payload) <= len(bytes_) - 12
        try:
            packet.repaired(96, 1)
        except ValueError:
            assert len(packet.payload) < 2


def test_a_retransmission_gives_what_it_carries() -> None:
    packet = RtpPacket(raw(payload=b"\xff\xfepicture", profile=0xBEDE, extensions=one_byte({1: b"0"})))
    repaired = packet.repaired(97, 5)
    assert (repaired.payload_type, repaired.ssrc, repaired.sequence_number) == (97, 5, 0xFFFE)
    assert (repaired.timestamp, repaired.marker, repaired.payload) == (3000, 1, b"picture")
    assert repaired.extension(1) == b"0"


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_retransmission_of_nothing_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="nothing"):
        RtpPacket(raw(payload=payload)).repaired(97, 5)


# Numbers in header extensions


def with_elements(*elements: tuple[int, bytes], two_bytes: bool = False) -> RtpPacket:
    if two_bytes:
        profile, data = 0x1000, b"".join(bytes((number, len(value))) + value for number, value in elements)
    else:
        profile, data = 0xBEDE, b"".join(bytes((number << 4 | len(value) - 1,)) + value for number, value in elements)
    data += bytes(-len(data) % 4)
    head = struct.pack("!BBHIIHH", 0x90, 96, 1, 2, 3, profile, len(data) // 4)
    return RtpPacket(head + data + b"payload")


@given(
    layout=st.lists(st.tuples(st.integers(1, 14), st.integers(1, 4)), min_size=1, max_size=4, unique_by=lambda e: e[0]),
    values=st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=5),
    two_bytes=st.booleans(),
)
def test_a_number_is_read_wherever_it_is(layout: list[tuple[int, int]], values: list[bytes], two_bytes: bool) -> None:
    number, length = layout[-1]
    reader = NumberReader(number, length)
    for value in values:
        packet = with_elements(*((each, value[:size]) for each, size in layout), two_bytes=two_bytes)
        assert reader.read(packet) == int.from_bytes(value[:length], "big")


def test_an_extension_that_is_not_there_is_no_number() -> None:
    reader = NumberReader(3, 2)
    assert reader.read(with_elements((1, b"a"), (3, b"\1\2"))) == 0x0102
    assert reader.read(with_elements((1, b"a"), (3, b"\1\3"))) == 0x0103
    assert reader.read(with_elements((1, b"a"), (4, b"\1\2"))) is None
    assert reader.read(with_elements((3, b"\1\2\3"))) is None
    assert reader.read(RtpPacket(struct.pack("!BBHII", 0x80, 96, 1, 2, 3))) is None
