"""Asks each ICE server for what a call would want of it: a mapped address, a relay, and a packet through that."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from peer.doctor import natprobe
from peer.doctor.findings import Seen, ServerFinding
from peer.rtc.ice.lookup import Names, ServerFailed, refused
from peer.rtc.ice.relay import RelayOptions
from peer.rtc.ice.relaying import first_relay
from peer.rtc.ice.relaylink import Way
from peer.rtc.ice.remedies import is_silent
from peer.rtc.ice.servers import UNREACHABLE
from peer.rtc.ice.stun import Class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.doctor.nat import Behaviour
    from peer.doctor.stunprobe import Answer, StunProbe
    from peer.rtc.ice.bases import Address, Base
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.relay import Relay
    from peer.rtc.ice.servers import IceServerUrl, IceSettings

CARRY: Final = 1.5
"""Seconds in which a packet has to come through a relay."""
CARRY_AGAIN: Final = 0.2
"""Seconds until another packet is sent through it."""
STRAGGLERS: Final = 0.1
"""Seconds that other sockets of ours have after a STUN server answered one of them."""


@dataclass(frozen=True, slots=True)
class Named:
    """One URL, and where it was named."""

    url: IceServerUrl
    origin: str


class ServerProbes:
    """Asks all servers at once. Keeps what NATs showed meanwhile: `seen` by which server, and `behaviours`."""

    def __init__(self, settings: IceSettings, probes: Sequence[StunProbe], timeout: float) -> None:
        self._settings = settings
        self._probes = probes
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._names = Names(settings)
        self._behaving: dict[str, asyncio.Task[Behaviour | None]] = {}
        self.seen: dict[Address, list[Seen]] = {probe.address: [] for probe in probes}
        self.pending: list[str] = []
        """URLs that are being asked."""

    async def examine(self, servers: Sequence[Named]) -> list[ServerFinding]:
        """One finding for each URL and address family, in this order. Never raises."""
        found = await asyncio.gather(*(self._examine(server) for server in servers))
        return [finding for findings in found for finding in findings]

    async def behaviours(self) -> dict[str, Behaviour]:
        """What tests of RFC 5780 told, by local address; waits for those that have begun."""
        found = {}
        for local, task in self._behaving.items():
            with contextlib.suppress(OSError):
                if (behaviour := await task) is not None:
                    found[local] = behaviour
        return found

    async def close(self) -> None:
        await self._names.close()
        for task in self._behaving.values():
            task.cancel()
        await asyncio.gather(*self._behaving.values(), return_exceptions=True)

    async def _examine(self, server: Named) -> list[ServerFinding]:
        url = server.url
        begun = perf_counter()  # the loop's clock ticks in milliseconds, under uvloop
        until = self._loop.time() + self._timeout
        blank = ServerFinding(
            url=url.url, origin=server.origin, transport=url.transport, turn=url.is_turn, username=url.username
        )
        self.pending.append(url.url)
        try:
            addresses = await self._names.lookup(url, until)
        except ServerFailed as failure:
            return [replace(blank, error=failure.error(url.url))]
        else:
            work = [
                self._one_family(url, of_family, replace(blank, address=of_family[0]), until)
                for of_family in self._by_family(addresses)
            ]
            findings = await asyncio.gather(*work)
            return [
                replace(each, seconds=each.seconds - begun) if each.seconds is not None else each for each in findings
            ]
        finally:
            self.pending.remove(url.url)

    def _by_family(self, addresses: Sequence[Address]) -> list[list[Address]]:
        """Split by family; only those that this host has too, unless none is left."""
        own = {probe.version for probe in self._probes}
        families = [[each for each in addresses if (":" in each[0]) == (version == 6)] for version in (4, 6)]
        families = [each for each in families if each]
        return [each for each in families if (6 if ":" in each[0][0] else 4) in own] or families[:1]

    async def _one_family(
        self, url: IceServerUrl, addresses: list[Address], blank: ServerFinding, until: float
    ) -> ServerFinding:
        opening = asyncio.create_task(_opens(addresses[0], until), name="doctor TCP")
        beside: list[asyncio.Task[Any]] = [opening]
        if url.is_turn and url.transport == "udp":  # it answers STUN queries too, so it is one more to compare
            beside.append(asyncio.create_task(self._stun(addresses), name="doctor STUN"))
        try:
            if url.is_turn:
                return await self._turn(url, addresses, blank, until)
            async with asyncio.timeout_at(until):
                mapped = await self._stun(addresses)
            return replace(blank, mapped=mapped, seconds=perf_counter())
        except ServerFailed as failure:
            error, silent = failure.error(url.url), is_silent(failure.code, failure.text)
        except TimeoutError:
            error, silent = ServerFailed(UNREACHABLE, f"no answer within {self._timeout:g} s").error(url.url), True
        finally:
            opens = opening.result() if opening.done() else None
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        return replace(blank, error=error, silent=silent, tcp_opens=opens)

    # STUN

    async def _stun(self, addresses: Sequence[Address]) -> Address:
        """As which the server sees the socket that it answers first; the others get a little time, for `seen`."""
        version = 6 if ":" in addresses[0][0] else 4
        ways = [(probe, address) for probe in self._probes if probe.version == version for address in addresses]
        if not ways:
            raise ServerFailed(
                UNREACHABLE, f"this host has no IPv{version} address", f"use a server with an IPv{10 - version} address"
            )
        asking = [asyncio.create_task(self._ask(*way), name="doctor query") for way in ways]
        try:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(asking, timeout=STRAGGLERS)
            done = [task for task in asking if task.done()]
            return next((task for task in done if task.exception() is None), done[0]).result()
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, probe: StunProbe, address: Address) -> Address:
        answer = await probe.ask(address)
        if answer.message.message_class == Class.ERROR:
            raise refused(*(answer.message.error or (UNREACHABLE, "")))
        mapped = answer.message.mapped_address
        if mapped is None:
            raise ServerFailed(UNREACHABLE, "an answer without an address", "check that it is a STUN server")
        self.seen[probe.address].append(Seen(address, mapped))
        self._behave(probe, address, answer)
        return mapped

    def _behave(self, probe: StunProbe, address: Address, answer: Answer) -> None:
        """The first server that can tell more is asked for more."""
        local = probe.address[0]
        if local not in self._behaving and natprobe.other_address(answer) is not None:
            self._behaving[local] = asyncio.create_task(natprobe.examine(local, address), name="doctor NAT")

    # TURN

    async def _turn(
        self, url: IceServerUrl, addresses: list[Address], blank: ServerFinding, until: float
    ) -> ServerFinding:
        heard = _Heard()
        sources = tuple({probe.version: probe.address[0] for probe in reversed(self._probes)}.values())
        way = Way(self._settings.ca_file, sources if self._settings.interfaces else ())
        async with asyncio.timeout_at(until):
            relay = await first_relay(url, addresses, RelayOptions("doctor", 0, way=way), heard)
        try:
            finding = replace(
                blank,
                seconds=perf_counter(),
                mapped=_related(relay),
                relayed=tuple((base.candidate.address, base.candidate.port) for base in relay.bases),
            )
            return replace(finding, carried=await self._carry(relay, heard))
        finally:
            relay.close()
            await relay.wait_closed()

    async def _carry(self, relay: Relay, heard: _Heard) -> float | None:
        """Through the relay: from itself to itself, and from a socket of ours to it. None when nothing came."""
        base = relay.bases[0]
        relayed = base.candidate.address, base.candidate.port
        token = b"\x80" + os.urandom(19)
        arrived = heard.expect(token)
        outside = next(
            ((probe, seen[0].mapped) for probe in self._probes if (seen := self._of_family(probe, base))), None
        )
        sent = perf_counter()
        end = self._loop.time() + CARRY
        while not arrived.done() and self._loop.time() < end:
            sent = perf_counter()
            base.send(token, relayed)
            if outside is not None:
                probe, mapped = outside
                base.send(b"\x80", mapped)  # RFC 8656 section 9: now the server lets through what comes from there
                probe.send(token, relayed)
            await asyncio.wait([arrived], timeout=CARRY_AGAIN)
        return arrived.result() - sent if arrived.done() else None

    def _of_family(self, probe: StunProbe, base: Base) -> list[Seen]:
        return self.seen[probe.address] if probe.version == base.candidate.family else []


class _Heard:
    """Takes what comes through a relay; a `BaseListener`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tokens: dict[bytes, asyncio.Future[float]] = {}

    def expect(self, token: bytes) -> asyncio.Future[float]:
        """The time at which the token comes."""
        return self._tokens.setdefault(token, self._loop.create_future())

    def stun_received(self, base: Base, data: bytes, address: Address) -> None:
        pass

    def media_received(self, datagrams: list[Datagram]) -> None:
        for data, _, _ in datagrams:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        arrived = self._tokens.get(data)
        if arrived is not None and not arrived.done():
            arrived.set_result(perf_counter())

    def base_lost(self, base: Base) -> None:
        pass


def _related(relay: Relay) -> Address | None:
    candidate = relay.bases[0].candidate
    if candidate.related_address is None or candidate.related_port is None:
        return None
    return candidate.related_address, candidate.related_port


async def _opens(address: Address, until: float) -> bool:
    """Whether a TCP connection to the address opens."""
    try:
        async with asyncio.timeout_at(until):
            _, writer = await asyncio.open_connection(*address)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
