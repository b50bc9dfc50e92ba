"""Tokens: what is signed by a key of ours is taken for what it says, and nothing else is taken for anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.codes import Code, ProtocolError
from signaling.credentials import (
    LEEWAY,
    MAX_TOKEN,
    RIGHTS,
    Claims,
    Grants,
    TurnAccess,
    Verifier,
    ice_servers,
    matches,
    mint,
    peek,
)
from signaling.ice_servers import IceServer
from signaling.keys import Key, secret_key
from tests.signaling.tokens import KEY, SECRET, key_pair, pem_pair

NOW = 1_800_000_000.0
ALGORITHMS = ["HS256", "EdDSA", "RS256"]
VERIFIER = Verifier(keys=(KEY,))


def claims(**changes: Any) -> Claims:
    return Claims(**{"exp": NOW + 60, "room": "lab"} | changes)


def signed(payload: Any, header: dict[str, Any] | None = None, secret: str = SECRET) -> str:
    """A token made by hand, with a right signature over whatever it holds."""
    parts = [json.dumps(header or {"alg": "HS256"}).encode(), payload if isinstance(payload, bytes) else dump(payload)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return f"{text.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def refused(token: str, verifier: Verifier = VERIFIER, now: float = NOW) -> Code:
    with pytest.raises(ProtocolError) as caught:
        verifier.verify(token, now)
    assert caught.value.message.endswith(".")
    assert len(token) < 100 or token not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_minted_is_granted(algorithm: str) -> None:
    private, public = key_pair(algorithm)
    token = mint(claims(room="team-*", name="bot", can=("call", "moderate"), jti="t1"), private)
    assert Verifier(keys=(public,)).verify(token, NOW) == Grants(
        room="team-*",
        name="bot",
        call=True,
        be_called=False,
        publish=False,
        receive=False,
        moderate=True,
        expires=NOW + 60 + LEEWAY,
        bearer="t1",
    )


def test_a_token_that_says_little_grants_what_is_usual_under_any_name() -> None:
    grants = VERIFIER.verify(signed({"exp": NOW + 1, "room": "lab", "more": [1], "can": ["call", "fly"]}), NOW)
    assert (grants.name, grants.can) == ("*", ["call"])
    grants = VERIFIER.verify(signed({"exp": NOW + 1, "room": "lab"}), NOW)
    assert grants.can == ["call", "be-called", "publish", "receive"]
    assert len(grants.bearer) == 16


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_keys_of_the_same_kind_are_not_taken(algorithm: str) -> None:
    token = mint(claims(), key_pair(algorithm)[0])
    others = tuple(key_pair(other)[1] for other in ALGORITHMS if other != algorithm)
    assert refused(token, Verifier(keys=(*others, secret_key("another" * 8)))) is Code.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
@pytest.mark.parametrize("claimed", ["HS256", "hs256", "HS512", "none", "None", "RS512", ""])
def test_a_public_key_is_no_secret(algorithm: str, claimed: str) -> None:
    """RFC 8725, section 2.1: signed with the text of the public key as if it were a shared secret."""
    public = pem_pair(algorithm)[1]
    verifier = Verifier(keys=(key_pair(algorithm)[1], KEY))
    token = signed({"exp": NOW + 60, "room": "lab"}, {"alg": claimed}, secret=public)
    assert refused(token, verifier) is Code.TOKEN_INVALID


def test_a_token_without_signature_is_none() -> None:
    token = jwt.encode({"exp": NOW + 60, "room": "lab"}, "", algorithm="none")
    assert refused(token) is Code.TOKEN_INVALID
    good = mint(claims(), KEY)
    assert refused(good.rpartition(".")[0] + ".") is Code.TOKEN_INVALID


def test_two_keys_are_good_at_once_and_the_key_id_chooses() -> None:
    old, new = secret_key("old" * 20), secret_key("new" * 20)
    verifier = Verifier(keys=(old, new))
    for key in (old, new):
        assert verifier.verify(mint(claims(), key), NOW).room == "lab"
    named, misnamed = (Key("HS256", new.key, key_id, private=True) for key_id in ("k2", "k3"))
    verifier = Verifier(keys=(old, named))
    for key in (named, new):  # a token need not say which key it is of
        assert verifier.verify(mint(claims(), key), NOW).room == "lab"
    assert refused(mint(claims(), misnamed), verifier) is Code.TOKEN_INVALID


BAD_CLAIMS: list[Any] = [
    {"room": "lab"},
    {"exp": None, "room": "lab"},
    {"exp": "tomorrow", "room": "lab"},
    {"exp": str(NOW), "room": "lab"},
    {"exp": 1e300, "room": "lab"},
    {"exp": -1, "room": "lab"},
    {"exp": True, "room": "lab"},
    {"exp": NOW + 60},
    {"exp": NOW + 60, "room": ""},
    {"exp": NOW + 60, "room": "x" * 65},
    {"exp": NOW + 60, "room": ["lab"]},
    {"exp": NOW + 60, "room": "lab", "name": 7},
    {"exp": NOW + 60, "room": "lab", "can": "call"},
    {"exp": NOW + 60, "room": "lab", "can": [1]},
    {"exp": NOW + 60, "room": "lab", "can": ["call"] * 17},
    {"exp": NOW + 60, "room": "lab", "nbf": NOW + LEEWAY + 1},
    {"exp": NOW + 60, "room": "lab", "iat": NOW + LEEWAY + 1},
    {"exp": NOW + 60, "room": "lab", "nbf": "now"},
    {"exp": NOW + 60, "room": "lab", "aud": "elsewhere"},
    {"exp": NOW + 60, "room": "lab", "aud": ["elsewhere"]},
    {"exp": NOW + 60, "room": "lab", "aud": 3},
    [],
    "text",
    b"",
    b"\xff",
    b"[" * 2000,
    b'{"exp":Infinity,"room":"lab"}',
    b'{"exp":1e999,"room":"lab"}',
]  # fmt: skip


@pytest.mark.parametrize("payload", BAD_CLAIMS, ids=lambda value: str(value)[:50])
def test_senseless_claims(payload: Any) -> None:
    assert refused(signed(payload)) is Code.TOKEN_INVALID


@pytest.mark.parametrize("header", [
    {"alg": "HS256", "crit": ["exp"], "exp": 1},
    {"alg": "HS256", "crit": []},
    {"alg": "HS256", "b64": False},
    {"alg": "HS256", "kid": 7},
    {"alg": ["HS256"]},
    {"alg": {}},
    {},
])  # fmt: skip
def test_senseless_headers(header: dict[str, Any]) -> None:
    assert refused(signed({"exp": NOW + 60, "room": "lab"}, header or {"typ": "JWT"})) is Code.TOKEN_INVALID


def test_huge_tokens_are_not_even_looked_at() -> None:
    assert refused(signed({"exp": NOW + 60, "room": "lab", "pad": "x" * MAX_TOKEN})) is Code.TOKEN_INVALID
    assert refused("") is Code.TOKEN_INVALID
    assert refused("\u00e4.\u00e4.\u00e4") is Code.TOKEN_INVALID


def test_clocks_may_differ_by_the_leeway() -> None:
    token = mint(claims(exp=NOW, nbf=NOW - 10, iat=NOW - 10), KEY)
    assert VERIFIER.verify(token, NOW - 10 - LEEWAY)
    assert VERIFIER.verify(token, NOW + LEEWAY - 0.1)
    assert refused(token, now=NOW + LEEWAY) is Code.TOKEN_EXPIRED
    assert refused(token, now=NOW - 10.1 - LEEWAY) is Code.TOKEN_INVALID
    strict = Verifier(keys=(KEY,), leeway=0)
    assert refused(token, strict, NOW) is Code.TOKEN_EXPIRED


def test_the_audience() -> None:
    verifier = Verifier(keys=(KEY,), audience="ours")
    for aud in ("ours", ("theirs", "ours")):
        assert verifier.verify(mint(claims(aud=aud), KEY), NOW).room == "lab"
    for aud in (None, "theirs", (), ("theirs",)):
        assert refused(mint(claims(aud=aud), KEY), verifier) is Code.TOKEN_INVALID


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_=-]{0,60}(\.[A-Za-z0-9_=-]{0,60}){0,4}", fullmatch=True))
def test_garbage_is_refused_with_a_code(text: str) -> None:
    assert refused(text) is Code.TOKEN_INVALID


@given(
    st.dictionaries(
        st.sampled_from(["exp", "room", "name", "can", "nbf", "iat", "aud", "jti", "alg"]),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=70),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=6,
        ),
    )
)
def test_signed_nonsense_grants_nothing_it_does_not_say(payload: dict[str, Any]) -> None:
    try:
        grants = VERIFIER.verify(signed(payload), NOW)
    except ProtocolError as error:
        assert error.code in {Code.TOKEN_INVALID, Code.TOKEN_EXPIRED}
    else:
        assert grants.room == payload["room"]
        assert grants.expires == payload["exp"] + LEEWAY > NOW
        assert set(grants.can) == set(payload.get("can", RIGHTS[:4])) & set(RIGHTS)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_changed_token_is_refused(position: int, byte: int) -> None:
    token = mint(claims(), KEY)
    changed = bytearray(token.encode())
    changed[position % len(changed)] = byte
    text = changed.decode("latin-1")
    try:
        VERIFIER.verify(text, NOW)
    except ProtocolError as error:
        assert error.code is Code.TOKEN_INVALID
    else:  # the last character of each part has bits that mean nothing
        assert peek(text) == peek(token)


def test_only_what_makes_sense_is_minted() -> None:
    with pytest.raises(ValueError, match="'fly' is nothing that a token can allow"):
        mint(claims(can=("fly",)), KEY)
    with pytest.raises(ValueError, match="`room`"):
        mint(claims(room=" lab"), KEY)
    for algorithm in ("EdDSA", "RS256"):
        with pytest.raises(ValueError, match="cannot sign"):
            mint(claims(), key_pair(algorithm)[1])


def test_what_is_in_a_token_can_be_seen_without_a_key() -> None:
    token = mint(claims(jti="t1"), KEY)
    assert peek(token) == {
        "header": {"alg": "HS256", "typ": "JWT"},
        "claims": {"exp": NOW + 60, "room": "lab", "jti": "t1"},
    }
    for text in ("", "a.b", "a.b.c", "\u00e4"):
        with pytest.raises(ValueError, match="no JSON Web Token"):
            peek(text)


@pytest.mark.parametrize(("pattern", "text", "expected"), [
    ("lab", "lab", True),
    ("lab", "Lab", False),
    ("lab", "lab2", False),
    ("*", "anything", True),
    ("lab-*", "lab-", True),
    ("lab-*", "lab", False),
    ("*-lab", "my-lab", True),
    ("a*a", "a", False),
    ("a*a", "aa", True),
    ("a*b*c", "a-b-c", True),
    ("a*b*c", "acb", False),
    ("*b*b*", "abb", True),
    ("*b*b*", "ab", False),
    ("a?", "ab", False),
    ("[a-z]", "b", False),
    ("**", "x", True),
])  # fmt: skip
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_patterns_are_what_everybody_takes_them_for(pattern: str, text: str) -> None:
    def simple(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return simple(pattern[1:], text) or (bool(text) and simple(pattern, text[1:]))
        return bool(text) and text[0] == pattern[0] and simple(pattern[1:], text[1:])

    assert matches(pattern, text) == simple(pattern, text)


def test_a_turn_password_is_for_one_participant_and_ends() -> None:
    turn = TurnAccess(urls=("turn:t.example:3478", "turns:t.example"), secret="north", ttl=600)
    server = turn.ice_server("p1", NOW + 0.5)
    assert server.username == f"{int(NOW) + 601}:p1"
    # As coturn works it out: openssl dgst -sha1 -hmac, then base64.
    digest = hmac.new(b"north", str(server.username).encode(), hashlib.sha1).digest()
    assert server.credential == base64.b64encode(digest).decode()
    assert server.urls == ["turn:t.example:3478", "turns:t.example"]
    fixed = IceServer(["stun:s"])
    assert ice_servers([fixed], turn, "p1", NOW + 0.5) == [fixed, server]
    assert ice_servers([fixed], None, "p1", NOW) == [fixed]
