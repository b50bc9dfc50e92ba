"""Probes are sent by who would use more, when all is well; what they show is believed as far as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from peer.rtc.probing import ANSWER, FIRST, INTERVAL, MIN_PACKETS, PEAK_TIME, WORTH, Probe, Prober

if TYPE_CHECKING:
    from peer.rtc.sentpackets import Arrived

ESTIMATE = 1_000_000


def begun(prober: Prober, now: float = 10.0, estimate: float = ESTIMATE) -> Probe:
    prober.wanted(estimate, estimate, now - FIRST, calm=True)
    probe = prober.wanted(estimate, estimate, now, calm=True)
    assert probe is not None
    return probe


def packets(
    probe: Probe, rate: float, *, came: float | None = None, lost: int = 0, start: float = 10.0
) -> list[Arrived]:
    """Its packets, at the rate at which they left; `came`: at that rate instead."""
    found = []
    while not probe.over:
        probe.sent += 1000
        probe.packets += 1
        at = (probe.packets - 1) * 8000
        found.append((start + at / rate, 500 + at / (came or rate), 1000, probe.cluster))
    return found[lost:]


def test_a_path_that_takes_it_is_tried_further_at_once() -> None:
    prober = Prober()
    probe = begun(prober)
    assert probe.rate == 2 * ESTIMATE and prober.sending
    found = packets(probe, probe.rate)
    assert not prober.sending
    assert prober.take(found, 10.2) == (pytest.approx(probe.rate, rel=0.01), False)
    further = prober.wanted(2 * ESTIMATE, 2 * ESTIMATE, 10.2, calm=True)
    assert further is not None and further.cluster != probe.cluster


def test_a_path_that_takes_less_says_how_much() -> None:
    prober = Prober()
    probe = begun(prober)
    assert prober.take(packets(probe, probe.rate, came=0.6 * probe.rate), 10.2) == (
        pytest.approx(0.57 * probe.rate),
        True,
    )
    assert prober.wanted(ESTIMATE, ESTIMATE, 10.2 + INTERVAL - 0.1, calm=True) is None
    assert prober.wanted(ESTIMATE, ESTIMATE, 10.2 + INTERVAL + 0.1, calm=True) is not None


@pytest.mark.parametrize(("calm", "estimate"), [(False, ESTIMATE), (True, 1.01 * WORTH)])
def test_no_probe_where_it_would_harm_or_help_nobody(calm: bool, estimate: float) -> None:
    prober = Prober()
    for turn in range(100):
        assert prober.wanted(estimate, 0.6 * estimate, 10 + turn / 10, calm=calm) is None


def test_who_sent_more_not_long_ago_is_likely_to_again() -> None:
    prober = Prober()
    prober.wanted(2 * WORTH, 2 * WORTH, 10.0, calm=False)
    assert prober.wanted(1.5 * WORTH, 100_000, 12.0, calm=True) is not None
    prober = Prober()
    prober.wanted(2 * WORTH, 2 * WORTH, 10.0, calm=False)
    assert prober.wanted(1.5 * WORTH, 100_000, 10.0 + PEAK_TIME, calm=True) is None


def test_it_waits_when_the_path_showed_its_limit_otherwise() -> None:
    prober = Prober()
    prober.later(10.0)
    prober.wanted(ESTIMATE, ESTIMATE, 10.0, calm=True)
    prober.later(10.0)
    assert prober.wanted(ESTIMATE, ESTIMATE, 10.0 + FIRST, calm=True) is None
    assert prober.wanted(ESTIMATE, ESTIMATE, 10.0 + INTERVAL, calm=True) is not None


def test_a_probe_that_got_lost_says_nothing() -> None:
    prober = Prober()
    probe = begun(prober)
    found = packets(probe, probe.rate, lost=3)
    after = (11.0, 501.0, 1000, 0)
    assert prober.take([*found[:-MIN_PACKETS], after], 10.2) is None and prober.probe is None


def test_it_is_not_waited_for_without_end() -> None:
    prober = Prober()
    begun(prober)
    assert prober.take([], 10.0 + ANSWER / 2) is None and prober.probe is not None
    assert prober.take([], 10.0 + ANSWER) is None and prober.probe is None


@pytest.mark.parametrize("came", [1e12, 20 * ESTIMATE])
def test_packets_that_came_as_one_or_say_so_are_not_believed(came: float) -> None:
    prober = Prober()
    probe = begun(prober)
    assert prober.take(packets(probe, probe.rate, came=came), 10.2) is None


def test_packets_that_left_as_one_show_nothing() -> None:
    prober = Prober()
    probe = begun(prober)
    assert prober.take(packets(probe, 1e9), 10.2) is None
