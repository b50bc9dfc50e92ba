"""Every way to fail has a sentence that names what was tried and ends in what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peer.rtc.ice.explain import Attempt, explain
from peer.rtc.ice.pairs import Pair, PairState, report
from peer.rtc.ice.servers import UNREACHABLE, CandidateError
from tests.rtc.ice.simulation import FakeBase, candidate

HOST, RELAY = candidate("host", ("192.0.2.1", 1000)), candidate("relay", ("198.51.100.1", 2000))
THEIRS = candidate("host", ("2001:db8::2", 3000))
DEAD = CandidateError("turn:dead.example.org", UNREACHABLE, "no answer within 5 s")
REFUSED = CandidateError("turn:turn.example.org", 401, "wrong user or password", advice="correct the user")


def pair(**changes: object) -> Pair:
    made = Pair(1, FakeBase(HOST), THEIRS)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


TRIED = report(pair(requests_sent=20, state=PairState.IN_PROGRESS), "g", "controlling", None)


@pytest.mark.parametrize(
    ("attempt", "parts"),
    [
        (Attempt(relay_only=True), ["no TURN server is given", "add a turn: server"]),
        (Attempt(started=False), ["has not answered with its description"]),
        (Attempt(), ["no network address", "interface filter"]),
        (
            Attempt(relay_only=True, turn_servers=1, errors=[REFUSED]),
            ["turn:turn.example.org: wrong user or password (401); correct the user"],
        ),
        (Attempt(errors=[DEAD]), ["turn:dead.example.org: no answer within 5 s", "turns:"]),
        (Attempt(local=[HOST], seconds=15), ["named no address", "host 192.0.2.1:1000", "add a TURN server"]),
        (
            Attempt(gathering=True, unresolved=["x.local"]),
            ["its names x.local could not be resolved", "any of ours"],
        ),
        (
            Attempt(local=[HOST], remote=[THEIRS], errors=[DEAD], turn_servers=1),
            ["none of the other side's addresses (host [2001:db8::2]:3000)", "no answer within 5 s", "turns:"],
        ),
        (
            Attempt(local=[HOST], remote=[THEIRS], pairs=[TRIED], seconds=15, rejected=3, unresolved=["y.local"]),
            [
                "within 15 s",
                "host 192.0.2.1:1000 to host [2001:db8::2]:3000 (20 checks without an answer)",
                "3 checks came with an old password",
                "no answer to the names y.local",
                "add a TURN server",
            ],
        ),
        (
            Attempt(local=[HOST, RELAY], remote=[THEIRS], pairs=[TRIED], turn_servers=1),
            ["check that the TURN server may reach the other side"],
        ),
    ],
)
def test_each_stage_has_its_sentence(attempt: Attempt, parts: list[str]) -> None:
    sentence = explain(attempt)
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence and not sentence.endswith(".")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": "400 Bad Request", "requests_sent": 1}, "(refused: 400 Bad Request)"),
        ({"requests_sent": 0}, "(not tried)"),
        ({"requests_sent": 1}, "(1 check without an answer)"),
        ({"requests_sent": 2, "requests_received": 2}, "(2 checks without an answer, though its checks arrive)"),
    ],
)
def test_each_pair_says_what_came_of_it(changes: dict[str, object], words: str) -> None:
    reported = report(pair(**changes), "g", "controlling", None)
    assert words in explain(Attempt(local=[HOST], remote=[THEIRS], pairs=[reported]))


def test_a_lost_path_is_named() -> None:
    used = report(pair(requests_sent=9), "g", "controlling", "best")
    sentence = explain(Attempt(had_path=True, pairs=[used], seconds=31.4))
    assert "not been heard of for 31 s over host 192.0.2.1:1000 to host [2001:db8::2]:3000" in sentence
    assert "not been heard of for 3 s; check" in explain(Attempt(had_path=True, seconds=3))
    assert "not been heard of for 0.4 s; check" in explain(Attempt(had_path=True, seconds=0.4))


def test_long_lists_are_cut_and_counted() -> None:
    many = [replace(THEIRS, port=port) for port in range(1, 31)]
    assert "and 26 more" in explain(Attempt(local=[HOST], remote=many))


def test_tcp_candidates_are_called_so() -> None:
    passive = candidate("host", ("192.0.2.1", 443), protocol="tcp")
    assert "host tcp 192.0.2.1:443" in explain(Attempt(local=[passive]))
