"""A key goes out as RFC 4733 has it, and comes in once, whatever became of its packets."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.errors import UsageError
from peer.rtc.dtmf import ENDS, KEYS, LATE, PATIENCE, EventPacket, EventReader, Key, Tone, keys, moments

RATE = 48000
STEP = 960


def said(packet: EventPacket) -> tuple[int, bool, int]:
    """Event, whether it is its end, duration."""
    event, flags, duration = struct.unpack("!BBH", packet.payload)
    return event, flags > 0x7F, duration


def sent(key: str, timestamp: int, seconds: float = 0.1, gap: float = 0.07) -> list[EventPacket]:
    """All packets of a key."""
    tone = Tone(key, round(seconds * RATE), timestamp)
    return [packet for at in moments(seconds, gap) for packet in tone.packets(round(at * RATE))]


def read(*packets: EventPacket, reader: EventReader | None = None, ssrc: int = 5, now: float = 0.0) -> list[Key]:
    one = reader or EventReader()
    return [
        key
        for payload, timestamp, marker in packets
        for key in one.take(ssrc, timestamp & 0xFFFFFFFF, payload, now, marker=marker)
    ]


def test_keys_are_those_of_a_telephone() -> None:
    assert keys("0123456789*#,abcD") == "0123456789*#,ABCD"
    assert keys("") == ""


@pytest.mark.parametrize("wrong", ["x", " ", "12e", "ß", "٣", "0123456789*#ABCD,,+", "ab\n"])
def test_what_is_no_key_is_named(wrong: str) -> None:
    with pytest.raises(UsageError, match="is no key; use digits"):
        keys(wrong)


# What goes out


def test_a_key_is_told_every_20_ms_and_its_end_three_times() -> None:
    packets = sent("#", 7, seconds=0.09)
    assert [said(each) for each in packets] == [
        *((11, False, STEP * count) for count in range(1, 5)),
        *((11, True, 4320),) * 3,
    ]
    assert [each.marker for each in packets] == [True, *(False,) * 6]
    assert {each.timestamp for each in packets} == {7}
    assert {each.payload[1] & 0x7F for each in packets} == {10}, "the volume, and the reserved bit is 0"


def test_packets_keep_the_cadence_of_sound_and_end_before_the_next_key() -> None:
    assert moments(0.1, 0.07) == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14])
    assert moments(0.05, 0.03) == pytest.approx([0.02, 0.04, 0.05, 0.065, 0.08])


@given(st.floats(0.04, 6), st.floats(0.03, 6))
def test_the_last_packets_are_the_end(seconds: float, gap: float) -> None:
    found = moments(seconds, gap)
    assert found == sorted(found) and found[-ENDS] == seconds and found[-1] <= seconds + gap + 1e-9
    assert all(at < seconds for at in found[:-ENDS])
    packets = sent("1", 0, seconds, gap)
    assert [said(each)[1] for each in packets] == [False] * (len(packets) - ENDS) + [True] * ENDS


def test_a_long_key_is_told_in_segments() -> None:
    """RFC 4733 section 2.5.1.3: what does not fit into 16 bits goes on under a later timestamp."""
    packets = sent("5", 0xFFFFFFFF - 100, seconds=3.0)
    segments: dict[int, list[EventPacket]] = {}
    for each in packets:
        segments.setdefault(each.timestamp, []).append(each)
    starts = list(segments)
    assert [(after - before) & 0xFFFFFFFF for before, after in zip(starts, starts[1:], strict=False)] == [0xFFFF] * 2
    for start in starts[:-1]:
        assert said(segments[start][-1]) == (5, False, 0xFFFF)
    assert said(packets[-1]) == (5, True, 3 * RATE - 2 * 0xFFFF)
    assert [each.marker for each in packets].count(True) == 1 and packets[0].marker


# What comes in


def test_a_key_is_told_once_when_it_is_released() -> None:
    packets = sent("*", 100)
    reader = EventReader()
    assert read(*packets[:-ENDS], reader=reader) == []
    assert read(packets[-ENDS], reader=reader) == [Key("*", 4800)]
    assert read(*packets[-2:], *packets, reader=reader) == []
    assert reader.due is None and reader.release() == []


@pytest.mark.parametrize("kept", range(7))
def test_one_packet_of_a_key_is_enough(kept: int) -> None:
    reader = EventReader()
    packet = sent("7", 100)[kept]
    found = [*read(packet, reader=reader), *reader.release()]
    assert found == [Key("7", said(packet)[2])]


def test_a_key_whose_end_is_lost_ends_with_the_next_or_after_a_while() -> None:
    reader = EventReader()
    assert read(*sent("1", 0)[:3], reader=reader, now=1.0) == []
    assert reader.due == 1.0 + PATIENCE
    assert read(sent("2", 8160)[0], reader=reader, now=1.17) == [Key("1", 3 * STEP)]
    assert reader.due == 1.17 + PATIENCE
    assert reader.release() == [Key("2", STEP)]
    assert read(*sent("2", 8160), reader=reader, now=1.5) == [], "it was told already"


def test_the_same_key_twice_is_two() -> None:
    assert read(*sent("1", 0)[:2], *sent("1", 8160)) == [Key("1", 2 * STEP), Key("1", 4800)]


def test_long_keys_come_in_whole() -> None:
    packets = sent("5", 0xFFFFFFFF - 100, seconds=3.0)
    assert read(*packets) == [Key("5", 3 * RATE)]
    last_of_segments = {number for number, each in enumerate(packets) if said(each)[2] == 0xFFFF}
    assert read(*(each for number, each in enumerate(packets) if number not in last_of_segments)) == [Key("5", 144000)]


def test_a_segment_may_begin_with_the_packet_after() -> None:
    """As libwebrtc has it."""
    first, full = struct.pack("!BBH", 5, 10, 65280), struct.pack("!BBH", 5, 10, 0xFFFF)
    rest = struct.pack("!BBH", 5, 0x8A, 705)
    packets = EventPacket(first, 0, True), EventPacket(full, 0, False), EventPacket(rest, 66240, False)
    assert read(*packets) == [Key("5", 66240 + 705)]


def test_packets_of_keys_before_are_passed_over() -> None:
    reader = EventReader()
    before, now = sent("1", 0xFFFFFFFF - 50), sent("2", 8160)
    assert read(*before, *now[:2], *before, *now[2:], reader=reader) == [Key("1", 4800), Key("2", 4800)]
    assert read(*sent("3", 8160 - LATE), reader=reader) == [Key("3", 4800)], "a clock that began anew"


def test_another_stream_has_keys_of_its_own() -> None:
    reader = EventReader()
    assert read(*sent("1", 1000)[:2], reader=reader) == []
    assert read(*sent("2", 10), reader=reader, ssrc=6) == [Key("1", 2 * STEP), Key("2", 4800)]


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sets(st.integers(0, 6), min_size=1)), max_size=20),
    st.integers(0, 0xFFFFFFFF),
    st.integers(1, 3),
)
def test_keys_come_in_their_order_each_once(pressed: list[tuple[str, set[int]]], start: int, copies: int) -> None:
    """Whichever packets are lost, as long as one of each key comes, and however often."""
    reader, found = EventReader(), []
    for number, (key, kept) in enumerate(pressed):
        packets = sent(key, start + 8160 * number)
        found += read(*(packets[each] for each in sorted(kept) for _ in range(copies)), reader=reader)
    found += reader.release()
    assert [key.key for key in found] == [key for key, _ in pressed]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0xFFFFFFFF), st.binary(max_size=8), st.booleans())),
)
def test_hostile_packets_are_keys_or_nothing(packets: list[tuple[int, int, bytes, bool]]) -> None:
    reader = EventReader()
    for ssrc, timestamp, payload, marker in packets:
        found = reader.take(ssrc, timestamp, payload, 0.0, marker=marker)
        assert len(found) <= 2 and all(key.key in KEYS and key.duration >= 0 for key in found)
        assert 0 <= reader.moment(timestamp, 0.0, RATE) <= 0xFFFFFFFF


@pytest.mark.parametrize("payload", [b"", b"\x01\x8a\x00", struct.pack("!BBH", 16, 0x8A, 800)])
def test_what_is_no_key_is_passed_over(payload: bytes) -> None:
    reader = EventReader()
    assert read(EventPacket(payload, 0, True), reader=reader) == [] and reader.due is None
    assert reader.moment(77, 0.0, RATE) == 77


def test_a_packet_tells_when_it_was_made() -> None:
    """Its timestamp is that of the beginning, for which it would seem to be ever later."""
    reader = EventReader()
    for number, packet in enumerate(sent("1", 500)):
        read(packet, reader=reader, now=0.02 * (number + 1))
        assert reader.moment(500, 0.02 * (number + 1), RATE) == 500 + STEP * (number + 1)
