"""Who may do what: access tokens (JWT, RFC 7519) checked and made, and passwords of a TURN server. Pure.

A token says in its claims which `room` it is for and under which `name` (either may have `*` for any characters), what
its bearer `can` do there, and until when (`exp`). `Verifier.verify` makes `Grants` of it, which the rest of the server
goes by; None in the place of Grants means a server without keys, where everybody may do everything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, get_args

import jwt
import msgspec

from signaling.codes import Code, ProtocolError
from signaling.ice_servers import IceServer
from signaling.messages import MAX_LABEL, check_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signaling.keys import Key

MAX_TOKEN: Final = 4096  # characters; of RS256 with a key of 4096 bits it leaves 3 KiB for the claims
LEEWAY: Final = 30.0  # seconds by which clocks may differ
_MAX_TIME: Final = 2.0**53

Right: TypeAlias = Literal["call", "be-called", "publish", "receive", "moderate", "admin"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
USUAL: Final[tuple[Right, ...]] = ("call", "be-called", "publish", "receive")
"""What a token without `can` lets its bearer do."""

_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """What one bearer of a token may do, as `Verifier.verify` found it.

    `room` and `name`: the only ones that it may join, or patterns with `*`. `call`: offer calls; `be_called`: be
    offered some; `publish`, `receive`: send and get media; `moderate`: send others of the room away; `admin`: use the
    admin API for these rooms. `expires`: Unix time from which on the server honours it no more, the leeway for clocks
    included. `bearer`: tells tokens apart, for limits and logs: the claim `jti`, else a digest; not secret.
    """

    room: str
    name: str = "*"
    call: bool = True
    be_called: bool = True
    publish: bool = True
    receive: bool = True
    moderate: bool = False
    admin: bool = False
    expires: float
    bearer: str = ""

    @property
    def can(self) -> list[str]:
        """The rights as a token has them in `can`."""
        return [right for right in RIGHTS if getattr(self, right.replace("-", "_"))]

    def covers(self, room: str, name: str | None = None) -> bool:
        """Whether it is for `room`, and for `name` there; without a name, for the room whoever one is there."""
        return matches(self.room, room) and (name is None or matches(self.name, name))


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a token that mean something here; others are passed over. `exp`, `nbf`, `iat`: Unix time."""

    exp: float
    room: _Pattern
    name: _Pattern = "*"
    can: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = USUAL
    nbf: float | None = None
    iat: float | None = None
    aud: _Text | Annotated[tuple[_Text, ...], msgspec.Meta(max_length=16)] | None = None
    jti: _Text | None = None


_claims_decoder: Final = msgspec.json.Decoder(Claims)


class Verifier(msgspec.Struct, frozen=True, kw_only=True):
    """Checks tokens against `keys`, any of which may have signed them.

    `audience`: what the claim `aud` has to name; None: tokens with that claim are for somebody else (RFC 7519, 4.1.3).
    """

    keys: tuple[Key, ...]
    audience: str | None = None
    leeway: float = LEEWAY

    def verify(self, token: str, now: float) -> Grants:
        """What `token` grants at the Unix time `now`.

        Raises ProtocolError: token-invalid (no token, an unknown key or algorithm, another audience, not valid yet, a
        claim that is missing or makes no sense), token-expired.
        """
        claims = _claims(self._payload(token))
        self._check_times(claims, now)
        self._check_audience(claims)
        known = {right.replace("-", "_"): right in claims.can for right in RIGHTS}  # rights of later versions: unused
        bearer = claims.jti or hashlib.sha256(token.encode()).hexdigest()[:16]
        return Grants(room=claims.room, name=claims.name, expires=claims.exp + self.leeway, bearer=bearer, **known)

    def _payload(self, token: str) -> bytes:
        if not 1 <= len(token) <= MAX_TOKEN or not token.isascii():
            raise _invalid(f"it has not 1 to {MAX_TOKEN} ASCII characters")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _invalid("it is no JSON Web Token") from error
        if "crit" in header:  # RFC 7515, section 4.1.11: none of these extensions is understood here
            raise _invalid("its header demands extensions")
        for key in self.keys:
            # The algorithm belongs to the key: what the token says only chooses among keys (RFC 8725, section 3.1).
            if key.algorithm != header.get("alg") or (key.id and header.get("kid", key.id) != key.id):
                continue
            try:
                payload: bytes = jwt.PyJWS().decode(token, key.key, algorithms=[key.algorithm])
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            return payload
        raise _invalid("no key of this server has signed it")

    def _check_times(self, claims: Claims, now: float) -> None:
        for field in ("exp", "nbf", "iat"):
            value = getattr(claims, field)
            if value is not None and not (math.isfinite(value) and 0 <= value <= _MAX_TIME):
                raise _invalid(f"its `{field}` is no time")
        if now >= claims.exp + self.leeway:
            raise ProtocolError(Code.TOKEN_EXPIRED, "The token has expired; get another one.")
        begins = max(claims.nbf or 0.0, claims.iat or 0.0)
        if now < begins - self.leeway:
            raise _invalid(f"it is valid in {begins - now:.0f} s only; check the clocks")

    def _check_audience(self, claims: Claims) -> None:
        named = (claims.aud,) if isinstance(claims.aud, str) else claims.aud or ()
        if (named or self.audience is not None) and self.audience not in named:
            raise _invalid("it is for another audience")


