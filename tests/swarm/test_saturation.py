"""When the swarm itself was too much for its machine, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from peer.swarm.collected import OfProcess
from peer.swarm.histogram import Histogram
from peer.swarm.saturation import MachineFigures, ramp_reasons, reasons, verdict

WELL = MachineFigures(2, 0.5, 0)


def process(**changes: Any) -> OfProcess:
    fields: dict[str, Any] = {"lags": Histogram([0.001] * 100), "cpu": 5.0, "seconds": 10.0, "encoded": 100}
    return OfProcess(0, **fields | changes)


def test_all_is_well() -> None:
    assert reasons([process()], WELL) == [] and ramp_reasons([process()]) == [] and verdict([], []) == ""
    assert reasons([OfProcess(0)], MachineFigures(2)) == [], "nothing is known"


@pytest.mark.parametrize(
    ("changes", "machine", "words"),
    [
        ({"lags": Histogram([0.001] * 90 + [0.05] * 10)}, WELL, "process 1 was late by 50 ms"),
        ({"cpu": 9.0}, WELL, "process 1 used 90% of a core"),
        ({}, MachineFigures(2, 0.97, 0), "2 cores were 97% busy, 0.5 of them with the swarm"),
        ({}, MachineFigures(2, 0.5, 7), "7 datagrams were thrown away"),
        ({"dropped": 5}, WELL, "no time for 5.0% of the pictures"),
    ],
)
def test_each_reason_is_told(changes: dict[str, Any], machine: MachineFigures, words: str) -> None:
    (reason,) = reasons([process(**changes)], machine)
    assert words in reason
    assert verdict([reason], []).startswith("the swarm itself was saturated (") and "not the server" in verdict(
        [reason], []
    )


def test_of_many_processes_a_few_are_named() -> None:
    late = [process(lags=Histogram([0.05])) for _ in range(20)]
    assert len(reasons(late, WELL)) == 4


def test_a_ramp_that_is_too_steep_spoils_only_the_times_of_joining() -> None:
    steep = ramp_reasons([process(ramp_lags=Histogram([0.3]))])
    assert len(steep) == 1 and "300 ms" in steep[0]
    assert "--ramp" in verdict([], steep) and "while bots began" in verdict([], steep)
