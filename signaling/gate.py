"""Who comes in: the token of a request or a message turned into grants, on a server that has keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from signaling.codes import Code, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from signaling.credentials import Grants
    from signaling.keyring import Keyring


class Gate:
    """Checks tokens with the keys of `keyring`; without one everybody may do everything, and grants are None."""

    def __init__(self, keyring: Keyring | None, now: Callable[[], float] = time.time) -> None:
        self._keyring = keyring
        self.now = now
        """The Unix time; tests have their own."""

    @property
    def open(self) -> bool:
        """Whether everybody may do everything here."""
        return self._keyring is None

    def grants(self, token: str | None) -> Grants | None:
        """What a token grants now. Raises ProtocolError: token-missing, token-invalid, token-expired."""
        if self._keyring is None:
            return None
        if token is None:
            text = "This server lets nobody in without an access token; get one, and send it as docs/protocol.md says."
            raise ProtocolError(Code.TOKEN_MISSING, text)
        return self._keyring.verifier.verify(token, self.now())

    def grants_of(self, request: web.Request) -> Grants | None:
        """What an HTTP request may do. Raises as `grants`."""
        return self.grants(bearer(request))


def bearer(request: web.Request) -> str | None:
    """The token in the header `Authorization: Bearer ...` (RFC 6750, section 2.1); None without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
