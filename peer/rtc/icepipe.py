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
REPEATS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds until the flight of a handshake that nothing followed is sent again, each time. OpenSSL would wait for 1, 2,
4, 8 s: on a bad network that is a handshake of half a minute. Whoever has a packet already drops it as a replay."""
MAX_FLIGHT = 16
"""Packets of a flight; more, no handshake has."""
_OF_HANDSHAKES = (20, 22)
"""Content types (RFC 6347): change_cipher_spec, handshake."""


class IcePipe(AsyncIOEventEmitter):
    """Gives DTLS its packets, takes what it sends."""

    def __init__(self, ice: IceTransport) -> None:
        super().__init__()
        self.ice = ice
        self._packets: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._kept: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._flight: deque[bytes] = deque(maxlen=MAX_FLIGHT)
        self._answered = False
        """Whether anything came since the flight; then what is sent next begins another."""
        self._repeat: asyncio.TimerHandle | None = None

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
        self._answered = True
        (self._kept if kept else self._packets).append(data)
        self._wake()

    def give_kept(self) -> None:
        """The association is there that packets were kept for."""
        self.end_flight()
        self._packets.extend(self._kept)
        self._kept.clear()

    def handshake_over(self, role: str) -> None:
        """The server's flight is the last one: it goes on being repeated, as nothing says that it arrived."""
        if role == "client":
            self.end_flight()

    def end_flight(self) -> None:
        """Nothing of what was sent is wanted any more."""
        self._flight.clear()
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None

    def close(self) -> None:
        self._closed = True
        self.end_flight()
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
        self.ice.send_all([data])
        if data[:1] and data[0] in _OF_HANDSHAKES and not self._closed:
            self._in_flight(data)

    def _in_flight(self, data: bytes) -> None:
        if self._answered or not self._flight:
            self.end_flight()
            self._answered = False
            self._repeat_in(0)
        self._flight.append(data)

    def _repeat_in(self, turn: int) -> None:
        if turn < len(REPEATS):
            self._repeat = asyncio.get_running_loop().call_later(REPEATS[turn], self._again, turn)

    def _again(self, turn: int) -> None:
        for data in self._flight:
            self.ice.send_all([data])
        self._repeat_in(turn + 1)
