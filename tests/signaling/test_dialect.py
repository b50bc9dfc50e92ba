"""What dialects share: our own one, which changes nothing, and who is in the room."""

from __future__ import annotations

import pytest

from signaling.codes import Code, ProtocolError
from signaling.dialect import OwnDialect, Roster
from signaling.messages import Join, Joined, Leave, Member, Welcome


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
