"""STUN servers on the loopback interface, as good or bad as a test needs them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.bases import Address


class StunServer(asyncio.DatagramProtocol):
    """Answers with what `seen_as` makes of the address that a query comes from; None: not at all."""

    def __init__(self, seen_as: Callable[[Address], Address | None]) -> None:
        self.seen_as = seen_as
        self.error: tuple[int, str] | None = None
        self.ignore = 0
        """Queries that are not answered, to begin with."""
        self.queries: list[Message] = []
        self.asked = asyncio.Event()
        self.transport: Any = None

    @classmethod
    async def open(
        cls, seen_as: Callable[[Address], Address | None] = lambda address: address, host: str = "127.0.0.1"
    ) -> StunServer:
        server = cls(seen_as)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=(host, 0))
        return server

    @property
    def address(self) -> Address:
        found: Address = self.transport.get_extra_info("sockname")[:2]
        return found

    @property
    def url(self) -> str:
        host, port = self.address
        return f"stun:[{host}]:{port}" if ":" in host else f"stun:{host}:{port}"

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = stun.parse(data)
        self.queries.append(query)
        self.asked.set()
        if len(self.queries) <= self.ignore:
            return
        answer = Message(query.method, Class.RESPONSE, query.transaction_id)
        if self.error is not None:
            answer.message_class = Class.ERROR
            answer.add(Attribute.ERROR_CODE, self.error)
        else:
            mapped = self.seen_as(addr[:2])
            if mapped is None:
                return
            answer.add(Attribute.XOR_MAPPED_ADDRESS, mapped)
        self.transport.sendto(answer.encode(fingerprint=True), addr)

    def close(self) -> None:
        self.transport.abort()
