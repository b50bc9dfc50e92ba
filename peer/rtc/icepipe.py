"""Stands where aiortc's DTLS has its ICE transport."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from pyee.asyncio import AsyncIOEventEmitter

if TYPE_CHECKING:
    from peer.rtc.ice.transport import IceTransport

MAX_WAITING = 64
"""DTLS packets that wait for the handshake; beyond, the oldest go: DTLS sends its flights again."""


class IcePipe(AsyncIOEventEmitter):
    """Gives DTLS its packets, takes what it sends."""

    def __init__(self, ice: IceTransport) -> None:
        super().__init__()
        self.ice = ice
        self._packets: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._kept: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._reader: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def role(self) -> str:
        return str(self.ice.role)

    @property
    def state(self) -> str:
        return str(self.ice.state)

    @property
    def open(self) -> bool:
        return not self._closed

    def push(self, data: bytes, *, kept: bool = False) -> None:
        """A packet of DTLS came; `kept`: it is for the association to come."""
        (self._kept if kept else self._packets).append(data)
        self._wake()

    def give_kept(self) -> None:
        """The association is there that packets were kept for."""
        self._packets.extend(self._kept)
        self._kept.clear()

    def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _recv(self) -> bytes:
        while not self._packets:
            if self._closed:
                raise ConnectionError("the path is closed")
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._packets.popleft()

    async def _send(self, data: bytes) -> None:
        self.ice.send(data)
