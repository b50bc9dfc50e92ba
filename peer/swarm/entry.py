"""The way into a room for one bot, behind a seam: whoever can enter, call and be called can be a swarm's way in.

An endpoint of WHIP or WHEP is a room of each bot's own, with one member, whom it calls.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from peer.beginning import SILENT, Sources
from peer.errors import NotHere
from peer.joining import join
from peer.whip import WhipConnect, direction_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from peer.call import Call
    from peer.channel import Connect
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.ring import Ring
    from peer.room import Room
    from peer.rtc.ice.servers import IceSettings
    from peer.tokens import TokenSource


class Place(Protocol):
    """Where a bot is once it is in."""

    def rings(self) -> AsyncIterator[Ring]:
        """Those who call it."""
        ...

    async def answer(self, ring: Ring) -> Call:
        """Answer one. Raises peer.Error."""
        ...

    async def reach(self, name: str, timeout: float) -> None:
        """Wait until somebody is there who can be called. Raises peer.Error."""
        ...

    async def dial(self, name: str, timeout: float) -> Call:
        """Call somebody. Raises peer.Error."""
        ...


class Entry(Protocol):
    """How bots get in."""

    def enter(self, room: str, name: str) -> AbstractAsyncContextManager[Place]:
        """Into a room, and out of it at the end of the block. Raises peer.Error."""
        ...


@dataclass(frozen=True, slots=True)
class RoomPlace:
    """A membership of a room of our server."""

    room: Room
    silent: bool
    """Whether calls send nothing."""

    def rings(self) -> AsyncIterator[Ring]:
        return self.room.rings()

    async def answer(self, ring: Ring) -> Call:
        return await ring.answer(SILENT if self.silent else Sources())

    async def reach(self, name: str, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self.room.wait_for(name)
        except TimeoutError:
            text = f"{name} did not come to room {self.room.room} within {timeout:g} s"
            raise NotHere(f"{text}; see why, or wait longer with --timeout") from None

    async def dial(self, name: str, timeout: float) -> Call:
        return await self.room.dial(self.room.find(name), SILENT if self.silent else Sources(), timeout)


@dataclass(frozen=True, slots=True)
class RoomEntry:
    """Into rooms of our server, all with the same sources."""

    url: str | Connect
    pictures: PictureSourceBase | None = None
    sound: SoundSourceBase | None = None
    silent: bool = False
    ice_servers: Sequence[str] = ()
    network: IceSettings | None = None
    token: TokenSource | None = field(default=None, repr=False)

    @asynccontextmanager
    async def enter(self, room: str, name: str) -> AsyncIterator[RoomPlace]:
        joining = join(
            self.url,
            room=room,
            name=name,
            video=self.pictures,
            audio=self.sound,
            ice_servers=self.ice_servers,
            network=self.network,
            token=self.token,
        )
        async with joining as entered:
            yield RoomPlace(entered, self.silent)


def way(url: str, timeout: float, token: TokenSource | None = None) -> str | Connect:
    """What `RoomEntry` takes for a URL: itself, or, of a WHIP or WHEP endpoint, how to get there. Raises UsageError."""
    direction = direction_of(url)
    return url if direction is None else WhipConnect(url, direction=direction, token=token, timeout=timeout)
