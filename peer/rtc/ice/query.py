"""STUN queries from host sockets: which address a server sees (RFC 8445 section 5.1.1.2)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from peer.rtc.ice import stun
from peer.rtc.ice.candidate import Candidate, candidate_foundation, candidate_priority
from peer.rtc.ice.interfaces import is_ip
from peer.rtc.ice.lookup import ServerFailed, refused
from peer.rtc.ice.relaylink import Way, connect_datagrams
from peer.rtc.ice.servers import UNREACHABLE
from peer.rtc.ice.stun import Class, Message, Method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peer.rtc.ice.bases import Address, Base
    from peer.rtc.ice.servers import IceServerUrl

RETRANSMIT: Final = 0.2
"""Seconds until a query is sent again; each further time after twice as long."""
STRAGGLERS: Final = 1.0
"""Seconds that the other sockets have after a server answered one of them: some networks do not lead to it."""
SILENT: Final = 0.5
"""Seconds after which a server that has not answered is asked whether anybody listens there at all."""
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
        query = _query(transaction_id)
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

    async def ask_all(
        self, ways: Sequence[tuple[Base, Address]], until: float, found: Callable[[Base, Address], None]
    ) -> None:
        """Asks each address of a server from each base, and tells what comes; `until`, a time of the loop, at most.

        Raises ServerFailed or TimeoutError when there is not one answer.
        """
        failures: list[ServerFailed] = []
        answered = False

        async def ask(base: Base, server: Address) -> None:
            nonlocal answered
            try:
                mapped = await self.ask(base, server)
            except ServerFailed as failure:
                failures.append(failure)
                return
            answered = True
            deadline.reschedule(min(deadline.when() or 0.0, asyncio.get_running_loop().time() + STRAGGLERS))
            found(base, mapped)

        servers = {server for _, server in ways}
        watching = [asyncio.create_task(self._give_up_refused(server), name="ice refusal") for server in servers]
        try:
            async with asyncio.timeout_at(until) as deadline, asyncio.TaskGroup() as group:
                for way in ways:
                    group.create_task(ask(*way), name="ice query")
        except TimeoutError:
            if not answered and not failures:
                raise
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        if not answered:
            raise failures[0] if failures else ServerFailed(UNREACHABLE, "no local address of its family")

    async def _give_up_refused(self, server: Address) -> None:
        """Ends the queries of a server that is silent because nobody listens there. What else it fails with is no sign:
        the bases may reach the server by other ways."""
        await asyncio.sleep(SILENT)
        failure = await refusal(server)
        for asked, answered in self._waiting.values():
            if asked == server and not answered.done():
                answered.set_exception(failure)

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


class _Refusal:
    """Hears of a connected socket that its packets are refused; a `LinkListener`."""

    def __init__(self) -> None:
        self.came: asyncio.Future[ServerFailed] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes, at: float | None = None) -> None:
        """It answers after all; the queries will hear of it."""

    def link_lost(self, failure: ServerFailed) -> None:
        if not self.came.done():
            self.came.set_result(failure)


async def refusal(server: Address) -> ServerFailed:
    """Waits until the server's host says that nobody listens on the port: for ever if it does not.

    It says so by ICMP, of which only connected sockets hear, and those of a base are not.
    """
    listener = _Refusal()
    link = await connect_datagrams(server, listener, Way())
    try:
        link.write(_query(os.urandom(12)))
        return await listener.came
    finally:
        link.close()


def _query(transaction_id: bytes) -> bytes:
    return Message(Method.BINDING, Class.REQUEST, transaction_id).encode(fingerprint=True)


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
