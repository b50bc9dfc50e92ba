"""What dialects share: our own one, which changes nothing, and who is in the room."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codes import Code, ProtocolError
from signaling.dialect import OwnDialect, Roster
from signaling.mdn import Mdn
from signaling.messages import (
    ByeFrom,
    CandidateFrom,
    DescriptionFrom,
    ErrorMessage,
    IceCandidate,
    Join,
    Joined,
    Leave,
    Left,
    Member,
    MessageFrom,
    ServerMessage,
    SessionDescription,
    Welcome,
    encode,
    parse_client,
)
from signaling.peerjs import PeerJs
from tests.harness.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.dialect import Dialect


def test_our_own_language_is_passed_on() -> None:
    own = OwnDialect()
    assert own.opened() == []
    assert own.read('{"type":"leave"}', 0.0, max_bytes=100) == [Leave()]
    assert own.write(Joined(Member("i", "n")), 0.0) == [
        '{"type":"joined","member":{"id":"i","name":"n","polite":false}}'
    ]
    assert own.renamed(Join("lab", "alice", 1)) is None
    with pytest.raises(ProtocolError) as refused:
        own.read('{"type":"leave"}', 0.0, max_bytes=10)
    assert refused.value.code is Code.TOO_LARGE


def test_a_roster_knows_who_is_there() -> None:
    roster = Roster(Welcome(1, "m", "lab", "alice", [Member("b", "bot")], []))
    roster.joined(Member("e", "eve"))
    assert roster.name_of("b") == "bot" and roster.name_of("e") == "eve"
    assert roster.name_of("http-1", "curl") == "curl" and roster.name_of("http-1") == "http-1"
    roster.left(Member("b", "bot"))
    roster.left(Member("b", "bot"))
    assert list(roster.others) == ["e"]


def test_who_is_polite_or_sorts_last_gives_way() -> None:
    others = [Member("a", "first"), Member("z", "last"), Member("b", "page", polite=True)]
    roster = Roster(Welcome(1, "m", "lab", "alice", others, []))
    assert roster.gives_way("a")
    assert not roster.gives_way("z")
    assert not roster.gives_way("b")
    assert not roster.gives_way("http-1")


# Whatever the server tells a client, and whatever it says, in any order

ids, names, sessions = st.sampled_from(["b", "e", "http-1"]), st.sampled_from(["bot", "eve"]), st.sampled_from("st")
bodies = st.sampled_from(["v=0\r\n", "v=0\r\nm=audio 9 x 0\r\na=mid:0\r\n", "o=- 2 2 IN\r\n"])
offers = bodies.map(lambda sdp: SessionDescription("offer", sdp))
answers = bodies.map(lambda sdp: SessionDescription("answer", sdp))
candidates = st.sampled_from([None, IceCandidate(""), IceCandidate("candidate:1", "0")])
anything = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)
told: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(Joined, st.builds(Member, ids, names)),
    st.builds(Left, st.builds(Member, ids, names), st.sampled_from(["left", "lost"])),
    st.builds(
        DescriptionFrom,
        ids,
        sessions,
        offers | answers,
        trickle=st.booleans(),
        name=st.none() | names,
        replaces=st.none() | sessions,
        about=anything | st.just({"peerjs": {"type": "data"}}),
    ),
    st.builds(CandidateFrom, ids, sessions, candidates),
    st.builds(ByeFrom, ids, sessions, st.sampled_from(["hung-up", "busy"])),
    st.builds(MessageFrom, ids, anything),
    st.builds(ErrorMessage, st.sampled_from(["unknown-target", "name-taken"]), st.just("No."), ids, sessions),
)
DESCRIPTIONS = [{"type": kind, "sdp": sdp} for kind in ("offer", "answer") for sdp in ("v=0", "o=- 2 2 IN\r\n")]
CHAT = [
    *({"type": kind, "target": "bot", "sdp": sdp} for kind in ("video-offer", "video-answer") for sdp in DESCRIPTIONS),
    *({"type": "new-ice-candidate", "target": "eve", "candidate": each} for each in (None, {"candidate": "c"})),
    *({"type": "hang-up", "target": each} for each in (None, "bot", "eve")),
    {"type": "message", "text": "hello"},
    {"type": "username", "name": "other"},
]
BROKER = [
    *(
        {"type": kind, "dst": "bot", "payload": {"sdp": sdp, "type": "media", "connectionId": session}}
        for kind in ("OFFER", "ANSWER")
        for sdp in DESCRIPTIONS
        for session in "st"
    ),
    {"type": "CANDIDATE", "payload": {"candidate": None, "connectionId": "s"}},
    {"type": "LEAVE", "dst": "eve"},
]


@pytest.mark.parametrize(
    ("dialect", "said"), [(lambda: Mdn("lab", 7, lambda: "s"), CHAT), (lambda: PeerJs("lab", "alice", "t"), BROKER)]
)
@given(data=st.data())
@examples(50)
def test_nothing_that_is_told_or_said_breaks_a_dialect(
    data: st.DataObject, dialect: Callable[[], Dialect], said: list[Any]
) -> None:
    """An exception out of `write` would end the connection of whoever spoke."""
    spoken = dialect()
    spoken.opened()
    for message in data.draw(st.lists(told, max_size=3)):
        spoken.write(message, 0.0)
    spoken.write(Welcome(1, "m", "lab", "alice", [Member("b", "bot")], []), 0.0)
    for message in data.draw(st.lists(told | st.sampled_from(said), max_size=15)):
        steps = (
            spoken.read(json.dumps(message), 0.0, max_bytes=10_000)
            if isinstance(message, dict)
            else spoken.write(message, 0.0)
        )
        for step in steps:
            assert json.loads(step) if isinstance(step, str) else parse_client(encode(step)) == step
