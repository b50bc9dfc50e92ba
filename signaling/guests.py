"""The callers over plain HTTP at one node of several: where each of them is, and who waits to be let in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from signaling.nodewire import Admit, Admitted, Dismiss, GuestSays, Refused

if TYPE_CHECKING:
    from signaling.codes import ProtocolError
    from signaling.credentials import Grants
    from signaling.messages import ByeFrom, CandidateFrom, DescriptionFrom, Member
    from signaling.routes import Routes


class Guests:
    """Asks the owners of rooms over `routes`, as the node `node`."""

    def __init__(self, node: str, routes: Routes) -> None:
        self._node = node
        self._routes = routes
        self._rooms: dict[str, str] = {}  # guest id -> the room it calls into
        self._waiting: dict[str, asyncio.Future[Member]] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def rooms(self) -> set[str]:
        """The rooms that they call into."""
        return set(self._rooms.values())

    async def admit(self, guest: str, room: str, name: str, grants: Grants | None, timeout: float) -> Member:
        """Whom a guest calls. Raises ProtocolError: refused; TimeoutError: no answer."""
        self._rooms[guest] = room
        answer: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting[guest] = answer
        try:
            self._routes.ask(Admit(room, self._node, guest, name, grants))
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            del self._waiting[guest]

    def say(self, guest: str, message: DescriptionFrom | CandidateFrom | ByeFrom) -> None:
        """Passes on what a guest says."""
        room = self._rooms.get(guest)
        if room is not None:
            self._routes.ask(GuestSays(room, self._node, guest, message))

    def dismiss(self, guest: str) -> None:
        """Forgets a guest. Twice is harmless."""
        room = self._rooms.pop(guest, None)
        if room is not None:
            self._routes.ask(Dismiss(room, self._node, guest))

    def admitted(self, answer: Admitted) -> None:
        """A guest is let in."""
        future = self._waiting.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer.host)

    def refused(self, answer: Refused, error: ProtocolError) -> bool:
        """Whether a refusal was that of a guest."""
        future = self._waiting.get(answer.id)
        if future is not None and not future.done():
            future.set_exception(error)
        return future is not None
