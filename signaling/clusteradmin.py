"""The administrator at one node of several: asks all nodes what rooms they have, and has members of any sent away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from signaling.administration import Administration
from signaling.backplane import BackplaneDown, unavailable
from signaling.codes import Code, ProtocolError
from signaling.nodewire import AnyRequest, Census, Counted, Expel, Requests, pack

if TYPE_CHECKING:
    from signaling.backplane import Backplane
    from signaling.bans import Ban
    from signaling.hub import Hub
    from signaling.messages import Member
    from signaling.pulse import Pulse
    from signaling.routes import Routes
    from signaling.sharedbans import SharedBans

PATIENCE: Final = 1.0  # seconds after which nodes that have not answered are asked again
TRIES: Final = 3
LOOKS: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between asking to send somebody away and looking whether it is


@dataclass(slots=True)
class _Poll:
    """A question to all nodes: who has not answered, and what the others said."""

    waiting: set[str]
    found: list[Counted]
    done: asyncio.Event = field(default_factory=asyncio.Event)


class ClusterAdministration(Administration):
    """Of all nodes that `pulse` knows to live."""

    def __init__(self, hub: Hub, backplane: Backplane, routes: Routes, bans: SharedBans, pulse: Pulse) -> None:
        super().__init__(hub)
        self._backplane = backplane
        self._node = backplane.node
        self._routes = routes
        self._bans = bans
        self._pulse = pulse
        self._polls: dict[str, _Poll] = {}

    async def rooms(self) -> list[tuple[str, int]]:
        return sorted({name: size for one in await self._ask(None) for name, size in one.rooms}.items())

    def answer(self, census: Census) -> None:
        """Another node asks what rooms are here."""
        self._routes.post(census.node, pack(self._counted(census.ticket, census.room)))

    def answered(self, counted: Counted) -> None:
        """Another node has answered."""
        poll = self._polls.get(counted.ticket)
        if poll is not None and counted.node in poll.waiting:
            poll.waiting.remove(counted.node)
            poll.found.append(counted)
            if not poll.waiting:
                poll.done.set()

    async def _members(self, room: str) -> list[Member]:
        return list({member.id: member for one in await self._ask(room) for member in one.members}.values())

    def _tell(self, node: str, requests: list[AnyRequest]) -> None:
        if node != self._node:
            self._routes.post(node, pack(Requests(requests)))
            return
        for request in requests:
            self._routes.arrived(request)

    async def _ban(self, ban: Ban) -> None:
        self._bans.add(ban)
        try:
            await self._bans.write()
        except BackplaneDown:
            raise unavailable() from None

    async def _send_away(self, room: str, members: set[str]) -> None:
        await self._dismiss(room, members, ProtocolError(Code.KICKED, "You were sent away from this room."))

    async def _dismiss(self, room: str, members: set[str], error: ProtocolError) -> None:
        """Asks the node that has the room, whichever it is then, until they are gone."""
        for seconds in (*LOOKS, 0.0):
            left = False
            for one in await self._ask(room):
                here = members & {member.id for member in one.members}
                left = left or bool(here)
                self._tell(one.node, [Expel(room, self._node, id, error.code.value, error.message) for id in here])
            if not left:
                return
            await asyncio.sleep(seconds)
        raise unavailable()

    async def _ask(self, room: str | None) -> list[Counted]:
        """What all nodes have: the members of a room, or all rooms. Complete, or ProtocolError (unavailable)."""
        if self._pulse.down:
            raise unavailable()
        ticket = secrets.token_hex(8)
        poll = self._polls[ticket] = _Poll(set(), [self._counted(ticket, room)])
        try:
            poll.waiting = await self._pulse.look() - {self._node}
            for _ in range(TRIES if poll.waiting else 0):
                question = pack(Census(self._node, ticket, room))
                await self._backplane.send([(node, question) for node in poll.waiting])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await poll.done.wait()
                        break
            poll.waiting &= self._pulse.nodes  # those that are known to be dead meanwhile have no rooms
        except BackplaneDown:
            raise unavailable() from None
        finally:
            del self._polls[ticket]
        if poll.waiting:
            raise unavailable()
        return poll.found

    def _counted(self, ticket: str, room: str | None) -> Counted:
        rooms = self.hub.rooms
        if room is None:
            return Counted(self._node, ticket, rooms.listing(), [])
        return Counted(self._node, ticket, [], rooms.members_of(room))
