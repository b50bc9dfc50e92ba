"""Bans of one node that hold on all of them: told to the others at once, and kept in the backplane."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from signaling.backplane import BackplaneDown
from signaling.bans import SIZE
from signaling.nodewire import Banned, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.backplane import Alive, Backplane
    from signaling.bans import Ban, Bans


class SharedBans:
    """`now` is the Unix time.

    The word that is sent to all nodes may get lost. Who missed it sees within a second that the backplane has another
    ban, and fetches it.
    """

    def __init__(self, bans: Bans, backplane: Backplane, now: Callable[[], float]) -> None:
        self._bans = bans
        self._backplane = backplane
        self._now = now
        self._unwritten: deque[Ban] = deque(maxlen=SIZE)
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._version = 0  # of what was fetched

    def add(self, ban: Ban) -> None:
        """A ban of this node, for all of them."""
        self._bans.add(ban)
        self._unwritten.append(ban)
        self._wake.set()

    async def run(self) -> None:
        """Writes down what is new, for ever; what cannot be is written with a later beat."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(BackplaneDown):
                await self.write()

    def heard(self, banned: Banned) -> None:
        """Another node has some."""
        for ban in banned.bans:
            self._bans.add(ban)

    async def write(self) -> None:
        """Puts what is new into the backplane. Raises BackplaneDown; then it is for the next time."""
        async with self._writing:
            some, self._unwritten = list(self._unwritten), deque(maxlen=SIZE)
            if not some:
                return
            try:
                await self._backplane.ban(some, pack(Banned(some)))
            except BaseException:
                self._unwritten.extendleft(reversed(some))
                raise

    async def keep(self, alive: Alive, *, after_outage: bool) -> None:
        """To be called with every beat; `after_outage`: the backplane may have forgotten them. Raises BackplaneDown."""
        if after_outage:
            self._unwritten = deque(self._bans.all(self._now()), maxlen=SIZE)
        if alive.bans != self._version:
            for ban in await self._backplane.bans():
                self._bans.add(ban)
            self._version = alive.bans
        await self.write()
