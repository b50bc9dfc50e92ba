"""One UDP port for all calls of the process: a socket per local address, shared, and closed with its last user.

Who a datagram is for: an ICE check is for the call whose ufrag it names; the answer to a check for the call that made
it; anything else for the call that the remote address is known to belong to, by an authenticated check or answer.

Two calls with the very same remote address cannot be told apart, as when both sides share a port and there are two
calls between them. The address stays with the first; checks of the other call neither leave nor arrive here. That call
hears of it (`in_the_way`) and opens a socket of its own, which the other side learns of by its checks (RFC 8445 section
7.3.1.3). When the first call has not been heard of for a while, the address goes to whoever proves it next.
"""

from __future__ import annotations

import asyncio
import errno
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from peer.errors import UsageError
from peer.rtc.ice.bases import UdpEndpoint, bind_udp, when_free
from peer.rtc.ice.datagrams import MAX_PAUSE, open_datagrams
from peer.rtc.ice.stun import HEADER_SIZE, peek_username

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from peer.rtc.ice.bases import Address, CandidateMaker
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.gather import GatherListener
    from peer.rtc.ice.interfaces import LocalAddress

MAX_TRANSACTIONS: Final = 8192
"""Checks of all calls that wait for an answer; the oldest is forgotten, its answer is then late anyway."""
MAX_ROUTES: Final = 64
"""Remote addresses of one call; the one that was heard of longest ago is forgotten."""
STALE: Final = 5.0
"""Seconds without a sign of the first call until its remote address may go to another. One that lives gives a sign
every second or so; one whose NAT gave the port to somebody else never again."""

_CHECK: Final = b"\x00\x01"
_ANSWERS: Final = (b"\x01\x01", b"\x01\x11")


