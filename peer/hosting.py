"""The signaling server and its page inside our own process: for `peer serve`, `peer demo` and `peer.run`.

The only module of `peer` that imports the server; everything else talks to it over its protocol. `peer token` gets what
makes keys and tokens from here, too.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from peer.errors import UsageError
from signaling.app import Access, CannotListen, Limits, PortTaken, Server, Settings
from signaling.credentials import Claims, TurnAccess, mint, peek
from signaling.forwarded import network
from signaling.keyring import new_key_pair, new_secret
from signaling.keyring import read as read_keys
from signaling.keys import BadKey, Key, secret_key
from signaling.operation import Operation, TlsFiles
from signaling.ports import listen
from signaling.tls import load as load_certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from signaling.messages import IceServer

__all__ = [
    "Access", "BadKey", "Claims", "Hosted", "Key", "Limits", "Operation", "PortInUse", "PortTaken", "TlsFiles",
    "TurnAccess", "listen", "load_certificate", "look_at_redis", "mint", "network", "new_key_pair", "new_secret",
    "peek", "read_keys", "secret_key", "serve",
]  # fmt: skip


def look_at_redis(url: str) -> str:
    """What there is at this URL, in a few words; blocks for some seconds at most. Raises ValueError."""
    try:
        from signaling.redisplane import look
    except ImportError as error:
        raise ValueError(f"redis cannot be used ({error}); install it: pip install 'webrtc-peer[redis]'") from error
    return look(url)


class PortInUse(UsageError):
    """The port is taken; the message says by whom, and which to use instead."""


@dataclass(frozen=True)
class Hosted:
    """A server that runs."""

    server: Server

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        """The address for programs on this machine."""
        return self.server.url

    @property
    def urls(self) -> list[str]:
        """The addresses for people, the local one first."""
        return self.server.urls

    @property
    def metrics_port(self) -> int | None:
        """The port of `/metrics`, where there is one."""
        return self.server.metrics_port

    async def drain(self, seconds: float) -> None:
        """Sends all clients elsewhere, evenly over time; see `Server.drain`."""
        await self.server.drain(seconds)

    def page(self, room: str, name: str | None = None) -> str:
        """The address to open in a browser: with a name the page joins without a click."""
        query = {"room": room} | ({"name": name} if name else {})
        return f"{self.urls[0]}/?{urlencode(query)}"


@asynccontextmanager
async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    ice_servers: Sequence[IceServer] = (),
    static: Path | None = None,
    limits: Limits | None = None,
    allowed_origins: Sequence[str] = (),
    redis: str | None = None,
    peerjs_path: str = "/",
    access: Access | None = None,
    open: bool = False,
    turn: TurnAccess | None = None,
    operation: Operation | None = None,
) -> AsyncIterator[Hosted]:
    """Serve until the `async with` is left, which takes less than 3 s. `redis`: see docs/many-nodes.md.

    Raises:
        PortInUse: the port is taken.
        UsageError: the address cannot be listened on, or is none, or would let everybody in; a key or a certificate
            cannot be used.
    """
    try:
        server = Server(
            Settings(
                host=host,
                port=port,
                ice_servers=tuple(ice_servers),
                static=static,
                limits=limits or Limits(),
                allowed_origins=tuple(allowed_origins),
                redis=redis,
                peerjs_path=peerjs_path,
                access=access,
                open=open,
                turn=turn,
                operation=operation or Operation(),
            )
        )
        await server.start()
    except PortTaken as error:
        raise PortInUse(str(error)) from error
    except (CannotListen, ValueError) as error:  # ValueError: settings, keys or a certificate that cannot be
        raise UsageError(str(error)) from error
    try:
        yield Hosted(server)
    finally:
        await server.close()
