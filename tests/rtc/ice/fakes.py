"""What transports are built of in tests: a gatherer for loopback sockets, a listener that remembers, a watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from peer.rtc.ice.bases import HostBase, bind_udp, host_candidate
from peer.rtc.ice.generation import Parts
from peer.rtc.ice.servers import IceSettings
from peer.rtc.ice.transport import UP, IceTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.servers import CandidateError


class LoopbackGatherer:
    """One UDP socket on 127.0.0.1 for each generation; nothing else is asked."""

    def __init__(self, settings: IceSettings, parameters: IceParameters, listener: Any) -> None:
        self._parameters = parameters
        self._listener = listener
        self.base: HostBase | None = None

    def handle_stun(self, base: Any, data: bytes, address: Any) -> bool:
        return False

    async def start(self) -> None:
        sock = bind_udp("127.0.0.1")
        candidate = host_candidate(sock.getsockname(), 65535, self._parameters.username_fragment)
        base = self.base = HostBase(sock, candidate, self._listener)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: base, sock=sock)
        self._listener.base_added(base)
        self._listener.candidate_found(candidate, base)
        self._listener.gathering_done()

    async def close(self) -> None:
        if self.base is not None:
            self.base.close()


class SilentGatherer(LoopbackGatherer):
    """Finds nothing, and takes for ever to do so."""

    async def start(self) -> None:
        pass


class EmptyGatherer(LoopbackGatherer):
    """Finds nothing."""

    async def start(self) -> None:
        self._listener.gathering_done()


class FakeWatch:
    """Tells of a change of addresses when a test says so."""

    def __init__(self, callback: Callable[[frozenset[str]], None]) -> None:
        self.callback = callback
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Peer:
    """A transport and everything it told; `until` waits for what should come."""

    def __init__(self, settings: IceSettings | None = None, *, role: str = "controlling", **parts: Any) -> None:
        self.local: list[Candidate | None] = []
        self.errors: list[CandidateError] = []
        self.states: list[str] = []
        self.gathering: list[str] = []
        self.pairs_changed = 0
        self.address_changes = 0
        self.data: list[bytes] = []
        self.watches: list[FakeWatch] = []
        self.trickle_to: Peer | None = None
        self._changed = asyncio.Event()
        self.addresses = frozenset({"127.0.0.1"})
        options: dict[str, Any] = {
            "gatherer": LoopbackGatherer,
            "watch": self._watch,
            "resolve": _resolve_nothing,
            "addresses": lambda _: self.addresses,
        }
        self.transport = IceTransport(settings or IceSettings(), self, Parts(**(options | parts)))
        self.transport.role = role

    def _watch(self, callback: Callable[[frozenset[str]], None]) -> FakeWatch:
        self.watches.append(FakeWatch(callback))
        return self.watches[-1]

    def addresses_become(self, *addresses: str) -> None:
        self.addresses = frozenset(addresses)
        for watch in self.watches:
            watch.callback(self.addresses)

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    async def up(self) -> None:
        await self.until(lambda: self.transport.state in UP)

    async def reaches(self, state: str) -> None:
        await self.until(lambda: self.transport.state == state)

    # IceListener

    def ice_candidate(self, candidate: Candidate | None) -> None:
        self.local.append(candidate)
        if self.trickle_to is not None:
            self.trickle_to.transport.add_remote_candidate(candidate)
        self._changed.set()

    def ice_candidate_error(self, error: CandidateError) -> None:
        self.errors.append(error)
        self._changed.set()

    def ice_gathering_changed(self) -> None:
        self.gathering.append(self.transport.gathering_state)
        self._changed.set()

    def ice_state_changed(self) -> None:
        self.states.append(self.transport.state)
        self._changed.set()

    def ice_pair_changed(self) -> None:
        self.pairs_changed += 1
        self._changed.set()

    def ice_data(self, data: bytes) -> None:
        self.data.append(data)
        self._changed.set()

    def ice_media(self, datagrams: list[Datagram]) -> None:
        for data, _, _ in datagrams:
            self.ice_data(data)

    def ice_addresses_changed(self) -> None:
        self.address_changes += 1
        self._changed.set()


async def _resolve_nothing(name: str) -> list[str]:
    return []


async def connect(one: Peer, other: Peer) -> None:
    """As after an offer and an answer that carry the candidates."""
    await asyncio.gather(one.transport.gather(), other.transport.gather())
    introduce(one, other)
    await asyncio.gather(one.up(), other.up())


def introduce(one: Peer, other: Peer) -> None:
    for side, remote in ((one, other), (other, one)):
        side.transport.start(remote.transport.parameters)
        for candidate in remote.transport.candidates:
            side.transport.add_remote_candidate(candidate)
        side.transport.add_remote_candidate(None)


async def close(*peers: Peer) -> None:
    await asyncio.gather(*(peer.transport.close() for peer in peers))
