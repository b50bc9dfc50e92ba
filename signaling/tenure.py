"""What of a membership runs out: its token, and its passwords of the TURN servers. Timers on the event loop.

Delays are worked out from the wall clock, and again when a timer fires: that clock may have been set meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from signaling.codes import Code, ProtocolError
from signaling.messages import IceServersChanged, TokenExpiring

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.credentials import Grants
    from signaling.messages import IceServer, ServerMessage

NOTICE: Final = 60.0  # seconds before a token ends in which another one may be handed in; half its life if that is less
EXPIRED: Final = "The token has expired, and no other one came; join again with another one."


class Tenant(Protocol):
    """Whose membership it is. Neither call waits."""

    def tell(self, message: ServerMessage) -> None: ...
    def end(self, error: ProtocolError) -> None: ...


class Tenure:
    """The timers of one membership; `close()` ends them."""

    def __init__(self, tenant: Tenant, now: Callable[[], float]) -> None:
        self._tenant = tenant
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._token: asyncio.TimerHandle | None = None
        self._turn: asyncio.TimerHandle | None = None

    def hold(self, grants: Grants) -> float:
        """The membership ends with these grants, and is told before. The seconds until then."""
        left = grants.expires - self._now()
        notice = min(NOTICE, left / 2)
        self._at_token(grants.expires - notice, lambda: self._notice(grants.expires))
        return left

    def refresh(self, every: float, ice_servers: Callable[[], list[IceServer]]) -> None:
        """Tells the ICE servers anew `every` so many seconds."""

        def tell() -> None:
            self._tenant.tell(IceServersChanged(ice_servers()))
            self._turn = self._loop.call_later(every, tell)

        self._turn = self._loop.call_later(every, tell)

    def close(self) -> None:
        """Ends all timers. Idempotent."""
        for timer in (self._token, self._turn):
            if timer is not None:
                timer.cancel()

    def _notice(self, expires: float) -> None:
        self._tenant.tell(TokenExpiring(max(0.0, round(expires - self._now(), 3))))
        self._at_token(expires, lambda: self._tenant.end(ProtocolError(Code.TOKEN_EXPIRED, EXPIRED)))

    def _at_token(self, when: float, do: Callable[[], None]) -> None:
        if self._token is not None:
            self._token.cancel()
        self._token = self._loop.call_later(max(0.0, when - self._now()), lambda: self._due(when, do))

    def _due(self, when: float, do: Callable[[], None]) -> None:
        if self._now() < when:
            self._at_token(when, do)
        else:
            do()
