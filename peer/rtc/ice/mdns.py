"""Resolves `.local` names (RFC 6762), which browsers put into candidates in place of their addresses.

One multicast socket per loop and family while anything is being resolved. The parser is pure: bytes in, records out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from peer.rtc.ice import interfaces
from peer.rtc.ice.sockets import closed_on_failure

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

PORT: Final = 5353
GROUPS: Final = {4: "224.0.0.251", 6: "ff02::fb"}
RETRY_AFTER: Final = (0.2, 0.6, 1.4)
"""Seconds after the first question at which it is asked again: multicast gets lost, most of all over wireless."""
OTHER_FAMILY: Final = 0.03
"""Seconds that the first address of a name waits for one of the other family, unless the answer says there is none."""
MAX_PENDING: Final = 128
"""Names being resolved at once; one more is not, which costs that candidate: checks of the other side reveal it too."""
MAX_REMEMBERED: Final = 256
"""Names whose addresses are remembered; the oldest goes. Responders answer the same question once a second only."""
REMEMBER: Final = 10.0
"""Seconds that an answer is good for at most."""

_A, _AAAA, _NSEC = 1, 28, 47
_IN: Final = 1
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_RESPONSE: Final = 0x8000
_MAX_RECORDS: Final = 64
_MAX_POINTERS: Final = 16


class _Malformed(ValueError):
    pass


# Pure: messages


def is_local_name(name: str) -> bool:
    """Whether it is a name that mDNS may be asked for: one label and "local", as browsers make them."""
    label, dot, rest = name.rstrip(".").partition(".")
    return 0 < len(label) <= 63 and bool(dot) and rest.lower() == "local" and label.isascii() and label.isprintable()


def build_query(name: str) -> bytes:
    """Asks for A and AAAA of the name."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split(".")) + b"\0"
    questions = b"".join(labels + struct.pack("!HH", kind, _IN) for kind in (_A, _AAAA))
    return _HEADER.pack(0, 0, 2, 0, 0, 0) + questions


