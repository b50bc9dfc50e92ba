"""STUN queries from host sockets: which address a server sees (RFC 8445 section 5.1.1.2)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from peer.rtc.ice import stun
from peer.rtc.ice.candidate import Candidate, candidate_foundation, candidate_priority
from peer.rtc.ice.interfaces import is_ip
from peer.rtc.ice.lookup import ServerFailed, refused
from peer.rtc.ice.servers import UNREACHABLE
from peer.rtc.ice.stun import Class, Message, Method

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address, Base
    from peer.rtc.ice.servers import IceServerUrl

RETRANSMIT: Final = 0.2
"""Seconds until a query is sent again; each further time after twice as long."""
MAX_QUERIES: Final = 1024
"""Queries under way of one generation; one more is not made."""


class Queries:
    """The queries of one generation that wait for an answer."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[Address, asyncio.Future[Message]]] = {}

    async def ask(self, base: Base, server: Address) -> Address:
        """The address that the server sees. Raises ServerFailed; asks again until it is cancelled."""
        if len(self._waiting) >= MAX_QUERIES:
            raise ServerFailed(UNREACHABLE, "too many queries at once", "use fewer servers")
        transaction_id = os.urandom(12)
        query = Message(Method.BINDING, Class.REQUEST, transaction_id).encode(fingerprint=True)
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[transaction_id] = server, answered
        interval = RETRANSMIT
        try:
            while not answered.done():
                base.send(query, server)
                await asyncio.wait([answered], timeout=interval)
                interval *= 2
        finally:
            del self._waiting[transaction_id]
        return _mapped_address(answered.result())

    def handle(self, data: bytes, address: Address) -> bool:
        """Takes a datagram that answers one of the queries; whether it does."""
        waiting = self._waiting.get(data[8 : stun.HEADER_SIZE]) if data[:1] == b"\x01" else None
        if waiting is None:
            return False
        server, answered = waiting
        if address == server and not answered.done():  # from elsewhere it would be a guess, or a forgery
            try:
                answered.set_result(stun.parse(data))
            except stun.StunError:
                return True
        return True


def _mapped_address(answer: Message) -> Address:
    if answer.message_class == Class.ERROR:
        code, reason = answer.error or (UNREACHABLE, "")
        raise refused(code, reason)
    mapped = answer.mapped_address
    if mapped is None or not is_ip(mapped[0]) or not mapped[1]:
        raise ServerFailed(UNREACHABLE, "an answer without an address", "check that it is a STUN server")
    return mapped


def reflexive_candidate(mapped: Address, base: Base, local_preference: int, server: IceServerUrl) -> Candidate:
    """The server reflexive candidate of a base."""
    host = base.candidate
    return Candidate(
        foundation=candidate_foundation("srflx", "udp", host.address, f"{server.host}:{server.port}"),
        component=1,
        protocol="udp",
        priority=candidate_priority("srflx", local_preference=local_preference),
        address=mapped[0],
        port=mapped[1],
        type="srflx",
        related_address=host.address,
        related_port=host.port,
        username_fragment=host.username_fragment,
        url=server.url,
    )
