"""Two connections on one loop: with a signaling that negotiates by itself, or by hand (`tests.dropin.kit`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from aiortc import RTCSessionDescription

from peer.rtc.configuration import Configuration
from peer.rtc.connection import PeerConnection
from peer.rtc.ice.servers import IceSettings
from tests.dropin.kit import PATIENCE, in_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LOCAL = IceSettings(ipv6=False)
"""No servers, one address."""


def told(pc: PeerConnection, *events: str) -> list[tuple[str, Any]]:
    """What the connection tells from now on: the event, and what comes with it."""
    found: list[tuple[str, Any]] = []
    for event in events:
        pc.on(event, lambda *arguments, event=event: found.append((event, arguments[0] if arguments else None)))
    return found


async def turns(count: int = 10) -> None:
    """Turns of the loop, in which everything happens that waits for nothing but a turn."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connections(*configurations: Configuration | None) -> AsyncIterator[list[PeerConnection]]:
    """Connections that are closed at the end."""
    made = [PeerConnection(each or Configuration(LOCAL)) for each in configurations]
    try:
        yield made
    finally:
        await asyncio.gather(*(each.close() for each in made))


class Party:
    """One side of a call that negotiates by itself, as in webrtc-pc section 10.7; messages go as JSON text."""

    def __init__(self, pc: PeerConnection, *, polite: bool) -> None:
        self.pc = pc
        self.polite = polite
        self.other: Party = self
        self.offers = 0
        """Offers that were made."""
        self.ignored = 0
        """Offers of the other side that were passed over: it was glare."""
        self._making = False
        self._inbox: asyncio.Queue[str] = asyncio.Queue()
        self._busy = 0
        self._news = asyncio.Event()
        self._ignore = False
        self.errors: list[Exception] = []
        pc.on("negotiationneeded", self._offer)
        pc.on("icecandidate", self._candidate)
        self.task = asyncio.create_task(self._run())

    def say(self, **message: Any) -> None:
        self.other._inbox.put_nowait(json.dumps(message))

    async def _offer(self) -> None:
        self._busy += 1
        self._making = True
        try:
            await self.pc.setLocalDescription()
            self.offers += self.pc.signalingState == "have-local-offer"
            self.say(type=self.pc.localDescription.type, sdp=self.pc.localDescription.sdp)  # type: ignore[union-attr]
        finally:
            self._making = False
            self._done()

    def _candidate(self, candidate: Any) -> None:
        assert self.pc.localDescription is not None
        self.say(candidate=None if candidate is None else candidate.toJSON())

    async def _run(self) -> None:
        while True:
            message = json.loads(await self._inbox.get())
            self._busy += 1
            try:
                await self._take(message)
            except Exception as error:
                self.errors.append(error)
            finally:
                self._done()

    async def _take(self, message: dict[str, Any]) -> None:
        if "candidate" in message:
            if not self._ignore:
                await self.pc.addIceCandidate(message["candidate"])
            return
        crossing = message["type"] == "offer" and (self._making or self.pc.signalingState != "stable")
        self._ignore = crossing and not self.polite
        if self._ignore:
            self.ignored += 1
            return
        await self.pc.setRemoteDescription(RTCSessionDescription(**message))
        if message["type"] == "offer":
            await self.pc.setLocalDescription()
            assert self.pc.localDescription is not None
            self.say(type="answer", sdp=self.pc.localDescription.sdp)

    def _done(self) -> None:
        self._busy -= 1
        for each in (self, self.other):
            each._news.set()

    @property
    def settled(self) -> bool:
        return not self._busy and self._inbox.empty() and self.pc.signalingState == "stable"


async def settled(*parties: Party) -> None:
    """Until nobody has anything to negotiate any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await turns()
            if all(each.settled for each in parties):
                break
            parties[0]._news.clear()
            await parties[0]._news.wait()
    assert [each.errors for each in parties] == [[] for _ in parties]


@contextlib.asynccontextmanager
async def meeting(
    first: IceSettings = LOCAL, second: IceSettings = LOCAL, prepare: Callable[[Party, Party], None] | None = None
) -> AsyncIterator[tuple[Party, Party]]:
    """Two that negotiate whatever is needed; the second is polite. `prepare` is called before anything is said."""
    async with connections(Configuration(first, trickle=True), Configuration(second, trickle=True)) as (one, two):
        parties = Party(one, polite=False), Party(two, polite=True)
        parties[0].other, parties[1].other = parties[1], parties[0]
        try:
            if prepare is not None:
                prepare(*parties)
                await settled(*parties)
                await in_state("connected", one, two)
            yield parties
        finally:
            for each in parties:
                each.task.cancel()
            await asyncio.wait([each.task for each in parties])
