"""The signaling messages of both directions: structures, limits, parse and encode. No I/O, no clock.

docs/protocol.md describes the same in words. Names ending in `To` are what a client sends, names ending in `From` what
the server passes on. JSON keeps the spelling of W3C (`sdpMid`, `iceServers`); Python attributes are snake case, and
`from` is `sender`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec

from signaling.bounds import MAX_DEPTH, MAX_LABEL, check_depth, check_label
from signaling.codes import Code, ProtocolError
from signaling.envelope import explained, unreadable, unsupported
from signaling.ice_servers import BadIceServer, IceServer, parse_ice_server

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ACK_EVERY", "MAX_DEPTH", "MAX_LABEL", "MAX_MESSAGE_BYTES", "MAX_RELAYED_BYTES", "VERSION", "Ack", "Away", "Back",
    "BadIceServer", "ByeFrom", "ByeReason", "ByeTo", "CandidateFrom", "CandidateTo", "ClientMessage", "Code",
    "DescriptionFrom", "DescriptionTo", "ErrorMessage", "IceCandidate", "IceServer", "IceServersChanged", "Join",
    "Joined", "Kick", "Leave", "Left", "Member", "MessageFrom", "MessageTo", "ProtocolError", "Resume", "Resumed",
    "ServerMessage", "SessionDescription", "Token", "TokenExpiring", "TokenTaken", "Welcome", "check_label", "encode",
    "parse_client", "parse_ice_server", "parse_server", "to_json",
]  # fmt: skip

VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 128 * 1024  # of UTF-8, from a client
MAX_RELAYED_BYTES: Final = 1024 * 1024  # of UTF-8, from the server: JSON numbers may grow when they are written anew
MAX_TEXT: Final = 500  # characters of the text of a bye
ACK_EVERY: Final = 32  # numbered messages after which the one who takes them says so

ByeReason: TypeAlias = Literal[
    "hung-up", "declined", "busy", "cancelled", "no-answer", "failed", "lost", "left", "error"
]  # fmt: skip

_Label = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Member(msgspec.Struct, frozen=True):
    """A participant of a room; `polite` says that it gives way when two offers cross.

    `can`: what its token allowed it when it joined (`signaling.credentials.Right`); UNSET: everything.
    """

    id: str
    name: str
    polite: bool = False
    can: list[str] | msgspec.UnsetType = msgspec.UNSET


class SessionDescription(msgspec.Struct, frozen=True):
    """A session description as `RTCSessionDescription.toJSON()` writes it."""

    type: Literal["offer", "answer"]
    sdp: Annotated[str, msgspec.Meta(min_length=1)]


class IceCandidate(msgspec.Struct, frozen=True):
    """An ICE candidate as `RTCIceCandidate.toJSON()` writes it."""

    candidate: str
    sdp_mid: str | None = msgspec.field(default=None, name="sdpMid")
    sdp_mline_index: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = msgspec.field(
        default=None, name="sdpMLineIndex"
    )
    username_fragment: str | None = msgspec.field(default=None, name="usernameFragment")


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    """Base of every message: one JSON object, whose field `type` says which.

    `n`: its number in its direction of one membership, from 1 on; None in a membership that cannot be resumed.
    """

    n: _Count | None = None


# Client -> server


class Join(Message, frozen=True, tag="join"):
    """The first message of a connection. `room` and `name`: 1 to 64 characters, no control characters.

    `secret`: made up by the client; who joins again under the same name with the same one takes its own place over.
    `resume`: with it the client may also come back to the same place, see `Resume`.
    `token`: an access token, if the server wants one and the header `Authorization` had none.
    """

    room: _Label
    name: _Label
    version: int
    polite: bool = False
    secret: _Label | None = None
    resume: bool = False
    token: str | None = None

    def __post_init__(self) -> None:
        check_label("room", self.room)
        check_label("name", self.name)


class Resume(Message, frozen=True, tag="resume"):
    """In the place of `Join`: the member `id` is back over another connection. `got`: the last number it got."""

    room: _Label
    id: _Label
    secret: _Label
    got: _Count
    version: int


class Ack(Message, frozen=True, tag="ack"):
    """Of either side: everything up to the number `got` has come."""

    got: _Count


class Leave(Message, frozen=True, tag="leave"):
    """Goodbye; closing the socket does the same."""


class DescriptionTo(Message, frozen=True, tag="description"):
    """An offer or an answer of the call `session` for the member `to`.

    `replaces`: this offer begins another connection for the call of that session, which could not be repaired; `texts`:
    messages that came over the data channel of the call so far; `about`: any JSON that the caller says about the call.
    """

    to: _Label
    session: _Label
    description: SessionDescription
    replaces: _Label | None = None
    texts: _Count | None = None
    about: Any = None


class CandidateTo(Message, frozen=True, tag="candidate"):
    """A candidate of the call `session` for the member `to`; None means that there are no more."""

    to: _Label
    session: _Label
    candidate: IceCandidate | None


class ByeTo(Message, frozen=True, tag="bye"):
    """Ends, rejects or cancels the call `session` with the member `to`."""

    to: _Label
    session: _Label
    reason: ByeReason
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class MessageTo(Message, frozen=True, tag="message"):
    """Application data, any JSON, for the member `to`, outside any call."""

    to: _Label
    data: Any


class Token(Message, frozen=True, tag="token"):
    """Another access token in place of the one so far, which is about to expire."""

    token: str


class Kick(Message, frozen=True, tag="kick"):
    """Sends the member `to` away; for moderators."""

    to: _Label
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


# Server -> client


class Welcome(Message, frozen=True, tag="welcome"):
    """Answers `join`: the own id, the other members, the ICE servers to use; `can`: see `Member`, None: everything.

    `grace`: seconds in which the place can be resumed after its connection is lost; None: it cannot be.
    """

    version: int
    id: str
    room: str
    name: str
    members: list[Member]
    ice_servers: list[IceServer] = msgspec.field(name="iceServers")
    can: list[str] | None = None
    grace: float | None = None


class Resumed(Message, frozen=True, tag="resumed"):
    """Answers `resume`: what came meanwhile follows. `got`: the last number of the client that the server took."""

    got: int


class IceServersChanged(Message, frozen=True, tag="ice-servers"):
    """The ICE servers to use from now on, since the passwords of those so far expire."""

    ice_servers: list[IceServer] = msgspec.field(name="iceServers")


class TokenExpiring(Message, frozen=True, tag="token-expiring"):
    """The access token is taken for so many more `seconds`; without another one the connection is closed then."""

    seconds: float


class TokenTaken(Message, frozen=True, tag="token-taken"):
    """Answers `token`: the new one is taken for so many `seconds`, and allows this."""

    seconds: float
    can: list[str]


class Joined(Message, frozen=True, tag="joined"):
    """Somebody came into the room."""

    member: Member


class Left(Message, frozen=True, tag="left"):
    """Somebody is gone; `reason` is `left`, `lost`, `silent`, or the error code that closed the connection."""

    member: Member
    reason: str


class Away(Message, frozen=True, tag="away"):
    """A member lost its connection and may come back to its place; `back` or `left` follows. `reason`: as of `Left`."""

    member: Member
    reason: str


class Back(Message, frozen=True, tag="back"):
    """A member that was away resumed its place."""

    member: Member


class DescriptionFrom(Message, frozen=True, tag="description"):
    """An offer or an answer from `sender`.

    `trickle` False: the answer must contain all candidates. `name`: of a caller who is not a member of the room.
    `replaces`, `texts` and `about`: see `DescriptionTo`.
    """

    sender: str = msgspec.field(name="from")
    session: str
    description: SessionDescription
    trickle: bool = True
    name: str | None = None
    replaces: str | None = None
    texts: int | None = None
    about: Any = None


class CandidateFrom(Message, frozen=True, tag="candidate"):
    """A candidate from `sender`; None means that there are no more."""

    sender: str = msgspec.field(name="from")
    session: str
    candidate: IceCandidate | None


class ByeFrom(Message, frozen=True, tag="bye"):
    """`sender` ends, rejects or cancels the call; `reason` is a ByeReason, or a later version's."""

    sender: str = msgspec.field(name="from")
    session: str
    reason: str
    text: str = ""


