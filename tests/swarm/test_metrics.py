"""What of a bot is which metric, and how all bots are summed up."""

from __future__ import annotations

import pytest

from peer.swarm.figures import Figures
from peer.swarm.histogram import Histogram
from peer.swarm.metrics import BY_NAME, METRICS, spread, summary
from tests.swarm.samples import bot


def test_of_a_bot_that_is_well() -> None:
    values = {metric.name: metric.of(bot()) for metric in METRICS}
    assert values == {
        **{"join": 0.01, "connect": 0.05, "first_frame": 0.1, "loss": 0.01, "repaired": 0.005, "jitter": 0.002},
        **{"rtt": 0.001, "freezes": 0.0, "freeze_ratio": 0.0, "latency": 0.05, "fps": 30.0},
        **{"bitrate_in": 800_000.0, "bitrate_out": 400_000.0},
    }


def test_of_a_bot_that_never_began_nothing_is_known() -> None:
    assert {metric.of(Figures(number=0)) for metric in METRICS} == {None}


def test_of_ratios_the_mean_is_of_everything_together() -> None:
    short, long = bot(watched=1.0, frozen=1.0), bot(watched=99.0, frozen=0.0)
    found = summary(BY_NAME["freeze_ratio"], [short, long], Histogram())
    assert found.mean == pytest.approx(0.01) and found.max == 1.0 and found.count == 2
    lossy = bot(packets=0, lost=0), bot(packets=900, lost=100)
    assert summary(BY_NAME["loss"], lossy, Histogram()).mean == pytest.approx(0.1)


def test_pictures_cannot_stand_for_longer_than_there_were_any() -> None:
    assert BY_NAME["freeze_ratio"].of(bot(watched=1.0, frozen=9.0)) == 1.0


def test_bots_that_were_not_measured_do_not_count() -> None:
    found = summary(BY_NAME["join"], [bot(join=1.0), bot(join=3.0), Figures(number=2)], Histogram())
    assert (found.count, found.mean, found.p50, found.max) == (2, 2.0, 1.0, 3.0)
    nothing = summary(BY_NAME["join"], [], Histogram())
    assert (nothing.count, nothing.mean, nothing.p99, nothing.max) == (0, None, None, None)


def test_the_latency_is_of_all_pictures() -> None:
    found = summary(BY_NAME["latency"], [bot(latency=9.0)], Histogram([0.1, 0.2, 0.3]))
    assert (found.count, found.max) == (3, 0.3) and found.mean == pytest.approx(0.2)
    assert spread(Histogram()).max is None
