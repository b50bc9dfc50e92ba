"""What the administrator may ask of a server and have it do, whether it is alone or one of several nodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from signaling.bans import Ban
from signaling.codes import Code, ProtocolError

if TYPE_CHECKING:
    from signaling.hub import Hub
    from signaling.messages import Member

logger = logging.getLogger(__name__)


def closed() -> ProtocolError:
    """What members of a room are told that is closed."""
    return ProtocolError(Code.ROOM_CLOSED, "The administrator closed the room.")


class Administration:
    """Of a server that is alone. Each coroutine raises ProtocolError: unavailable, if not all nodes can be asked."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def rooms(self) -> list[tuple[str, int]]:
        """Name of each room and how many members it has, by name."""
        return self.hub.rooms.listing()

    async def members(self, room: str) -> list[Member]:
        """Who is in a room. Raises ProtocolError (unknown-target): there is no such room."""
        members = await self._members(room)
        if not members:
            raise ProtocolError(Code.UNKNOWN_TARGET, "There is no such room; list those that there are.")
        return members

    async def expel(self, room: str, name: str, seconds: float) -> None:
        """Sends a member away and keeps its name out of the room for so long. Raises ProtocolError (unknown-target)."""
        found = [member.id for member in await self._members(room) if member.name == name]
        if not found:
            raise ProtocolError(Code.UNKNOWN_TARGET, "Nobody of that name is in the room; list who is.")
        await self._ban(Ban(room, self.hub.gate.now() + seconds, name))
        logger.info("%s is sent away by the administrator", found[0], extra={"participant": found[0], "room": room})
        await self._send_away(room, set(found))

    async def close(self, room: str, seconds: float) -> None:
        """Sends all members of a room away and lets nobody in for so long. Raises ProtocolError (unknown-target)."""
        members = {member.id for member in await self.members(room)}
        await self._ban(Ban(room, self.hub.gate.now() + seconds))
        logger.info("room %r is closed by the administrator", room, extra={"room": room})
        await self._dismiss(room, members, closed())

    async def _members(self, room: str) -> list[Member]:
        return self.hub.rooms.members_of(room)

    async def _ban(self, ban: Ban) -> None:
        self.hub.bans.add(ban)

    async def _send_away(self, room: str, members: set[str]) -> None:
        for member in members:
            self.hub.send_away(member)

    async def _dismiss(self, room: str, members: set[str], error: ProtocolError) -> None:
        for member in members:
            self.hub.dismiss(member, error)
