"""A TURN allocation as local transport addresses: `turn.TurnClient` on a UDP socket, a TCP or a TLS connection."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.rtc.ice import turn
from peer.rtc.ice.bases import MAX_WAITING, BaseListener, Known, OneByOne, Targets
from peer.rtc.ice.candidate import Candidate, candidate_foundation, candidate_priority
from peer.rtc.ice.lookup import ServerFailed, refused
from peer.rtc.ice.relaylink import Link, Way, connect
from peer.rtc.ice.servers import UNREACHABLE

if TYPE_CHECKING:
    from peer.rtc.ice.bases import Address
    from peer.rtc.ice.servers import IceServerUrl

logger = logging.getLogger(__name__)

CLOSE_DEADLINE: Final = 1.0
"""Seconds that the server has to confirm that the allocation is deleted."""
KEEPALIVE: Final = 20.0
"""Seconds between two signs of life to the server: NATs forget a silent UDP mapping after 30 s, the worst of them."""
MAX_PACKET: Final = 65000
"""Bytes; what is longer fits no message to the server and is dropped."""
MAX_STUCK: Final = 1 << 20
"""Bytes that may wait for the server, checks included, before nothing more is written."""


@dataclass(frozen=True)
class RelayOptions:
    """What an allocation is to be like."""

    username_fragment: str
    local_preference: int
    both_families: bool = False
    way: Way = Way()


class RelayBase(OneByOne):
    """One relayed address."""

    def __init__(self, relay: Relay, candidate: Candidate, listener: BaseListener) -> None:
        self.candidate = candidate
        self.listener = listener
        self.closed = False
        self._relay = relay
        self._targets = Targets(candidate.family)
        self.known = Known()
        self.proven = self.known.add

    def send(self, data: bytes, address: Address) -> None:
        if not self.closed and self._targets.allow(address):
            self._relay.send(data, address)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._relay.base_closed()


class Relay:
    """One allocation on one server, with a base for each family that it gave."""

    def __init__(self, server: IceServerUrl, options: RelayOptions, listener: BaseListener) -> None:
        self.bases: list[RelayBase] = []
        self.dropped = 0
        """Packets that could not go out."""
        self._server = server
        self._options = options
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._stream = server.transport != "udp"
        self._client = turn.TurnClient(
            turn.TurnOptions(
                server.username or "", server.credential or "", stream=self._stream, both_families=options.both_families
            ),
            os.urandom,
        )
        self._by_version: dict[bool, RelayBase] = {}
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._allocated: asyncio.Future[turn.Allocated] = self._loop.create_future()
        self._closing: asyncio.TimerHandle | None = None
        self._alive: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self, address: Address) -> None:
        """Connects and allocates. Raises ServerFailed; its owner sets the deadline and calls `abort` when it fails."""
        self._link = await connect(self._server, address, self, self._options.way)
        self._client.allocate(self._loop.time())
        self._after()
        allocated = await self._allocated
        self._alive = self._loop.call_later(KEEPALIVE, self._keep_alive)
        for relayed in allocated.relayed:
            candidate = self._candidate(relayed, allocated.mapped)
            version = ":" in relayed[0]
            if version not in self._by_version:
                base = RelayBase(self, candidate, self._listener)
                self._by_version[version] = base
                self.bases.append(base)

    def _candidate(self, relayed: Address, mapped: Address | None) -> Candidate:
        server, options = self._server, self._options
        related = mapped if mapped is not None else (None, None)
        return Candidate(
            foundation=candidate_foundation("relay", server.transport, relayed[0], f"{server.host}:{server.port}"),
            component=1,
            protocol="udp",
            priority=candidate_priority(
                "relay", relay_protocol=server.transport, local_preference=options.local_preference
            ),
            address=relayed[0],
            port=relayed[1],
            type="relay",
            related_address=related[0],
            related_port=related[1],
            username_fragment=options.username_fragment,
            url=server.url,
            relay_protocol=server.transport,
        )

    # Packets

    def send(self, data: bytes, address: Address) -> None:
        """For the bases."""
        link = self._link
        if link is None or self._closing is not None or not 0 < len(data) <= MAX_PACKET:
            return
        waiting = link.waiting()
        if waiting > MAX_STUCK or (waiting > MAX_WAITING and data[0] > 3):
            self.dropped += 1  # media that would come late; checks are rare, and tell whether the path still lives
            return
        message = self._client.send(data, address, self._loop.time())
        if message is not None:
            link.write(message)
        if self._client.has_outgoing:
            self._after()

    def received(self, data: bytes, at: float | None = None) -> None:
        """For the link: one whole message of the server."""
        came = self._client.receive(data, self._loop.time())
        if came is None:
            if not 0x40 <= data[0] <= 0x4F:
                self._after()
            return
        payload, peer = came
        base = self._by_version.get(":" in peer[0])
        if base is None or base.closed:
            return
        first = payload[0]
        if first > 127:
            base.listener.media_received([(payload, peer, time.monotonic() if at is None else at)])
        elif first <= 3:
            base.listener.stun_received(base, payload, peer)
        elif peer in base.known:
            base.listener.data_received(payload)

    def link_lost(self, failure: ServerFailed) -> None:
        """For the link: the connection is gone, or the server's port is closed."""
        if not self._allocated.done():
            self._allocated.set_exception(failure)
        elif self._link is not None and self._closing is None:
            self._lose(failure.text)
        self._finish()

    def _after(self) -> None:
        """Carries out what the client wants: writes, tells, sets its timer."""
        for message in self._client.take_outgoing():
            if self._link is not None:
                self._link.write(message)
        for event in self._client.take_events():
            self._happened(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._client.next_due()
        if due is not None and self._link is not None:
            self._timer = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        self._client.poll(self._loop.time())
        self._after()

    def _keep_alive(self) -> None:
        if self._link is not None:
            self._link.write(self._client.keepalive())
            self._alive = self._loop.call_later(KEEPALIVE, self._keep_alive)

    def _happened(self, event: turn.Event) -> None:
        if isinstance(event, turn.Allocated):
            if not self._allocated.done():
                self._allocated.set_result(event)
        elif isinstance(event, turn.AllocationFailed):
            if not self._allocated.done():
                self._allocated.set_exception(Refused(event))
        elif isinstance(event, turn.AllocationLost):
            self._lose(event.reason)
            self._finish()
        elif isinstance(event, turn.PeerRefused):
            logger.debug("%s does not relay to %s: %d %r", self._server.url, event.host, event.code, event.reason[:80])
        else:
            self._finish()

    def _lose(self, reason: str) -> None:
        logger.info("the relay of %s is gone: %s", self._server.url, reason)
        for base in self.bases:
            if not base.closed:
                base.closed = True
                base.listener.base_lost(base)

    # The end

    def base_closed(self) -> None:
        """For the bases: the allocation goes with the last of them."""
        if all(base.closed for base in self.bases):
            self.close()

    def close(self) -> None:
        """Deletes the allocation on the server, for CLOSE_DEADLINE at most; `wait_closed` tells when it is over."""
        for base in self.bases:
            base.closed = True
        if self._link is None or self._closing is not None:
            return
        self._closing = self._loop.call_later(CLOSE_DEADLINE, self._finish)
        self._client.deallocate(self._loop.time())
        self._after()

    def abort(self) -> None:
        """Lets go of everything at once."""
        for base in self.bases:
            base.closed = True
        self._finish()

    async def wait_closed(self) -> None:
        """Until nothing is left of it; CLOSE_DEADLINE after `close` at the latest."""
        await asyncio.shield(self._closed)

    def _finish(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        for timer in (self._timer, self._closing, self._alive):
            if timer is not None:
                timer.cancel()
        self._timer = None
        if not self._allocated.done():
            self._allocated.cancel()
        elif not self._allocated.cancelled():
            self._allocated.exception()  # nobody may be waiting for it any more
        if not self._closed.done():
            self._closed.set_result(None)


class Refused(ServerFailed):
    """An allocation that was refused, with what the server said."""

    def __init__(self, event: turn.AllocationFailed) -> None:
        failure = (
            ServerFailed(UNREACHABLE, event.reason) if event.code == UNREACHABLE else refused(event.code, event.reason)
        )
        super().__init__(failure.code, failure.text, failure.advice)
        self.alternate = event.alternate
