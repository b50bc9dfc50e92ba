"""The networks of the laboratory behave as their names say (RFC 4787), measured with plain sockets."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import pytest

from tests.network.lab import Lab, Site
from tests.network.nat import FILTERING, MAPPING, UDP_NATS, Kind
from tests.network.probe import Reflectors, bound, connects, lets_in, mapped, punch, receive
from tests.network.theory import Help, Path, expected

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("laboratory")]

UDP_KINDS = (Kind.PUBLIC, *UDP_NATS)


@contextmanager
def built(*kinds: Kind) -> Iterator[tuple[Lab, list[Site]]]:
    """A laboratory without delays and without servers."""
    with asyncio.Runner() as runner:

        async def build() -> tuple[Lab, list[Site]]:
            lab = await Lab(link_seconds=0).__aenter__()
            try:
                return lab, [await lab.site(kind) for kind in kinds]
            except BaseException:
                await lab.close()
                raise

        lab, sites = runner.run(build())
        try:
            yield lab, sites
        finally:
            runner.run(lab.close())


@pytest.mark.parametrize("kind", UDP_NATS)
def test_mapping(kind: Kind) -> None:
    with built(kind) as (lab, [site]), Reflectors.open(lab) as outside, bound(site.host, site.address) as inner:
        seen = [mapped(inner, reflector) for reflector in (outside.first, outside.other_port, outside.other_address)]
        assert {address for address, _ in seen} == {site.public_address}
        independent = MAPPING[kind] == "endpoint-independent"
        assert len(set(seen)) == (1 if independent else 3)
        assert mapped(inner, outside.first) == seen[0]


@pytest.mark.parametrize("kind", UDP_NATS)
def test_filtering(kind: Kind) -> None:
    with built(kind) as (lab, [site]), Reflectors.open(lab) as outside, bound(site.host, site.address) as inner:
        to = mapped(inner, outside.first)
        same_address = lets_in(inner, outside.other_port, outside.first, to)
        any_address = lets_in(inner, outside.other_address, outside.first, to)
        assert (same_address, any_address) == {
            "endpoint-independent": (True, True),
            "address-dependent": (True, False),
            "address and port-dependent": (False, False),
        }[FILTERING[kind]]


@pytest.mark.parametrize("kind", UDP_NATS)
def test_who_knocks_too_early_does_not_change_the_mapping(kind: Kind) -> None:
    with built(kind) as (lab, [site]), Reflectors.open(lab) as outside, bound(site.host, site.address) as inner:
        before = mapped(inner, outside.first)
        lets_in(inner, outside.other_address, outside.first, before)
        independent = MAPPING[kind] == "endpoint-independent"
        assert (mapped(inner, outside.other_address) == before) is independent


@pytest.mark.parametrize("kind", UDP_NATS)
def test_nothing_comes_in_where_nothing_went_out(kind: Kind) -> None:
    with built(kind) as (lab, [site]), Reflectors.open(lab) as outside:
        with bound(site.host, site.address, 40000) as quiet, bound(site.host, site.address) as inner:
            to = mapped(inner, outside.first)
            outside.first.sendto(b"unasked", (to[0], 40000))
            outside.first.sendto(b"asked", to)
            assert receive(inner)[0] == b"asked"
            quiet.setblocking(False)
            with pytest.raises(BlockingIOError):
                quiet.recv(100)


def test_a_public_host_is_reached_by_everybody() -> None:
    with built(Kind.PUBLIC) as (lab, [site]), Reflectors.open(lab) as outside:
        with bound(site.host, site.address, 40000) as inner:
            outside.first.sendto(b"unasked", (site.address, 40000))
            assert receive(inner)[0] == b"unasked"


@pytest.mark.parametrize(
    ("kind", "tcp"), [(Kind.UDP_BLOCKED, {443: True, 5000: True}), (Kind.TCP_443, {443: True, 5000: False})]
)
def test_networks_that_block(kind: Kind, tcp: dict[int, bool]) -> None:
    with built(kind) as (lab, [site]), Reflectors.open(lab) as outside, bound(site.host, site.address) as inner:
        inner.sendto(b"out", outside.first.getsockname())
        assert {port: connects(site, ("203.0.113.10", port), lab) for port in tcp} == tcp
        outside.first.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.first.recv(100)


def test_ipv6_alone_gets_out_and_lets_in_only_what_was_asked_for() -> None:
    with built(Kind.IPV6_ONLY) as (lab, [site]):
        first, other = (bound(lab.public, f"2001:db8:ffff::{host}", 7001) for host in (10, 11))
        with bound(site.host, site.address) as inner, first, other:
            to = mapped(inner, first)
            assert to == inner.getsockname()[:2]
            assert not lets_in(inner, other, first, to)
            with pytest.raises(OSError, match="unreachable"), bound(site.host, "0.0.0.0") as old:
                old.sendto(b"out", ("203.0.113.10", 7001))


def test_two_hosts_in_two_networks_may_have_the_same_private_network() -> None:
    with built(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED) as (_, [first, second]):
        assert first.address.rpartition(".")[0] == second.address.rpartition(".")[0]
        assert first.address != second.address


def test_a_new_address_of_the_router_is_a_new_mapping() -> None:
    with built(Kind.PORT_RESTRICTED) as (lab, [site]), Reflectors.open(lab) as outside:
        with bound(site.host, site.address) as inner:
            before = mapped(inner, outside.first)
            site.move_router()
            after = mapped(inner, outside.first)
            assert (before[0], after[0]) == ("198.18.1.2", site.public_address)
            assert before[0] != after[0]


def test_a_new_address_of_the_host() -> None:
    with built(Kind.PORT_RESTRICTED) as (lab, [site]), Reflectors.open(lab) as outside:
        before = site.address
        site.move_host()
        assert site.address != before
        with bound(site.host, site.address) as inner:
            assert mapped(inner, outside.first)[0] == site.public_address


def test_cut_and_mended() -> None:
    with built(Kind.FULL_CONE) as (lab, [site]), Reflectors.open(lab) as outside:
        with bound(site.host, site.address) as inner:
            mapped(inner, outside.first)
            site.cut()
            inner.sendto(b"lost", outside.first.getsockname())
            site.mend()
            inner.sendto(b"there", outside.first.getsockname())
            assert receive(outside.first)[0] == b"there"


def test_loss_is_what_was_asked_for() -> None:
    with built(Kind.PUBLIC) as (lab, [site]), Reflectors.open(lab) as outside:
        with bound(site.host, site.address) as inner:
            site.lose(0.2)
            arrived = 0
            for _ in range(20):
                for _ in range(100):
                    inner.sendto(b"x" * 100, outside.first.getsockname())
                site.mend()
                inner.sendto(b"end", outside.first.getsockname())
                while receive(outside.first)[0] != b"end":
                    arrived += 1
                site.lose(0.2)
            assert 0.75 < arrived / 2000 < 0.85


def test_theory_of_direct_paths_holds_for_plain_sockets() -> None:
    pairs = list(combinations_with_replacement(UDP_KINDS, 2))
    kinds = [kind for pair in pairs for kind in pair]
    with built(*kinds) as (lab, sites), Reflectors.open(lab) as outside:
        wrong = []
        for number, pair in enumerate(pairs):
            theory = expected(*pair, frozenset({Help.STUN})).path is Path.DIRECT
            if punch(sites[2 * number], sites[2 * number + 1], outside.first) is not theory:
                wrong.append((*pair, theory))
        assert wrong == []
