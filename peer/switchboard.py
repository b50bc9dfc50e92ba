"""The calls of a room by their sessions: who gets a message, what begins a call, and what crosses or replaces one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from peer.negotiation import gives_way
from peer.remote import Remote
from signaling.messages import ByeFrom, DescriptionFrom, ErrorMessage, Member

if TYPE_CHECKING:
    from peer.call import Call
    from signaling.messages import CandidateFrom

MAX_RINGS = 100
"""Calls that may ring at once; further callers are told that we are busy."""
REMEMBERED = 200
"""Sessions that are over and whose late messages begin no call; beyond, the oldest are forgotten."""


class SwitchboardRoom(Protocol):
    """What the switchboard needs of its room."""

    @property
    def own(self) -> Member: ...
    def member(self, member_id: str) -> Member | None: ...
    def new_call(self, remote: Remote, session: str) -> Call: ...
    def rang(self, call: Call) -> None: ...
    def busy(self, offer: DescriptionFrom) -> None: ...


class Switchboard:
    """Routes the messages of sessions to calls."""

    def __init__(self, room: SwitchboardRoom) -> None:
        self._room = room
        self.calls: dict[str, Call] = {}
        self.ringing: dict[str, Call] = {}
        """Those of `calls` that nobody has answered yet."""
        self._over: deque[str] = deque(maxlen=REMEMBERED)

    def add(self, call: Call) -> None:
        self.calls[call.session] = call

    def ended(self, call: Call) -> None:
        """It is over: late messages of its session begin nothing."""
        self.ringing.pop(call.session, None)
        self._over.append(call.session)

    def closed(self, call: Call) -> None:
        self.calls.pop(call.session, None)

    def renewed(self, call: Call, before: str) -> None:
        """A call goes on under another session."""
        self.calls.pop(before, None)
        self._over.append(before)
        self.calls[call.session] = call

    def ringing_from(self, member: Member) -> Call | None:
        """The call from `member` that rings."""
        return next((call for call in self.ringing.values() if call.remote.member == member.id), None)

    def gives_way(self, member_id: str) -> bool:
        """Whether we are the polite one of the two; towards somebody who is no member we are not."""
        other = self._room.member(member_id)
        return other is not None and gives_way(self._room.own, other)

    def route(self, message: DescriptionFrom | CandidateFrom | ByeFrom) -> None:
        call = self.calls.get(message.session)
        if call is not None:
            if call.remote.member == message.sender:  # nobody else may speak in this session
                if isinstance(message, ByeFrom) and message.session in self.ringing:
                    call.cancelled(message)
                else:
                    call.deliver(message)
        elif isinstance(message, DescriptionFrom) and message.description.type == "offer":
            if message.session not in self._over and not self._renews(message):
                self._ring(message)

    def refused(self, error: ErrorMessage) -> None:
        """The signaling server did not pass a message of a call on: what is not open yet will not be."""
        call = self.calls.get(error.session or "")
        if call is None or call.open:
            return
        if error.code == "unknown-target":
            call.member_left("left")
        elif error.code == "not-allowed":
            call.deliver(ByeFrom(call.remote.member, call.session, "declined", error.message))

    def _renews(self, offer: DescriptionFrom) -> bool:
        """Whether an offer is for another connection under a call that is on; then the call has it."""
        call = next((c for c in self.calls.values() if c.open and c.remote.member == offer.sender), None)
        if call is None or offer.replaces is None:
            return False
        # Both may begin one at once: the polite side gives up its own, as when calls cross.
        crossed = call.session != offer.replaces
        if not crossed or call.polite:
            before = call.session
            call.renewed(offer)
            self.renewed(call, before)
        return True

    def _ring(self, message: DescriptionFrom) -> None:
        name = message.name or message.sender
        member = self._room.member(message.sender) or Member(message.sender, name)
        crossed = next((c for c in self.calls.values() if c.remote.member == member.id and c.dialling), None)
        if crossed is not None:
            if gives_way(self._room.own, member):
                before = crossed.session
                crossed.adopt(message)
                del self.calls[before]
                self.calls[message.session] = crossed
            return
        if len(self.ringing) >= MAX_RINGS:
            self._room.busy(message)
            return
        call = self._room.new_call(Remote(member.name, member.id), message.session)
        self.calls[message.session] = self.ringing[message.session] = call
        call.deliver(message)
        self._room.rang(call)
