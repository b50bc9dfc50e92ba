"""The laboratory: a public part with servers, and sites (a router and a host behind it) on links of their own.

Addresses: 203.0.113.0/24 are servers, 198.18.N.0/24 is the link to site N, 198.19.N.0/24 a public host's network. Every
private network is the same 192.168.1.0/24, as at home. What goes anywhere else is swallowed, as the internet does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.network import nat
from tests.network.namespaces import LabError, Namespaces, ip, nft, sysctl
from tests.network.nat import Kind

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).parents[2]
LINK_SECONDS = 0.015
"""How long a packet takes over one link: 60 ms for a round trip between two sites, 30 ms to a server and back."""

NAMES: dict[str, tuple[str, ...]] = {
    "stun.lab": ("203.0.113.10", "2001:db8:ffff::10"),
    "turn.lab": ("203.0.113.10", "2001:db8:ffff::10"),
    "rest.lab": ("203.0.113.11", "2001:db8:ffff::11"),
    "signal.lab": ("203.0.113.14",),
    "dead.lab": ("203.0.113.12", "2001:db8:ffff::12"),
}
"""Names that hosts know. Nobody answers at dead.lab; a name that is not here asks a DNS server that never answers."""

_SERVED = [address for name in ("turn.lab", "rest.lab", "signal.lab") for address in NAMES[name]]
_FILES = {
    "hosts": "127.0.0.1 localhost\n::1 localhost\n"
    + "".join(f"{address} {name}\n" for name, addresses in NAMES.items() for address in addresses),
    "resolv.conf": "nameserver 203.0.113.12\noptions timeout:2 attempts:2\n",
}
_NO_DAD = {f"ipv6.conf.{which}.accept_dad": 0 for which in ("all", "default")}
"""Nobody looks for others with the same address, which takes IPv6 up to two seconds."""

_WITH_IPV6 = (Kind.PUBLIC, Kind.IPV6_ONLY, Kind.BROKEN_IPV6)
MOST_SITES = 120


@dataclass
class Site:
    """One party's network: a router with one side in public, and the host behind it."""

    lab: Lab
    number: int
    kind: Kind
    process: asyncio.subprocess.Process | None = None
    _lan_host: int = field(default=0)
    _wan_host: int = field(default=2)

    @property
    def host(self) -> str:
        """The namespace in which a party runs."""
        return self.lab.namespaces.full(f"h{self.number}")

    @property
    def router(self) -> str:
        return self.lab.namespaces.full(f"r{self.number}")

    @property
    def address(self) -> str:
        """The host's own address."""
        if self.kind is Kind.IPV6_ONLY:
            return f"2001:db8:1:{self.number:x}::{self._lan_host or 2:x}"
        return f"{self._lan}.{self._lan_host}"

    @property
    def public_address(self) -> str:
        """The address by which others know the host."""
        translated = self.kind not in (Kind.PUBLIC, Kind.IPV6_ONLY)
        return f"198.18.{self.number}.{self._wan_host}" if translated else self.address

    @property
    def _lan(self) -> str:
        return f"198.19.{self.number}" if self.kind is Kind.PUBLIC else "192.168.1"

    async def open(self, seconds: float) -> None:
        await asyncio.to_thread(self._make)
        await self._connect(seconds)
        await asyncio.to_thread(self._configure)

    def _make(self) -> None:
        self.lab.namespaces.add(f"r{self.number}")
        self.lab.namespaces.add(f"h{self.number}", _FILES)
        sysctl(self.router, _NO_DAD)
        sysctl(self.host, _NO_DAD)
        ip(self.router, f"link add lan type veth peer name eth0 netns {self.host}")

    async def _connect(self, seconds: float) -> None:
        ends = (self.router, "wan", self.lab.public, f"s{self.number}")
        if seconds == 0:
            await asyncio.to_thread(ip, ends[0], f"link add wan type veth peer name {ends[3]} netns {ends[2]}")
            return
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.network.delay", str(seconds), *ends),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        if not await asyncio.wait_for(self.process.stdout.readline(), 20):
            raise LabError("the link did not come up")

    def _configure(self) -> None:
        n = self.number
        self._lan_host = 10 + n if self.kind not in (Kind.PUBLIC, Kind.IPV6_ONLY) else 2
        sysctl(self.router, {"ipv4.ip_forward": 1, "ipv6.conf.all.forwarding": 1})
        sysctl(self.host, {"ipv6.conf.all.disable_ipv6": 0 if self.kind in _WITH_IPV6 else 1})
        ip(
            self.router,
            *(f"addr add 198.18.{n}.2/24 dev wan", f"addr add 2001:db8:0:{n:x}::2/64 dev wan nodad"),
            *("link set wan up", "link set lan up"),
            *(f"addr add {self._lan}.1/24 dev lan", f"addr add 2001:db8:1:{n:x}::1/64 dev lan nodad"),
            *(f"route add default via 198.18.{n}.1", f"route add ::/0 via 2001:db8:0:{n:x}::1"),
        )
        ip(
            self.lab.public,
            *(f"addr add 198.18.{n}.1/24 dev s{n}", f"addr add 2001:db8:0:{n:x}::1/64 dev s{n} nodad"),
            f"link set s{n} up",
            f"route add 2001:db8:1:{n:x}::/64 via 2001:db8:0:{n:x}::2",
            *([f"route add 198.19.{n}.0/24 via 198.18.{n}.2"] if self.kind is Kind.PUBLIC else []),
        )
        ip(self.host, "link set eth0 up", *self._host_lines())
        nft(self.router, nat.rules(self.kind, f"{self._lan}.{self._lan_host}"))

    def _host_lines(self) -> list[str]:
        """What gives the host its address and the way out."""
        lines = []
        if self.kind is not Kind.IPV6_ONLY:
            lines += [f"addr add {self._lan}.{self._lan_host}/24 dev eth0", f"route add default via {self._lan}.1"]
        if self.kind in _WITH_IPV6:
            prefix = f"2001:db8:1:{self.number:x}::"
            lines += [f"addr add {prefix}{self._lan_host:x}/64 dev eth0 nodad", f"route add ::/0 via {prefix}1"]
        return lines

    # Disturbances. They block for some milliseconds: run them on a thread.

    def forget_soon(self, seconds: int) -> None:
        """The router forgets a UDP conversation after so many seconds of silence."""
        sysctl(self.router, {f"netfilter.nf_conntrack_udp_timeout{which}": seconds for which in ("", "_stream")})

    def cut(self) -> None:
        """Nothing passes the router any more, in either direction."""
        nft(self.router, nat.cut())

    def close_off(self, address: str) -> None:
        nft(self.router, nat.close_off(address))

    def lose(self, share: float) -> None:
        nft(self.router, nat.lose(share))

    def mend(self) -> None:
        nft(self.router, nat.mend())

    def move_host(self) -> None:
        """The host gets another address, as a laptop that changes from one access point to another."""
        ip(self.host, "addr flush dev eth0 scope global")
        self._lan_host += 120
        ip(self.host, *self._host_lines())

    def move_router(self) -> None:
        """The provider gives the router another public address; nobody tells the host."""
        n = self.number
        ip(
            self.router,
            *(
                f"addr del 198.18.{n}.{self._wan_host}/24 dev wan",
                f"addr add 198.18.{n}.{self._wan_host + 1}/24 dev wan",
            ),
            f"route replace default via 198.18.{n}.1",
        )
        self._wan_host += 1

    async def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 2)
        for name in ("h", "r"):
            await asyncio.to_thread(self.lab.namespaces.remove, f"{name}{self.number}")


