"""Frames become packets of one stream for good; what is lost is sent again, within bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.header import Format
from peer.rtc.outbound import AGAIN_FREE, AGAIN_GAP, HISTORY, MAX_HISTORY, OutboundRtp, ReportBlock
from peer.rtc.packet import RtpPacket

VIDEO = Format(96, 90000, 97, mid="1", mid_id=1, abs_send_time_id=3)
SOUND = Format(111, 48000, event_payload_type=126)


def stream(sent_as: Format | None = VIDEO, seed: int = 1) -> OutboundRtp:
    made = OutboundRtp(5, 6, random.Random(seed))
    if sent_as is not None:
        made.configure(sent_as)
    return made


def send(one: OutboundRtp, *payloads: bytes, timestamp: int = 0, now: float = 1.0) -> list[RtpPacket]:
    return [RtpPacket(each) for each in one.frame(payloads, timestamp, now, taken=now)]


def block(lost: int = 0, fraction: int = 0, jitter: int = 0, lsr: int = 0, dlsr: int = 0) -> ReportBlock:
    return ReportBlock(fraction, lost, jitter, lsr, dlsr)


def test_a_frame_is_packets_of_which_the_last_is_marked() -> None:
    one = stream()
    first, last = send(one, b"a", b"bc", timestamp=100)
    assert (first.marker, last.marker) == (0, 1)
    assert (first.payload, last.payload) == (b"a", b"bc")
    assert last.sequence_number == (first.sequence_number + 1) & 0xFFFF and first.timestamp == last.timestamp
    assert (first.ssrc, first.payload_type, first.extension(1)) == (5, 96, b"1")
    (after,) = send(one, b"d", timestamp=3100)
    assert (after.sequence_number - first.sequence_number) & 0xFFFF == 2
    assert (after.timestamp - first.timestamp) & 0xFFFFFFFF == 3000
    assert (one.counts.packets, one.counts.bytes, one.counts.frames) == (3, 4, 2)


@given(st.integers(0, 2**32))
def test_no_stream_begins_shortly_before_its_numbers_wrap(seed: int) -> None:
    (packet,) = send(stream(seed=seed), b"a")
    assert packet.sequence_number < 1 << 15


def test_sound_is_marked_where_it_begins_after_silence() -> None:
    """RFC 3551 section 4.1; what comes at once are packets one after the other, each with its own time."""
    one = stream(SOUND)

    def sent(timestamp: int, *payloads: bytes) -> list[tuple[int, int]]:
        found = map(RtpPacket, one.frame(payloads, timestamp, 1.0, taken=1.0, step=960))
        return [((each.timestamp - origin) & 0xFFFFFFFF, each.marker) for each in found]

    (first,) = map(RtpPacket, one.frame([b"a"], 0, 1.0, taken=1.0, step=960))
    origin = first.timestamp
    assert first.marker == 1
    assert sent(960, b"a", b"b", b"c") == [(960, 0), (1920, 0), (2880, 0)]
    assert sent(4800, b"d") == [(4800, 0)], "one packet is missing: that is no silence"
    assert sent(9600, b"e", b"f") == [(9600, 1), (10560, 0)]
    assert sent(9000, b"g") == [(9000, 1)], "another source"


def test_a_packet_of_a_key_is_one_of_the_stream() -> None:
    one = stream(SOUND)
    (sound,) = send(one, b"a", timestamp=0)
    data = one.event(b"\x01\x0a\x03\xc0", 960, 1.02, marker=True)
    assert data is not None
    key = RtpPacket(data)
    assert (key.payload_type, key.marker, key.payload) == (126, 1, b"\x01\x0a\x03\xc0")
    assert key.sequence_number == sound.sequence_number + 1 and key.ssrc == sound.ssrc
    assert (key.timestamp - sound.timestamp) & 0xFFFFFFFF == 960
    assert (one.counts.packets, one.counts.bytes, one.counts.frames) == (2, 5, 1)
    assert one.again([key.sequence_number], 1.1) == [data]
    (after,) = send(one, b"b", timestamp=1920)
    assert after.sequence_number == key.sequence_number + 1


@pytest.mark.parametrize("sent_as", [None, Format(111, 48000)])
def test_keys_are_not_sent_to_who_takes_none(sent_as: Format | None) -> None:
    assert stream(sent_as).event(b"\x01\x0a\x03\xc0", 0, 1.0, marker=True) is None


def test_a_lost_packet_goes_out_again_as_a_retransmission() -> None:
    one = stream()
    first, last = send(one, b"a", b"b", timestamp=100)
    (again,) = map(RtpPacket, one.again([first.sequence_number], 1.5))
    assert (again.ssrc, again.payload_type, again.extension(1)) == (6, 97, b"1")
    assert again.extension(3) != first.extension(3), "it tells when it was sent"
    original = again.repaired(96, 5)
    assert (original.sequence_number, original.payload) == (first.sequence_number, b"a")
    assert original.timestamp == first.timestamp
    (another,) = map(RtpPacket, one.again([last.sequence_number], 1.5))
    assert another.sequence_number == again.sequence_number + 1
    assert (one.counts.again, one.counts.bytes_again, one.counts.nacks, one.counts.packets) == (2, 2, 2, 2)


def test_without_retransmission_packets_it_goes_out_as_it_was() -> None:
    one = stream(Format(0, 8000))
    (packet,) = send(one, b"a")
    (again,) = map(RtpPacket, one.again([packet.sequence_number], 1.0))
    assert (again.ssrc, again.sequence_number, again.payload, again.payload_type) == (
        5,
        packet.sequence_number,
        b"a",
        0,
    )


def test_a_packet_is_sent_again_as_what_it_was() -> None:
    """The codec changed since."""
    one = stream()
    (packet,) = send(one, b"a")
    one.configure(Format(98, 90000, 99))
    (later,) = send(one, b"b")
    assert later.payload_type == 98
    old, new = map(RtpPacket, one.again([packet.sequence_number, later.sequence_number], 1.0))
    assert (old.payload_type, new.payload_type) == (97, 99)


def test_who_asks_once_more_too_soon_gets_nothing() -> None:
    one = stream()
    (packet,) = send(one, b"a")
    number = packet.sequence_number
    assert len(one.again([number], 1.0)) == 1
    assert one.again([number], 1.0 + AGAIN_GAP / 2) == []
    assert len(one.again([number], 1.0 + AGAIN_GAP)) == 1
    one.counts.round_trip_time = 0.2
    assert one.again([number], 1.15) == []
    assert len(one.again([number], 1.25)) == 1


@pytest.mark.parametrize("number", [0, 65535, 70000, -1])
def test_what_was_not_sent_is_not_sent_again(number: int) -> None:
    assert stream().again([number], 1.0) == []
    assert stream(None).again([number], 1.0) == []


def test_history_is_bounded_in_time_and_number() -> None:
    one = stream()
    (old,) = send(one, b"old", now=1.0)
    (young,) = send(one, b"young", now=1.5)
    assert one.again([old.sequence_number], 1.0 + HISTORY + 0.1) == []
    assert len(one.again([young.sequence_number], 1.0 + HISTORY + 0.1)) == 1
    many = send(one, *[b"x"] * (MAX_HISTORY + 1), now=2.0)
    assert one.again([many[0].sequence_number, young.sequence_number], 2.0) == []
    assert len(one.again([many[1].sequence_number], 2.0)) == 1


@given(
    asked=st.lists(st.tuples(st.floats(0, 0.2), st.lists(st.integers(0, 300), max_size=60)), max_size=40),
    sizes=st.lists(st.integers(1, 1200), min_size=300, max_size=300),
)
def test_no_more_goes_out_again_than_went_out(asked: list[tuple[float, list[int]]], sizes: list[int]) -> None:
    one, now = stream(), 10.0
    sent = sum(sizes)
    numbers = [packet.sequence_number for packet in send(one, *[bytes(size) for size in sizes], now=now)]
    for after, wanted in asked:
        now += after
        one.again([numbers[index % 300] for index in wanted], now)
        assert one.counts.bytes_again <= max(sent, AGAIN_FREE) + AGAIN_FREE * int(now - 10.0)


def test_a_little_may_always_be_sent_again() -> None:
    one = stream()
    numbers = [packet.sequence_number for packet in send(one, *[bytes(1000)] * 5)]
    for turn in range(20):
        one.again(numbers, 1.0 + turn * 1.01 * AGAIN_GAP)
    assert one.counts.bytes_again == AGAIN_FREE


def test_a_narrow_path_gets_less_again() -> None:
    one = stream()
    numbers = [packet.sequence_number for packet in send(one, *[bytes(1000)] * 100)]
    one.again_limit = 12_000
    assert len(one.again(numbers, 1.1)) == 12
    assert one.again(numbers[50:], 1.5) == []
    assert len(one.again(numbers, 2.2)) == 12
    one.again_limit = 10**9
    assert len(one.again(numbers, 3.0)) == 38, "as much as is allowed without a limit"


def test_what_the_newest_picture_does_without_may_be_left_out() -> None:
    one = stream()
    (old,) = send(one, b"old", now=1.0)
    (key,) = map(RtpPacket, one.frame([b"key"], 0, 1.1, taken=1.1, keyframe=True))
    (new,) = send(one, b"new", now=1.2)
    numbers = [packet.sequence_number for packet in (old, key, new)]
    one.sparing = True
    assert [RtpPacket(each).payload[2:] for each in one.again(numbers, 1.3)] == [b"key", b"new"]
    one.sparing = False
    assert [RtpPacket(each).payload[2:] for each in one.again(numbers, 1.4)] == [b"old", b"key", b"new"]


def test_a_probe_is_made_of_the_newest_packets() -> None:
    one = stream()
    send(one, *[bytes([number]) * 500 for number in range(20)])
    found = [RtpPacket(each) for each in one.probe(6000, 1.1)]
    assert 11 <= len(found) <= 12 and {(each.ssrc, each.payload_type) for each in found} == {(6, 97)}
    assert {each.payload[2] for each in found} == set(range(12, 20))
    assert len({each.sequence_number for each in found}) == len(found)
    assert (one.counts.probes, one.counts.bytes_probes, one.counts.again) == (len(found), 500 * len(found), 0)


def test_there_is_no_probe_without_retransmissions_or_packets() -> None:
    assert stream().probe(1000, 1.0) == []
    one = stream(Format(0, 8000))
    send(one, b"a")
    assert one.probe(1000, 1.0) == one.probe(0, 1.0) == []


def test_a_sender_report_tells_the_time_of_the_stream() -> None:
    one = stream()
    assert one.report(1.0, 1000.0) is None
    assert stream(None).report(1.0, 1000.0) is None
    (packet,) = send(one, b"abc", timestamp=500, now=1.0)
    said = one.report(1.5, 1000.0)
    assert said is not None
    assert (said.timestamp - packet.timestamp) & 0xFFFFFFFF == 45000
    assert (said.ntp >> 32, said.packets, said.bytes) == (1000 + 2_208_988_800, 1, 3)


def test_what_the_other_side_reports_is_counted() -> None:
    one = stream()
    send(one, b"a")
    said = one.report(2.0, 1000.0)
    assert said is not None
    lsr = said.ntp >> 16 & 0xFFFFFFFF
    one.reported(block(lost=-2, fraction=64, jitter=900, lsr=lsr, dlsr=6554), 2.3)
    counts = one.counts
    assert (counts.lost, counts.fraction_lost, counts.jitter, counts.reported) == (-2, 0.25, 0.01, True)
    assert counts.round_trip_time == pytest.approx(0.2, abs=1e-4)


def test_a_report_about_nothing_harms_nobody() -> None:
    one = stream(None)
    one.reported(block(lsr=1, dlsr=1), 1.0)
    assert one.counts.round_trip_time is None
