"""Every packet is told of once, with the times of both sides; what was never sent is not believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.arrivalreport import TICK, ArrivalReport, read_report
from peer.rtc.sentpackets import MAX_KEPT, SentPackets
from peer.rtc.transportwide import Arrivals


def sent(count: int, now: float = 1.0, size: int = 100) -> SentPackets:
    made = SentPackets()
    for number in range(count):
        assert made.add([size], now + number / 1000) == number & 0xFFFF
    return made


def test_what_arrived_and_what_did_not() -> None:
    made = sent(4)
    found, lost = made.take(ArrivalReport(0, 10, [0, None, 8]))
    assert found == [(1.0, 0.64, 100, 0), (1.002, 0.64 + 8 * TICK, 100, 0)]
    assert (lost, len(made), made.times) == (1, 1, (1.003, 1.003))
    assert made.take(ArrivalReport(0, 10, [0, 4, 8])) == ([], 0), "each counts once"


def test_a_probe_is_known_by_its_packets() -> None:
    made = SentPackets()
    made.add([100], 1.0, 3)
    assert made.take(ArrivalReport(0, 0, [0]))[0][0][3] == 3


def test_what_a_lost_report_told_of_counts_with_what_follows() -> None:
    made = sent(5)
    found, lost = made.take(ArrivalReport(2, 0, [0, 4]))
    assert [size for _, _, size, _ in found] == [300, 100] and lost == 0
    assert len(made) == 1
    assert made.take(ArrivalReport(0, 0, [0, 4])) == ([], 0)


def test_what_was_never_sent_is_passed_over() -> None:
    made = sent(3)
    assert made.take(ArrivalReport(3, 0, [0] * 10)) == ([], 0)
    assert SentPackets().take(ArrivalReport(65535, 0, [0, None])) == ([], 0)


def test_numbers_and_times_wrap() -> None:
    made = sent(70_000)
    report = ArrivalReport(69_990 & 0xFFFF, 0xFFFFFF, [0] * 10)
    first, _ = made.take(report)
    assert len(first) == 10 and made.add([1], 2.0) == 70_000 & 0xFFFF
    second, _ = made.take(ArrivalReport(70_000 & 0xFFFF, 0, [0]))
    assert round(second[0][1] - first[-1][1], 6) == 0.064


def test_what_is_remembered_is_bounded() -> None:
    made = sent(MAX_KEPT + 10)
    assert len(made) == MAX_KEPT
    assert made.times == (1.01, 1.0 + (MAX_KEPT + 9) / 1000)
    assert SentPackets().times is None


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 2**24 - 1), st.lists(st.none() | st.integers(0, 9)))))
def test_hostile_reports_break_nothing(reports: list[tuple[int, int, list[int | None]]]) -> None:
    made = sent(200)
    seen = 0
    for base, reference, arrivals in reports:
        found, lost = made.take(ArrivalReport(base, reference, arrivals))
        seen += len(found) + lost
        assert 0 <= len(made) <= 200 - seen


def test_what_our_own_receiver_tells_is_understood() -> None:
    made, there = SentPackets(), Arrivals()
    for turn in range(100):
        number = made.add([100], turn / 100)
        if turn % 10:
            there.add(number, 5000 + turn / 100)
    found, lost = [], 0
    for data in there.take(1, 2, 5001.0):
        some, missing = made.take(read_report(data))
        found += some
        lost += missing
    assert (len(found), lost) == (90, 9), "of what comes before the first that came, nothing is told"
    delays = [at - left for left, at, _, _ in found]
    assert max(delays) - min(delays) < 2 * TICK
