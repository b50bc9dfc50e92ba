"""The tables that a run prints, of results made up here."""

from __future__ import annotations

import json

from tests.network import table
from tests.network.disturbances import Outcome, Trouble
from tests.network.nat import Kind
from tests.network.rows import Result, Row, path_of
from tests.network.schedule import EVERYTHING, STUN
from tests.network.theory import Path

HOME = Row(Kind.PORT_RESTRICTED, Kind.FULL_CONE, STUN)
HOST = {"type": "host", "protocol": "udp"}


def test_a_pair_of_networks_is_one_line_whoever_offers() -> None:
    results = [
        Result(HOME, Path.DIRECT, 0.5),
        Result(Row(Kind.FULL_CONE, Kind.PORT_RESTRICTED, EVERYTHING, dead=True), Path.RELAY, 1.25),
        Result(Row(Kind.SYMMETRIC, Kind.SYMMETRIC, STUN), Path.NONE),
    ]
    assert table.pairs_by_servers(results).splitlines() == [
        "| one side | other side | STUN | all, dead ones first |",
        "|---|---|---|---|",
        "| full cone | port-restricted | direct 0.50 | relay 1.25 (expected: direct) |",
        "| symmetric | symmetric | – |  |",
    ]
    assert table.summary(results).startswith("2 of 3 rows as expected; 2 connected, median 1.25 s")


def test_everything_that_was_run_is_in_the_document_and_in_json() -> None:
    chromium = Row(Kind.PUBLIC, Kind.PUBLIC, engines=("chromium", "peer"))
    results = [Result(HOME, Path.DIRECT, 0.5), Result(chromium, Path.DIRECT, 0.7)]
    outcome = Outcome(Trouble("outage", HOME, 5), connected=True, path="direct", final=["connected", "connected"])
    outcome.gaps = [{"audio": 5.1, "ping": 9.0}, {"audio": 5.2}]
    outcome.disconnected_after = [2.5, None]
    text = table.document(results, [outcome])
    assert "| chromium, public | peer, public | none | direct 0.70 |" in text
    assert "| outage of 5 s | port-restricted – full cone | direct | 2.50 s | 5.20 s | – | connected |" in text
    found = json.loads(json.dumps(table.as_json(results, [outcome])))
    assert found["unexpected"] == []
    assert [row["seconds"] for row in found["rows"]] == [0.5, 0.7]


def test_percentiles() -> None:
    assert table.percentile([], 0.95) == 0.0
    assert table.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert table.percentile(range(1, 101), 0.95) == 96


def test_a_path_is_told_by_both_ends() -> None:
    relay, tcp = {"type": "relay", "protocol": "udp"}, {"type": "host", "protocol": "tcp"}
    assert path_of([{"local": HOST, "remote": HOST}, None]) is Path.DIRECT
    assert path_of([{"local": HOST, "remote": HOST}, {"local": relay, "remote": HOST}]) is Path.RELAY
    assert path_of([{"local": tcp, "remote": tcp}]) is Path.TCP
