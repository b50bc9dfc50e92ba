"""The chat client of MDN's article "Signaling and video calling", translated into our protocol and back. Pure.

The article's messages have no sessions: one client has one call at a time with somebody of a name. So sessions are made
up here, and what would break such a client is kept from it: a second caller (who hears `busy`), candidates of another
call, and an offer while its own is on its way, which it can neither ignore nor take back.

The client writes names and texts into its page as HTML, so nothing that begins a tag ever reaches it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from signaling.codes import Code, ProtocolError
from signaling.dialect import Roster, refused_over_http
from signaling.mdnmessages import (
    HangUp,
    NewIceCandidate,
    Text,
    Username,
    VideoAnswer,
    VideoOffer,
    chat,
    date,
    decoder,
    frame,
    refusal,
    shown,
    text_of,
    usable,
)
from signaling.messages import (
    VERSION,
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    ErrorMessage,
    IceCandidate,
    Join,
    Joined,
    Left,
    MessageFrom,
    MessageTo,
    SessionDescription,
    Welcome,
    parse_json,
)
from signaling.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.dialect import Step
    from signaling.messages import Member, ServerMessage

DEFAULT_ROOM: Final = "lobby"
SUBPROTOCOL: Final = "json"
_MAX_RENAMES: Final = 100
_UNKNOWN: Final = "Nobody of that name is here; take one of the userlist."
_ORIGIN: Final = re.compile(r"^o=(\S{1,64} \S{1,64}) ", re.MULTILINE)


@dataclass
class _Call:
    """The call with one other participant."""

    peer: str  # its id
    session: str
    outgoing: bool
    connection: str = ""  # the client's, as its descriptions name it (o=)
    agreed: bool = False  # whether there was an answer
    offering: bool = False  # the client's offer is on its way
    asked: bool = False  # their offer is on its way
    here: bool = True  # whether they are in the room
    said: StandIn = field(default_factory=StandIn)


class Mdn:
    """The dialect of one connection (`signaling.dialect.Dialect`)."""

    def __init__(self, room: str, client_id: int, new_session: Callable[[], str]) -> None:
        """`client_id`: what the client is told it is; `new_session`: another random session, each time."""
        self._room = room
        self._client_id = client_id
        self._new_session = new_session
        self._wanted = ""
        self._renames = 0
        self._declined = ""  # whose offer was with the client when it hung up, perhaps on a call of its own
        self._roster: Roster | None = None
        self._calls: dict[str, _Call] = {}  # by the name of the other side, as the client knows it

    def opened(self) -> list[Step]:
        return [frame("id", id=self._client_id)]

    def renamed(self, join: Join) -> Join | None:
        self._renames += 1
        if self._renames > _MAX_RENAMES:
            return None
        return msgspec.structs.replace(join, name=f"{usable(self._wanted)}{self._renames}")

    # What the client says

    def read(self, text: str, now: float, *, max_bytes: int) -> list[Step]:
        said = parse_json(decoder, text, max_bytes=max_bytes)
        if isinstance(said, Username):
            return self._named(said.name)
        if self._roster is None:
            raise ProtocolError(Code.NOT_JOINED, "You have no name yet; send username first.")
        match said:
            case Text(text, target):
                return self._spoken(self._roster, text, target, now)
            case VideoOffer(target, sdp):
                return self._offered(self._roster, target, sdp)
            case VideoAnswer(target, sdp):
                return self._answered(target, sdp)
            case NewIceCandidate(candidate, target):
                return self._offers_path(target, candidate)
            case HangUp(target):
                targets = list(self._calls) if target is None else [target]
                return [step for target in targets for step in self._hung_up(target)]
        return []

    def _named(self, name: str) -> list[Step]:
        if self._roster is not None:  # a member keeps its name
            return [frame("rejectusername", id=self._client_id, name=shown(self._roster.own.name))]
        self._wanted = name
        return [Join(self._room, usable(name), VERSION)]

    def _spoken(self, roster: Roster, text: str, target: str | None, now: float) -> list[Step]:
        if target:
            member = _find(roster, target)
            if member is None:
                raise ProtocolError(Code.UNKNOWN_TARGET, _UNKNOWN)
            return [MessageTo(member.id, {"text": text})]
        own = chat(roster.own.name, text, now)  # the client shows what it said when it comes back
        return [*(MessageTo(other, {"text": text}) for other in roster.others), own]

    def _offered(self, roster: Roster, target: str, offer: SessionDescription) -> list[Step]:
        call = self._calls.get(target)
        if call is not None and call.asked:  # theirs is with the client already, which answers it: it stands
            return []
        connection = _connection(offer)
        steps: list[Step] = []
        if call is not None and call.connection not in ("", connection):
            steps = self._hung_up(target)  # it gave its connection up and said nothing
            call = None
        if call is None:
            member = _find(roster, target)
            if member is None:
                return [
                    *steps,
                    self._hang_up(target),
                    refusal("Nobody of that name is here; take one of the userlist."),
                ]
            call = self._calls[target] = _Call(member.id, self._new_session(), outgoing=True)
        if not call.here:  # the media goes on without them in the room; they could not answer now
            return []
        call.connection = connection
        call.offering = True
        call.said.client = offer
        return [*steps, DescriptionTo(call.peer, call.session, offer)]

    def _answered(self, target: str, answer: SessionDescription) -> list[Step]:
        call = self._calls.get(target)
        if call is None and target == self._declined:
            return [self._ended(target)]
        if call is None:
            return []
        if not call.asked:
            # To an offer that was hung up meanwhile; whatever it had offered before, it gave up for that.
            moved_on = not call.agreed or call.connection != _connection(answer)
            return [*self._hung_up(target), self._ended(target)] if moved_on else []
        call.asked, call.offering, call.agreed = False, False, True
        call.connection = _connection(answer)
        call.said.client = answer
        return [DescriptionTo(call.peer, call.session, answer)]

    def _offers_path(self, target: str | None, candidate: IceCandidate | None) -> list[Step]:
        call = self._calls.get(target or "")
        if call is None or not call.here:
            return []
        last = candidate is None or not candidate.candidate  # the latter is Firefox's way to say so
        return [CandidateTo(call.peer, call.session, None if last else candidate)]

    def _hung_up(self, target: str) -> list[Step]:
        call = self._calls.pop(target, None)
        self._declined = target if call is not None and call.asked else ""
        if call is None or not call.here:
            return []
        reason: Any = "hung-up" if call.agreed else "cancelled" if call.outgoing else "declined"
        return [ByeTo(call.peer, call.session, reason)]

    # What the client is told

    def write(self, message: ServerMessage, now: float) -> list[Step]:
        if isinstance(message, Welcome):
            return self._welcomed(message)
        if isinstance(message, ErrorMessage):
            return self._refused(message)
        roster = self._roster
        if roster is None:  # nothing comes before the welcome
            return []
        match message:
            case Joined(member):
                return self._joined(roster, member, now)
            case Left(member, reason):
                return self._left(roster, member, reason)
            case DescriptionFrom(description=SessionDescription(type="offer")):
                return self._rung(roster, message)
            case DescriptionFrom():
                return self._accepted(message)
            case CandidateFrom(sender, session, candidate):
                return self._found(sender, session, candidate)
            case ByeFrom(sender, session):
                name = self._name_of_call(sender, session)
                return [self._ended(name)] if name is not None else []
            case MessageFrom(sender, data):
                return [chat(roster.name_of(sender), text_of(data), now)]
        return []

    def _welcomed(self, welcome: Welcome) -> list[Step]:
        self._roster = Roster(welcome)
        renamed: list[Step] = []
        if shown(welcome.name) != self._wanted:
            renamed = [frame("rejectusername", id=self._client_id, name=shown(welcome.name))]
        return [*renamed, self._userlist(self._roster)]

    def _refused(self, error: ErrorMessage) -> list[Step]:
        steps: list[Step] = []
        if error.to is not None and error.session is not None:  # nobody is there, or its token does not allow that
            name = self._name_of_call(error.to, error.session)
            steps = [self._ended(name)] if name is not None else []
        return [*steps, refusal(error.message, error.code)]

    def _joined(self, roster: Roster, member: Member, now: float) -> list[Step]:
        roster.joined(member)
        call = self._calls.get(shown(member.name))
        if call is not None:  # back, under another id
            call.peer, call.here = member.id, True
        came = frame("username", name=shown(member.name), date=date(now))
        return [came, self._userlist(roster)]

    def _left(self, roster: Roster, member: Member, reason: str) -> list[Step]:
        """Whoever said goodbye is gone; of others the media tells, and they may come back."""
        roster.left(member)
        name = shown(member.name)
        call = self._calls.get(name)
        if call is None or call.peer != member.id:
            return [self._userlist(roster)]
        if reason == "left" or not call.agreed:
            return [self._ended(name), self._userlist(roster)]
        call.here = False
        return [self._userlist(roster)]

    def _rung(self, roster: Roster, offer: DescriptionFrom) -> list[Step]:
        if not offer.trickle:
            return [refused_over_http(offer)]
        name = shown(roster.name_of(offer.sender, offer.name))
        call = self._calls.get(name)
        if any(other.here for who, other in self._calls.items() if who != name):
            return [ByeTo(offer.sender, offer.session, "busy", "in another call")]
        same = call is not None and call.session == offer.session
        if call is not None and call.offering and (same or not call.agreed) and not roster.gives_way(call.peer):
            return []  # it crossed the client's, which stands
        said = frame("video-offer", name=name, target=shown(roster.own.name), sdp=offer.description)
        if call is not None and same:
            answer = call.said.answer(offer.description) if call.agreed and not call.offering else None
            if answer is not None:
                return [DescriptionTo(call.peer, call.session, answer)]
            call.asked = True
            call.said.other = offer.description
            return [said]
        steps: list[Step] = []
        if call is not None:  # it begins anew, with another connection
            steps = [self._hang_up(name)]
            crossed = call.offering and not call.agreed
            if not crossed and offer.replaces != call.session:
                steps.append(ByeTo(call.peer, call.session, "hung-up"))
        self._calls[name] = call = _Call(offer.sender, offer.session, outgoing=False, asked=True)
        call.said.other = offer.description
        return [*steps, said]

    def _accepted(self, answer: DescriptionFrom) -> list[Step]:
        name = self._name_of_call(answer.sender, answer.session)
        if name is None:  # the client gave that call up, perhaps for one that crossed it, of which they know nothing
            return [ByeTo(answer.sender, answer.session, "cancelled")]
        call = self._calls[name]
        if not call.offering:
            return []
        call.offering, call.agreed = False, True
        call.said.other = answer.description
        return [frame("video-answer", name=name, target=self._own_name, sdp=answer.description)]

    def _found(self, sender: str, session: str, candidate: IceCandidate | None) -> list[Step]:
        name = self._name_of_call(sender, session)
        if name is None or candidate is None or not candidate.candidate:  # RTCIceCandidate(null) throws in the client
            return []
        return [frame("new-ice-candidate", name=name, target=self._own_name, candidate=candidate)]

    def _ended(self, name: str) -> str:
        self._declined = ""
        self._calls.pop(name, None)
        return self._hang_up(name)

    def _hang_up(self, name: str) -> str:
        return frame("hang-up", name=name, target=self._own_name)

    def _name_of_call(self, sender: str, session: str) -> str | None:
        """With whom the call is; None: that session is over, or it is not theirs."""
        found = (name for name, call in self._calls.items() if (call.peer, call.session) == (sender, session))
        return next(found, None)

    @property
    def _own_name(self) -> str:
        return shown(self._roster.own.name) if self._roster is not None else ""

    def _userlist(self, roster: Roster) -> str:
        names = [*(member.name for member in roster.others.values()), roster.own.name]
        return frame("userlist", users=[shown(name) for name in names])


def _find(roster: Roster, name: str) -> Member | None:
    return next((member for member in roster.others.values() if shown(member.name) == name), None)


def _connection(description: SessionDescription) -> str:
    """Which RTCPeerConnection a description is of: its name and number in the o= line (RFC 8829 section 5.2.1)."""
    found = _ORIGIN.search(description.sdp[:1000])
    return found[1] if found else "unknown"
