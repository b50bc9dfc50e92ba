"""Who of a swarm is where, begins when, calls whom and decodes."""

from __future__ import annotations

from typing import Any

import pytest

from peer.errors import UsageError
from peer.swarm.plan import Plan, bot_name, processes_of, rate_of, room_name, seats, share_of
from tests.swarm.samples import URL


def plan(**changes: Any) -> Plan:
    return Plan(url=URL, **changes)


def test_pairs_share_a_room_and_a_process_and_the_first_calls_the_second() -> None:
    found = seats(plan(bots=8, rooms=2, processes=3))
    assert [seat.name for seat in found[:3]] == ["bot-001", "bot-002", "bot-003"]
    assert [seat.room for seat in found] == ["lab-01", "lab-01", "lab-02", "lab-02"] * 2
    assert [seat.process for seat in found] == [0, 0, 1, 1, 2, 2, 0, 0]
    assert [seat.calls for seat in found[:4]] == [("bot-002",), (), ("bot-004",), ()]
    assert {seat.expects for seat in found} == {1}


def test_who_has_no_partner_is_called_by_nobody() -> None:
    assert (seats(plan(bots=3))[2].calls, seats(plan(bots=3))[2].expects) == ((), 0)


def test_in_a_mesh_everybody_calls_those_of_the_room_who_are_before_it() -> None:
    found = seats(plan(bots=6, rooms=2, calls="mesh", processes=2))
    assert [seat.room for seat in found] == ["lab-01", "lab-02"] * 3
    assert [seat.calls for seat in found] == [
        *((), ()),
        *(("bot-001",), ("bot-002",)),
        *(("bot-001", "bot-003"), ("bot-002", "bot-004")),
    ]
    assert {seat.expects for seat in found} == {2}
    pairs = {frozenset((seat.name, other)) for seat in found for other in seat.calls}
    assert len(pairs) == sum(len(seat.calls) for seat in found), "nobody is called by one that it calls"


def test_everybody_calls_the_one_who_is_named() -> None:
    found = seats(plan(bots=3, to="recorder", receive_only=True))
    assert {(seat.calls, seat.expects) for seat in found} == {(("recorder",), 1)}


@pytest.mark.parametrize("changes", [{"calls": "none"}, {"script": "bot.py"}, {"script": "bot.py", "calls": "mesh"}])
def test_nobody_calls(changes: dict[str, Any]) -> None:
    assert {(seat.calls, seat.expects) for seat in seats(plan(bots=4, **changes))} == {((), 0)}


def test_the_ramp_says_when_who_begins() -> None:
    assert [seat.at for seat in seats(plan(bots=4, ramp=2.0))] == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("decode", "which"), [("0", []), ("1", [9]), ("2", [4, 9]), ("1%", [9]), ("100%", [*range(10)])]
)
def test_those_that_decode_are_spread_evenly(decode: str, which: list[int]) -> None:
    assert [seat.number for seat in seats(plan(bots=10, decode=decode)) if seat.decodes] == which


def test_a_share_of_bots() -> None:
    assert [share_of(text, 200) for text in ("0", "0%", "3", "1%", "0.1%", "2.5%", "999")] == [0, 0, 3, 2, 1, 5, 200]
    for text in ("", "-1", "1.5", "101%", "many", "1 %%"):
        with pytest.raises(UsageError, match="--decode"):
            share_of(text, 200)


def test_calls_come_about_for_two_seconds_at_most() -> None:
    assert (plan(seconds=60.0).settle, plan(seconds=1.0).settle) == (2.0, 0.25)


def test_names() -> None:
    assert (bot_name(0, 10), bot_name(999, 1000), bot_name(0, 1000)) == ("bot-001", "bot-1000", "bot-0001")
    assert (room_name("lab", 0, 1), room_name("lab", 0, 2), room_name("lab", 99, 100)) == ("lab", "lab-01", "lab-100")


def test_rates() -> None:
    assert [rate_of(text) for text in ("10/s", "2", "30/m", "0.5/s")] == [10.0, 2.0, 0.5, 0.5]
    for text in ("", "0/s", "-1/s", "10/h", "fast"):
        with pytest.raises(UsageError, match="--ramp"):
            rate_of(text)


def test_processes() -> None:
    assert [processes_of(text, 4, 100) for text in ("auto", "2", "16")] == [4, 2, 16]
    assert processes_of("auto", 8, 2) == processes_of("3", 8, 2) == 2, "no more than bots"
    for text in ("0", "-1", "all", "1.5", "1000"):
        with pytest.raises(UsageError, match="--processes"):
            processes_of(text, 4, 100)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bots": 0}, "--bots 0"),
        ({"bots": 10_001}, "--bots 10001"),
        ({"bots": 2, "rooms": 3}, "--rooms 3"),
        ({"calls": "star"}, "--calls star"),
        ({"receive_only": True}, "nobody would send"),
        ({"decode": "half"}, "--decode half"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**changes)
