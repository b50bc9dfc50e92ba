"""What `--fail-if` says: names, percentiles, units; what it refuses, and what that names."""

from __future__ import annotations

import pytest

from peer.errors import UsageError
from peer.swarm.conditions import UNITS, Condition, parse_condition, shown, unit_of, value_of
from peer.swarm.metrics import BY_NAME, COUNTS


@pytest.mark.parametrize(
    ("text", "metric", "statistic", "comparison", "limit"),
    [
        ("join_p95>2s", "join", "p95", ">", 2.0),
        ("join_p95 > 200ms", "join", "p95", ">", 0.2),
        ("freeze_ratio>1%", "freeze_ratio", "mean", ">", 0.01),
        ("freeze_ratio_p99>=0.5", "freeze_ratio", "p99", ">=", 0.5),
        ("first_frame_max>1.5s", "first_frame", "max", ">", 1.5),
        ("bitrate_in_p50<300kbit/s", "bitrate_in", "p50", "<", 300_000.0),
        ("bitrate_out<=1Mbit/s", "bitrate_out", "mean", "<=", 1_000_000.0),
        ("fps_p50<24/s", "fps", "p50", "<", 24.0),
        ("failed>0", "failed", "mean", ">", 0.0),
        ("failed_ratio>5%", "failed_ratio", "mean", ">", 0.05),
        ("lag_p99>20ms", "lag", "p99", ">", 0.02),
        (" saturated > 0 ", "saturated", "mean", ">", 0.0),
    ],
)
def test_what_can_be_said(text: str, metric: str, statistic: str, comparison: str, limit: float) -> None:
    found = parse_condition(text)
    assert found == Condition(text.strip(), metric, statistic, comparison, pytest.approx(limit))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("join_p95", "cannot be read"),
        ("join_p95>-1s", "cannot be read"),
        ("join_p95==2s", "cannot be read"),
        ("join_p95>2s and failed>0", "cannot be read"),
        ("mood_p95>2s", "mood is not measured; there are join, connect, .*saturated"),
        ("join_p90>2s", "cannot be read"),
        ("failed_p95>2", "failed is one number and has no p95; write failed>"),
        ("join_p95>2", "join is a time; write 2s or 2ms"),
        ("join_p95>2%", "join is a time; write 2s or 2ms"),
        ("loss>1s", "loss is a share; write 1% or 1"),
        ("bitrate_in<300", "bitrate_in is a bit rate; write 300bit/s or 300kbit/s or 300Mbit/s"),
        ("failed>1%", "failed is a number; write 1$"),
    ],
)
def test_what_cannot(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_condition(text)


def test_every_metric_has_a_unit_that_can_be_written() -> None:
    for name in [*BY_NAME, *COUNTS]:
        unit = unit_of(name)
        assert unit is not None
        for suffix in UNITS[unit]:
            assert parse_condition(f"{name}>1{suffix}").metric == name


def test_it_is_held_against_what_was_measured() -> None:
    over, under = parse_condition("join_p95>2s"), parse_condition("fps_p50<24")
    assert over.holds(2.1) and not over.holds(2.0)
    assert under.holds(23.9) and not under.holds(24.0)
    assert parse_condition("join>=2s").holds(2.0) and parse_condition("fps<=24").holds(24.0)


def test_what_was_not_measured_is_not_well() -> None:
    assert parse_condition("latency_p95>1s").holds(None)


def test_the_value_is_of_a_percentile_or_of_a_count() -> None:
    summaries = {"join": {"p95": 1.5, "mean": 1.0}}
    assert value_of(parse_condition("join_p95>2s"), summaries, {}) == 1.5
    assert value_of(parse_condition("join>2s"), summaries, {}) == 1.0
    assert value_of(parse_condition("failed>0"), summaries, {"failed": 3.0}) == 3.0
    assert value_of(parse_condition("loss>1%"), summaries, {}) is None


def test_values_for_people() -> None:
    assert [shown(value, "seconds") for value in (None, 0.0004, 0.25, 1.5)] == ["-", "0.4 ms", "250 ms", "1.50 s"]
    assert shown(0.0123, "ratio") == "1.23 %"
    assert [shown(value, "bits per second") for value in (300_000, 2_500_000)] == ["300 kbit/s", "2.50 Mbit/s"]
    assert [shown(29.97, "per second"), shown(3, "number"), shown(0.5, "number")] == ["30.0/s", "3", "0.50"]