class MessageFrom(Message, frozen=True, tag="message"):
    """Application data, any JSON, from `sender`."""

    sender: str = msgspec.field(name="from")
    data: Any


class ErrorMessage(Message, frozen=True, tag="error"):
    """The server refused something: `code` is a `Code`, `message` one sentence that says what to do.

    `retry_after`: in how many seconds the same may be tried again."""

    code: str
    message: str
    to: str | None = None
    session: str | None = None
    retry_after: int | None = msgspec.field(default=None, name="retryAfter")


_Addressed: TypeAlias = DescriptionTo | CandidateTo | ByeTo | MessageTo
_Relayed: TypeAlias = DescriptionFrom | CandidateFrom | ByeFrom | MessageFrom
ClientMessage: TypeAlias = Join | Resume | Ack | Leave | _Addressed | Token | Kick
ServerMessage: TypeAlias = (
    Welcome | Resumed | Ack | Joined | Left | Away | Back | _Relayed | ErrorMessage
    | IceServersChanged | TokenExpiring | TokenTaken
)  # fmt: skip


_FIRST: Final = frozenset((Join, Resume))
_client_decoder: Final = msgspec.json.Decoder(ClientMessage)
_server_decoder: Final = msgspec.json.Decoder(ServerMessage)
_encoder: Final = msgspec.json.Encoder()


