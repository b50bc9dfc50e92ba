"""The theory that the matrix is held against: what each network needs, told again in other words."""

from __future__ import annotations

from itertools import product

import pytest

from tests.network.nat import KINDS, Kind
from tests.network.theory import Help, Path, expected

EVERYTHING = frozenset(Help) - {Help.ICE_TCP}


def path(first: Kind, second: Kind, *helps: Help) -> Path:
    return expected(first, second, frozenset(helps)).path


def test_with_every_server_everybody_connects() -> None:
    unconnected = [pair for pair in product(KINDS, KINDS) if expected(*pair, EVERYTHING).path is Path.NONE]
    assert unconnected == []


@pytest.mark.parametrize(("first", "second"), list(product(KINDS, KINDS)))
def test_who_offers_makes_no_difference_and_help_never_hurts(first: Kind, second: Kind) -> None:
    order = list(Path)
    sets = [frozenset(helps) for helps in ([], [Help.STUN], [Help.STUN, Help.TURN_UDP], EVERYTHING)]
    paths = [expected(first, second, helps).path for helps in sets]
    assert paths == [expected(second, first, helps).path for helps in sets]
    assert [order.index(each) for each in paths] == sorted((order.index(each) for each in paths), reverse=True)


def test_stun_is_enough_for_cones_but_not_for_symmetric_with_port_restricted() -> None:
    assert path(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, Help.STUN) is Path.DIRECT
    assert path(Kind.ADDRESS_RESTRICTED, Kind.SYMMETRIC, Help.STUN) is Path.DIRECT
    assert path(Kind.PORT_RESTRICTED, Kind.SYMMETRIC, Help.STUN) is Path.NONE
    assert path(Kind.SYMMETRIC, Kind.SYMMETRIC, Help.STUN) is Path.NONE


def test_where_udp_is_blocked_turn_must_be_reached_by_tcp() -> None:
    assert path(Kind.UDP_BLOCKED, Kind.PUBLIC, Help.STUN, Help.TURN_UDP) is Path.NONE
    assert path(Kind.UDP_BLOCKED, Kind.PUBLIC, Help.TURN_TCP) is Path.RELAY
    assert path(Kind.TCP_443, Kind.PUBLIC, Help.TURN_TCP) is Path.NONE
    assert path(Kind.TCP_443, Kind.TCP_443, Help.TURN_TLS) is Path.RELAY


def test_ice_tcp_needs_a_public_listener_and_is_second_to_udp() -> None:
    assert path(Kind.UDP_BLOCKED, Kind.PUBLIC, Help.ICE_TCP) is Path.TCP
    assert path(Kind.TCP_443, Kind.PUBLIC, Help.ICE_TCP) is Path.TCP
    assert path(Kind.UDP_BLOCKED, Kind.FULL_CONE, Help.ICE_TCP) is Path.NONE
    assert path(Kind.SYMMETRIC, Kind.PUBLIC, Help.ICE_TCP) is Path.DIRECT


def test_relay_only_needs_a_relay() -> None:
    both = Kind.FULL_CONE, Kind.FULL_CONE
    assert expected(*both, frozenset({Help.STUN}), relay_only=True).path is Path.NONE
    assert expected(*both, frozenset({Help.TURN_UDP}), relay_only=True).path is Path.RELAY
