"""How a call of a room begins: dialled or answered, with its sources opened first; and with which options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from peer.errors import Rejected
from peer.goodbye import told
from peer.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

    from peer.call import Call
    from peer.ring import Pictures, Sounds
    from peer.rtc.ice.servers import IceSettings
    from peer.shelf import SourceShelf
    from peer.switchboard import Switchboard
    from signaling.messages import IceServer, Member


@dataclass(frozen=True)
class RoomOptions:
    """How a room behaves; every field has a keyword in `peer.join`."""

    video: Pictures = None
    """What our calls show unless they say otherwise."""
    audio: Sounds = None
    """What our calls carry as sound unless they say otherwise."""
    ice_servers: Sequence[IceServer] = ()
    """ICE servers besides those that the signaling server hands out."""
    network: IceSettings | None = None
    """Ports, addresses, deadlines and more servers of connections."""
    connect_timeout: float | None = None
    """Seconds from having both descriptions until it has failed; None: as `network` says, else 15."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a call shows and carries; `...`: what its room says."""

    video: Pictures | EllipsisType = ...
    audio: Sounds | EllipsisType = ...
    silent: bool = False
    """Send no media at all, and say so."""


SILENT: Final = Sources(None, None, silent=True)


class BeginningRoom(Protocol):
    """What the beginning of a call needs of its room."""

    def new_call(self, remote: Remote, session: str) -> Call: ...
    def begun(self, call: Call, *, outgoing: bool) -> None: ...
    def may(self, right: str) -> bool:
        """Whether our access token allows this."""

    def may_call(self, name: str) -> bool:
        """Whether the access tokens allow us to call the member of this name."""


class Beginning:
    """Begins the calls of one room."""

    def __init__(self, room: BeginningRoom, board: Switchboard, shelf: SourceShelf, usual: Sources) -> None:
        self._room = room
        self._board = board
        self._shelf = shelf
        self._usual = usual

    async def dial(self, member: Member, sources: Sources, timeout: float) -> Call:
        """Call a member; raises as `Room.call`."""
        waiting = self._board.ringing_from(member)
        if waiting is not None:  # they call us already: answering is what both want
            return await self.answer(waiting, sources)
        if not self._room.may_call(member.name):
            text = f"the access tokens, ours or theirs, do not let us call {member.name}; wait to be called"
            raise Rejected(text, "not allowed")
        call = self._room.new_call(Remote(member.name, member.id), uuid4().hex)
        self._board.add(call)
        await self._provide(call, sources)
        waiting = self._board.ringing_from(member)
        if waiting is not None:  # they called while our sources were being opened
            await call.hang_up()
            return await self.answer(waiting, sources)
        await call.dial(timeout)
        self._room.begun(call, outgoing=True)
        return call

    async def answer(self, call: Call, sources: Sources) -> Call:
        """Answer a call that rings; raises as `Ring.accept`."""
        self._board.ringing.pop(call.session, None)
        await self._provide(call, sources)
        await call.accept()
        self._room.begun(call, outgoing=False)
        return call

    async def _provide(self, call: Call, sources: Sources) -> None:
        if not self._room.may("publish"):
            sources = SILENT
        if sources.silent:
            call.listen()
        video: Any = self._usual.video if sources.video is ... else sources.video
        audio: Any = self._usual.audio if sources.audio is ... else sources.audio
        try:
            await self._shelf.prepare(call, video, audio)
            if not call.over:
                await call.show(video)
                await call.carry(audio)
        except BaseException as error:
            await call.hang_up(reason="failed", text=told(error))
            raise
        if call.over:
            await self._shelf.release(call)
