"""What the nodes of one server say to each other, and what an owner writes down of a room. No I/O, no clock.

The node that holds a client's connection is its *edge*; the node that has a room is the room's *owner*. Edges send
requests, owners answer. A node trusts the other nodes: whoever can write to the backplane can do everything
(docs/threat-model.md).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

# msgspec reads the annotations when it runs.
from signaling.bans import Ban  # noqa: TC001
from signaling.credentials import Grants  # noqa: TC001
from signaling.ice_servers import IceServer  # noqa: TC001
from signaling.messages import ByeFrom, CandidateFrom, DescriptionFrom, Join, Member, Resume  # noqa: TC001
from signaling.roomstate import RoomState  # noqa: TC001


class Request(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Of the edge `node`, about a room. Everything but `Heard` changes the room and is written down."""

    room: str
    node: str


class Enter(Request, frozen=True):
    """A client joins as `id`, with grants that its edge has checked. No token, and a digest of the secret."""

    id: str
    join: Join
    grants: Grants | None
    ice_servers: list[IceServer]


class Return(Request, frozen=True):
    """A client asks for the place it had over another connection, perhaps of another node. `id`: of this question."""

    id: str
    resume: Resume


class Attach(Request, frozen=True):
    """This node still holds the connection of the member `id`, which got everything up to `got`."""

    id: str
    got: int


class Say(Request, frozen=True):
    """The member `id` says something: its message `n`, after the message `after`. `text`: JSON, as of a client.

    `grants`: of another token that it handed in; then `text` is what it is to be told.
    """

    id: str
    after: int
    n: int
    text: bytes
    grants: Grants | None = None


class Heard(Request, frozen=True):
    """The member `id` got everything up to `got`."""

    id: str
    got: int


class Depart(Request, frozen=True):
    """The connection of the member `id` ended; `lost`: without a goodbye."""

    id: str
    reason: str
    lost: bool


class Expel(Request, frozen=True):
    """The owner's own, or of the administrator at any node: sends the member `id` away, with the code and the sentence
    of a ProtocolError. Who is `kicked` does not come back with the same token."""

    id: str
    code: str
    text: str


class Admit(Request, frozen=True):
    """A guest calls the member `name`."""

    id: str
    name: str
    grants: Grants | None


class GuestSays(Request, frozen=True):
    """A guest says something to the member it calls."""

    id: str
    message: DescriptionFrom | CandidateFrom | ByeFrom


class Dismiss(Request, frozen=True):
    """A guest is gone."""

    id: str


class NodeGone(Request, frozen=True):
    """The owner's own: the node `gone`, or what nobody attached of `ids`, was last heard of at `since`."""

    gone: str
    ids: list[str]
    since: float


class Expire(Request, frozen=True):
    """The owner's own: takes those out who were away for too long."""


AnyRequest: TypeAlias = (
    Enter | Return | Attach | Say | Heard | Depart | Expel | Admit | GuestSays | Dismiss | NodeGone | Expire
)


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Of an owner, to the edge of the participant `id`."""

    id: str


class Told(Answer, frozen=True):
    """A message for it: JSON, and its number, 0 without one."""

    number: int
    payload: bytes


class Taken(Answer, frozen=True):
    """Everything it said up to the number `n` was taken."""

    n: int


class Entered(Answer, frozen=True):
    """The question `id` of a `Return`: the member `member` has its place. What it missed follows."""

    member: str
    name: str
    taken: int
    grants: Grants | None


class Refused(Answer, frozen=True):
    """It was not let in, or has no place: the code and the sentence of a ProtocolError."""

    code: str
    text: str


class Gone(Answer, frozen=True):
    """Its place is not at this edge any more: it departed, or (a reason) is somewhere else, or nowhere."""

    reason: str = ""
    text: str = ""


class Admitted(Answer, frozen=True):
    """A guest may call this member."""

    host: Member


AnyAnswer: TypeAlias = Told | Taken | Entered | Refused | Gone | Admitted


class Batch(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Answers of the owner of a room. Another `fence` than before: the room was taken over, attach again.

    `owner` "": it has just given the room up.
    """

    room: str
    owner: str
    fence: int
    answers: list[AnyAnswer]


class Requests(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Requests to the owner of their rooms."""

    requests: list[AnyRequest]


class Census(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The question `ticket` of `node` to all others: which rooms they have, or who of them is in `room`."""

    node: str
    ticket: str
    room: str | None


class Counted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer of `node`: name and size of its rooms, or the members of the room that was asked for."""

    node: str
    ticket: str
    rooms: list[tuple[str, int]]
    members: list[Member]


class Banned(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Word to all nodes of who was sent away."""

    bans: list[Ban]


AnyMail: TypeAlias = Batch | Requests | Census | Counted | Banned


class Step(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """In the journal of a room: what was asked, and when."""

    now: float
    request: AnyRequest


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """In the journal of a room: all there is to know, so that what came before can go. `places`: id -> its edge."""

    state: RoomState
    places: dict[str, str]


_encoder: Final = msgspec.msgpack.Encoder()
_mail: Final = msgspec.msgpack.Decoder(AnyMail)
_record: Final = msgspec.msgpack.Decoder(Step | Snapshot)


def pack(value: AnyMail | Step | Snapshot) -> bytes:
    """The bytes of something."""
    return _encoder.encode(value)


def read_mail(data: bytes) -> AnyMail:
    """What another node sent. Raises ValueError for what no node of this version sends."""
    mail: AnyMail = _mail.decode(data)
    return mail


def read_record(data: bytes) -> Step | Snapshot:
    """What is in a journal. Raises ValueError for what no node of this version writes."""
    record: Step | Snapshot = _record.decode(data)
    return record
