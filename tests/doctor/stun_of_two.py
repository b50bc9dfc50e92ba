"""A STUN server with two addresses and two ports of each (RFC 5780), and a NAT before it, as odd as a test needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.bases import Address

    Seen = Callable[[Address, Address], Address]
    Passes = Callable[[Address, Address], bool]

HOSTS = ("127.0.0.1", "127.0.0.2")
PUBLIC = "198.51.100.7"


class StunOfTwo:
    """`seen(client, server)`: as which it sees us; `passes(asked, source)`: whether the NAT lets an answer in."""

    def __init__(self, seen: Seen, passes: Passes) -> None:
        self.seen = seen
        self.passes = passes
        self.sockets: dict[tuple[int, int], _Socket] = {}
        """By number of the address and of the port."""
        self.ignores_changes = False
        self.refuses_changes = False
        self.other: Address | None = None
        """What it says its other address is, when that is not true."""

    @classmethod
    async def open(
        cls,
        seen: Seen = lambda client, server: (PUBLIC, client[1]),
        passes: Passes = lambda asked, source: True,
    ) -> StunOfTwo:
        server = cls(seen, passes)
        ports = [0, 0]
        for address in (0, 1):
            for port in (0, 1):
                one = _Socket(server, (address, port))
                await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda one=one: one,  # type: ignore[misc]
                    local_addr=(HOSTS[address], ports[port]),
                )
                ports[port] = one.address[1]
                server.sockets[address, port] = one
        return server

    @property
    def address(self) -> Address:
        return self.sockets[0, 0].address

    def close(self) -> None:
        for each in self.sockets.values():
            each.transport.abort()


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, server: StunOfTwo, number: tuple[int, int]) -> None:
        self.server = server
        self.number = number
        self.transport: Any = None

    @property
    def address(self) -> Address:
        found: Address = self.transport.get_extra_info("sockname")[:2]
        return found

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        server = self.server
        query = stun.parse(data)
        change = query.number(Attribute.CHANGE_REQUEST) or 0
        answer = Message(query.method, Class.RESPONSE, query.transaction_id)
        if change and server.refuses_changes:
            answer.message_class = Class.ERROR
            answer.add(Attribute.ERROR_CODE, (420, "Unknown Attribute"))
        else:
            answer.add(Attribute.XOR_MAPPED_ADDRESS, server.seen(addr[:2], self.address))
        answer.add(
            Attribute.OTHER_ADDRESS, server.other or server.sockets[1 - self.number[0], 1 - self.number[1]].address
        )
        source = self
        if not server.ignores_changes and not server.refuses_changes:
            address, port = self.number
            source = server.sockets[address ^ bool(change & 4), port ^ bool(change & 2)]
        if source is self or server.passes(self.address, source.address):
            source.transport.sendto(answer.encode(fingerprint=True), addr)
