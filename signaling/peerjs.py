"""The broker's side of PeerJS, translated into our protocol and back: a peer id is a name, a key is a room. Pure.

Each connection of PeerJS, media or data, is a call whose session is its `connectionId`. What a caller says about it
(its kind, label, serialization, metadata) goes in the `about` of the offer, from where the broker's side of another
page takes it; anybody else passes it over. PeerJS cannot negotiate a connection again, and has no message that ends
one: it closes the RTCPeerConnection, and so learns it from the other side.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from signaling.codes import Code, ProtocolError
from signaling.dialect import Roster, refused_over_http
from signaling.messages import (
    MAX_LABEL,
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
    Leave,
    Left,
    SessionDescription,
    Welcome,
    check_depth,
    check_label,
    parse_json,
)
from signaling.standin import StandIn

if TYPE_CHECKING:
    from signaling.dialect import Step
    from signaling.messages import Member, ServerMessage

_MAX_CALLS: Final = 256
"""Connections of one client that are remembered; beyond, the oldest are forgotten: they may have ended long ago."""

_Label = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)]
_Kind = Literal["media", "data"]


class _About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What PeerJS says of a connection, besides its description."""

    type: _Kind
    label: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    reliable: bool | None = None
    serialization: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    metadata: Any = None


class _OfferPayload(_About, frozen=True, kw_only=True):
    sdp: SessionDescription
    connection_id: _Label = msgspec.field(name="connectionId")


class _AnswerPayload(msgspec.Struct, frozen=True):
    sdp: SessionDescription
    connection_id: _Label = msgspec.field(name="connectionId")


class _CandidatePayload(msgspec.Struct, frozen=True):
    candidate: IceCandidate | None
    connection_id: _Label = msgspec.field(name="connectionId")


