"""Transport-wide feedback, read again by the draft's rules: every arrival is told once, with its time."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.transportwide import MAX_KEPT, MAX_PACKETS, Arrivals

TICK = 250e-6


@dataclass
class Told:
    """One packet of feedback."""

    ssrc: int
    media_ssrc: int
    base: int
    count: int
    arrivals: dict[int, float]
    """By 16-bit sequence number; times modulo 2**24 * 64 ms."""
    missing: list[int]


def read(data: bytes) -> Told:
    """Section 3.1 of the draft."""
    first, kind, words, ssrc, media_ssrc, base, status_count, reference = struct.unpack_from("!BBHIIHHI", data)
    assert (first & 0xDF, kind, len(data)) == (0x8F, 205, 4 * words + 4)
    end = len(data) - (data[-1] if first & 0x20 else 0)
    at, symbols = 20, []
    while len(symbols) < status_count:
        (chunk,) = struct.unpack_from("!H", data, at)
        at += 2
        if chunk >> 15 == 0:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk >> 14 & 1:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    ticks = (reference >> 8) * 256
    arrivals, missing = {}, []
    for number, symbol in enumerate(symbols[:status_count], base):
        if symbol == 0:
            missing.append(number & 0xFFFF)
            continue
        (delta,) = struct.unpack_from("!B" if symbol == 1 else "!h", data, at)
        at += symbol
        ticks += delta
        arrivals[number & 0xFFFF] = ticks * TICK
    assert at == end
    return Told(ssrc, media_ssrc, base, reference & 0xFF, arrivals, missing)


def fed(*packets: tuple[int, float]) -> Arrivals:
    made = Arrivals()
    for number, at in packets:
        made.add(number, at)
    return made


def told(made: Arrivals, now: float = 100.0) -> list[Told]:
    return [read(packet) for packet in made.take(7, 8, now)]


def test_bytes_as_the_draft_has_them() -> None:
    made = fed((10, 0.064), (11, 0.065), (13, 0.2))
    (data,) = made.take(7, 8, 1.0)
    assert data == bytes.fromhex(
        "afcd0006 00000007 00000008"
        "000a0004 00000100"  # four from 10 on, since 64 ms
        "d480 00 04 021c"  # small, small, missing, large: 0, 1 and 135 ms later
        "0002"
    )


def test_what_came_and_what_did_not() -> None:
    made = fed((65534, 1.0), (65535, 1.010), (1, 1.020))
    (one,) = told(made)
    assert (one.ssrc, one.media_ssrc, one.base, one.count) == (7, 8, 65534, 0)
    assert one.missing == [0]
    assert one.arrivals == pytest.approx({65534: 1.0, 65535: 1.010, 1: 1.020}, abs=TICK)
    assert told(made) == [], "each once"
    made.add(3, 1.030)
    (two,) = told(made)
    assert (two.base, two.count, two.missing, list(two.arrivals)) == (2, 1, [2], [3])


def test_one_that_comes_late_is_told_with_those_after_it() -> None:
    made = fed((1, 1.0), (3, 1.01))
    assert told(made, 1.02)[0].missing == [2]
    made.add(2, 1.03)
    (again,) = told(made, 1.04)
    assert again.missing == [] and again.arrivals == pytest.approx({2: 1.03, 3: 1.01}, abs=TICK)


def test_a_repeated_packet_counts_once() -> None:
    made = fed((1, 1.0), (1, 1.5))
    assert told(made)[0].arrivals == pytest.approx({1: 1.0}, abs=TICK)


def test_a_long_pause_begins_another_packet() -> None:
    made = fed((1, 1.0), (2, 30.0))
    one, two = told(made)
    assert (list(one.arrivals), list(two.arrivals)) == ([1], [2])
    assert two.arrivals[2] == pytest.approx(30.0, abs=TICK)


def test_a_jump_of_the_numbers_begins_anew() -> None:
    made = fed((1, 1.0), (30000, 1.1))
    (one,) = told(made)
    assert (list(one.arrivals), one.missing) == ([30000], [])


def test_a_flood_is_bounded() -> None:
    made = Arrivals()
    for number in range(3 * MAX_KEPT):
        made.add(number & 0xFFFF, number * 1e-5)
    packets = made.take(7, 8, 1.0)
    assert len(packets) <= 3 * MAX_KEPT / MAX_PACKETS + 1
    assert max(map(len, packets)) < 1200
    assert len(vars(made)["_arrived"]) <= MAX_KEPT
    made.add(3 * MAX_KEPT & 0xFFFF, 10.0)
    made.take(7, 8, 10.0)
    assert len(vars(made)["_arrived"]) == 1


@given(
    start=st.integers(0, 0xFFFF),
    steps=st.lists(st.tuples(st.integers(1, 30), st.floats(0, 3), st.booleans()), min_size=1, max_size=60),
)
def test_everything_is_told_once_and_at_its_time(start: int, steps: list[tuple[int, float, bool]]) -> None:
    made, number, now = Arrivals(), start, 50.0
    expected: dict[int, float] = {}
    found: dict[int, float] = {}
    for ahead, pause, take in steps:
        number, now = number + ahead, now + pause
        made.add(number & 0xFFFF, now)
        expected[number & 0xFFFF] = now
        if take:
            for each in told(made, now):
                assert not each.arrivals.keys() & found.keys()
                found |= each.arrivals
    for each in told(made, now):
        found |= each.arrivals
    assert found == pytest.approx(expected, abs=TICK)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.floats(-1, 10)), max_size=200))
def test_whatever_numbers_come_it_can_be_read(packets: list[tuple[int, float]]) -> None:
    made, now = Arrivals(), 100.0
    for position, (number, pause) in enumerate(packets):
        now += max(pause, 0)
        made.add(number, now)
        if position % 7 == 0:
            told(made, now)
    told(made, now)
    assert told(made, now) == []