def parse_answers(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """(name in lower case, record type, data) of each record of a response; ends at the first that cannot be read."""
    with contextlib.suppress(_Malformed, struct.error, IndexError):
        _, flags, questions, *counts = _HEADER.unpack_from(data)
        if not flags & _RESPONSE or flags & 0x7800:  # RFC 6762 section 18.3: another opcode is ignored
            return
        position = _HEADER.size
        for _ in range(min(questions, _MAX_RECORDS)):
            _, position = _name(data, position)
            position += 4
        for _ in range(min(sum(counts), _MAX_RECORDS)):
            name, position = _name(data, position)
            kind, group, _, length = _RECORD.unpack_from(data, position)
            position += _RECORD.size + length
            if position > len(data):
                return
            if group & 0x7FFF == _IN:  # the top bit is the cache flush of RFC 6762 section 10.2
                yield name, kind, data[position - length : position]


def _name(data: bytes, position: int) -> tuple[str, int]:
    """The name at the position, and where what follows it begins."""
    labels: list[str] = []
    after = 0
    size = 0
    pointers = 0
    while length := data[position]:
        if length >= 0xC0:  # RFC 1035 section 4.1.4: the rest is elsewhere
            after = after or position + 2
            pointers += 1
            if pointers > _MAX_POINTERS:
                raise _Malformed
            position = (length & 0x3F) << 8 | data[position + 1]
            continue
        size += length + 1
        if length > 63 or size > 255 or position + 1 + length > len(data):
            raise _Malformed
        labels.append(data[position + 1 : position + 1 + length].decode("utf-8", "replace").lower())
        position += 1 + length
    return ".".join(labels), after or position + 1


def addresses_in(data: bytes) -> dict[str, tuple[set[str], bool]]:
    """For each name in a response: its addresses that may be used, and whether the response says there are no more."""
    found: dict[str, tuple[set[str], bool]] = {}
    for name, kind, value in parse_answers(data):
        if kind not in (_A, _AAAA, _NSEC):
            continue
        addresses, complete = found.get(name, (set(), False))
        if kind == _NSEC:  # RFC 6762 section 6.1: asserts that there are no records of other types
            complete = True
        elif len(value) == (4 if kind == _A else 16):
            address = IPv4Address(value) if kind == _A else IPv6Address(value)
            if not (address.is_multicast or address.is_unspecified or (kind == _AAAA and address.is_link_local)):
                addresses.add(str(address))
        found[name] = (addresses, complete)
    return found


# The shell


class _Pending:
    """One name that somebody waits for."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def answered(self, addresses: set[str], *, complete: bool) -> None:
        self.addresses |= addresses
        if not self.addresses:
            return
        if complete or len({":" in address for address in self.addresses}) == 2:
            self.finish()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(OTHER_FAMILY, self.finish)

    def finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.done.done():
            self.done.set_result(None)


class _Resolver:
    """What is being resolved on one loop."""

    def __init__(self) -> None:
        self.pending: dict[str, _Pending] = {}
        self._remembered: dict[str, tuple[float, list[str]]] = {}
        self._sockets: list[_Socket] = []

    async def resolve(self, name: str, timeout: float) -> list[str]:
        now = asyncio.get_running_loop().time()
        until, addresses = self._remembered.get(name, (0.0, []))
        if now < until:
            return addresses
        pending = self.pending.get(name)
        if pending is None:
            if len(self.pending) >= MAX_PENDING:
                return []
            pending = self.pending[name] = _Pending()
        pending.waiting += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._ask(name, pending)
        finally:
            pending.waiting -= 1
            if not pending.waiting:
                pending.finish()
                del self.pending[name]
            if not self.pending:
                self._close()
        if pending.addresses:
            self._remember(name, now + REMEMBER, sorted(pending.addresses))
        return sorted(pending.addresses)

    async def _ask(self, name: str, pending: _Pending) -> None:
        if not self._sockets:
            await self._open()
        query = build_query(name)
        elapsed = 0.0
        for again in (*RETRY_AFTER, None):
            for each in self._sockets:
                each.query(query)
            wait = None if again is None else again - elapsed
            elapsed = again or 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await asyncio.shield(pending.done)
                    return

    def _remember(self, name: str, until: float, addresses: list[str]) -> None:
        self._remembered.pop(name, None)
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[name] = (until, addresses)

    def answer_received(self, data: bytes) -> None:
        for name, (addresses, complete) in addresses_in(data).items():
            pending = self.pending.get(name)
            if pending is not None:
                pending.answered(addresses, complete=complete)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        local = multicast_interfaces()
        for version in (4, 6):
            mine = [each for each in local if each.version == version]
            if not mine:
                continue
            try:
                sock = _multicast_socket(version)
            except OSError as error:
                logger.debug("no mDNS over IPv%d: %s", version, error)
                continue
            endpoint = _Socket(self, sock, mine)
            self._sockets.append(endpoint)
            await loop.create_datagram_endpoint(lambda endpoint=endpoint: endpoint, sock=sock)  # type: ignore[misc]

    def _close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()


class _Socket(asyncio.DatagramProtocol):
    """The socket of one family, a member of the group on every interface."""

    def __init__(self, resolver: _Resolver, sock: socket.socket, local: list[interfaces.LocalAddress]) -> None:
        self._resolver = resolver
        self._socket: socket.socket | None = sock
        self._transport: asyncio.DatagramTransport | None = None
        self._version = local[0].version
        self._local = [each for each in local if self._join(sock, each)]

    def _join(self, sock: socket.socket, local: interfaces.LocalAddress) -> bool:
        try:
            if self._version == 4:
                group = socket.inet_aton(GROUPS[4]) + socket.inet_aton(local.address)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            else:
                group = socket.inet_pton(socket.AF_INET6, GROUPS[6]) + struct.pack("@I", local.index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError as error:  # also: joined already, by way of another address of the interface
            logger.debug("no mDNS on %s: %s", local.interface, error)
            return False
        return True

    def connection_made(self, transport: Any) -> None:
        if self._socket is None:  # closed meanwhile
            transport.abort()
        else:
            self._transport = transport

    def query(self, data: bytes) -> None:
        """Sends out of every interface; what is lost here is asked again."""
        sock = self._socket
        if sock is None:
            return
        for local in self._local:
            with contextlib.suppress(OSError):
                if self._version == 4:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local.address))
                    sock.sendto(data, (GROUPS[4], PORT))
                else:
                    sock.sendto(data, (GROUPS[6], PORT, 0, local.index))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if addr[1] == PORT:  # RFC 6762 section 6: responses from another port must be ignored
            self._resolver.answer_received(data)

    def error_received(self, exc: Exception) -> None:
        logger.debug("mDNS: %s", exc)

    def close(self) -> None:
        self._socket = None
        if self._transport is not None:
            self._transport.abort()


def multicast_interfaces() -> list[interfaces.LocalAddress]:
    """One address of each family of each interface; loopback only where nothing else is."""
    found: dict[tuple[str, int], interfaces.LocalAddress] = {}
    for local in interfaces.all_addresses():
        found.setdefault((local.interface, local.version), local)
    every = list(found.values())
    return [local for local in every if not local.is_loopback] or every


def _multicast_socket(version: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    with closed_on_failure(sock):
        sock.setblocking(False)
        # Browsers and the system's own resolver have the same port: each of them gets a copy of what is multicast.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if version == 4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            # Bound to the group, it does not take away what is sent to the system's resolver alone.
            sock.bind(("" if sys.platform == "win32" else GROUPS[4], PORT))
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.bind(("", PORT))  # the group could only be bound on one interface
    return sock


_resolvers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Resolver] = WeakKeyDictionary()


async def resolve(name: str, timeout: float = 3.0) -> list[str]:
    """The addresses of a `.local` name, IPv4 first; empty when nobody answers in time or the name is no such name.

    A browser announces a name when it makes it, and says the same again a second later at the earliest (RFC 6762
    section 6): a question that comes at once takes that long.
    """
    if not is_local_name(name):
        return []
    resolver = _resolvers.setdefault(asyncio.get_running_loop(), _Resolver())
    return await resolver.resolve(name.rstrip(".").lower(), timeout)