class _Said(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of what the client says."""


class _Offer(_Said, frozen=True, tag="OFFER"):
    dst: str
    payload: _OfferPayload


class _Answer(_Said, frozen=True, tag="ANSWER"):
    payload: _AnswerPayload


class _Candidate(_Said, frozen=True, tag="CANDIDATE"):
    payload: _CandidatePayload


class _Leave(_Said, frozen=True, tag="LEAVE"):
    dst: str | None = None


class _Heartbeat(_Said, frozen=True, tag="HEARTBEAT"):
    """Every five seconds; that it came is all that it says."""


class _Expire(_Said, frozen=True, tag="EXPIRE"):
    """Brokers say it, not clients; passed over."""


_decoder: Final = msgspec.json.Decoder(_Offer | _Answer | _Candidate | _Leave | _Heartbeat | _Expire)


@dataclass
class _Call:
    """One connection of PeerJS."""

    peer: str  # the id of the other side
    name: str
    kind: _Kind
    outgoing: bool
    agreed: bool = False  # whether there was an answer
    said: StandIn = field(default_factory=StandIn)


class PeerJs:
    """The dialect of one connection (`signaling.dialect.Dialect`)."""

    def __init__(self, key: str, peer_id: str, token: str) -> None:
        """What the client's address says; `token` proves, when it comes again, that it is the same client, and is its
        access token where the server wants one."""
        self._key = key
        self._id = peer_id
        self._token = token
        self._bad_key = False
        self._roster: Roster | None = None
        self._calls: dict[str, _Call] = {}  # by session

    def opened(self) -> list[Step]:
        if not (self._key and self._id and self._token):
            raise ProtocolError(Code.BAD_MESSAGE, "The address has no key, id or token; give all three.")
        try:
            self._bad_key = True
            check_label("key", self._key)
            self._bad_key = False
            check_label("id", self._id)
        except ValueError as error:
            raise ProtocolError(Code.BAD_MESSAGE, f"The address cannot be used: {error}.") from error
        secret = hashlib.sha256(self._token.encode(errors="replace")).hexdigest()
        return [Join(self._key, self._id, VERSION, secret=secret, token=self._token)]

    def renamed(self, join: Join) -> Join | None:
        return None

    # What the client says

    def read(self, text: str, now: float, *, max_bytes: int) -> list[Step]:
        said = parse_json(_decoder, text, max_bytes=max_bytes)
        if self._roster is None:
            return []
        match said:
            case _Offer(dst, payload):
                check_depth(text.encode(), payload.metadata)
                return self._offered(self._roster, dst, payload)
            case _Answer(payload):
                call = self._calls.get(payload.connection_id)
                if call is None:
                    return []
                call.agreed = True
                call.said.client = payload.sdp
                return [DescriptionTo(call.peer, payload.connection_id, payload.sdp)]
            case _Candidate(payload):
                call = self._calls.get(payload.connection_id)
                return [CandidateTo(call.peer, payload.connection_id, payload.candidate)] if call else []
            case _Leave(dst):
                return [Leave()] if dst is None else self._left_by_client(dst)
        return []

    def _offered(self, roster: Roster, name: str, offer: _OfferPayload) -> list[Step]:
        member = next((member for member in roster.others.values() if member.name == name), None)
        if member is None:
            return [_frame("EXPIRE", src=name, dst=self._id)]
        call = _Call(member.id, name, offer.type, outgoing=True)
        call.said.client = offer.sdp
        self._remember(offer.connection_id, call)
        about = _About(offer.type, offer.label, offer.reliable, offer.serialization, offer.metadata)
        return [DescriptionTo(member.id, offer.connection_id, offer.sdp, about={"peerjs": msgspec.to_builtins(about)})]

    def _left_by_client(self, name: str) -> list[Step]:
        gone = [(session, call) for session, call in self._calls.items() if call.name == name]
        for session, _ in gone:
            del self._calls[session]
        return [ByeTo(call.peer, session, "hung-up") for session, call in gone]

    # What the client is told

    def write(self, message: ServerMessage, now: float) -> list[Step]:
        if isinstance(message, Welcome):
            self._roster = Roster(message)
            return [_frame("OPEN")]
        if isinstance(message, ErrorMessage):
            return self._refused(message)
        roster = self._roster
        if roster is None:  # nothing comes before the welcome
            return []
        match message:
            case Joined(member):
                self._joined(roster, member)
            case Left(member):
                return self._left(roster, member)
            case DescriptionFrom(description=SessionDescription(type="offer")):
                return self._rung(roster, message)
            case DescriptionFrom(sender, session, description):
                call = self._call(sender, session)
                if call is not None:
                    call.agreed = True
                    call.said.other = description
                    return [self._passed("ANSWER", call, session, sdp=description)]
            case CandidateFrom(sender, session, candidate):
                call = self._call(sender, session)
                if call is not None and candidate is not None and candidate.candidate:
                    return [self._passed("CANDIDATE", call, session, candidate=candidate)]
            case ByeFrom(sender, session):
                return self._ended(session) if self._call(sender, session) is not None else []
        return []  # an application message has no place in PeerJS

    def _refused(self, error: ErrorMessage) -> list[Step]:
        call = self._calls.pop(error.session or "", None)
        if call is not None:  # nobody is there, or its token does not allow that
            return [_frame("EXPIRE", src=call.name, dst=self._id)]
        if error.code == Code.UNKNOWN_TARGET:
            return []
        bad_key = self._bad_key or error.code == Code.FORBIDDEN
        kind = "ID-TAKEN" if error.code == Code.NAME_TAKEN else "INVALID-KEY" if bad_key else "ERROR"
        return [_frame(kind, payload={"msg": error.message})]

    def _joined(self, roster: Roster, member: Member) -> None:
        roster.joined(member)
        for call in self._calls.values():
            if call.name == member.name:  # back, under another id
                call.peer = member.id

    def _left(self, roster: Roster, member: Member) -> list[Step]:
        """What was agreed goes on without the broker; the rest comes to nothing."""
        roster.left(member)
        waiting = [session for session, call in self._calls.items() if call.peer == member.id and not call.agreed]
        return [step for session in waiting for step in self._ended(session)]

    def _rung(self, roster: Roster, offer: DescriptionFrom) -> list[Step]:
        if not offer.trickle:
            return [refused_over_http(offer)]
        about = _about(offer)
        if offer.session in self._calls:
            return self._offered_again(offer)
        if about is None and self._crosses(roster, offer.sender):
            return []
        name = roster.name_of(offer.sender, offer.name)
        about = about or _guessed(offer.description)
        call = _Call(offer.sender, name, about.type, outgoing=False)
        call.said.other = offer.description
        self._remember(offer.session, call)
        fields = msgspec.to_builtins(about)
        if about.type == "data":
            fields = {"label": offer.session, "reliable": True, "serialization": "raw"} | fields
        return [self._passed("OFFER", call, offer.session, **fields, sdp=offer.description)]

    def _offered_again(self, offer: DescriptionFrom) -> list[Step]:
        """PeerJS would take it for another connection, and close the one that is there."""
        call = self._call(offer.sender, offer.session)
        answer = call.said.answer(offer.description) if call is not None and call.agreed else None
        return [DescriptionTo(offer.sender, offer.session, answer)] if answer is not None else []

    def _crosses(self, roster: Roster, sender: str) -> bool:
        """Whether the client calls them too, and its call stands: of two that cross, docs/protocol.md gives one up.

        Two pages of PeerJS do not know that: both of their calls come about.
        """
        calling = any(call.peer == sender and call.outgoing and not call.agreed for call in self._calls.values())
        return calling and not roster.gives_way(sender)

    def _ended(self, session: str) -> list[Step]:
        """Of an open connection the client learns itself, as its data channel closes. LEAVE closes every connection to
        that peer, also one that it begins at this moment, so it is said of a call that rings only, and alone."""
        call = self._calls.pop(session)
        if call.agreed:
            return []
        if call.outgoing:
            return [_frame("EXPIRE", src=call.name, dst=self._id)]
        alone = not any(other.name == call.name for other in self._calls.values())
        return [_frame("LEAVE", src=call.name, dst=self._id)] if alone else []

    def _call(self, sender: str, session: str) -> _Call | None:
        call = self._calls.get(session)
        return call if call is not None and call.peer == sender else None

    def _remember(self, session: str, call: _Call) -> None:
        self._calls.pop(session, None)
        self._calls[session] = call
        if len(self._calls) > _MAX_CALLS:
            del self._calls[next(iter(self._calls))]

    def _passed(self, kind: str, call: _Call, session: str, **payload: Any) -> str:
        payload = {"type": call.kind, "connectionId": session} | payload
        return _frame(kind, src=call.name, dst=self._id, payload=payload)


def _frame(kind: str, **fields: Any) -> str:
    return msgspec.json.encode({"type": kind, **fields}).decode()


def _about(offer: DescriptionFrom) -> _About | None:
    """What the broker's side of another page said of the connection."""
    said = offer.about.get("peerjs") if isinstance(offer.about, dict) else None
    try:
        return msgspec.convert(said, _About) if said is not None else None
    except msgspec.ValidationError:
        return None


def _guessed(offer: SessionDescription) -> _About:
    """The kind of a connection of which nothing was said, by its m-lines."""
    media = any(line.startswith(("m=audio", "m=video")) for line in offer.sdp.splitlines())
    return _About("media" if media else "data")
