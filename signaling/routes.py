"""Where requests of this node go: to itself, to another node, or nowhere yet, while an owner is looked up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from signaling.backplane import BackplaneDown
from signaling.nodewire import Admit, AnyRequest, Dismiss, Expel, GuestSays, Requests, pack
from signaling.ownership import RETRY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from signaling.backplane import Backplane
    from signaling.ownership import Ownership

logger = logging.getLogger(__name__)


class Routes:
    """`unanswered(room)` gives everything that the owner of a room may not know, once another one is found."""

    def __init__(self, backplane: Backplane, owned: Ownership, unanswered: Callable[[str], list[AnyRequest]]) -> None:
        self._backplane = backplane
        self._owned = owned
        self._unanswered = unanswered
        self._owners: dict[str, str] = {}  # room -> its owner, another node
        self._finding: dict[str, asyncio.Task[None]] = {}
        self._parked: dict[str, list[AnyRequest]] = {}  # room that is being found -> what nobody asks again
        self._outbox: dict[str, list[AnyRequest]] = {}  # owner -> what is sent to it next
        self._letters: list[tuple[str, bytes]] = []  # other mail, with the node it goes to
        self._posting = asyncio.Event()

    def items(self) -> list[tuple[str, str]]:
        """The rooms of other nodes, with their owners."""
        return list(self._owners.items())

    def learn(self, room: str, owner: str) -> None:
        """A node said that it has a room."""
        if owner == self._backplane.node:
            self._owners.pop(room, None)
        else:
            self._owners[room] = owner

    def keep(self, rooms: Collection[str]) -> None:
        """Forgets where all other rooms are."""
        self._owners = {room: owner for room, owner in self._owners.items() if room in rooms}

    def ask(self, request: AnyRequest) -> None:
        """Sends a request of this node to the owner of its room."""
        room = request.room
        if room in self._owned:
            self._owned.put(request)
        elif room in self._owners:
            self._outbox.setdefault(self._owners[room], []).append(request)
            self._posting.set()
        else:
            if isinstance(request, Admit | GuestSays | Dismiss):
                self._parked.setdefault(room, []).append(request)
            self.find(room)

    def post(self, node: str, data: bytes) -> None:
        """Sends a node what is about no room."""
        self._letters.append((node, data))
        self._posting.set()

    def arrived(self, request: AnyRequest) -> None:
        """A request of another node, which believes that this one has the room."""
        if request.room in self._owned:
            self._owned.put(request)
        elif request.room not in self._owners and not isinstance(request, Expel):  # for that nobody takes a room
            self._parked.setdefault(request.room, []).append(request)
            self.find(request.room)

    def ask_again(self, room: str) -> None:
        """Asks everything that may not have been heard."""
        for request in self._unanswered(room):
            self.ask(request)

    def find(self, room: str) -> None:
        """Looks who has a room, or takes it; then its owner is told everything that it may not know."""
        self._owners.pop(room, None)
        if room not in self._finding:
            self._finding[room] = asyncio.get_running_loop().create_task(self._find(room))

    async def _find(self, room: str) -> None:
        try:
            while True:
                try:
                    owner = await self._owned.acquire(room)
                    break
                except BackplaneDown:
                    await asyncio.sleep(RETRY)
        finally:
            del self._finding[room]
        self.learn(room, owner)
        self.ask_again(room)
        for request in self._parked.pop(room, ()):
            if room in self._owned or request.node == self._backplane.node:
                self.ask(request)

    async def run(self) -> None:
        """Sends what is to be sent, for ever."""
        while True:
            await self._posting.wait()
            self._posting.clear()
            try:
                await self.flush()
            except BackplaneDown:
                logger.debug("requests could not be sent; they are made again")

    async def flush(self) -> None:
        """Sends what waits. Raises BackplaneDown."""
        outbox, self._outbox = self._outbox, {}
        letters, self._letters = self._letters, []
        mail = letters + [(owner, pack(Requests(requests))) for owner, requests in outbox.items()]
        if mail:
            await self._backplane.send(mail)

    async def close(self) -> None:
        """Ends the looking up."""
        tasks = list(self._finding.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
