"""Local transport addresses that packets of a call go out of: the `Base` protocol, and plain UDP sockets.

Other bases: `sharedudp` (one port for all calls), `tcp` (accepted connections), `relay` (TURN).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from peer.errors import UsageError
from peer.rtc.ice.candidate import Candidate, candidate_foundation, candidate_priority
from peer.rtc.ice.datagrams import MAX_PAUSE, open_datagrams
from peer.rtc.ice.interfaces import family, is_ip
from peer.rtc.ice.sockets import closed_on_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.interfaces import LocalAddress

Address = tuple[str, int]

MAX_WAITING: Final = 256 * 1024
"""Bytes that may wait in a socket's write buffer before packets are dropped: late media is of no use."""
MAX_TARGETS: Final = 256
"""Addresses that are known to be good to send to; all are forgotten, and looked at again, when there are more."""
MAX_KNOWN: Final = 64
"""Remote addresses of one base that are the other side's; the one that was heard of longest ago is forgotten."""
LAST_TURNS: Final = 5
"""Turns of the loop that a socket may take to close, before its port counts as taken."""

_TCP_RTO_MAX_MS: Final = 44
"""Linux 6.15; Python has no name for it yet."""
_RTO_MAX: Final = 1000
"""Milliseconds. By itself TCP waits ever longer in an outage: 6 s more after one of 20 s, when the network is back."""
_TCP_PATIENCE: Final = 60_000
"""Milliseconds without an answer until TCP gives up, instead of a number of attempts, which would soon be reached."""
_RECEIVE_BUFFER: Final = 1 << 20
"""A burst of a few keyframes fits while the loop is busy; the kernel gives less where it is configured so."""
_SEND_BUFFER: Final = 1 << 19


class BaseListener(Protocol):
    """Who takes what a base receives. Plain calls on the loop; they must not raise."""

    def stun_received(self, base: Base, data: bytes, address: Address) -> None:
        """A datagram that begins like STUN (RFC 7983)."""

    def media_received(self, datagrams: list[Datagram]) -> None:
        """Those that begin like SRTP or SRTCP, straight from the socket; several at once where there are several."""

    def data_received(self, data: bytes) -> None:
        """Any other datagram."""

    def base_lost(self, base: Base) -> None:
        """The socket died, the allocation expired, the connection was closed by the other side."""


class Base(Protocol):
    """A local transport address."""

    candidate: Candidate
    """The host or relay candidate with the real local address; of a TCP connection the passive candidate."""

    def send(self, data: bytes, address: Address) -> None:
        """Never raises and never blocks; drops the packet when it cannot go out."""

    def send_all(self, packets: list[bytes], address: Address) -> None:
        """The same of several, which are no STUN."""

    def proven(self, address: Address) -> None:
        """What comes from this address is for the call: a check or an answer from there was made with its password."""

    def close(self) -> None:
        """Idempotent; sockets close at the end of the loop's turn."""


class OneByOne:
    """A base that sends each packet for itself."""

    def send(self, data: bytes, address: Address) -> None:
        raise NotImplementedError

    def send_all(self, packets: list[bytes], address: Address) -> None:
        for data in packets:
            self.send(data, address)


