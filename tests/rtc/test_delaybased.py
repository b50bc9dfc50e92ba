"""What arrives, and how late, makes an estimate: of a path that is overused, in doubt, or used by little."""

from __future__ import annotations

import pytest

from peer.rtc.delaybased import HEADROOM, MAX_BITRATE, MIN_BITRATE, QUEUE, DelayBased
from peer.rtc.probing import Shown


class Path:
    """Packets of 1000 bytes, evenly, and reports of them."""

    def __init__(self, estimate: float = 1_000_000) -> None:
        self.now = 100.0
        self.queue = 0.0
        self.control = DelayBased(estimate)

    def run(
        self, seconds: float, rate: float, takes: float = 1e9, *, probing: bool = False, sending: float = 0.0
    ) -> None:
        """Send at `rate`; the path takes `takes`. Bits per second."""
        until = self.now + seconds
        while self.now < until:
            found = []
            for _ in range(max(1, round(rate / 8000 * 0.05))):
                self.now += 8000 / rate
                self.queue = max(0.0, self.queue + 8000 / takes - 8000 / rate)
                found.append((self.now, self.now + 7 + self.queue, 1000, 0))
            self.control.take(found)
            self.control.update(sending or rate, 0.1, self.now, probing=probing)


def test_it_rises_with_what_arrives_and_not_beyond() -> None:
    path = Path()
    path.run(20, 1_000_000)
    assert path.control.estimate == pytest.approx(HEADROOM * 1_000_000, rel=0.05)
    path.run(120, 1_000_000)
    assert path.control.estimate == pytest.approx(HEADROOM * 1_000_000, rel=0.05)


def test_who_sends_little_neither_rises_nor_falls() -> None:
    path = Path(3_000_000)
    path.run(60, 200_000)
    assert path.control.estimate == 3_000_000


def test_it_falls_to_what_a_narrow_path_takes_and_below_while_it_empties() -> None:
    path = Path(1_000_000)
    path.run(2, 1_000_000, 2_000_000)
    path.run(0.5, 1_000_000, 400_000)
    assert 300_000 <= path.control.estimate <= 450_000
    path.run(0.3, 1_000_000, 400_000)
    assert path.control.target < 0.8 * path.control.estimate
    path.run(5, 100_000, 400_000)
    assert path.control.target == path.control.estimate


def test_a_sudden_queue_is_noticed_before_a_trend_is() -> None:
    path = Path(2_000_000)
    path.run(2, 2_000_000)
    path.run(0.15, 2_000_000, 500_000)
    assert path.control.usage == "over" and path.control.estimate < 600_000


def test_what_is_held_up_once_is_no_queue() -> None:
    """A radio link that stops for a moment: what waited comes as one."""
    path = Path(1_000_000)
    path.run(3, 1_000_000)
    before = path.control.estimate
    held = [(path.now + n / 125, path.now + 7.2 + n / 1000, 1000, 0) for n in range(1, 26)]
    path.control.take(held)
    path.control.update(1_000_000, 0.1, path.now + 0.2)
    assert path.control.estimate >= before


def test_the_queue_of_a_probe_is_forgiven() -> None:
    path = Path(1_000_000)
    path.run(2, 1_000_000)
    path.run(0.05, 2_000_000, 1_000_000, probing=True, sending=1_000_000)
    assert QUEUE / 2 < path.queue < QUEUE and path.control.estimate >= 1_000_000


def test_a_probe_counts_at_once_and_only_upwards() -> None:
    path = Path(1_000_000)
    path.control.probed(Shown(900_000, limited=False))
    assert path.control.estimate == 1_000_000
    path.control.probed(Shown(2_000_000, limited=True))
    assert path.control.estimate == 2_000_000
    path.control.probed(Shown(1e12, limited=False))
    assert path.control.estimate == MAX_BITRATE


def test_a_probe_that_meets_the_limit_that_is_known_leads_to_it_at_most() -> None:
    path = Path(1_000_000)
    path.run(2, 1_000_000)
    path.run(1, 1_200_000, 1_000_000)
    path.control.probed(Shown(1_100_000, limited=True))
    assert path.control.estimate < 950_000
    path.control.probed(Shown(1_100_000, limited=False))
    assert path.control.estimate == 1_100_000
    path.control.probed(Shown(2_000_000, limited=True))
    assert path.control.estimate == 2_000_000


def test_it_never_falls_to_nothing() -> None:
    path = Path()
    path.run(10, 300_000, 10_000)
    assert path.control.estimate == MIN_BITRATE


def test_it_does_not_rise_while_packets_get_lost() -> None:
    control = DelayBased(1_000_000)
    for turn in range(100):
        now = 10 + turn / 100
        control.take([(now, now + 5, 5000, 0)])
        control.update(4_000_000, 0.1, now, hold=True)
    assert control.estimate == 1_000_000


def test_near_the_limit_it_rises_slowly() -> None:
    path = Path(1_000_000)
    path.run(2, 1_000_000)
    path.run(1, 1_200_000, 1_000_000)
    low = path.control.estimate
    assert low < 1_000_000
    path.run(4, low, 1_000_000)
    risen = path.control.estimate - low
    assert 20_000 < risen < 250_000


@pytest.mark.parametrize("times", [[5.0] * 50, [5.0, -9e9, 9e9, 0.0], [9e9], [5.0 - n for n in range(50)]])
def test_times_that_are_made_up_break_nothing(times: list[float]) -> None:
    control = DelayBased(1_000_000)
    for turn, at in enumerate(times):
        now = 1.0 + turn / 20
        control.take([(now, at, 1200, 0)])
        control.update(1_000_000, 0.1, now)
        rate = control.acknowledged.rate()
        assert rate is None or 0 <= rate < 10_000_000
    assert MIN_BITRATE <= control.estimate <= MAX_BITRATE and MIN_BITRATE / 2 <= control.target <= MAX_BITRATE
