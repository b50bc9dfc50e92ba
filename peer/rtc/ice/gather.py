"""The candidates of one generation: host, server reflexive and relayed ones, from every server at once (RFC 8445, 5.1).

Host sockets are there when `start` returns; the rest is reported as it comes. A server that does not answer costs
nothing but the end of gathering, five seconds later.

A relay that is lost is not allocated again here, as the end of candidates was told: where the call went over it, that
is noticed at once (`Selection.lost`), and the restart that follows allocates anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from peer.errors import UsageError
from peer.rtc.ice import interfaces
from peer.rtc.ice.bases import BaseListener, host_candidate, open_host_base
from peer.rtc.ice.complaints import complain
from peer.rtc.ice.lookup import Names, ServerFailed
from peer.rtc.ice.publicip import announced, public_addresses
from peer.rtc.ice.query import Queries, reflexive_candidate
from peer.rtc.ice.relay import RelayOptions
from peer.rtc.ice.relaying import first_relay
from peer.rtc.ice.relaylink import Way
from peer.rtc.ice.servers import UNREACHABLE, server_urls
from peer.rtc.ice.sharedudp import join_shared_port
from peer.rtc.ice.tcp import join_tcp_port

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from peer.rtc.ice.bases import Address, Base, CandidateMaker
    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.interfaces import LocalAddress
    from peer.rtc.ice.relay import Relay
    from peer.rtc.ice.servers import CandidateError, IceServerUrl, IceSettings
    from peer.rtc.ice.tcp import Passive

logger = logging.getLogger(__name__)

DEADLINE: Final = 5.0
"""Seconds that a server has for everything: its name, its connection, its answer."""
CLOSE_DEADLINE: Final = 1.0
"""Seconds that servers have to confirm that allocations are deleted."""
PREFERENCE_STEP: Final = 64
"""Between the local preferences of two addresses: room for the servers that each is seen by."""


class GatherListener(BaseListener, Protocol):
    """Who takes what is found. Plain calls on the loop; they must not raise."""

    @property
    def call(self) -> object:
        """Whose packets these are: all generations of one call have the same."""

    def base_added(self, base: Base) -> None:
        """A host socket, a relay or an accepted TCP connection is there; its candidate is `base.candidate`."""

    def candidate_found(self, candidate: Candidate, base: Base | None) -> None:
        """To be told to the other side. The base of a passive TCP candidate comes with each connection: None here."""

    def server_failed(self, error: CandidateError) -> None:
        """A URL gave no candidate."""

    def gathering_done(self) -> None:
        """That was all."""


class Gatherer:
    """Finds the candidates of one generation, and owns its sockets until `close`."""

    def __init__(self, settings: IceSettings, parameters: IceParameters, listener: GatherListener) -> None:
        self._settings = settings
        self._parameters = parameters
        self._listener = listener
        self._bases: list[Base] = []
        self._hosts: list[tuple[Base, int]] = []
        """UDP sockets, each with its local preference."""
        self._public: dict[str, str] = {}
        self._passive: Passive | None = None
        self._relays: list[Relay] = []
        self._queries = Queries()
        self._names = Names(settings)
        self._found: set[tuple[str, str, int]] = set()
        self._task: asyncio.Task[None] | None = None
        self._own: dict[str, asyncio.Task[None]] = {}
        """Local addresses of the shared port that have a socket beside it, or get one."""
        self._closed = False

    async def start(self) -> None:
        """Binds the host sockets; everything else goes on by itself.

        Raises UsageError for settings that cannot be; it may then be tried again.
        """
        settings = self._settings
        urls, errors = server_urls(settings.servers)
        local = interfaces.usable_addresses(settings)
        self._public = public_addresses(local, settings.public_ips)
        try:
            if settings.policy == "all":
                await self._open_hosts(local)
        except BaseException:
            self._close_bases()
            self._bases, self._hosts, self._passive = [], [], None
            self._found.clear()
            raise
        if self._closed:  # meanwhile
            self._close_bases()
            return
        for error in errors:
            self._failed(error.url, ServerFailed(error.error_code, error.error_text, "correct the URL"))
        self._task = asyncio.create_task(self._ask_servers(urls, local), name="ice gathering")

    def handle_stun(self, base: Base, data: bytes, address: Address) -> bool:
        """Takes a datagram that a STUN server answered with; false when it is something else."""
        return self._queries.handle(data, address)

    async def close(self) -> None:
        """Ends what is under way, closes every socket, and gives TURN servers a second to delete the allocations."""
        if self._closed:
            return
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            await self._names.close()
        for opening in self._own.values():
            opening.cancel()
        await asyncio.gather(*self._own.values(), return_exceptions=True)
        self._close_bases()
        if self._relays:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE):
                    for relay in self._relays:
                        await relay.wait_closed()
        for relay in self._relays:
            relay.abort()

    def _close_bases(self) -> None:
        for base in self._bases:
            base.close()
        for relay in self._relays:
            relay.close()
        if self._passive is not None:
            self._passive.close()

    # Hosts

    async def _open_hosts(self, local: list[LocalAddress]) -> None:
        if self._settings.tcp_port is not None:
            self._passive = await join_tcp_port(self._settings.tcp_port, self._parameters, self._listener)
        taken: UsageError | None = None
        for position, address in enumerate(local):
            if self._closed:
                return
            try:
                await self._open_host(address, _preference(position))
            except UsageError as error:
                taken = error
            except OSError as error:
                logger.warning("no UDP socket on %s: %s", address.address, error.strerror or error)
        if taken is not None and not self._hosts:
            raise taken
        if taken is not None:
            logger.warning("%s", taken)
        if self._passive is not None and not self._closed:
            for position, address in enumerate(local):
                candidate = self._passive.add(address.address, _preference(position))
                self._report(announced(candidate, self._public), None)
        if not local:
            logger.warning("this host has no address that may be used; check its network, and the interface filter")

    async def _open_host(self, local: LocalAddress, preference: int) -> None:
        settings, fragment = self._settings, self._parameters.username_fragment
        candidate_of = self._maker(preference)

        def in_the_way() -> None:
            if not self._closed and local.address not in self._own:
                opening = self._open_own(local, preference - PREFERENCE_STEP // 2)
                self._own[local.address] = asyncio.create_task(opening, name="ice socket beside the shared port")

        base: Base
        if settings.udp_port is not None:
            base = await join_shared_port(
                local, settings.udp_port, candidate_of, fragment, self._listener, in_the_way, settings.max_pause
            )
        else:
            base = await open_host_base(local, settings.udp_ports, candidate_of, self._listener, settings.max_pause)
        self._bases.append(base)
        if not self._closed:
            self._hosts.append((base, preference))
            self._listener.base_added(base)
            self._report(announced(base.candidate, self._public), base)

    async def _open_own(self, local: LocalAddress, preference: int) -> None:
        """A socket beside the shared port, for a remote address that another call has there (see `sharedudp`).

        It is not announced: gathering may be over, and checks out of it tell the other side.
        """
        try:
            base = await open_host_base(local, None, self._maker(preference), self._listener, self._settings.max_pause)
        except OSError as error:
            logger.warning("no second UDP socket on %s: %s", local.address, error.strerror or error)
            return
        self._bases.append(base)
        self._listener.base_added(base)

    def _maker(self, preference: int) -> CandidateMaker:
        def candidate_of(local: LocalAddress, port: int) -> Candidate:
            return host_candidate((local.address, port), preference, self._parameters.username_fragment)

        return candidate_of

    # Servers

    async def _ask_servers(self, urls: list[IceServerUrl], local: list[LocalAddress]) -> None:
        relays = [url for url in urls if url.is_turn]
        reflectors = [url for url in urls if not url.is_turn]
        known = {(url.host.lower(), url.port) for url in reflectors}
        # A TURN server over UDP answers STUN queries too: who names only that one learns its public address as well.
        helpers = [url for url in relays if url.transport == "udp" and (url.host.lower(), url.port) not in known]
        async with asyncio.TaskGroup() as group:
            if self._settings.policy == "all":
                for rank, url in enumerate(reflectors + helpers):
                    told = url if rank < len(reflectors) else None
                    group.create_task(self._ask(self._reflect(url, rank), told), name=f"ice gathering {url.url}")
            for rank, url in enumerate(relays):
                group.create_task(self._ask(self._relay(url, rank, local), url), name=f"ice gathering {url.url}")
        self._listener.gathering_done()

    async def _ask(self, asking: Coroutine[None, None, None], url: IceServerUrl | None) -> None:
        """One server, until its deadline; `url`: the one to complain of."""
        try:
            await asking
        except ServerFailed as failure:
            cause = failure
        except TimeoutError:
            cause = ServerFailed(UNREACHABLE, f"no answer within {DEADLINE:g} s")
        except Exception:
            logger.exception("asking an ICE server failed in a way that it should not")
            cause = ServerFailed(UNREACHABLE, "an error of our own")
        else:
            return
        if url is not None:
            self._failed(url.url, cause)

    async def _reflect(self, url: IceServerUrl, rank: int) -> None:
        """A server reflexive candidate for each host socket. Raises ServerFailed or TimeoutError without any."""
        until = asyncio.get_running_loop().time() + DEADLINE
        addresses = await self._names.lookup(url, until)
        preferences = {id(base): preference for base, preference in self._hosts}

        def found(base: Base, mapped: Address) -> None:
            preference = preferences[id(base)] - rank % PREFERENCE_STEP
            self._report(reflexive_candidate(mapped, base, preference, url), base)

        ways = [
            (base, address)
            for base, _ in self._hosts
            for address in addresses
            if (base.candidate.family == 6) == (":" in address[0])
        ]
        await self._queries.ask_all(ways, until, found)

    async def _relay(self, url: IceServerUrl, rank: int, local: list[LocalAddress]) -> None:
        """The relayed candidates of a TURN server. Raises ServerFailed when it gives none."""
        settings = self._settings
        sources = (
            tuple({each.version: each.address for each in reversed(local)}.values()) if settings.interfaces else ()
        )
        options = RelayOptions(
            self._parameters.username_fragment,
            65535 - rank,
            both_families=settings.ipv6,
            way=Way(settings.ca_file, sources),
        )
        until = asyncio.get_running_loop().time() + DEADLINE
        addresses = await self._names.lookup(url, until)
        async with asyncio.timeout_at(until):
            relay = await first_relay(url, addresses, options, self._listener)
        self._relays.append(relay)
        for base in relay.bases:
            if base.closed:  # lost already
                continue
            self._bases.append(base)
            self._listener.base_added(base)
            self._report(base.candidate, base)

    # What is found

    def _report(self, candidate: Candidate, base: Base | None) -> None:
        # RFC 8445 section 5.1.3: one with the same address and base is redundant, as the server reflexive candidate
        # of a host that is on no NAT. Two bases with one public address are one way for the other side as well.
        key = (candidate.protocol, candidate.address, candidate.port)
        if key not in self._found and not self._closed:
            self._found.add(key)
            self._listener.candidate_found(candidate, base)

    def _failed(self, url: str, failure: ServerFailed) -> None:
        complain(url, failure)
        self._listener.server_failed(failure.error(url))


def _preference(position: int) -> int:
    """The local preference of an address, by its place in the list."""
    return 65535 - position * PREFERENCE_STEP
