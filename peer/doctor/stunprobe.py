"""A UDP socket that asks STUN servers, and hears answers from elsewhere where that is the question (RFC 5780)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from peer.rtc.ice import stun
from peer.rtc.ice.bases import UdpEndpoint, bind_udp
from peer.rtc.ice.sockets import closed_on_failure
from peer.rtc.ice.stun import Attribute, Class, Message, Method

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address

RETRANSMIT: Final = 0.2
"""Seconds until a query is sent again; each further time after twice as long."""
MAX_WAITING: Final = 256
"""Queries under way; the doctor comes nowhere near, one more raises."""

CHANGE_ADDRESS: Final = 4
CHANGE_PORT: Final = 2
"""Bits of CHANGE-REQUEST (RFC 5780 section 7.2)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and from where."""

    message: Message
    source: Address


class StunProbe(UdpEndpoint):
    """One local address and port."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, tuple[Address | None, asyncio.Future[Answer]]] = {}

    @classmethod
    async def open(cls, address: str) -> StunProbe:
        """On a port of its own. Raises OSError."""
        sock = bind_udp(address)
        with closed_on_failure(sock):
            probe = cls(sock)
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: probe, sock=sock)
        return probe

    @property
    def version(self) -> int:
        return 6 if ":" in self.address[0] else 4

    async def ask(self, server: Address, *, change: int = 0) -> Answer:
        """Asks until it is answered; the caller sets the deadline. With `change` an answer may come from anywhere."""
        query = Message(Method.BINDING, Class.REQUEST, os.urandom(12))
        if change:
            query.add(Attribute.CHANGE_REQUEST, change)
        data = query.encode(fingerprint=True)
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._expect(query.transaction_id, None if change else server, answered)
        interval = RETRANSMIT
        try:
            while not answered.done():
                self.send(data, server)
                await asyncio.wait([answered], timeout=interval)
                interval *= 2
        finally:
            del self._waiting[query.transaction_id]
        return answered.result()

    def _expect(self, transaction_id: bytes, server: Address | None, answered: asyncio.Future[Answer]) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise RuntimeError("too many queries at once")
        self._waiting[transaction_id] = server, answered

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        waiting = self._waiting.get(data[8 : stun.HEADER_SIZE]) if data[:1] == b"\x01" else None
        if waiting is None:
            return
        server, answered = waiting
        if answered.done() or (server is not None and server != addr[:2]):  # from elsewhere: a guess, or a forgery
            return
        try:
            answered.set_result(Answer(stun.parse(data), addr[:2]))
        except stun.StunError:
            return