class SharedBase:
    """The part that one generation has in a shared socket."""

    def __init__(
        self,
        endpoint: _SharedEndpoint,
        candidate: Candidate,
        username_fragment: str,
        listener: GatherListener,
        in_the_way: Callable[[], None],
    ) -> None:
        self.candidate = candidate
        self.username_fragment = username_fragment
        self.listener = listener
        self.data_received = listener.data_received
        self.media_received = listener.media_received
        self.in_the_way = in_the_way
        self.routes: dict[Address, float] = {}
        """Remote addresses that belong to this call and when they last gave a sign of it, the oldest first."""
        self._endpoint: _SharedEndpoint | None = endpoint

    def send(self, data: bytes, address: Address) -> None:
        endpoint = self._endpoint
        if endpoint is None or (data and data[0] <= 3 and not endpoint.stun_leaves(self, data, address)):
            return
        endpoint.send(data, address)

    def send_all(self, packets: list[bytes], address: Address) -> None:
        if self._endpoint is not None:
            self._endpoint.send_all(packets, address)

    def proven(self, address: Address) -> None:
        if self._endpoint is not None:
            self._endpoint.route(self, address)

    def lost(self) -> None:
        """The socket died."""
        if self._endpoint is not None:
            self._endpoint = None
            self.listener.base_lost(self)

    def close(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.leave(self)


class _Transaction(NamedTuple):
    base: SharedBase
    address: Address
    is_query: bool
    """Of a STUN server, not of the other side."""


class _SharedEndpoint(UdpEndpoint):
    def __init__(self, sock: socket.socket, endpoints: dict[Address, _SharedEndpoint]) -> None:
        super().__init__(sock)
        self._endpoints = endpoints
        self._loop = asyncio.get_running_loop()
        self._bases: dict[str, SharedBase] = {}
        self._transactions: dict[bytes, _Transaction] = {}
        self._routes: dict[Address, SharedBase] = {}
        endpoints[self.address] = self

    def join(
        self, candidate: Candidate, username_fragment: str, listener: GatherListener, in_the_way: Callable[[], None]
    ) -> SharedBase:
        base = SharedBase(self, candidate, username_fragment, listener, in_the_way)
        self._bases[username_fragment] = base
        return base

    def leave(self, base: SharedBase) -> None:
        if self._bases.get(base.username_fragment) is base:
            del self._bases[base.username_fragment]
        # Another generation of the call may go on with the same remote address.
        heirs = [other for other in self._bases.values() if other.listener.call is base.listener.call]
        for address in base.routes:
            if self._routes.get(address) is base:
                del self._routes[address]
                for heir in heirs:
                    if address in heir.routes:
                        self._routes[address] = heir
        self._transactions = {key: entry for key, entry in self._transactions.items() if entry.base is not base}
        if not self._bases:
            self._forget()
            self.close()

    def stun_leaves(self, base: SharedBase, data: bytes, address: Address) -> bool:
        """Whether STUN may go out; remembers whose answer will come."""
        is_request = data[:2] == _CHECK
        # What has no user name asks a STUN server, the same one for many calls.
        is_query = is_request and peek_username(data) is None
        if not is_query and self._is_anothers(base, address):
            return False
        if is_request:
            if len(self._transactions) >= MAX_TRANSACTIONS:
                del self._transactions[next(iter(self._transactions))]
            self._transactions[data[8:HEADER_SIZE]] = _Transaction(base, address, is_query)
        return True

    def route(self, base: SharedBase, address: Address) -> None:
        """What comes from the address is for this call."""
        if self._is_anothers(base, address):
            return
        self._routes[address] = base
        base.routes.pop(address, None)
        base.routes[address] = self._loop.time()
        if len(base.routes) > MAX_ROUTES:
            oldest = next(iter(base.routes))
            del base.routes[oldest]
            if self._routes.get(oldest) is base:
                del self._routes[oldest]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...], at: float | None = None) -> None:
        if not data or self._transport is None:
            return
        address: Address = addr[:2]
        if data[0] > 127:
            self.media_received([(data, addr, time.monotonic() if at is None else at)])
        elif data[0] > 3:
            base = self._routes.get(address)
            if base is not None:
                base.data_received(data)
        elif len(data) >= HEADER_SIZE:
            base = self._owner(data, address)
            if base is not None:
                base.listener.stun_received(base, data, address)

    def media_received(self, datagrams: list[Datagram]) -> None:
        if self._transport is None:
            return
        of_each: dict[Address, list[Datagram]] = {}
        for datagram in datagrams:
            of_each.setdefault(datagram[1][:2], []).append(datagram)
        for address, its in of_each.items():
            base = self._routes.get(address)
            if base is not None:
                base.media_received(its)

    def _owner(self, data: bytes, address: Address) -> SharedBase | None:
        """Whose STUN it is, as far as can be told without a password."""
        if data[:2] == _CHECK:
            base = self._bases.get(peek_username(data) or "")
            return None if base is None or self._is_anothers(base, address) else base
        if data[:2] in _ANSWERS:
            key = data[8:HEADER_SIZE]
            asked = self._transactions.get(key)
            if asked is None or asked.address != address:  # late, or from elsewhere, which would be forged
                return None
            del self._transactions[key]
            return None if not asked.is_query and self._is_anothers(asked.base, address) else asked.base
        return self._routes.get(address)

    def _is_anothers(self, base: SharedBase, address: Address) -> bool:
        """Whether the remote address belongs to another call that lives; if so, this one hears of it."""
        owner = self._routes.get(address)
        if owner is None or owner.listener.call is base.listener.call:
            return False
        if self._loop.time() - owner.routes[address] > STALE:
            return False
        base.in_the_way()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._forget()
        self.close()
        bases, self._bases = list(self._bases.values()), {}
        for base in bases:
            base.lost()

    def _forget(self) -> None:
        if self._endpoints.get(self.address) is self:
            del self._endpoints[self.address]


class _Registry:
    """The shared sockets of one loop."""

    def __init__(self) -> None:
        self.endpoints: dict[Address, _SharedEndpoint] = {}
        self.lock = asyncio.Lock()  # opening takes a few turns of the loop: two calls must not both do it


_registries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = WeakKeyDictionary()


async def join_shared_port(
    local: LocalAddress,
    port: int,
    candidate_of: CandidateMaker,
    username_fragment: str,
    listener: GatherListener,
    in_the_way: Callable[[], None],
    max_pause: float = MAX_PAUSE,
) -> SharedBase:
    """Takes part in the socket on this address and port, which is opened for the first. Raises OSError, UsageError.

    `in_the_way` is called, perhaps often, when another call has the remote address that this one wants to use.
    """
    loop = asyncio.get_running_loop()
    registry = _registries.setdefault(loop, _Registry())
    async with registry.lock:
        endpoint = registry.endpoints.get((local.address, port))
        if endpoint is None:
            endpoint = await _open(local.address, port, registry, max_pause)
        return endpoint.join(candidate_of(local, port), username_fragment, listener, in_the_way)


async def _open(address: str, port: int, registry: _Registry, max_pause: float) -> _SharedEndpoint:
    try:
        sock = await when_free(lambda: bind_udp(address, (port, port)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sentence = f"UDP port {port} is taken on {address}; end the program that has it, or choose another port"
        raise UsageError(sentence) from error
    endpoint = _SharedEndpoint(sock, registry.endpoints)
    try:
        await open_datagrams(sock, endpoint, max_pause)
    except BaseException:
        registry.endpoints.pop(endpoint.address, None)
        sock.close()
        raise
    return endpoint
