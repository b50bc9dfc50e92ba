"""Passive ICE-TCP (RFC 6544): one listening port for all calls of the process, sorted by the ufrag of the first check.

A connection belongs to nobody until its first frame is a check that is signed with a call's password. From then on it
is a base of that call.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections import Counter
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from peer.errors import UsageError
from peer.rtc.ice import stun
from peer.rtc.ice.bases import MAX_WAITING, OneByOne, host_candidate, tune_stream, when_free
from peer.rtc.ice.framing import MAX_FRAME, FrameError, FrameReader, frame
from peer.rtc.ice.sockets import closed_on_failure

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.gather import GatherListener

logger = logging.getLogger(__name__)

FIRST_CHECK: Final = 5.0
"""Seconds within which a connection has to say whose it is."""
MAX_FIRST_FRAME: Final = 1500
MAX_STRANGERS: Final = 64
"""Connections that have not said whose they are. One more ends the oldest: an honest one speaks at once."""
MAX_STRANGERS_OF_ONE: Final = 8
"""... of one remote address (of one /64 network in IPv6). One more is closed."""
MAX_CONNECTIONS: Final = 16
"""Connections of one generation of one call. One more is closed."""
STUCK: Final = 10.0
"""Seconds that more than MAX_WAITING bytes may wait to be sent before the connection counts as dead."""
MAX_STUCK: Final = 1 << 20
"""Bytes that may wait in all: until STUCK has passed only checks are added, which are few and small."""
_BACKLOG: Final = 128


class TcpBase(OneByOne, asyncio.Protocol):
    """One accepted connection. As a base it sends to its other end only."""

    candidate: Candidate
    """The passive candidate that the other side connected to; set before anybody else sees the base."""

    def __init__(self, port: _Port) -> None:
        self.remote: Address = ("", 0)
        self.local: Address = ("", 0)
        self.dropped = 0
        """Packets that could not go out in time."""
        self._port = port
        self._owner: Passive | None = None
        self._reader = FrameReader(MAX_FIRST_FRAME)
        self._transport: Any = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    # As a base

    def send(self, data: bytes, address: Address) -> None:
        transport = self._transport
        if transport is None or address != self.remote or not 0 < len(data) <= MAX_FRAME:
            return
        if self._paused and (data[0] > 3 or transport.get_write_buffer_size() > MAX_STUCK):
            self.dropped += 1  # it would come too late; a check has to get through, it tells that the path lives
            return
        transport.write(frame(data))

    def proven(self, address: Address) -> None:
        """Only the other end is heard here, and it was asked for the password first."""

    def close(self) -> None:
        """What was written still goes out when it can at once."""
        transport = self._let_go()
        if transport is None:
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    # As a connection

    def connection_made(self, transport: Any) -> None:
        remote, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not remote or not local:  # gone already
            transport.abort()
            return
        self.remote, self.local = remote[:2], local[:2]
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_WAITING, low=MAX_WAITING // 2)
        tune_stream(transport.get_extra_info("socket"))
        self._timer = asyncio.get_running_loop().call_later(FIRST_CHECK, self.close)
        self._port.connected(self)

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameError:
            self._lose()
            return
        for each in frames:
            if self._transport is None:
                return
            if self._owner is None:
                self._port.first_frame(self, each)
            elif each[0] > 127:
                self._owner.listener.media_received([(each, self.remote, time.monotonic())])
            elif each[0] > 3:
                self._owner.listener.data_received(each)
            else:
                self._owner.listener.stun_received(self, each, self.remote)

    def belongs_to(self, owner: Passive, candidate: Candidate) -> None:
        """It has said whose it is."""
        self._port.no_stranger(self)
        self._cancel_timer()
        self.candidate = candidate
        self._owner = owner
        self._reader.limit = MAX_FRAME

    def pause_writing(self) -> None:
        self._paused = True
        if self._owner is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STUCK, self._lose)

    def resume_writing(self) -> None:
        self._paused = False
        if self._owner is not None:
            self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def _lose(self) -> None:
        """Ends it without having been asked to."""
        owner = self._owner
        transport = self._let_go()
        if transport is None:
            return
        transport.abort()
        if owner is not None:
            owner.listener.base_lost(self)

    def _let_go(self) -> Any:
        transport, self._transport = self._transport, None
        self._cancel_timer()
        if self._owner is None:
            self._port.no_stranger(self)
        else:
            self._owner.connections.discard(self)
        return transport

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Passive:
    """What one generation has in the listening port."""

    def __init__(self, port: _Port, parameters: IceParameters, listener: GatherListener) -> None:
        self.parameters = parameters
        self.listener = listener
        self.connections: set[TcpBase] = set()
        self._port: _Port | None = port
        self._candidates: dict[str, Candidate] = {}

    def add(self, local_address: str, local_preference: int) -> Candidate:
        """The passive candidate for an address; only connections to such are accepted."""
        assert self._port is not None
        candidate = host_candidate(
            (local_address, self._port.number), local_preference, self.parameters.username_fragment, tcp_type="passive"
        )
        self._candidates[local_address] = candidate
        return candidate

    def accept(self, connection: TcpBase, check: bytes) -> bool:
        """Takes the connection with its first check; false when it is not to be had."""
        candidate = self._candidates.get(connection.local[0])
        if candidate is None or len(self.connections) >= MAX_CONNECTIONS:
            return False
        connection.belongs_to(self, candidate)
        self.connections.add(connection)
        self.listener.base_added(connection)
        self.listener.stun_received(connection, check, connection.remote)
        return True

    def close(self) -> None:
        """Closes the connections of this generation, and the port with its last user."""
        for connection in list(self.connections):
            connection.close()
        port, self._port = self._port, None
        if port is not None:
            port.leave(self)


class _Port:
    """The listening sockets of one port, and who waits for connections there."""

    def __init__(self, number: int, ports: dict[int, _Port]) -> None:
        self.number = number
        self._ports = ports
        self._servers: list[asyncio.AbstractServer] = []
        self._users: dict[str, Passive] = {}
        self._strangers: dict[TcpBase, str] = {}
        self._by_address: Counter[str] = Counter()

    async def open(self) -> None:
        """Listens on all addresses. Raises UsageError when the port cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            for kind, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                sock = await self._bind(kind, host)
                if sock is not None:
                    self._servers.append(await loop.create_server(lambda: TcpBase(self), sock=sock, backlog=_BACKLOG))
        except OSError as error:
            self._close_servers()
            if error.errno == errno.EACCES:
                cause = "may not be used; give the right to ports below 1024, or choose another port"
            elif error.errno == errno.EADDRINUSE:
                cause = "is taken; end the program that has it, or choose another port"
            else:
                cause = f"cannot be used ({error.strerror}); choose another port"
            raise UsageError(f"TCP port {self.number} {cause}") from error
        except BaseException:
            self._close_servers()
            raise
        self._ports[self.number] = self

    async def _bind(self, kind: socket.AddressFamily, host: str) -> socket.socket | None:
        try:
            return await when_free(lambda: _listening_socket(kind, host, self.number))
        except OSError as error:
            if kind == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return None  # a host without IPv6
            raise

    def join(self, parameters: IceParameters, listener: GatherListener) -> Passive:
        user = Passive(self, parameters, listener)
        self._users[parameters.username_fragment] = user
        return user

    def leave(self, user: Passive) -> None:
        fragment = user.parameters.username_fragment
        if self._users.get(fragment) is user:
            del self._users[fragment]
        if not self._users:
            if self._ports.get(self.number) is self:
                del self._ports[self.number]
            self._close_servers()

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._strangers):
            connection.close()

    def connected(self, connection: TcpBase) -> None:
        """A connection that nobody knows yet."""
        address = _network_of(connection.remote[0])
        if not self._users or self._by_address[address] >= MAX_STRANGERS_OF_ONE:
            connection.close()
            return
        self._strangers[connection] = address
        self._by_address[address] += 1
        if len(self._strangers) > MAX_STRANGERS:
            next(iter(self._strangers)).close()

    def no_stranger(self, connection: TcpBase) -> None:
        """It is gone, or known."""
        address = self._strangers.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def first_frame(self, connection: TcpBase, data: bytes) -> None:
        """Gives the connection to whom its first frame names, or ends it."""
        user = self._users.get(stun.peek_username(data) or "")
        if user is None or not _is_check(data, user.parameters.password) or not user.accept(connection, data):
            logger.debug("a TCP connection of %s is for nobody here", connection.remote[0])
            connection.close()


def _is_check(data: bytes, password: str) -> bool:
    try:
        message = stun.parse(data)
    except stun.StunError:
        return False
    if message.method != stun.Method.BINDING or message.message_class != stun.Class.REQUEST:
        return False
    return message.check_integrity(password.encode())


def _network_of(address: str) -> str:
    return str(int(IPv6Address(address.partition("%")[0])) >> 64) if ":" in address else address


def _listening_socket(kind: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(kind, socket.SOCK_STREAM)
    with closed_on_failure(sock):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    return sock


class _Registry:
    """The listening ports of one loop."""

    def __init__(self) -> None:
        self.ports: dict[int, _Port] = {}
        self.lock = asyncio.Lock()  # opening takes a few turns of the loop: two calls must not both do it


_registries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = WeakKeyDictionary()


async def join_tcp_port(number: int, parameters: IceParameters, listener: GatherListener) -> Passive:
    """Takes part in the listening port, which is opened for the first. Raises UsageError when it cannot be had."""
    registry = _registries.setdefault(asyncio.get_running_loop(), _Registry())
    async with registry.lock:
        port = registry.ports.get(number)
        if port is None:
            port = _Port(number, registry.ports)
            await port.open()
        return port.join(parameters, listener)
