"""ICE servers in every form people write them, and the mistakes they make; passwords stay secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.ice_servers import BadIceServer, IceServer, mask, parse_ice_server, parse_ice_servers


@pytest.mark.parametrize(("text", "server"), [
    ("stun:stun.example.org", IceServer(["stun:stun.example.org"])),
    (" STUN:192.0.2.1:3478 ", IceServer(["stun:192.0.2.1:3478"])),
    ("stuns:[2001:db8::1]:5349", IceServer(["stuns:[2001:db8::1]:5349"])),
    ("turn:u:p@h", IceServer(["turn:h"], "u", "p")),
    ("turn:u:p%40%3A@h:3478?transport=tcp", IceServer(["turn:h:3478?transport=tcp"], "u", "p@:")),
    ("turn:u:p@q:r@h:1", IceServer(["turn:h:1"], "u", "p@q:r")),
    ("turns:1700000000%3Abot:secret@h:443?transport=udp", IceServer(
        ["turns:h:443?transport=udp"], "1700000000:bot", "secret")),
    ('{"urls": "stun:h"}', IceServer(["stun:h"])),
    ('{"url": "stun:h"}', IceServer(["stun:h"])),
    ('{"urls": ["turn:h", "turns:h"], "username": "u", "credential": "p", "credentialType": "password"}', IceServer(
        ["turn:h", "turns:h"], "u", "p")),
])  # fmt: skip
def test_one_server(text: str, server: IceServer) -> None:
    assert parse_ice_server(text) == [server]


def test_many_servers() -> None:
    both = [IceServer(["stun:a"]), IceServer(["turn:b"], "u", "p")]
    as_json = '[{"urls": "stun:a"}, {"urls": ["turn:b"], "username": "u", "credential": "p"}]'
    assert parse_ice_server(as_json) == both
    assert parse_ice_servers(as_json) == both
    assert parse_ice_servers(f'{{"iceServers": {as_json}, "iceTransportPolicy": "all"}}') == both
    assert parse_ice_servers("stun:a turn:u:p@b") == both
    assert parse_ice_servers("stun:a, turn:u:p@b,") == both
    assert parse_ice_servers("# ours\nstun:a\n\n  # theirs\nturn:u:p@b\n") == both
    assert parse_ice_servers("") == parse_ice_servers("[]") == []


@pytest.mark.parametrize(("text", "word"), [
    ("", "stun:HOST"),
    ("stun:", "'stun:'"),
    ("stun.example.org", "stun:HOST"),
    ("http://stun.example.org", "stun:HOST"),
    ("stun://h", "stun:HOST"),
    ("stun:h:0", "port"),
    ("stun:h:65536", "port"),
    ("stun:h:http", "stun:HOST"),
    ("stun:h?transport=udp", "transport"),
    ("turn:u:p@h?transport=sctp", "transport"),
    ("turn:h", "user and a password"),
    ("turn:u@h", "password"),
    ("turn:u:@h", "password"),
    ("stun:bad host", "bad host"),
    ('{"urls": "stun:h"', "JSON"),
    ('{"username": "u"}', "urls"),
    ('{"urls": []}', "urls"),
    ('{"urls": "turn:h"}', "password"),
    ('[{"urls": 7}]', "urls"),
    ("[7]", "object"),
    ('{"iceServers": 7}', "array"),
    ("[" * 5000, "JSON"),
    ("stun:" + "h" * 2000, "longer"),
    ("[" + ",".join(['{"urls":"stun:h"}'] * 17) + "]", "17"),
    ('{"urls": [' + ",".join(['"stun:h"'] * 17) + "]}", "17"),
])  # fmt: skip
def test_mistakes_are_named(text: str, word: str) -> None:
    with pytest.raises(BadIceServer) as caught:
        parse_ice_server(text)
    assert word in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [
    "turn:user:hunter2@h:99999",
    "turn:user:hunter2@ h",
    "turn:user:hun@ter2@h?transport=x",
    "turn:user hunter2@h",
    '{"urls": "turn:h:99999", "username": "u", "credential": "hunter2"}',
    '{"urls": "x", "credential": "hunter2',
    '{"urls": "turn:u:hunter2@h", "username": "u", "credential": "hunter2"}',
])  # fmt: skip
def test_passwords_stay_secret(text: str) -> None:
    with pytest.raises(BadIceServer) as caught:
        parse_ice_server(text)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)


def test_mask() -> None:
    assert mask("turn:u:secret@h") == "turn:***@h"
    assert mask("stun:h:3478") == "stun:h:3478"
    assert mask('{"credential" : "a\\"b", "username": "u"}') == '{"credential" : "***", "username": "u"}'
    assert len(mask("x" * 1000)) < 210


@given(st.text() | st.text(alphabet="stunr:@?=[]{}\"' ,1/").map(lambda text: "turn:" + text))
def test_anything_is_read_or_refused(text: str) -> None:
    for parse in (parse_ice_server, parse_ice_servers):
        try:
            servers = parse(text)
        except BadIceServer:
            continue
        assert all(server.urls for server in servers)
