"""Keys of access tokens: shared secrets, public and private keys, key sets (RFC 7517). Pure.

`parse_keys` reads what a key file holds, by its looks: a JWK Set (`{`), PEM (`-----BEGIN`), or secrets, one a line.
Each key stands for one algorithm, so no token chooses how it is checked. Key material appears in no message.
"""

from __future__ import annotations

import re
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

MIN_SECRET: Final = 32  # bytes: RFC 7518, section 3.2
MIN_RSA_BITS: Final = 2048  # RFC 7518, section 3.3
MAX_KEYS: Final = 64
_PEM: Final = re.compile("-----BEGIN ([A-Z ]+)-----.*?-----END \\1-----", re.DOTALL)
_FORMS: Final = "a JWK Set, PEM of Ed25519 or RSA keys, or secrets of at least 32 characters, one a line"


class BadKey(ValueError):
    """A text that holds no usable key; the message never quotes it."""


class Key(msgspec.Struct, frozen=True):
    """One key and the one algorithm it is used with: HS256 (a secret), EdDSA (Ed25519) or RS256 (RSA).

    `private`: it can sign. A secret always can.
    """

    algorithm: str
    key: Any
    id: str | None = None
    private: bool = False

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, id={self.id!r})"


def parse_keys(text: str) -> tuple[Key, ...]:
    """All keys of a text. Raises BadKey with a sentence that says what is wrong; blocks for microseconds."""
    stripped = text.strip()
    if stripped.startswith("{"):
        keys = _of_jwk_set(stripped)
    elif "-----BEGIN" in stripped:
        keys = [_of_pem(match[0]) for match in _PEM.finditer(stripped)]
    else:
        lines = (line.strip() for line in stripped.splitlines())
        keys = [secret_key(line) for line in lines if line and not line.startswith("#")]
    if not 1 <= len(keys) <= MAX_KEYS:
        raise BadKey(f"{len(keys)} keys are not 1 to {MAX_KEYS}; write {_FORMS}")
    return tuple(keys)


def secret_key(secret: str) -> Key:
    """The key that a shared secret is. Raises BadKey for one that could be guessed."""
    raw = secret.encode()
    if len(raw) < MIN_SECRET:
        raise BadKey(f"a secret of {len(raw)} bytes can be guessed; make one with: peer token --new-key")
    return Key("HS256", raw, private=True)


def _of_pem(text: str) -> Key:
    try:
        if "PRIVATE" in text.partition("\n")[0]:
            return _of_object(serialization.load_pem_private_key(text.encode(), None))
        return _of_object(serialization.load_pem_public_key(text.encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it has a pass phrase
        if isinstance(error, BadKey):
            raise
        raise BadKey(f"a PEM block holds no key that can be read without a pass phrase; write {_FORMS}") from error


def _of_object(key: object, key_id: str | None = None) -> Key:
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return Key("EdDSA", key, key_id, isinstance(key, ed25519.Ed25519PrivateKey))
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise BadKey(f"an RSA key of {key.key_size} bits is too short; use {MIN_RSA_BITS} or more")
        return Key("RS256", key, key_id, isinstance(key, rsa.RSAPrivateKey))
    raise BadKey(f"a key is of another kind; write {_FORMS}")


class _Jwk(msgspec.Struct):
    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None


class _JwkSet(msgspec.Struct):
    keys: list[msgspec.Raw]


def _of_jwk_set(text: str) -> list[Key]:
    """The keys of a JWK Set (or a single JWK) that sign tokens; RFC 7517, section 5: others are passed over."""
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        members = msgspec.json.decode(text, type=_JwkSet).keys if "keys" in raw else [msgspec.Raw(text.encode())]
        found = [(msgspec.json.decode(member, type=_Jwk), msgspec.json.decode(member)) for member in members]
        return [_of_jwk(kind, values) for kind, values in found if _usable(kind)]
    except BadKey:
        raise
    except (
        msgspec.MsgspecError,
        UnicodeError,
        RecursionError,
        ValueError,
        TypeError,
        KeyError,
        jwt.PyJWTError,
    ) as error:
        raise BadKey(f"the JWK Set cannot be read; write {_FORMS}") from error


def _usable(jwk: _Jwk) -> bool:
    algorithm = {"oct": "HS256", "OKP": "EdDSA", "RSA": "RS256"}.get(jwk.kty)
    return algorithm is not None and jwk.use in {None, "sig"} and jwk.alg in {None, algorithm}


def _of_jwk(jwk: _Jwk, values: dict[str, Any]) -> Key:
    algorithm = {"oct": "HS256", "OKP": "EdDSA", "RSA": "RS256"}[jwk.kty]
    key = jwt.PyJWK(values, algorithm).key
    if isinstance(key, bytes):
        if len(key) < MIN_SECRET:
            raise BadKey(f"a secret of {len(key)} bytes can be guessed; make one with: peer token --new-key")
        return Key("HS256", key, jwk.kid, private=True)
    return _of_object(key, jwk.kid)
