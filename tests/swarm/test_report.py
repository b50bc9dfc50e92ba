"""The report: what it says, that it is as documented, and which conditions fail."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from peer.swarm.metrics import COUNTS, METRICS
from peer.swarm.plan import Plan
from peer.swarm.report import decode, encode, made, schema
from peer.swarm.saturation import MachineFigures
from tests.swarm.samples import URL, bot, collected, report

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "swarm.md").read_text()


def test_the_schema_in_the_documents_is_the_code_s() -> None:
    assert json.loads((DOCS / "swarm-report.schema.json").read_text()) == schema()


def test_every_field_and_every_metric_is_described() -> None:
    described = TEXT.partition("## The report")[2]
    for name, definition in schema()["$defs"].items():
        for field in definition["properties"]:
            assert f"`{field}`" in described, (name, field)
    for name in [*(metric.name for metric in METRICS), *COUNTS]:
        assert f"`{name}`" in TEXT, name


def test_it_survives_its_file() -> None:
    found = report("join_p95>2s", bots=[bot(0), bot(1, state="failed", error="room full")])
    assert decode(encode(found)) == found
    told = json.loads(encode(found))
    assert set(told) == set(schema()["$defs"]["SwarmReport"]["properties"])
    with pytest.raises(msgspec.ValidationError):
        decode(json.dumps(told | {"version": 2}).encode())


def test_what_it_says_of_a_swarm_that_is_well() -> None:
    found = report()
    assert (found.exit_code, found.error, found.troubles) == (0, None, ())
    assert (found.totals.begun, found.totals.joined, found.totals.connected, found.totals.failed) == (4, 4, 4, 0)
    assert [each.name for each in found.bots] == ["bot-001", "bot-002", "bot-003", "bot-004"]
    assert found.bots[0].loss == 0.01 and found.metrics["loss"].mean == 0.01
    assert found.metrics["latency"].count == 2 and found.metrics["lag"].p99 == pytest.approx(0.002, abs=0.0011)
    assert found.started == "1970-01-01T00:00:00.000Z" and len(found.course) == 1


def test_conditions() -> None:
    found = report("join_p95>2s", "loss>0.5%", "failed>0", "lag_p99>1s")
    assert [one.failed for one in found.conditions] == [False, True, False, False]
    assert (found.exit_code, found.error) == (8, "the swarm failed: loss>0.5% (1.00 %); see the report")


def test_what_was_not_measured_fails() -> None:
    found = report("first_frame_p95>2s", bots=[bot(number, first_frame=None) for number in range(4)])
    assert found.exit_code == 8 and "not measured" in str(found.error)


def test_troubles_of_one_kind_are_one() -> None:
    bots = [
        bot(0, state="joined", calls=0),
        bot(1),
        bot(2, state="joined", calls=0),
        bot(3, state="failed", error="full"),
    ]
    found = report("failed>2", "failed_ratio>=75%", bots=bots)
    assert [(one.bots, one.text) for one in found.troubles] == [
        (2, "in 0 of 1 calls: another bot has not answered yet"),
        (1, "full"),
    ]
    assert [one.value for one in found.conditions] == [3.0, 0.75] and all(one.failed for one in found.conditions)


def test_saturation_is_a_condition_too() -> None:
    plan = Plan(url=URL, bots=2)
    found = made(
        plan,
        collected(plan, bot(0), bot(1), lags=(0.5,)),
        MachineFigures(2, 1.0, 3),
        started=0.0,
        seconds=1.0,
        interrupted=True,
    )
    assert found.saturation.saturated and len(found.saturation.reasons) == 3 and found.interrupted
    assert "not the server" in found.saturation.text
