"""One UDP port for all calls of the process: a socket per local address, shared, and closed with its last user.

Who a datagram is for: an ICE check is for the call whose ufrag it names; the answer to a check for the call that made
it; anything else for the call that last had an authenticated check with that remote address. Two calls with the very
same remote address and port cannot be told apart; the later one gets the packets.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from peer.errors import UsageError
from peer.rtc.ice.bases import BaseListener, UdpEndpoint, bind_udp, when_free
from peer.rtc.ice.stun import HEADER_SIZE, peek_username

if TYPE_CHECKING:
    import socket

    from peer.rtc.ice.bases import Address, CandidateMaker
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.interfaces import LocalAddress

MAX_TRANSACTIONS: Final = 8192
"""Checks of all calls that wait for an answer; the oldest is forgotten, its answer is then late anyway."""
MAX_ROUTES: Final = 64
"""Remote addresses of one call; the one that was heard of longest ago is forgotten."""

_CHECK: Final = b"\x00\x01"
_ANSWER: Final = b"\x01\x01"
_REFUSAL: Final = b"\x01\x11"


class SharedBase:
    """The part that one generation has in a shared socket."""

    def __init__(
        self, endpoint: _SharedEndpoint, candidate: Candidate, username_fragment: str, listener: BaseListener
    ) -> None:
        self.candidate = candidate
        self.username_fragment = username_fragment
        self.listener = listener
        self.data_received = listener.data_received
        self.routes: dict[Address, None] = {}
        """Remote addresses that belong to this call, in the order in which they were heard of."""
        self._endpoint: _SharedEndpoint | None = endpoint

    def send(self, data: bytes, address: Address) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        if data and data[0] <= 3:
            endpoint.stun_sent(self, data, address)
        endpoint.send(data, address)

    def lost(self) -> None:
        """The socket died."""
        if self._endpoint is not None:
            self._endpoint = None
            self.listener.base_lost(self)

    def close(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.leave(self)


class _SharedEndpoint(UdpEndpoint):
    def __init__(self, sock: socket.socket, endpoints: dict[Address, _SharedEndpoint]) -> None:
        super().__init__(sock)
        self._endpoints = endpoints
        self._bases: dict[str, SharedBase] = {}
        self._transactions: dict[bytes, SharedBase] = {}
        self._routes: dict[Address, SharedBase] = {}
        endpoints[self.address] = self

    def join(self, candidate: Candidate, username_fragment: str, listener: BaseListener) -> SharedBase:
        base = SharedBase(self, candidate, username_fragment, listener)
        self._bases[username_fragment] = base
        return base

    def leave(self, base: SharedBase) -> None:
        if self._bases.get(base.username_fragment) is base:
            del self._bases[base.username_fragment]
        for address in base.routes:
            if self._routes.get(address) is base:
                del self._routes[address]
        self._transactions = {key: owner for key, owner in self._transactions.items() if owner is not base}
        if not self._bases:
            self._forget()
            self.close()

    def stun_sent(self, base: SharedBase, data: bytes, address: Address) -> None:
        """Remembers whose answer will come; and whoever is answered with success has proved that it knows the call."""
        kind = data[:2]
        if kind == _CHECK:
            if len(self._transactions) >= MAX_TRANSACTIONS:
                del self._transactions[next(iter(self._transactions))]
            self._transactions[data[8:HEADER_SIZE]] = base
        elif kind == _ANSWER:
            self._route(base, address)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not data or self._transport is None:
            return
        address: Address = addr[:2]
        if data[0] > 3:
            base = self._routes.get(address)
            if base is not None:
                base.data_received(data)
        elif len(data) >= HEADER_SIZE:
            base = self._owner(data, address)
            if base is not None:
                base.listener.stun_received(base, data, address)

    def _owner(self, data: bytes, address: Address) -> SharedBase | None:
        kind = data[:2]
        if kind == _CHECK:
            return self._bases.get(peek_username(data) or "")
        if kind in (_ANSWER, _REFUSAL):
            base = self._transactions.pop(data[8:HEADER_SIZE], None)
            if base is not None and kind == _ANSWER:
                self._route(base, address)  # only who was asked knows the transaction id
            return base
        return self._routes.get(address)

    def _route(self, base: SharedBase, address: Address) -> None:
        self._routes[address] = base
        base.routes.pop(address, None)
        base.routes[address] = None
        if len(base.routes) > MAX_ROUTES:
            oldest = next(iter(base.routes))
            del base.routes[oldest]
            if self._routes.get(oldest) is base:
                del self._routes[oldest]

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
    local: LocalAddress, port: int, candidate_of: CandidateMaker, username_fragment: str, listener: BaseListener
) -> SharedBase:
    """Takes part in the socket on this address and port, which is opened for the first. Raises OSError, UsageError."""
    loop = asyncio.get_running_loop()
    registry = _registries.setdefault(loop, _Registry())
    async with registry.lock:
        endpoint = registry.endpoints.get((local.address, port))
        if endpoint is None:
            endpoint = await _open(local.address, port, registry)
        return endpoint.join(candidate_of(local, port), username_fragment, listener)


async def _open(address: str, port: int, registry: _Registry) -> _SharedEndpoint:
    try:
        sock = await when_free(lambda: bind_udp(address, (port, port)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sentence = f"UDP port {port} is taken on {address}; end the program that has it, or choose another port"
        raise UsageError(sentence) from error
    endpoint = _SharedEndpoint(sock, registry.endpoints)
    try:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: endpoint, sock=sock)
    except BaseException:
        registry.endpoints.pop(endpoint.address, None)
        sock.close()
        raise
    return endpoint
