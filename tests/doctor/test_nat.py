"""The kind of NAT follows from the tests of RFC 5780, or from what ordinary servers saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peer.doctor.findings import Seen
from peer.doctor.nat import Behaviour, compared_mapping, filtering_of, is_symmetric, judge, mapping_of

LOCAL = ("192.168.1.7", 4000)
ONE, TWO, THREE = ("192.0.2.1", 3478), ("192.0.2.2", 3478), ("192.0.2.1", 3479)
MAPPED, OTHER = ("198.51.100.7", 61000), ("198.51.100.7", 61001)
TESTED = Behaviour(server=ONE, mapped=MAPPED)


@pytest.mark.parametrize(
    ("by_address", "by_port", "mapping"),
    [
        (MAPPED, MAPPED, "endpoint-independent"),
        (MAPPED, None, "endpoint-independent"),
        (OTHER, OTHER, "address-dependent"),
        (OTHER, ("198.51.100.7", 61002), "address-and-port-dependent"),
        (OTHER, None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_mapping_by_rfc_5780(by_address: tuple[str, int], by_port: tuple[str, int], mapping: str) -> None:
    assert mapping_of(replace(TESTED, mapped_by_other_address=by_address, mapped_by_other_port=by_port)) == mapping


@pytest.mark.parametrize(
    ("address", "port", "filtering"),
    [
        (True, True, "endpoint-independent"),
        (True, False, "endpoint-independent"),
        (False, True, "address-dependent"),
        (False, False, "address-and-port-dependent"),
        (None, None, "unknown"),
    ],
)
def test_filtering_by_rfc_5780(address: bool | None, port: bool | None, filtering: str) -> None:
    assert filtering_of(replace(TESTED, heard_other_address=address, heard_other_port=port)) == filtering


@pytest.mark.parametrize(
    ("seen", "mapping"),
    [
        ([], "unknown"),
        ([(ONE, LOCAL)], "none"),
        ([(ONE, MAPPED)], "unknown"),  # one server cannot tell
        ([(ONE, MAPPED), (THREE, MAPPED)], "unknown"),  # nor can two ports of one address
        ([(ONE, MAPPED), (TWO, MAPPED)], "endpoint-independent"),
        ([(ONE, MAPPED), (THREE, OTHER)], "address-and-port-dependent"),
        ([(ONE, MAPPED), (TWO, OTHER)], "address-dependent"),
        ([(ONE, LOCAL), (TWO, MAPPED)], "address-dependent"),  # a NAT on the way to one of them
    ],
)
def test_mapping_by_comparison(seen: list[tuple[tuple[str, int], tuple[str, int]]], mapping: str) -> None:
    assert compared_mapping(LOCAL, [Seen(*each) for each in seen]) == mapping


def test_tests_stand_above_comparison() -> None:
    behaviour = replace(
        TESTED,
        mapped_by_other_address=OTHER,
        mapped_by_other_port=("198.51.100.7", 61002),
        heard_other_address=False,
        heard_other_port=False,
    )
    found = judge(LOCAL, [Seen(ONE, MAPPED), Seen(TWO, OTHER)], behaviour)
    assert (found.mapping, found.filtering, found.source) == (
        "address-and-port-dependent",
        "address-and-port-dependent",
        "RFC 5780",
    )
    assert is_symmetric(found)


def test_where_tests_tell_nothing_comparison_does() -> None:
    found = judge(LOCAL, [Seen(ONE, MAPPED), Seen(TWO, MAPPED)], TESTED)
    assert (found.mapping, found.filtering, found.source) == ("endpoint-independent", "unknown", "comparison")
    assert not is_symmetric(found)


def test_without_a_nat_there_may_be_a_firewall() -> None:
    behaviour = replace(
        TESTED,
        mapped=LOCAL,
        mapped_by_other_address=LOCAL,
        mapped_by_other_port=LOCAL,
        heard_other_address=False,
        heard_other_port=False,
    )
    found = judge(LOCAL, [Seen(ONE, LOCAL)], behaviour)
    assert (found.mapping, found.filtering, found.source) == ("none", "address-and-port-dependent", "RFC 5780")


def test_nothing_seen_is_nothing_known() -> None:
    found = judge(LOCAL, [], None)
    assert (found.mapping, found.filtering, found.source) == ("unknown", "unknown", "")
