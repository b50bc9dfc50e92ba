"""Real calls through the signaling server, each over one kind of path, to a participant or to an end of our own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec

from peer.beginning import RoomOptions
from peer.doctor import callpaths
from peer.doctor.findings import CallFinding
from peer.doctor.icetcp import IceTcp
from peer.errors import Error, NoAnswer, NotHere, Rejected
from peer.joining import Joining

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peer.call import Call
    from peer.channel import Connect, SignalingChannel
    from peer.doctor.callpaths import CallPath
    from peer.room import Room
    from peer.rtc.ice.servers import IceSettings
    from signaling.messages import ClientMessage, ServerMessage, Welcome

logger = logging.getLogger(__name__)

AT_ONCE: Final = 3
"""Calls at the same time: each is two connections with their handshakes, and the seconds are shown to people."""
RING: Final = 4.0
"""Seconds that the other side may take to answer."""
ECHO: Final = 1.5
"""Seconds that a text may take to the other end and back."""
HAIRPIN: Final = 2.5
"""Seconds for a call to ourselves over the public address: few NATs let it through, and those do so at once."""
PREFIX: Final = "doctor-"
_OURS: Final = re.compile(rf"{PREFIX}[0-9a-f]{{6}}(-\d+)?(-echo)?")


def new_name() -> str:
    """A name that no other doctor in the room has."""
    return f"{PREFIX}{os.urandom(3).hex()}"


def is_doctor(name: str) -> bool:
    """Whether a participant is a doctor, this one or another, who answers nobody."""
    return _OURS.fullmatch(name) is not None


@dataclass(frozen=True)
class Caller:
    """Who calls whom."""

    connect: Connect
    room: str
    name: str
    to: str | None
    """The participant to call; None: an end of our own."""
    settings: IceSettings
    timeout: float

    async def try_path(self, path: CallPath, number: int) -> list[CallFinding]:
        """One call; and what the other side offers by TCP. Never raises, but for a cancellation."""
        tcp = IceTcp() if self.to is not None and path.path == "direct" else None
        found = await self._try_path(path, number, tcp)
        return [found, *(replace(each, to=found.to, own=False) for each in (tcp.findings if tcp is not None else ()))]

    async def _try_path(self, path: CallPath, number: int, tcp: IceTcp | None) -> CallFinding:
        finding = CallFinding(path=path.path, url=path.url, to=self.to or "", own=self.to is None)
        name = f"{self.name}-{number}"
        try:
            async with contextlib.AsyncExitStack() as stack:
                to = self.to
                if to is None:
                    echo = await stack.enter_async_context(self._join(f"{name}-echo", path))
                    echo.spawn(_answer(echo), "doctor echo")
                    to = echo.name
                room = await stack.enter_async_context(self._join(name, path, tcp or IceTcp()))
                return await self._call(room, to, finding, tcp)
        except (NoAnswer, NotHere, Rejected) as error:
            return replace(finding, error=str(error), answered=False)
        except Error as error:
            return replace(finding, error=str(error))
        except Exception as error:
            logger.exception("a call of the doctor broke")
            return replace(finding, error=f"a mistake in peer, please report it: {type(error).__name__}: {error}")

    def _join(self, name: str, path: CallPath, tcp: IceTcp | None = None) -> Joining:
        caller = tcp is not None
        relay = caller and path.relayed
        seconds = min(HAIRPIN, self.timeout) if path.path == "public address" and self.to is None else self.timeout
        # Our end gives up before the other one: its sentence is the one that is shown.
        seconds = max(seconds - 1.0, 1.0) if caller else seconds + 2.0
        network = replace(self.settings, policy="relay" if relay else "all", connect_timeout=seconds)
        options = RoomOptions(None, None, path.servers, network)
        return Joining(Only(self.connect, path.types, tcp), self.room, name, options)

    async def _call(self, room: Room, to: str, finding: CallFinding, tcp: IceTcp | None) -> CallFinding:
        if tcp is not None:
            room.spawn(tcp.run(), "doctor ICE-TCP")
        begun = perf_counter()
        async with room.call(to, timeout=min(RING, self.timeout)) as call:
            seconds = perf_counter() - begun
            echoed = await _echoed(call, own=finding.own)
            pair = (await call.stats()).pair
            finding = replace(finding, seconds=seconds, echoed=echoed)
            if tcp is not None:
                await tcp.done()
            if pair is not None:
                finding = replace(
                    finding,
                    local=f"{pair.local_type} {pair.local_address}",
                    remote=f"{pair.remote_type} {pair.remote_address}",
                    protocol=pair.protocol,
                    round_trip=pair.round_trip_time,
                )
            return finding


async def try_paths(
    caller: Caller, paths: Sequence[CallPath], told: Callable[[CallPath], None], *, first: int = 1
) -> list[CallFinding]:
    """All of them, a few at once; `told` hears of each that begins, `first` is the number of the first in its name."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, path: CallPath) -> list[CallFinding]:
        async with turns:
            told(path)
            return await caller.try_path(path, number)

    found = await asyncio.gather(*(one(number, path) for number, path in enumerate(paths, first)))
    return [finding for findings in found for finding in findings]


async def _answer(room: Room) -> None:
    """The other end: answers, and gives every text back."""
    async for ring in room.rings():
        room.start(_give_back, ring.accept())


async def _give_back(call: Call) -> None:
    async for text in call.messages():
        await call.write(text)


async def _echoed(call: Call, *, own: bool) -> bool | None:
    """Whether a text comes back; where the other end is not ours, its silence says nothing."""
    text = f"peer doctor {os.urandom(4).hex()}: does this come back?"
    messages = call.messages()
    try:
        async with asyncio.timeout(ECHO if own else ECHO / 3):
            await call.write(text)
            async for answer in messages:
                if text in answer:
                    return True
    except (TimeoutError, Error):
        pass
    return False if own else None


class Only:
    """A `Connect` whose channels hand out no ICE servers, and tell only some of our candidates to others."""

    def __init__(self, connect: Connect, types: frozenset[str] | None, tcp: IceTcp | None = None) -> None:
        self._connect = connect
        self._types = types
        self._tcp = tcp or IceTcp()

    async def __call__(self, room: str, name: str, before: SignalingChannel | None = None) -> SignalingChannel:
        again = (before.channel,) if isinstance(before, _Channel) else ()
        return _Channel(await self._connect(room, name, *again), self._types, self._tcp)


class _Channel:
    def __init__(self, channel: SignalingChannel, types: frozenset[str] | None, tcp: IceTcp) -> None:
        self.welcome: Welcome = msgspec.structs.replace(channel.welcome, ice_servers=[])
        self.direction = channel.direction
        self.channel = channel
        self._types = types
        self._tcp = tcp

    async def send(self, message: ClientMessage) -> None:
        if self._types is not None:
            passed = callpaths.told(message, self._types)
            if passed is None:
                return
            message = passed
        self._tcp.note(self._tcp.offers.sent(message))
        await self.channel.send(message)

    def abort(self) -> None:
        self.channel.abort()

    async def receive(self) -> ServerMessage:
        message = await self.channel.receive()
        self._tcp.note(self._tcp.offers.received(message))
        return message

    async def close(self) -> None:
        await self.channel.close()
