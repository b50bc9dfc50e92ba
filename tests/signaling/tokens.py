"""Keys and tokens for tests; made anew in each run, so nothing here is a secret of anybody."""

from __future__ import annotations

import secrets
import time
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from signaling.credentials import Claims, mint
from signaling.keys import Key, parse_keys, secret_key

SECRET = secrets.token_urlsafe(48)
KEY = secret_key(SECRET)


def token(key: Key = KEY, *, ttl: float = 3600.0, room: str = "lab", **claims: Any) -> str:
    """A token that is good now, for the room `lab` and any name."""
    return mint(Claims(exp=time.time() + ttl, room=room, **claims), key)


@cache
def pem_pair(kind: str) -> tuple[str, str]:
    """Private and public key as PEM, of `EdDSA` or `RS256`."""
    private: Any = ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else rsa.generate_private_key(65537, 2048)
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


@cache
def key_pair(kind: str) -> tuple[Key, Key]:
    """The one that signs and the one that checks."""
    if kind == "HS256":
        return KEY, KEY
    private, public = pem_pair(kind)
    return parse_keys(private)[0], parse_keys(public)[0]
