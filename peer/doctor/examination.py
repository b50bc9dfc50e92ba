"""All of it: joins the signaling server, asks every ICE server at once, then calls through what these gave."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from peer.doctor import nat
from peer.doctor.findings import (
    SIGNALING,
    CallFinding,
    Findings,
    HostAddress,
    NatFinding,
    ServerFinding,
    SignalingFinding,
)
from peer.doctor.servers import Named, ServerProbes
from peer.doctor.stunprobe import StunProbe
from peer.errors import Unreachable
from peer.rtc.ice import interfaces
from peer.rtc.ice.servers import IceSettings, server_urls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from peer.channel import Connect
    from peer.doctor.callpaths import CallPath
    from peer.rtc.ice.interfaces import LocalAddress
    from peer.tokens import TokenSource
    from signaling.messages import IceServer, Welcome

TIMEOUT: Final = 5.0
"""Seconds that a server, or a call, has for everything."""
ROOM: Final = "doctor"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be examined."""

    url: str | None = None
    room: str = ROOM
    to: str | None = None
    """Whom to call; None: who is in the room, or an end of our own."""
    servers: tuple[IceServer, ...] = ()
    origin: str = "--ice-server"
    """Where these were named."""
    settings: IceSettings = field(default_factory=IceSettings)
    """Which addresses to use, and whom to trust; its servers do not count."""
    timeout: float = TIMEOUT
    token: TokenSource | None = field(default=None, repr=False)


class Examination:
    """One run. `await run()` once; `status()` says meanwhile what is going on."""

    def __init__(self, plan: Plan, connect: Connect | None = None) -> None:
        """`connect`: the way to the signaling server, where it is not a WebSocket."""
        self._plan = plan
        self._connect = connect
        self._servers: list[Named] = []
        self._broken: list[ServerFinding] = []
        self._remarks: list[str] = []
        self._probing: ServerProbes | None = None
        self._doing = ""
        self._begun = 0.0

    def status(self) -> str:
        """One line on what is being done."""
        doing = self._doing
        if self._probing is not None and self._probing.pending:
            doing = f"asking {', '.join(dict.fromkeys(self._probing.pending))}"
        return f"{doing}, {time.monotonic() - self._begun:.0f} s" if doing else ""

    async def run(self) -> Findings:
        """Everything. Raises UsageError for a URL, name or filter that cannot be; what fails is in the findings."""
        self._begun = time.monotonic()
        plan = self._plan
        local = await asyncio.to_thread(interfaces.usable_addresses, plan.settings)
        welcome, signaling = await self._join()
        self._name_servers(plan.servers, plan.origin)
        if welcome is not None:
            self._name_servers(welcome.ice_servers, SIGNALING)
        findings, nats = await self._ask(local)
        calls: list[CallFinding] = []
        if welcome is not None:
            calls = await self._call(welcome, findings, nats)
        return Findings(
            at=time.time(),
            seconds=time.monotonic() - self._begun,
            hosts=tuple(HostAddress(each.address, each.interface) for each in local),
            servers=tuple(findings),
            nats=tuple(nats),
            signaling=signaling,
            calls=tuple(calls),
            remarks=tuple(self._remarks),
        )

    # The signaling server

    async def _join(self) -> tuple[Welcome | None, SignalingFinding | None]:
        """Comes and goes: who is there, and which ICE servers are handed out."""
        plan = self._plan
        if plan.url is None:
            return None, None
        self._doing = f"joining {plan.url}"
        finding = SignalingFinding(url=plan.url, room=plan.room)
        # Loaded now, so that it does not disturb what is measured later.
        calls = await asyncio.to_thread(import_module, "peer.doctor.calls")
        await asyncio.to_thread(import_module, "peer.link")
        if self._connect is None:
            from peer.websocket import WebSocketConnect

            self._connect = WebSocketConnect(plan.url, timeout=plan.timeout, token=plan.token)
        begun = time.monotonic()
        try:
            channel = await self._connect(plan.room, calls.new_name())
        except Unreachable as error:
            return None, replace(finding, error=str(error))
        seconds = time.monotonic() - begun
        await channel.close()
        urls = tuple(url for server in channel.welcome.ice_servers for url in server.urls)
        return channel.welcome, replace(finding, seconds=seconds, ice_servers=urls)

    # ICE servers

    def _name_servers(self, servers: Sequence[IceServer], origin: str) -> None:
        urls, errors = server_urls(servers)
        known = {(each.url.url, each.url.username) for each in self._servers}
        self._servers += [Named(url, origin) for url in urls if (url.url, url.username) not in known]
        for error in errors:
            turn = error.url.startswith("turn")
            told = replace(error, advice="correct the URL")
            self._broken.append(ServerFinding(url=error.url, origin=origin, turn=turn, error=told))

    async def _ask(self, local: Sequence[LocalAddress]) -> tuple[list[ServerFinding], list[NatFinding]]:
        async with self._probes(local) as probes:
            probing = self._probing = ServerProbes(self._plan.settings, probes, self._plan.timeout)
            try:
                findings = await probing.examine(self._servers)
                self._doing = "looking at the NAT"
                behaviours = await probing.behaviours()
            finally:
                self._probing = None
                await probing.close()
            nats = [
                nat.judge(probe.address, probing.seen[probe.address], behaviours.get(probe.address[0]))
                for probe in probes
            ]
        return [*self._broken, *findings], [each for each in nats if each.seen]

    @contextlib.asynccontextmanager
    async def _probes(self, local: Sequence[LocalAddress]) -> AsyncIterator[list[StunProbe]]:
        """A socket on each address."""
        probes: list[StunProbe] = []
        try:
            for each in local:
                try:
                    probes.append(await StunProbe.open(each.address))
                except OSError as error:
                    self._remarks.append(f"no UDP socket on {each.address}: {error.strerror or error}")
            yield probes
        finally:
            for probe in probes:
                probe.close()
            await asyncio.sleep(0)  # sockets close at the end of the loop's turn

    # Calls

    async def _call(
        self, welcome: Welcome, findings: Sequence[ServerFinding], nats: Sequence[NatFinding]
    ) -> list[CallFinding]:
        from peer.doctor.callpaths import call_paths
        from peer.doctor.calls import Caller, is_doctor, try_paths

        plan = self._plan
        assert self._connect is not None
        here = sorted(member.name for member in welcome.members if not is_doctor(member.name))
        to = plan.to if plan.to is not None else next(iter(here), None)
        if plan.to is not None and plan.to not in here:
            there = ", ".join(here) or "nobody else"
            error = f"{plan.to} is not in room {plan.room} ({there} is); start it there, or correct --to"
            return [CallFinding(path="direct", to=plan.to, own=False, answered=False, error=error)]
        paths = call_paths([each.url for each in self._servers], findings, nats)
        caller = Caller(self._connect, plan.room, welcome.name, to, plan.settings, plan.timeout)
        first = []
        if to is not None:
            first = await try_paths(caller, paths[:1], self._calling)
            if not first[0].answered and plan.to is None:
                self._remarks.append(f"{to} is in room {plan.room} and does not answer: {first[0].error}")
                caller, first = replace(caller, to=None), []
            elif not first[0].answered:
                return first
        return [*first, *await try_paths(caller, paths[len(first) :], self._calling, first=2)]

    def _calling(self, path: CallPath) -> None:
        self._doing = f"calling through {path.url}" if path.url else "calling directly"
