"""A listener that remembers, for everything that gives packets and candidates."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from peer.rtc.ice.candidate import IceParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.bases import Address, Base
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.servers import CandidateError

T = TypeVar("T")

PARAMETERS = IceParameters("ourufrag", "our-password-of-24-chars")


class Recorder:
    """Takes everything; `until` waits for a condition, which is looked at after each event."""

    def __init__(self) -> None:
        self.bases: list[Base] = []
        self.candidates: list[Candidate] = []
        self.candidate_bases: list[Base | None] = []
        self.errors: list[CandidateError] = []
        self.done = 0
        self.stun: list[tuple[Base, bytes, Address]] = []
        self.data: list[bytes] = []
        self.lost: list[Base] = []
        self.on_stun: Callable[[Base, bytes, Address], object] = lambda *_: None
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], T]) -> T:
        """What the condition gives once that is true."""
        async with asyncio.timeout(20):
            while not (result := condition()):
                self._changed.clear()
                await self._changed.wait()
        return result

    @property
    def call(self) -> object:
        return self

    def base_added(self, base: Base) -> None:
        self.bases.append(base)
        self._changed.set()

    def candidate_found(self, candidate: Candidate, base: Base | None) -> None:
        self.candidates.append(candidate)
        self.candidate_bases.append(base)
        self._changed.set()

    def server_failed(self, error: CandidateError) -> None:
        self.errors.append(error)
        self._changed.set()

    def gathering_done(self) -> None:
        self.done += 1
        self._changed.set()

    def stun_received(self, base: Base, data: bytes, address: Address) -> None:
        self.stun.append((base, data, address))
        self.on_stun(base, data, address)
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self.data.append(data)
        self._changed.set()

    def media_received(self, datagrams: list[Datagram]) -> None:
        for data, _, _ in datagrams:
            self.data_received(data)

    def base_lost(self, base: Base) -> None:
        self.lost.append(base)
        self._changed.set()
