"""What `transportwide` writes is read back; whatever else comes raises ValueError, and is bounded."""

from __future__ import annotations

import contextlib
import struct

import pytest
from aiortc.rtp import RtcpPsfbPacket, RtcpRrPacket
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.arrivalreport import MAX_TOLD, TICK, read_report, without_reports
from peer.rtc.transportwide import Arrivals

OTHERS = bytes(RtcpRrPacket(ssrc=1, reports=[])), bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=2))


def written(*packets: tuple[int, float]) -> list[bytes]:
    made = Arrivals()
    for number, at in packets:
        made.add(number, at)
    return made.take(1, 2, 1000.0)


def report(count: int, body: bytes, base: int = 0) -> bytes:
    body = struct.pack("!HHI", base, count, 0) + body
    body += bytes(-len(body) % 4)
    return struct.pack("!BBHII", 0x8F, 205, 2 + len(body) // 4, 1, 2) + body


@given(
    first=st.integers(0, 65535),
    steps=st.lists(st.tuples(st.integers(1, 300), st.floats(-0.05, 9.0)), min_size=1, max_size=300),
)
def test_what_is_written_is_read_back(first: int, steps: list[tuple[int, float]]) -> None:
    number, at = first, 500.0
    sent: dict[int, float] = {}
    for ahead, later in steps:
        number, at = number + ahead, max(at + later, 500.0)
        sent[number & 0xFFFF] = at
    told: dict[int, float] = {}
    for data in written(*sent.items()):
        found = read_report(data)
        assert len(found.arrivals) <= MAX_TOLD
        for index, ticks in enumerate(found.arrivals):
            if ticks is not None:
                told[found.base + index & 0xFFFF] = (found.reference * 256 + ticks) * TICK
    kept = dict(list(sent.items())[-len(told) :])  # of numbers that came round again, the last ones
    assert told == pytest.approx(kept, abs=TICK)


def test_symbols_of_one_bit_are_read_too() -> None:
    found = read_report(report(3, struct.pack("!H", 0x8000 | 0b101 << 11) + bytes([4, 8])))
    assert found.arrivals == [4, None, 12]


def test_times_may_run_backwards() -> None:
    body = struct.pack("!HBh", 0xC000 | 1 << 12 | 2 << 10, 4, -8)
    assert read_report(report(2, body)).arrivals == [4, -4]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off"),
        (written((1, 1.0))[0][:-4], "no transport-wide"),
        (b"\x8f\xce" + written((1, 1.0))[0][2:], "no transport-wide"),
        (report(0, b""), "0 packets"),
        (report(MAX_TOLD + 1, struct.pack("!HH", 0x1FFF, 0x1FFF)), "packets"),
        (report(20, struct.pack("!HH", 0xC000, 0xC000)), "symbols"),
        (report(9, struct.pack("!HH", 0, 0)), "run of no"),
        (report(2, struct.pack("!HH", 3 << 13 | 2, 0)), "times"),
        (report(6, struct.pack("!H", 2 << 13 | 6) + bytes(2)), "times"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_report(data)


@given(st.binary(max_size=80), st.integers(0, 65535), st.booleans(), st.integers(0, 255))
def test_hostile_bytes_raise_nothing_else(body: bytes, count: int, padded: bool, padding: int) -> None:
    data = bytearray(report(count, body))
    if padded:
        data[0] |= 0x20
        data[-1] = padding
    for hostile in (bytes(data), body):
        with contextlib.suppress(ValueError):
            assert len(read_report(hostile).arrivals) == count
        reports, rest = without_reports(hostile)
        assert len(rest) + sum(map(len, reports)) == len(hostile)


def test_a_compound_packet_is_taken_apart() -> None:
    (one,) = written((7, 1.0))
    assert without_reports(OTHERS[0] + one + OTHERS[1] + one) == ([one, one], OTHERS[0] + OTHERS[1])
    assert without_reports(OTHERS[0]) == ([], OTHERS[0])
    cut_off = OTHERS[0] + one[:-1]
    assert without_reports(cut_off) == ([], cut_off), "so that it is refused as a whole"
