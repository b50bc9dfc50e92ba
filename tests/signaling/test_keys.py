"""Key texts: what they may hold, and that what they hold appears in no message."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from signaling.credentials import Claims, Verifier, mint
from signaling.keys import BadKey, parse_keys, secret_key
from tests.signaling.tokens import SECRET, key_pair, pem_pair


def jwk(kind: str, **changes: Any) -> dict[str, Any]:
    if kind == "HS256":
        values = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")}
    else:
        algorithm = jwt.get_algorithm_by_name(kind)
        values = algorithm.to_jwk(key_pair(kind)[1].key, as_dict=True)
    return values | changes


def shown(keys: Any) -> list[tuple[str, str | None, bool]]:
    return [(key.algorithm, key.id, key.private) for key in keys]


def test_secrets_one_a_line() -> None:
    keys = parse_keys(f"# ours\n{SECRET}\n\n  {SECRET[::-1]}  \n")
    assert shown(keys) == [("HS256", None, True)] * 2
    assert keys[0] == secret_key(SECRET)


def test_pem_of_any_number_of_keys() -> None:
    texts = [*pem_pair("EdDSA"), *pem_pair("RS256")]
    assert shown(parse_keys("these are ours\n" + "\n".join(texts))) == [
        ("EdDSA", None, True),
        ("EdDSA", None, False),
        ("RS256", None, True),
        ("RS256", None, False),
    ]


def test_a_key_set_with_ids_and_with_keys_for_other_things() -> None:
    members = [
        *(jwk(kind, kid=f"k-{kind}") for kind in ("HS256", "EdDSA", "RS256")),
        jwk("RS256", use="enc"),
        jwk("RS256", alg="RS512"),
        {"kty": "EC", "crv": "P-256", "x": "", "y": ""},
        {"kty": "future"},
    ]
    keys = parse_keys(json.dumps({"keys": members}))
    assert shown(keys) == [("HS256", "k-HS256", True), ("EdDSA", "k-EdDSA", False), ("RS256", "k-RS256", False)]
    token = mint(Claims(exp=10, room="lab"), key_pair("RS256")[0])
    assert Verifier(keys=keys).verify(token, 5).room == "lab"
    assert shown(parse_keys(json.dumps(jwk("EdDSA")))) == [("EdDSA", None, False)]


def other_kinds() -> list[str]:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    short = rsa.generate_private_key(65537, 1024).public_key()
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    return [*(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in (curve, short)),
            locked.decode()]  # fmt: skip


BAD = [
    "",
    "# nothing\n",
    "too-short",
    f"{'long' * 20}\ntoo-short",
    "{",
    "{}",
    '{"keys": []}',
    '{"keys": 7}',
    '{"keys": [7]}',
    '{"keys": [{"kty": "oct"}]}',
    '{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}',
    '{"keys": [{"kty": "oct", "k": 7}]}',
    '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]}',
    '{"keys": [{"kty": "OKP", "crv": "X25519", "x": "' + "A" * 43 + '"}]}',
    '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
    '{"keys": ' + "[" * 5000,
    "-----BEGIN PUBLIC KEY-----\nhello\n-----END PUBLIC KEY-----",
    "-----BEGIN PUBLIC KEY-----\nhello",
    "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----",
    "\n".join(f"{number:064}" for number in range(65)),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(BAD)), ids=lambda index: BAD[index][:40])
def test_what_is_no_key(index: int) -> None:
    refused(BAD[index])


def test_keys_of_other_kinds() -> None:
    for text in other_kinds():
        refused(text)


def refused(text: str) -> None:
    with pytest.raises(BadKey) as caught:
        parse_keys(text)
    message = str(caught.value)
    assert ";" in message  # what is wrong, and what to do
    assert SECRET not in message
    assert "too-short" not in message


@given(st.text() | st.text().map(lambda text: "{" + text) | st.text().map(lambda text: f"-----BEGIN X-----{text}"))
def test_any_text_is_keys_or_none(text: str) -> None:
    try:
        assert parse_keys(text)
    except BadKey as error:
        assert ";" in str(error)
