"""Which rows and disturbances are run, and how many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, TypeVar

from tests.network import disturbances, rows
from tests.network.disturbances import Outcome, Trouble
from tests.network.lab import Lab
from tests.network.nat import KINDS, Kind
from tests.network.rows import Row
from tests.network.servers import Servers
from tests.network.theory import Help, Path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from tests.network.rows import Result

T = TypeVar("T")

BUSY_AT_ONCE = (os.cpu_count() or 1) + 1
"""Rows that connect: processes start, which keeps the processors busy."""
IDLE_AT_ONCE = 8
"""Rows that mostly wait: disturbances, and pairs that cannot connect."""

ENGINE = os.environ.get("PEER_NETWORK_ENGINE", "peer")
"""What the parties of the tests run: "peer" is the whole engine, "ice" its transport alone."""

STUN = frozenset({Help.STUN})
TURN_UDP = STUN | {Help.TURN_UDP}
TURN_TCP = STUN | {Help.TURN_TCP}
TURN_TLS = STUN | {Help.TURN_TLS}
EVERYTHING = TURN_UDP | {Help.TURN_TCP, Help.TURN_TLS}
NOTHING: frozenset[Help] = frozenset()

PAIRS = tuple(combinations_with_replacement(KINDS, 2))


def full_matrix(engines: tuple[str, str] = ("peer", "peer")) -> list[Row]:
    """Every pair of networks with every set of servers."""
    sets = (NOTHING, STUN, TURN_UDP, TURN_TCP, TURN_TLS, EVERYTHING)
    found = [Row(*pair, helps) for helps in sets for pair in PAIRS]
    found += [Row(*pair, EVERYTHING, dead=True) for pair in PAIRS]
    return [replace(row, engines=engines) for row in found + special_rows()]


def matrix(engines: tuple[str, str] = ("peer", "peer")) -> list[Row]:
    """What every run of the tests looks at: every pair with all servers, and the pairs that tell servers apart."""
    port, full, symmetric, blocked = Kind.PORT_RESTRICTED, Kind.FULL_CONE, Kind.SYMMETRIC, Kind.UDP_BLOCKED
    found = [Row(*pair, EVERYTHING) for pair in PAIRS]
    found += [Row(Kind.PUBLIC, kind) for kind in (Kind.PUBLIC, symmetric)]
    found += [Row(Kind.IPV6_ONLY, Kind.IPV6_ONLY), Row(port, port)]
    found += [Row(*pair, STUN) for pair in ((full, symmetric), (port, port), (port, symmetric), (symmetric, symmetric))]
    found += [Row(Kind.ADDRESS_RESTRICTED, symmetric, STUN), Row(blocked, Kind.PUBLIC, STUN)]
    found += [Row(*pair, TURN_UDP) for pair in ((port, symmetric), (symmetric, symmetric), (Kind.IPV6_ONLY, symmetric))]
    found += [Row(blocked, symmetric, TURN_UDP)]
    found += [Row(*pair, TURN_TCP) for pair in ((blocked, symmetric), (blocked, blocked), (Kind.TCP_443, symmetric))]
    found += [Row(*pair, TURN_TLS) for pair in ((Kind.TCP_443, symmetric), (Kind.TCP_443, Kind.TCP_443))]
    dead = (
        (Kind.PUBLIC, Kind.PUBLIC),
        (port, port),
        (symmetric, symmetric),
        (blocked, symmetric),
        (Kind.TCP_443, port),
    )
    found += [Row(*pair, EVERYTHING, dead=True) for pair in dead]
    return [replace(row, engines=engines) for row in found + special_rows()]


def special_rows() -> list[Row]:
    """What is not a question of the network: the kind of credentials, and the policy."""
    return [
        Row(Kind.SYMMETRIC, Kind.SYMMETRIC, TURN_UDP, rest=True),
        Row(Kind.UDP_BLOCKED, Kind.SYMMETRIC, TURN_TLS, rest=True),
        Row(Kind.FULL_CONE, Kind.FULL_CONE, EVERYTHING, relay_only=True),
        Row(Kind.FULL_CONE, Kind.FULL_CONE, STUN, relay_only=True),
    ]


def adverse_rows(engines: tuple[str, str] = ("peer", "peer")) -> list[Row]:
    """Connecting where something else is in the way."""
    port, symmetric, blocked = Kind.PORT_RESTRICTED, Kind.SYMMETRIC, Kind.UDP_BLOCKED
    broken, one = Kind.BROKEN_IPV6, Kind.ONE_TO_ONE
    found = [
        Row(symmetric, one),
        Row(one, symmetric, settings=(("udp_port", 5000),)),
        Row(broken, port, STUN),
        Row(broken, symmetric, TURN_UDP),
        Row(broken, symmetric, TURN_TCP),
        Row(broken, Kind.TCP_443, TURN_TLS),
        Row(port, port, STUN, settings=(("udp_port", 5000),)),
        Row(port, port, STUN, loss=0.2),
        Row(symmetric, symmetric, TURN_UDP, loss=0.2),
        Row(blocked, symmetric, TURN_TCP, loss=0.1),
        Row(port, port, TURN_UDP, answer_after=8.0, forgets_after=5),
        Row(symmetric, symmetric, TURN_UDP, answer_after=8.0, forgets_after=5),
    ]
    return [replace(row, engines=engines) for row in found]


def browser_rows() -> list[Row]:
    """Chromium as the other side, in both roles."""
    first, second = ("chromium", "peer"), ("peer", "chromium")
    tcp = frozenset({Help.ICE_TCP})
    return [
        Row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, STUN, engines=first, media=("audio", "video")),
        Row(Kind.SYMMETRIC, Kind.ADDRESS_RESTRICTED, STUN, engines=second),
        Row(Kind.SYMMETRIC, Kind.SYMMETRIC, TURN_UDP, engines=first),
        Row(Kind.UDP_BLOCKED, Kind.SYMMETRIC, TURN_TCP, engines=first),
        Row(Kind.TCP_443, Kind.PORT_RESTRICTED, TURN_TLS, engines=second),
        Row(Kind.IPV6_ONLY, Kind.PUBLIC, engines=first),
        Row(Kind.UDP_BLOCKED, Kind.PUBLIC, tcp, engines=first),
        Row(Kind.TCP_443, Kind.PUBLIC, tcp, engines=first),
        Row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, EVERYTHING, dead=True, engines=first),
    ]


def troubles(engines: tuple[str, str] = ("peer", "peer"), *, full: bool = False) -> list[Trouble]:
    """Disturbances of a connection between two homes, and of relayed ones."""
    home = Row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, TURN_UDP, engines=engines)
    relayed = Row(Kind.SYMMETRIC, Kind.SYMMETRIC, TURN_UDP, engines=engines)
    over_tcp = Row(Kind.UDP_BLOCKED, Kind.SYMMETRIC, TURN_TCP, engines=engines)
    outages = (1, 2, 5, 10, 20, 28) if full else (1, 5, 10)
    found = [Trouble("outage", home, seconds) for seconds in outages]
    found += [Trouble("outage", relayed, 5), Trouble("outage", over_tcp, 5, after=8)]
    found += [Trouble("new LAN address", row) for row in (home, relayed, over_tcp)]
    found += [Trouble("new WAN address", row, after=8) for row in ((home, relayed) if full else (home,))]
    found += [Trouble("new network", relayed), Trouble("both move", home), Trouble("both restart", home)]
    found += [Trouble("relay gone", replace(relayed, spare=True), after=8)]
    found += [Trouble("new LAN address", replace(home, settings=(("udp_port", 5000),)))]
    found += [Trouble("loss", home, 8, loss=0.2)]
    found += [Trouble("vanish", home, after=10, settings=(("lost_after", 7.0),))]
    if full:
        found += [Trouble("loss", home, 20, loss=share) for share in (0.05, 0.1)]
        found += [Trouble("vanish", relayed, after=35)]
    return found


def call_troubles(*, full: bool = False) -> list[Trouble]:
    """The same for whole calls, which repair themselves, over signaling that suffers too."""
    calls = ("call", "call")
    home = Row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, TURN_UDP, engines=calls)
    relayed = Row(Kind.SYMMETRIC, Kind.SYMMETRIC, TURN_UDP, engines=calls)
    over_tcp = Row(Kind.UDP_BLOCKED, Kind.SYMMETRIC, TURN_TCP, engines=calls)
    found = [Trouble("outage", home, seconds, after=6) for seconds in ((1, 5, 10, 20, 28) if full else (20,))]
    found += [Trouble("relay gone", replace(relayed, spare=True), after=8)]
    found += [Trouble("new LAN address", home), Trouble("new WAN address", home, after=8), Trouble("both move", home)]
    if full:
        found += [Trouble("new LAN address", row, after=12) for row in (relayed, over_tcp)]
        found += [Trouble("new WAN address", relayed, after=12), Trouble("new network", relayed, after=12)]
        found += [Trouble("outage", over_tcp, 5, after=8), Trouble("loss", home, 20, loss=0.2)]
    return found


def browser_troubles() -> list[Trouble]:
    """The same with Chromium as the other side: what happens, happens on our side."""
    home = Row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, TURN_UDP, engines=("peer", "chromium"))
    chromium_first = replace(home, engines=("chromium", "peer"))
    over_tcp = Row(Kind.UDP_BLOCKED, Kind.PUBLIC, frozenset({Help.ICE_TCP}), engines=("chromium", "peer"))
    return [
        Trouble("outage", home, 5),
        Trouble("new LAN address", home, after=8),
        Trouble("new WAN address", home, after=8),
        Trouble("both restart", home),
        Trouble("both restart", chromium_first),
        Trouble("outage", over_tcp, 5, after=8),
    ]


@contextlib.asynccontextmanager
async def laboratory() -> AsyncIterator[tuple[Lab, Servers]]:
    """The public part with its servers."""
    async with Lab() as lab:
        servers = Servers(lab)
        try:
            await servers.start()
            yield lab, servers
        finally:
            await servers.close()


async def run_all(
    matrix_rows: Sequence[Row], disturbed: Sequence[Trouble], told: Callable[[Any], None] = lambda _: None
) -> tuple[list[Result], list[Outcome]]:
    """Runs everything, as much at a time as the machine can; `told` hears of each result as it comes."""
    busy, idle = asyncio.Semaphore(BUSY_AT_ONCE), asyncio.Semaphore(IDLE_AT_ONCE)

    async with laboratory() as (lab, servers):

        async def one_row(row: Row) -> Result:
            async with idle if row.expectation.path is Path.NONE else busy:
                result = await rows.run(lab, servers, row)
            told(result)
            return result

        async def one_trouble(trouble: Trouble) -> Outcome:
            async with idle:
                outcome = await disturbances.run(lab, servers, trouble)
            told(outcome)
            return outcome

        # Those that wait come after those that are timed.
        results = await _gathered(one_row(row) for row in matrix_rows)
        outcomes = await _gathered(one_trouble(trouble) for trouble in disturbed)
    return results, outcomes


async def _gathered(works: Iterable[Any]) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]
