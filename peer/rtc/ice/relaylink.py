"""Connections to a TURN server: a connected UDP socket, TCP, or TLS. Whole messages in and out."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from peer.rtc.ice.bases import tune_stream
from peer.rtc.ice.datagrams import open_datagrams
from peer.rtc.ice.interfaces import family
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.servers import UNREACHABLE
from peer.rtc.ice.sockets import closed_on_failure
from peer.rtc.ice.stun import StunError
from peer.rtc.ice.tls import connection_failed, tls_context
from peer.rtc.ice.turn import StreamSplitter

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.servers import IceServerUrl


@dataclass(frozen=True)
class Way:
    """How to reach a server."""

    ca_file: str | None = None
    local_addresses: tuple[str, ...] = ()
    """The addresses to go out from, one for each family; empty: as the system sees fit."""

    def source(self, address: Address) -> str | None:
        """The local address of the family of `address`."""
        return next((each for each in self.local_addresses if (":" in each) == (":" in address[0])), None)


class LinkListener(Protocol):
    """Who takes what the server sends. Plain calls; they must not raise."""

    def received(self, data: bytes, at: float | None = None) -> None:
        """One whole message."""

    def link_lost(self, failure: ServerFailed) -> None:
        """The connection is gone, or nobody listens on the server's port."""


class Link:
    """What carries messages to the server."""

    def __init__(self, listener: LinkListener) -> None:
        self._listener = listener
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def waiting(self) -> int:
        """Bytes that wait to be written."""
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            failure = ServerFailed(UNREACHABLE, "it closed the connection") if exc is None else connection_failed(exc)
            self._listener.link_lost(failure)


class _Datagrams(Link, asyncio.DatagramProtocol):
    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, addr: Any, at: float | None = None) -> None:
        if data and self._transport is not None:
            self._listener.received(data, at)

    def media_received(self, datagrams: list[Datagram]) -> None:
        """A server wraps what it relays; the client takes this for the nonsense that it is."""
        for data, address, at in datagrams:
            self.datagram_received(data, address, at)

    def error_received(self, exc: Exception) -> None:
        # A connected socket hears of it when nobody listens on the server's port; other errors may pass.
        if isinstance(exc, ConnectionRefusedError) and self._transport is not None:
            self._listener.link_lost(connection_failed(exc))


class _Stream(Link, asyncio.Protocol):
    def __init__(self, listener: LinkListener) -> None:
        super().__init__(listener)
        self._splitter = StreamSplitter()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        tune_stream(transport.get_extra_info("socket"))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._splitter.feed(data)
        except StunError:
            if self._transport is not None:
                self._listener.link_lost(ServerFailed(UNREACHABLE, "what answers there does not speak TURN"))
            return
        for message in messages:
            if self._transport is None:
                return
            self._listener.received(message)


async def connect(server: IceServerUrl, address: Address, listener: LinkListener, way: Way) -> Link:
    """A link to the server at this address. Raises ServerFailed; the caller sets the deadline."""
    try:
        if server.transport == "udp":
            return await connect_datagrams(address, listener, way)
        return await _connect_stream(server, address, listener, way)
    except OSError as error:
        raise connection_failed(error) from error


async def connect_datagrams(address: Address, listener: LinkListener, way: Way) -> Link:
    """A UDP socket that is connected, and so hears when nobody listens there. Raises OSError."""
    link = _Datagrams(listener)
    sock = _connected(address, way.source(address))
    with closed_on_failure(sock):
        await open_datagrams(sock, link)
    return link


async def _connect_stream(server: IceServerUrl, address: Address, listener: LinkListener, way: Way) -> Link:
    context = await tls_context(way.ca_file) if server.transport == "tls" else None
    source = way.source(address)
    link = _Stream(listener)
    await asyncio.get_running_loop().create_connection(
        lambda: link,
        *address,
        ssl=context,
        server_hostname=server.host if context is not None else None,
        local_addr=None if source is None else (source, 0),
    )
    return link


def _connected(address: Address, local: str | None) -> socket.socket:
    sock = socket.socket(family(address[0]), socket.SOCK_DGRAM)
    with closed_on_failure(sock):
        sock.setblocking(False)
        if local is not None:
            sock.bind((local, 0))
        sock.connect(address)  # of a UDP socket: sends nothing
    return sock