def mint(claims: Claims, key: Key) -> str:
    """A token with these claims, signed with `key`, which has to be one that signs. Raises ValueError."""
    check_claims(claims)
    try:
        headers = {"kid": key.id} if key.id else None
        payload: dict[str, Any] = msgspec.to_builtins(claims)
        return jwt.encode(payload, key.key, algorithm=key.algorithm, headers=headers)
    except (jwt.PyJWTError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("this key cannot sign; sign with the secret or the private key") from error


def peek(token: str) -> dict[str, Any]:
    """Header and claims of a token, unchecked, for people to look at. Raises ValueError."""
    try:
        found = jwt.PyJWS().decode_complete(token, options={"verify_signature": False})
        return {"header": found["header"], "claims": msgspec.json.decode(found["payload"])}
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise ValueError("this is no JSON Web Token; copy all of it") from error


def check_claims(claims: Claims) -> None:
    """Raises ValueError with a sentence for claims that no server of ours would take."""
    check_label("room", claims.room)
    check_label("name", claims.name)
    unknown = [right for right in claims.can if right not in RIGHTS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is nothing that a token can allow; use {', '.join(RIGHTS)}")


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern`, in which each `*` stands for any characters or none, is that of `text`."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    end = len(text) - len(last)
    if end < len(first) or not (text.startswith(first) and text.endswith(last)):
        return False
    at = len(first)
    for part in middle:  # the first place that fits leaves most for the others
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class TurnAccess(msgspec.Struct, frozen=True, kw_only=True):
    """TURN servers that share a `secret` with us (coturn: `use-auth-secret`, `static-auth-secret`).

    `ttl`: seconds that a password is good for.
    """

    urls: tuple[str, ...]
    secret: str
    ttl: float = 3600.0

    def __post_init__(self) -> None:
        if not self.urls or not self.secret or not self.ttl > 0:
            raise ValueError("passwords of a TURN server need its URL, its secret and a time; give all of them")

    def __repr__(self) -> str:
        return f"TurnAccess({', '.join(self.urls)})"

    def ice_server(self, participant: str, now: float) -> IceServer:
        """The entry of `iceServers` for the participant with this id, good from the Unix time `now` for `ttl` s.

        draft-uberti-behave-turn-rest-00, section 2.2: user `expiry:id`, password base64(HMAC-SHA1(secret, user)).
        """
        username = f"{math.ceil(now + self.ttl)}:{participant}"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return IceServer(list(self.urls), username, base64.b64encode(digest).decode())


def ice_servers(fixed: Sequence[IceServer], turn: TurnAccess | None, participant: str, now: float) -> list[IceServer]:
    """All ICE servers for one participant."""
    return [*fixed, *([turn.ice_server(participant, now)] if turn is not None else [])]


def _claims(payload: bytes) -> Claims:
    try:
        claims = _claims_decoder.decode(payload)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`")[:200]
        raise _invalid(f"its claims cannot be used: {text}") from error
    except (ValueError, RecursionError) as error:
        raise _invalid("its claims are not JSON") from error
    return claims


def _invalid(why: str) -> ProtocolError:
    return ProtocolError(Code.TOKEN_INVALID, f"The token cannot be used, since {why}; get another one.")