def parse_client(data: str | bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> ClientMessage:
    """The message that a client sent. Raises ProtocolError: too-large, bad-json, bad-message, unsupported-version."""
    raw = _to_bytes(data, max_bytes)
    try:
        message: ClientMessage = _client_decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        raise explained(unreadable(error), raw, VERSION) from error
    kind = type(message)  # most are none of these, and to ask for each class costs as much as to read the message
    if kind is MessageTo:
        check_depth(raw, message.data)  # type: ignore[union-attr]
    elif kind is DescriptionTo:
        check_depth(raw, message.about)  # type: ignore[union-attr]
    elif kind in _FIRST and message.version != VERSION:  # type: ignore[union-attr]
        raise unsupported(message.version, VERSION)  # type: ignore[union-attr]
    return message


def parse_server(data: str | bytes) -> ServerMessage:
    """The message that a server sent. Raises ProtocolError: too-large, bad-json, bad-message."""
    message: ServerMessage = _decode(_server_decoder, _to_bytes(data, MAX_RELAYED_BYTES))
    return message


def encode(message: ClientMessage | ServerMessage) -> str:
    """One JSON object as text. Raises ProtocolError (bad-message) for data that JSON cannot hold."""
    return to_json(message).decode()


def to_json(message: ClientMessage | ServerMessage) -> bytes:
    """One JSON object in UTF-8. Raises as `encode`."""
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(
            Code.BAD_MESSAGE, f"The data cannot be written as JSON ({error}); send plain values."
        ) from error


def parse_json(decoder: msgspec.json.Decoder[Any], data: str | bytes, *, max_bytes: int) -> Any:
    """What a client wrote in a language of its own. Raises ProtocolError: too-large, bad-json, bad-message."""
    return _decode(decoder, _to_bytes(data, max_bytes))


def _to_bytes(data: str | bytes, max_bytes: int) -> bytes:
    try:
        raw = data.encode() if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise ProtocolError(Code.BAD_JSON, "The text is not valid Unicode; send JSON in UTF-8.") from None
    if len(raw) > max_bytes:
        raise ProtocolError(Code.TOO_LARGE, f"The message has {len(raw)} bytes; send at most {max_bytes}.")
    return raw


def _decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:
        raise unreadable(error) from error


def passed_on(message: _Addressed, sender: str) -> ServerMessage:
    """What a participant says, as its target hears it."""
    return _PASSED_ON[type(message)](message, sender)


_PASSED_ON: Final[dict[type, Callable[[Any, str], ServerMessage]]] = {  # `match` takes several times as long
    MessageTo: lambda said, sender: MessageFrom(sender, said.data),
    CandidateTo: lambda said, sender: CandidateFrom(sender, said.session, said.candidate),
    ByeTo: lambda said, sender: ByeFrom(sender, said.session, said.reason, said.text),
    DescriptionTo: lambda said, sender: DescriptionFrom(
        sender, said.session, said.description, replaces=said.replaces, texts=said.texts, about=said.about
    ),
}
