"""The named sources of one room: a camera is opened once, however many calls show it, and closed when none does."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.media.base import PictureSourceBase, SoundSourceBase

logger = logging.getLogger(__name__)

Medium = Literal["video", "audio"]


@dataclass
class _Entry:
    source: Any
    users: set[object] = field(default_factory=set)


class SourceShelf:
    """Opens sources by name, shared by name. Sources handed in as objects pass through: their owner closes them."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Medium, str], _Entry] = {}
        self._closing: dict[tuple[Medium, str], asyncio.Event] = {}
        self._lock = asyncio.Lock()

    async def pictures(self, user: object, choice: str | PictureSourceBase | None) -> PictureSourceBase | None:
        """The source of pictures that `choice` names, for `user`. Raises UsageError, DeviceError."""
        source: PictureSourceBase | None = await self._take(user, "video", choice)
        return source

    async def sound(self, user: object, choice: str | SoundSourceBase | None) -> SoundSourceBase | None:
        """The source of sound that `choice` names, for `user`. Raises UsageError, DeviceError."""
        source: SoundSourceBase | None = await self._take(user, "audio", choice)
        return source

    async def prepare(self, user: object, video: object, audio: object) -> None:
        """Open both beforehand; a file named for both plays its picture and its sound in sync."""
        if isinstance(video, str) and video == audio and video.startswith("file:"):
            await self._prepare_file(user, video)
        await self._take(user, "video", video)
        await self._take(user, "audio", audio)

    async def settle(self, user: object, medium: Medium, source: object) -> None:
        """`user` needs nothing of this medium any more but `source`."""
        for key, entry in list(self._entries.items()):
            if key[0] == medium and entry.source is not source:
                await self._give_back(key, user)

    async def release(self, user: object) -> None:
        """`user` needs nothing any more."""
        for key in list(self._entries):
            await self._give_back(key, user)

    async def close(self) -> None:
        """Close everything that is still open."""
        for key, entry in list(self._entries.items()):
            entry.users.clear()
            await self._give_back(key, None)

    async def _take(self, user: object, medium: Medium, choice: object) -> Any:
        if not isinstance(choice, str):
            return _source(choice, medium)
        from peer.media import open_pictures, open_sound

        key = (medium, choice)
        async with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                if key in self._closing:  # a device is not given twice
                    await self._closing[key].wait()
                source = await (open_pictures(choice) if medium == "video" else open_sound(choice))
                if source is None:
                    return None
                entry = self._entries[key] = _Entry(source)
            entry.users.add(user)
            return entry.source

    async def _prepare_file(self, user: object, choice: str) -> None:
        from peer.media import open_media

        video, audio = ("video", choice), ("audio", choice)
        async with self._lock:
            if video not in self._entries and audio not in self._entries:
                media = await open_media(choice, choice)
                self._entries[("video", choice)] = _Entry(media.pictures, {user})
                self._entries[("audio", choice)] = _Entry(media.sound, {user})

    async def _give_back(self, key: tuple[Medium, str], user: object) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.users.discard(user)
        if not entry.users:
            del self._entries[key]
            closed = self._closing[key] = asyncio.Event()
            try:
                await entry.source.close()
            finally:
                closed.set()
                if self._closing.get(key) is closed:
                    del self._closing[key]


def _source(choice: object, medium: Medium) -> object:
    """`choice` as it is. Raises UsageError for what is neither a source of that medium nor None."""
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.media.spec import GRAMMAR

    if choice is None or isinstance(choice, PictureSourceBase if medium == "video" else SoundSourceBase):
        return choice
    raise UsageError(f"{choice!r} is no source of {medium}; use {GRAMMAR[medium]}, or a source object")