class Targets:
    """Keeps what is no IP address of the right family away from a socket: a name would be looked up, blocking."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._good: set[Address] = set()

    def allow(self, address: Address) -> bool:
        return address in self._good or self._is_good(address)

    def _is_good(self, address: Address) -> bool:
        host, port = address
        if not is_ip(host) or (":" in host) != (self._version == 6) or not 0 < port < 65536:
            return False
        if len(self._good) >= MAX_TARGETS:
            self._good.clear()
        self._good.add(address)
        return True


class Known:
    """The remote addresses that are known to be the other side's.

    Media is taken from any: SRTP knows what is genuine. A DTLS handshake does not, anybody could end it with an alert.
    """

    def __init__(self) -> None:
        self._addresses: dict[Address, None] = {}

    def __contains__(self, address: Address) -> bool:
        return address in self._addresses

    def add(self, address: Address) -> None:
        self._addresses.pop(address, None)
        self._addresses[address] = None
        if len(self._addresses) > MAX_KNOWN:
            del self._addresses[next(iter(self._addresses))]


class UdpEndpoint(asyncio.DatagramProtocol):
    """A bound UDP socket on the loop, for `HostBase` and the shared port to build on."""

    def __init__(self, sock: socket.socket) -> None:
        self.address: Address = sock.getsockname()[:2]
        self.dropped = 0
        """Packets that could not go out."""
        self.errors = 0
        """What the kernel reported of this socket, as a network that cannot be reached."""
        self._targets = Targets(6 if ":" in self.address[0] else 4)
        self._transport: Any = None  # a DatagramTransport; typing does not know that it has a write buffer
        self._together: Callable[[list[bytes], Address], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._together = getattr(transport, "sendto_all", None)  # asyncio's has none

    def send(self, data: bytes, address: Address) -> None:
        self.send_all([data], address)

    def send_all(self, packets: list[bytes], address: Address) -> None:
        transport = self._transport
        if transport is None or not self._targets.allow(address) or transport.get_write_buffer_size() > MAX_WAITING:
            self.dropped += len(packets)
        elif self._together is not None:
            self._together(packets, address)
        else:
            for data in packets:
                transport.sendto(data, address)

    def error_received(self, exc: Exception) -> None:
        self.errors += 1

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


class HostBase(UdpEndpoint):
    """A UDP socket of one generation, on one address of this host."""

    def __init__(self, sock: socket.socket, candidate: Candidate, listener: BaseListener) -> None:
        super().__init__(sock)
        self.candidate = candidate
        self._listener = listener
        self._media_received = listener.media_received
        self._known = Known()
        self.proven = self._known.add

    def datagram_received(self, data: bytes, addr: tuple[Any, ...], at: float | None = None) -> None:
        # RFC 7983: a first byte from 0 to 3 is STUN, from 128 on media, in between DTLS.
        if not data or self._transport is None:
            return
        first = data[0]
        if first <= 3:
            self._listener.stun_received(self, data, addr[:2])
        elif first > 127:
            self._media_received([(data, addr, time.monotonic() if at is None else at)])
        elif addr[:2] in self._known:
            self._listener.data_received(data)

    def media_received(self, datagrams: list[Datagram]) -> None:
        if self._transport is not None:
            self._media_received(datagrams)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self.close()
            self._listener.base_lost(self)


async def open_host_base(
    local: LocalAddress,
    ports: tuple[int, int] | None,
    candidate_of: CandidateMaker,
    listener: BaseListener,
    max_pause: float = MAX_PAUSE,
) -> HostBase:
    """A socket on the address, on a port of the range if there is one. Raises OSError."""
    sock = bind_udp(local.address, ports)
    with closed_on_failure(sock):
        base = HostBase(sock, candidate_of(local, sock.getsockname()[1]), listener)
        await open_datagrams(sock, base, max_pause)
    return base


class CandidateMaker(Protocol):
    """Makes the host candidate of a socket, once its port is known."""

    def __call__(self, local: LocalAddress, port: int) -> Candidate: ...


def bind_udp(address: str, ports: tuple[int, int] | None = None) -> socket.socket:
    """A non-blocking UDP socket on the address; `ports` are tried in random order until one is free. Raises OSError."""
    if ports is None:
        return _bound(address, 0)
    low, high = ports
    if not 0 < low <= high < 65536:
        raise UsageError(f"the UDP ports {low}-{high} are no range; write one like 50000-50100")
    for port in random.sample(range(low, high + 1), high - low + 1):
        try:
            return _bound(address, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise OSError(errno.EADDRINUSE, f"every UDP port from {low} to {high} is taken on {address}")


async def when_free(bind: Callable[[], socket.socket]) -> socket.socket:
    """The socket that `bind` makes, once one that is just being closed has let go of the port. Raises OSError."""
    for turns_left in range(LAST_TURNS, 0, -1):
        try:
            return bind()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or turns_left == 1:
                raise
        await asyncio.sleep(0)
    raise AssertionError


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    with closed_on_failure(sock):
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option, size in ((socket.SO_RCVBUF, _RECEIVE_BUFFER), (socket.SO_SNDBUF, _SEND_BUFFER)):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        sock.bind((address, port))
    return sock


def tune_stream(sock: socket.socket) -> None:
    """Makes a TCP connection fit for media and for outages, as far as the system can."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What cannot be sent now waits here, where it is counted and can be dropped, and not in the kernel.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_WAITING // 2)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _RTO_MAX)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_PATIENCE)


def host_candidate(
    address: Address, local_preference: int, username_fragment: str, *, tcp_type: str | None = None
) -> Candidate:
    """The host candidate of a socket; passive TCP with `tcp_type`."""
    protocol = "udp" if tcp_type is None else "tcp"
    return Candidate(
        foundation=candidate_foundation("host", protocol, address[0]),
        component=1,
        protocol=protocol,
        priority=candidate_priority("host", protocol=protocol, local_preference=local_preference),
        address=address[0],
        port=address[1],
        type="host",
        tcp_type=tcp_type,
        username_fragment=username_fragment,
    )
