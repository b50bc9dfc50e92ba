"""The bad network is as bad as it says, and the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.network import Conditions, deliver

PACKETS = [(number * 0.02, number) for number in range(10_000)]


def test_a_good_network_changes_nothing() -> None:
    assert [(arrival.time, arrival.packet) for arrival in deliver(PACKETS, Conditions())] == PACKETS


@given(st.integers(), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 0.1))
def test_the_same_seed_is_the_same_network(seed: int, loss: float, duplicate: float, jitter: float) -> None:
    conditions = Conditions(seed=seed, loss=loss, duplicate=duplicate, jitter=jitter)
    assert deliver(PACKETS[:200], conditions) == deliver(PACKETS[:200], conditions)


@pytest.mark.parametrize("burst", [1.0, 5.0])
@pytest.mark.parametrize("loss", [0.01, 0.1, 0.3])
def test_as_much_is_lost_as_asked_for(loss: float, burst: float) -> None:
    arrived = {arrival.packet for arrival in deliver(PACKETS, Conditions(loss=loss, burst=burst))}
    assert 1 - len(arrived) / len(PACKETS) == pytest.approx(loss, rel=0.35)


def test_losses_come_in_bursts_of_the_length_asked_for() -> None:
    arrived = {arrival.packet for arrival in deliver(PACKETS, Conditions(loss=0.2, burst=4))}
    lost = [number not in arrived for _, number in PACKETS]
    bursts = sum(here and not before for here, before in zip(lost, [False, *lost], strict=False))
    assert sum(lost) / bursts == pytest.approx(4, rel=0.2)


def test_everything_can_be_lost() -> None:
    assert deliver(PACKETS, Conditions(loss=1)) == []


def test_packets_arrive_within_delay_and_jitter() -> None:
    arrivals = deliver(PACKETS, Conditions(delay=0.05, jitter=0.1))
    for arrival in arrivals:
        assert 0.05 <= arrival.time - arrival.packet * 0.02 <= 0.15 + 1e-9
    assert [arrival.time for arrival in arrivals] == sorted(arrival.time for arrival in arrivals)


def test_jitter_beyond_the_packets_distance_reorders_and_less_does_not() -> None:
    def order(jitter: float) -> list[int]:
        return [arrival.packet for arrival in deliver(PACKETS, Conditions(jitter=jitter))]

    assert order(0.019) == sorted(order(0.019))
    assert order(0.1) != sorted(order(0.1))


def test_duplicates_are_the_same_packet_again() -> None:
    packets = [arrival.packet for arrival in deliver(PACKETS, Conditions(duplicate=0.1))]
    assert len(packets) == pytest.approx(11_000, rel=0.05)
    assert sorted(set(packets)) == [number for _, number in PACKETS]


@pytest.mark.parametrize("wrong", [{"loss": 1.1}, {"duplicate": -0.1}, {"burst": 0.5}, {"delay": -1.0}])
def test_impossible_conditions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="probability|at least"):
        Conditions(**wrong)  # type: ignore[arg-type]
