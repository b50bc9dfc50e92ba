"""Pairs: which are made, which is best, how many there may be, how they are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peer.rtc.ice import pairs
from peer.rtc.ice.pairs import CheckList, Pair, PairState, reaches, report
from tests.rtc.ice.simulation import FakeBase, candidate

OURS, THEIRS = ("192.0.2.1", 1000), ("192.0.2.2", 2000)


def base(kind: str = "host", address: tuple[str, int] = OURS, **options: object) -> FakeBase:
    return FakeBase(candidate(kind, address, **options))  # type: ignore[arg-type]


def valid(pair: Pair, at: float = 1.0) -> Pair:
    pair.state = PairState.SUCCEEDED
    pair.last_response = at
    pair.unanswered = 0
    return pair


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (("host", "192.0.2.1"), ("host", "192.0.2.2"), True),
        (("host", "192.0.2.1"), ("host", "2001:db8::1"), False),
        (("host", "2001:db8::1"), ("host", "2001:db8::2"), True),
        (("host", "2001:db8::1"), ("host", "fe80::2"), False),
        (("host", "192.0.2.1"), ("host", "224.0.0.251"), False),
        (("host", "192.0.2.1"), ("host", "0.0.0.0"), False),
        (("host", "192.0.2.1"), ("host", "255.255.255.255"), False),
        (("host", "192.0.2.1"), ("host", "127.0.0.1"), False),
        (("host", "127.0.0.1"), ("host", "127.0.0.1"), True),
        (("host", "127.0.0.1"), ("host", "192.0.2.1"), False),
        (("relay", "192.0.2.1"), ("host", "127.0.0.1"), True),
    ],
)
def test_only_what_can_be_reached_is_paired(local: tuple[str, str], remote: tuple[str, str], *, expected: bool) -> None:
    assert reaches(candidate(local[0], (local[1], 1)), candidate(remote[0], (remote[1], 1))) == expected


def test_no_pair_with_tcp_or_without_a_port() -> None:
    ours, theirs = candidate("host", OURS), candidate("host", THEIRS)
    assert not reaches(candidate("host", OURS, protocol="tcp"), theirs)
    assert not reaches(ours, replace(theirs, protocol="tcp", tcp_type="active", port=9))
    assert not reaches(ours, replace(theirs, port=0))


def test_bases_and_candidates_meet_in_any_order_and_once() -> None:
    checklist = CheckList()
    one, two = base(), base("relay", ("198.51.100.1", 5))
    checklist.add_base(one, "controlling")
    checklist.add_remote(candidate("host", THEIRS), "controlling")
    checklist.add_remote(candidate("srflx", THEIRS), "controlling")
    checklist.add_base(two, "controlling")
    checklist.add_base(one, "controlling")
    assert [(pair.base, pair.address) for pair in checklist] == [(one, THEIRS), (two, THEIRS)]
    assert len(checklist) == 2 and checklist.bases == [one, two]


def test_what_was_learned_gets_its_name_and_meets_the_other_bases() -> None:
    checklist = CheckList()
    one, two = base("relay", ("198.51.100.1", 5)), base()
    checklist.add_base(one, "controlling")
    checklist.add_base(two, "controlling")
    learned = checklist.learn(one, THEIRS, 110 << 24)
    assert learned is not None and learned.remote.type == "prflx" and learned is checklist.learn(one, THEIRS, 1)
    assert checklist.find(two, THEIRS) is None
    checklist.add_remote(candidate("relay", THEIRS), "controlling")
    assert learned.remote.type == "relay" and learned.cost == 2
    assert checklist.find(two, THEIRS) is not None


def test_a_check_out_of_a_relay_of_a_peer_like_us_is_known_by_its_priority() -> None:
    checklist = CheckList()
    relayed = checklist.learn(base(), THEIRS, 30 << 24)
    direct = checklist.learn(base(), ("192.0.2.3", 1), 110 << 24)
    assert relayed is not None and direct is not None and (relayed.cost, direct.cost) == (1, 0)


def test_the_best_answers_then_costs_least_then_has_the_highest_priority() -> None:
    checklist = CheckList()
    host, low = base(), base("host", ("192.0.2.9", 1), local_preference=1)
    relay = base("relay", ("198.51.100.1", 5))
    for each in (relay, low, host):
        checklist.add_base(each, "controlling")
    assert checklist.best("controlling") is None
    checklist.add_remote(candidate("host", THEIRS), "controlling")
    by_base = {id(pair.base): pair for pair in checklist}
    assert checklist.best("controlling") is None
    for each in (relay, low, host):
        pair = valid(by_base[id(each)])
        assert checklist.best("controlling") is pair
    assert checklist.best("controlling", since=2.0) is None
    valid(by_base[id(relay)], at=3.0)
    assert checklist.best("controlling", since=2.0) is by_base[id(relay)]
    by_base[id(host)].unanswered = by_base[id(low)].unanswered = pairs.UNANSWERED
    assert checklist.best("controlling") is by_base[id(relay)]


def test_there_are_no_more_pairs_than_allowed_and_the_worst_go_first() -> None:
    checklist = CheckList()
    checklist.add_base(base(), "controlling")
    proven = checklist.learn(base(), ("198.51.100.9", 9), 1)
    assert proven is not None
    valid(proven)
    for number in range(pairs.MAX_REMOTE + 50):
        checklist.add_remote(candidate("host", (f"198.51.{number}.1", 5), local_preference=number), "controlling")
    assert len(checklist) == pairs.MAX_PAIRS and checklist.has(proven)
    assert len(checklist.remote) <= pairs.MAX_REMOTE + pairs.MAX_LEARNED
    second = base("relay", ("203.0.113.1", 5))
    checklist.add_base(second, "controlling")
    assert len(checklist) == pairs.MAX_PAIRS and checklist.dropped > 0
    late = checklist.learn(base(), ("203.0.113.7", 7), 1)
    assert late is not None and len(checklist) == pairs.MAX_PAIRS


def test_learned_candidates_make_room_unless_all_of_them_work() -> None:
    checklist = CheckList()
    ours = base()
    learned = [checklist.learn(ours, ("198.51.100.1", number + 1), 1) for number in range(pairs.MAX_LEARNED)]
    assert learned[0] is not None
    newest = checklist.learn(ours, ("198.51.100.1", 1000), 1)
    assert newest is not None and not checklist.has(learned[0])
    for pair in checklist:
        valid(pair)
    assert checklist.learn(ours, ("198.51.100.1", 1001), 1) is None


def test_a_full_list_of_working_pairs_takes_no_more() -> None:
    checklist = CheckList()
    bases = [base("host", (f"10.0.0.{number}", 1)) for number in range(pairs.MAX_PAIRS)]
    for each in bases:
        pair = checklist.learn(each, THEIRS, 1)
        assert pair is not None
        valid(pair)
    assert checklist.learn(base("host", ("10.0.1.1", 1)), THEIRS, 1) is None
    checklist.add_base(base("host", ("10.0.2.1", 1)), "controlling")
    assert len(checklist) == pairs.MAX_PAIRS


def test_a_base_takes_everything_with_it() -> None:
    checklist = CheckList()
    one, two = base(), base("host", ("192.0.2.9", 1))
    for each in (one, two):
        checklist.add_base(each, "controlling")
        checklist.add_local(candidate("srflx", ("203.0.113.1", each.address[1])), each)
    checklist.add_remote(candidate("host", THEIRS), "controlling")
    gone = checklist.find(one, THEIRS)
    checklist.remove_base(one)
    assert gone is not None and not checklist.has(gone)
    assert [pair.base for pair in checklist] == [two] and [entry[1] for entry in checklist.local] == [two]


def test_an_address_that_the_other_side_left_takes_its_pairs_with_it() -> None:
    checklist, ours = CheckList(), base()
    checklist.add_base(ours, "controlling")
    checklist.add_remote(candidate("host", THEIRS), "controlling")
    learned = checklist.learn(ours, ("192.0.2.77", 7), 1)
    checklist.remove_remote({THEIRS})
    assert list(checklist) == [learned] and [each.port for each in checklist.remote.values()] == [7]
    checklist.remove_remote({("192.0.2.77", 7)})
    assert len(checklist) == 0 and checklist.remote == {}


def test_a_pair_is_named_after_what_the_other_side_sees() -> None:
    checklist = CheckList()
    ours = base()
    checklist.add_base(ours, "controlling")
    reflexive = candidate("srflx", ("203.0.113.1", 40000))
    checklist.add_local(reflexive, ours)
    checklist.add_remote(candidate("host", THEIRS), "controlling")
    pair = checklist.find(ours, THEIRS)
    assert pair is not None
    checklist.relabel(pair, None)
    checklist.relabel(pair, OURS)
    assert pair.local is ours.candidate
    checklist.relabel(pair, ("203.0.113.1", 40000))
    assert pair.local is reflexive
    checklist.relabel(pair, ("203.0.113.1", 41000))
    assert (pair.local.type, pair.local.port, pair.local.related_address) == ("prflx", 41000, OURS[0])
    relayed = Pair(1, base("relay", ("198.51.100.1", 5)), candidate("host", THEIRS))
    checklist.relabel(relayed, ("203.0.113.1", 1))
    assert relayed.local.type == "relay"


@pytest.mark.parametrize(
    ("kind", "relay_protocol", "protocol", "words"),
    [
        ("host", None, "udp", "direct UDP"),
        ("host", None, "tcp", "direct TCP"),
        ("relay", "udp", "udp", "relayed UDP"),
        ("relay", "tcp", "udp", "relayed TCP"),
        ("relay", "tls", "udp", "relayed TLS"),
    ],
)
def test_it_says_what_kind_of_path_it_is(kind: str, relay_protocol: str | None, protocol: str, words: str) -> None:
    local = replace(candidate(kind, OURS, protocol=protocol), relay_protocol=relay_protocol)
    assert Pair(1, FakeBase(local), candidate("host", THEIRS)).describe() == words


def test_a_report_has_the_counters_and_the_reason_only_when_selected() -> None:
    pair = valid(Pair(7, base(), candidate("host", THEIRS)), at=3.0)
    pair.bytes_sent, pair.requests_sent, pair.round_trip_time = 10, 3, 0.5
    selected, other = report(pair, "ufrag", "controlling", "because"), report(pair, "ufrag", "controlled", None)
    assert (selected.id, selected.state, selected.selected, selected.reason) == (
        *("ufrag-7", "succeeded"),
        *(True, "because"),
    )
    assert (selected.bytes_sent, selected.requests_sent, selected.round_trip_time) == (10, 3, 0.5)
    assert not other.selected and other.reason == "" and other.priority == selected.priority
