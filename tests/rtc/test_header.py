"""Headers that we write are what a receiver reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.header import Format, HeaderWriter, Stamp
from peer.rtc.packet import RtpPacket
from tests.rtc.bottleneck import numbered


def read(writer: HeaderWriter, *, level: int | None = None, now: float = 0.0, marker: bool = False) -> RtpPacket:
    return RtpPacket(writer.packet(96, marker, 7, 8, 9, level, now) + b"payload")


def test_a_header_without_extensions_has_twelve_bytes() -> None:
    assert HeaderWriter(Format(96, 90000)).packet(96, False, 1, 2, 3, None, 0.0) == bytes.fromhex(
        "8060000100000002" + "00000003"
    )
    assert HeaderWriter(Format(96, 90000)).packet(96, True, 1, 2, 3, 20, 0.0)[1] == 0xE0


@given(
    marker=st.booleans(),
    mid=st.text("abc0", max_size=20),
    ids=st.lists(st.integers(1, 255), min_size=3, max_size=3, unique=True),
    level=st.none() | st.integers(0, 127),
    now=st.floats(0, 1e6),
)
def test_what_is_written_is_read(marker: bool, mid: str, ids: list[int], level: int | None, now: float) -> None:
    packet = read(
        HeaderWriter(Format(96, 48000, None, mid, ids[0], ids[1], ids[2])), level=level, now=now, marker=marker
    )
    assert (packet.payload_type, packet.marker, packet.payload) == (96, marker, b"payload")
    assert (packet.sequence_number, packet.timestamp, packet.ssrc) == (7, 8, 9)
    assert packet.extension(ids[0]) == (mid.encode() or None)
    assert packet.extension(ids[1]) == (int(now * 2**18) & 0xFFFFFF).to_bytes(3, "big")
    assert packet.extension(ids[2]) == (None if level is None else bytes([level]))


@pytest.mark.parametrize(("given_level", "written"), [(-3, 0), (400, 127)])
def test_a_level_is_held_within_its_seven_bits(given_level: int, written: int) -> None:
    packet = read(HeaderWriter(Format(96, 48000, audio_level_id=2)), level=given_level)
    assert packet.extension(2) == bytes([written])


def test_the_short_form_is_written_where_it_can_be() -> None:
    short = HeaderWriter(Format(96, 90000, mid="0", mid_id=14)).packet(96, False, 1, 2, 3, None, 0.0)
    long = HeaderWriter(Format(96, 90000, mid="0", mid_id=15)).packet(96, False, 1, 2, 3, None, 0.0)
    assert (short[12:14], long[12:14]) == (b"\xbe\xde", b"\x10\x00")
    assert len(short) % 4 == len(long) % 4 == 0


# What is known only when a packet leaves


@given(
    ids=st.lists(st.integers(1, 14), min_size=4, max_size=4, unique=True),
    mid=st.text("abc0", max_size=16),
    level=st.none() | st.integers(0, 127),
    number=st.integers(0, 65535),
    timed=st.booleans(),
)
def test_a_packet_is_stamped_when_it_leaves(
    ids: list[int], mid: str, level: int | None, number: int, timed: bool
) -> None:
    sent_as = Format(96, 90000, None, mid, ids[0], ids[1] if timed else 0, ids[2], ids[3])
    made = HeaderWriter(sent_as).packet(96, True, 7, 8, 9, level, 1.0) + b"payload"
    stamp = Stamp(ids[3], ids[1])
    assert stamp.numbered(made)
    packet = RtpPacket(stamp.timed(numbered(made, number), 2.5))
    assert packet.extension(ids[3]) == number.to_bytes(2, "big")
    assert packet.extension(ids[1]) == ((int(2.5 * 2**18)).to_bytes(3, "big") if timed else None)
    assert packet.extension(ids[0]) == (mid.encode() or None)
    assert packet.extension(ids[2]) == (None if level is None else bytes([level]))
    assert (packet.sequence_number, packet.payload) == (7, b"payload")


@pytest.mark.parametrize(
    "sent_as",
    [
        Format(96, 90000),
        Format(96, 90000, abs_send_time_id=3),
        Format(96, 90000, mid="0", mid_id=5),
        Format(96, 90000, mid="0", mid_id=15, transport_wide_id=5),  # the long form
    ],
)
def test_what_has_no_room_for_a_number_is_left_alone(sent_as: Format) -> None:
    made = HeaderWriter(sent_as).packet(96, False, 1, 2, 3, None, 0.0)
    assert not Stamp(5, 3).numbered(made)
    if not sent_as.abs_send_time_id:
        assert Stamp(5, 3).timed(made, 9.0) == made
    assert not Stamp(0, 0).numbered(made) and Stamp(0, 0).timed(made, 9.0) == made


@given(st.binary(max_size=24))
def test_a_stamp_takes_any_bytes(data: bytes) -> None:
    stamp = Stamp(5, 3)
    assert not stamp.numbered(data) or len(numbered(data, 1)) == len(data)
    assert len(stamp.timed(data, 1.0)) == len(data)
