"""The wire vocabulary: what parses, what is refused with which words, and that nothing else ever happens."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import messages as m
from signaling.codes import Code

FROM_CLIENT: list[tuple[m.ClientMessage, dict[str, Any]]] = [
    (m.Join("lab", "bot", 1), {"type": "join", "version": 1, "room": "lab", "name": "bot"}),
    (m.Join("r", "n", 1, polite=True), {"type": "join", "version": 1, "room": "r", "name": "n", "polite": True}),
    (m.Leave(), {"type": "leave"}),
    (
        m.DescriptionTo("a", "s", m.SessionDescription("offer", "v=0")),
        {"type": "description", "to": "a", "session": "s", "description": {"type": "offer", "sdp": "v=0"}},
    ),
    (m.CandidateTo("a", "s", None), {"type": "candidate", "to": "a", "session": "s", "candidate": None}),
    (
        m.CandidateTo("a", "s", m.IceCandidate("c", "0", 1, "u")),
        {
            "type": "candidate",
            "to": "a",
            "session": "s",
            "candidate": {"candidate": "c", "sdpMid": "0", "sdpMLineIndex": 1, "usernameFragment": "u"},
        },
    ),
    (m.ByeTo("a", "s", "hung-up"), {"type": "bye", "to": "a", "session": "s", "reason": "hung-up"}),
    (m.ByeTo("a", "s", "error", "x"), {"type": "bye", "to": "a", "session": "s", "reason": "error", "text": "x"}),
    (m.MessageTo("a", {"k": [None, 1.5]}), {"type": "message", "to": "a", "data": {"k": [None, 1.5]}}),
]

FROM_SERVER: list[tuple[m.ServerMessage, dict[str, Any]]] = [
    (
        m.Welcome(1, "i", "r", "n", [m.Member("x", "y")], [m.IceServer(["stun:h"])]),
        {
            "type": "welcome",
            "version": 1,
            "id": "i",
            "room": "r",
            "name": "n",
            "members": [{"id": "x", "name": "y", "polite": False}],
            "iceServers": [{"urls": ["stun:h"]}],
        },
    ),
    (m.Joined(m.Member("x", "y", True)), {"type": "joined", "member": {"id": "x", "name": "y", "polite": True}}),
    (
        m.Left(m.Member("x", "y"), "lost"),
        {"type": "left", "member": {"id": "x", "name": "y", "polite": False}, "reason": "lost"},
    ),
    (
        m.DescriptionFrom("a", "s", m.SessionDescription("answer", "v=0")),
        {"type": "description", "from": "a", "session": "s", "description": {"type": "answer", "sdp": "v=0"}},
    ),
    (
        m.DescriptionFrom("http-1", "s", m.SessionDescription("offer", "v=0"), trickle=False, name="curl"),
        {
            "type": "description",
            "from": "http-1",
            "session": "s",
            "description": {"type": "offer", "sdp": "v=0"},
            "trickle": False,
            "name": "curl",
        },
    ),
    (m.CandidateFrom("a", "s", None), {"type": "candidate", "from": "a", "session": "s", "candidate": None}),
    (m.ByeFrom("a", "s", "lost"), {"type": "bye", "from": "a", "session": "s", "reason": "lost"}),
    (m.MessageFrom("a", None), {"type": "message", "from": "a", "data": None}),
    (
        m.ErrorMessage("bad-json", "No.", to="a", session="s"),
        {"type": "error", "code": "bad-json", "message": "No.", "to": "a", "session": "s"},
    ),
]


@pytest.mark.parametrize(("message", "wire"), FROM_CLIENT, ids=lambda value: type(value).__name__)
def test_messages_of_a_client_go_both_ways(message: m.ClientMessage, wire: dict[str, Any]) -> None:
    assert json.loads(m.encode(message)) == wire
    assert m.parse_client(json.dumps(wire)) == message
    assert m.parse_client(json.dumps({**wire, "later": {"versions": ["add", "fields"]}}).encode()) == message


@pytest.mark.parametrize(("message", "wire"), FROM_SERVER, ids=lambda value: type(value).__name__)
def test_messages_of_the_server_go_both_ways(message: m.ServerMessage, wire: dict[str, Any]) -> None:
    assert json.loads(m.encode(message)) == wire
    assert m.parse_server(json.dumps({**wire, "later": 1})) == message


def test_a_reason_of_a_later_version_is_read_from_the_server_only() -> None:
    wire = {"type": "bye", "session": "s", "reason": "new"}
    assert m.parse_server(json.dumps({**wire, "from": "a"})) == m.ByeFrom("a", "s", "new")
    with pytest.raises(m.ProtocolError):
        m.parse_client(json.dumps({**wire, "to": "a"}))


def refused(data: str | bytes) -> m.ProtocolError:
    with pytest.raises(m.ProtocolError) as caught:
        m.parse_client(data)
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 400
    return caught.value


@pytest.mark.parametrize(("text", "code", "word"), [
    ("", Code.BAD_JSON, "JSON"),
    ("hello", Code.BAD_JSON, "JSON"),
    ('{"type":"leave"} x', Code.BAD_JSON, "trailing"),
    (b"\xff", Code.BAD_JSON, "JSON"),
    ('"\ud800"', Code.BAD_JSON, "Unicode"),
    ("7", Code.BAD_MESSAGE, "object"),
    ("[]", Code.BAD_MESSAGE, "object"),
    ("{}", Code.BAD_MESSAGE, "`type`"),
    ('{"type":"dance' + "e" * 5000 + '"}', Code.BAD_MESSAGE, "dance"),
    ('{"type":"leave","type":"dance"}', Code.BAD_MESSAGE, "dance"),
    ('{"type":"join","version":1,"room":"r"}', Code.BAD_MESSAGE, "`name`"),
    ('{"type":"join","version":1,"room":"","name":"n"}', Code.BAD_MESSAGE, "`room`"),
    ('{"type":"join","version":1,"room":"r","name":" n"}', Code.BAD_MESSAGE, "`name` has"),
    ('{"type":"join","version":1,"room":"r","name":"a\\nb"}', Code.BAD_MESSAGE, "`name` has"),
    ('{"type":"join","version":1,"room":"r","name":"\\u202eb"}', Code.BAD_MESSAGE, "`name` has"),
    ('{"type":"join","version":1,"room":"r","name":"' + "n" * 65 + '"}', Code.BAD_MESSAGE, "64"),
    ('{"type":"join","version":true,"room":"r","name":"n"}', Code.BAD_MESSAGE, "`version`"),
    ('{"type":"join","version":0,"room":"r","name":"n"}', Code.UNSUPPORTED_VERSION, "not 0"),
    ('{"type":"join","version":2}', Code.UNSUPPORTED_VERSION, "not 2"),
    ('{"type":"join","version":1' + "0" * 3000 + "}", Code.UNSUPPORTED_VERSION, "not 1000"),
    ('{"type":"message","to":"a"}', Code.BAD_MESSAGE, "`data`"),
    ('{"type":"message","to":"a","data":1e999}', Code.BAD_MESSAGE, "range"),
    ('{"type":"message","to":"a","data":' + "[" * 65 + "]" * 65 + "}", Code.BAD_MESSAGE, "deep"),
    ('{"type":"leave","x":' + "[" * 9000 + "]" * 9000 + "}", Code.BAD_JSON, "deep"),
    ('{"type":"bye","to":"a","session":"s","reason":"bored"}', Code.BAD_MESSAGE, "bored"),
    ('{"type":"bye","to":"a","session":"s","reason":"busy","text":"' + "x" * 501 + '"}', Code.BAD_MESSAGE, "500"),
    (" " * 131_073, Code.TOO_LARGE, "131072"),
    ("\u00e4" * 70_000, Code.TOO_LARGE, "140000"),
])  # fmt: skip
def test_what_is_refused(text: str | bytes, code: Code, word: str) -> None:
    error = refused(text)
    assert error.code is code
    assert word in error.message


@pytest.mark.parametrize("description", [
    None,
    "v=0",
    {"type": "rollback", "sdp": ""},
    {"type": "pranswer", "sdp": "v=0"},
    {"type": "offer"},
    {"type": "offer", "sdp": ""},
    {"type": "offer", "sdp": None},
])  # fmt: skip
def test_bad_descriptions_are_refused_with_target_and_session(description: object) -> None:
    error = refused(json.dumps({"type": "description", "to": "a", "session": "s", "description": description}))
    assert (error.code, error.to, error.session) == (Code.BAD_MESSAGE, "a", "s")


@pytest.mark.parametrize("candidate", [
    {},
    {"candidate": None},
    {"candidate": "c", "sdpMid": 0},
    {"candidate": "c", "sdpMLineIndex": "0"},
    {"candidate": "c", "sdpMLineIndex": -1},
    {"candidate": "c", "sdpMLineIndex": 65536},
])  # fmt: skip
def test_bad_candidates_are_refused(candidate: object) -> None:
    text = json.dumps({"type": "candidate", "to": "a", "session": "s", "candidate": candidate})
    assert refused(text).code is Code.BAD_MESSAGE


def test_target_and_session_of_an_error_are_never_the_wrong_type_or_too_long() -> None:
    error = refused(json.dumps({"type": "bye", "to": 7, "session": "s" * 65}))
    assert (error.to, error.session) == (None, None)


def test_data_may_be_as_deep_as_the_limit() -> None:
    data = json.loads("[" * 64 + "]" * 64)
    assert m.parse_client(m.encode(m.MessageTo("a", data))) == m.MessageTo("a", data)
    wide: list[list[int]] = [[] for _ in range(1000)]
    assert m.parse_client(m.encode(m.MessageTo("a", wide))) == m.MessageTo("a", wide)


def test_what_is_said_about_a_call_has_the_same_limit() -> None:
    description = {"type": "offer", "sdp": "v=0"}
    message = {"type": "description", "to": "a", "session": "s", "description": description}
    parsed = m.parse_client(json.dumps(message | {"about": json.loads("[" * 64 + "]" * 64)}))
    assert isinstance(parsed, m.DescriptionTo) and parsed.about
    with pytest.raises(m.ProtocolError, match="nested deeper"):
        m.parse_client(json.dumps(message | {"about": json.loads("[" * 65 + "]" * 65)}))


def test_a_smaller_limit_holds() -> None:
    with pytest.raises(m.ProtocolError) as caught:
        m.parse_client('{"type":"leave"}', max_bytes=10)
    assert caught.value.code is Code.TOO_LARGE


@pytest.mark.parametrize("data", [object(), "\ud800", {("a",): 1}])
def test_what_is_no_json_is_not_written(data: object) -> None:
    with pytest.raises(m.ProtocolError) as caught:
        m.encode(m.MessageTo("a", data))
    assert caught.value.code is Code.BAD_MESSAGE


def test_what_is_too_deep_is_not_written() -> None:
    data: list[Any] = []
    for _ in range(5000):
        data = [data]
    with pytest.raises(m.ProtocolError):
        m.encode(m.MessageTo("a", data))


@pytest.mark.parametrize(("text", "code"), [
    ("?", Code.BAD_JSON),
    ('{"type":"welcome"}', Code.BAD_MESSAGE),
    ('{"type":"dance"}', Code.BAD_MESSAGE),
    (" " * (1024 * 1024 + 1), Code.TOO_LARGE),
])  # fmt: skip
def test_a_strange_server_is_refused(text: str, code: Code) -> None:
    with pytest.raises(m.ProtocolError) as caught:
        m.parse_server(text)
    assert caught.value.code is code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
wires = st.sampled_from([wire for _, wire in FROM_CLIENT])


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_anything_parses_or_is_refused(data: str | bytes) -> None:
    for parse in (m.parse_client, m.parse_server):
        try:
            parse(data)
        except m.ProtocolError as error:
            assert error.message.endswith(".")


@given(wires, st.data())
def test_one_broken_field_parses_or_is_refused(wire: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(wire)))
    broken = {**wire, field: data.draw(json_values)}
    if data.draw(st.booleans()):
        del broken[field]
    try:
        message = m.parse_client(json.dumps(broken))
    except m.ProtocolError as error:
        assert error.code in {Code.BAD_JSON, Code.BAD_MESSAGE, Code.UNSUPPORTED_VERSION}
    else:
        assert m.parse_client(m.encode(message)) == message


@given(json_values)
def test_data_arrives_as_it_was_sent(data: Any) -> None:
    sent = m.parse_client(json.dumps({"type": "message", "to": "a", "data": data}, ensure_ascii=False).encode("utf-8"))
    assert isinstance(sent, m.MessageTo)
    received = m.parse_server(m.encode(m.MessageFrom("b", sent.data)))
    assert isinstance(received, m.MessageFrom)
    assert received.data == data


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        m.Join("r", "n", 1).room = "other"  # type: ignore[misc]
    assert issubclass(m.Join, msgspec.Struct)