class Lab:
    """`async with Lab() as lab`: the public part; `lab.site(kind)` adds a site. Everything goes with the block."""

    def __init__(self, link_seconds: float = LINK_SECONDS) -> None:
        self.namespaces = Namespaces()
        self._link_seconds = link_seconds
        self._numbers = itertools.cycle(range(1, MOST_SITES + 1))
        self._sites: dict[int, Site] = {}

    @property
    def public(self) -> str:
        return self.namespaces.full("pub")

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._make)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _make(self) -> None:
        self.namespaces.add("pub", _FILES)
        sysctl(self.public, _NO_DAD)
        sysctl(self.public, {"ipv4.ip_forward": 1, "ipv6.conf.all.forwarding": 1})
        ip(
            self.public,
            *(f"addr add {address}{'/128 nodad' if ':' in address else '/32'} dev lo" for address in _SERVED),
            # Whatever goes nowhere is swallowed in silence, by a cable whose other end is not meant: without a route,
            # or with one to a rule that drops, senders are told, and a TURN server then gives the allocation up.
            *("link add void arp off type veth peer name nothing", "link set void up", "link set nothing up"),
            *("route add default dev void", "route add ::/0 dev void"),
        )

    async def site(self, kind: Kind) -> Site:
        number = next(number for number in self._numbers if number not in self._sites)
        site = self._sites[number] = Site(self, number, kind)
        try:
            await site.open(self._link_seconds)
        except BaseException:
            await self.remove(site)
            raise
        return site

    async def remove(self, site: Site) -> None:
        await site.close()
        self._sites.pop(site.number, None)

    async def close(self) -> None:
        try:
            await asyncio.gather(*(self.remove(site) for site in list(self._sites.values())))
        finally:
            await asyncio.to_thread(self.namespaces.close)
