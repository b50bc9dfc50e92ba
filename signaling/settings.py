"""What can be set on a server, with its limits; frozen, checked when made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from signaling.credentials import LEEWAY, TurnAccess
from signaling.ice_servers import BadIceServer, IceServer, parse_ice_servers
from signaling.messages import MAX_MESSAGE_BYTES
from signaling.operation import Operation
from signaling.origins import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE_BYTES = 64 * 1024
_PATH = re.compile(r"/?([\w.~-]{1,64}/){0,8}([\w.~-]{1,64})?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what one client, one room and all of them may take; docs/protocol.md names the codes that follow.

    Sizes are in bytes of UTF-8, times in seconds. A client that went silent is noticed after at most two `heartbeat`s.
    """

    room_size: int = 64
    connections: int = 1024
    exchanges: int = 1024  # unanswered offers over plain HTTP, and sessions of WHIP and WHEP
    message_bytes: int = MAX_MESSAGE_BYTES
    messages_per_second: int = 100
    burst: int = 500  # messages at once, after a quiet time: a newcomer calls everybody, with all its candidates
    outbox_bytes: int = 4 * 1024 * 1024
    heartbeat: float = 10.0
    join_timeout: float = 10.0
    answer_timeout: float = 20.0
    close_timeout: float = 1.0
    grace: float = 30.0  # for a member that lost its connection to resume its place
    missed_messages: int = 256  # kept for each member that has not acknowledged them
    missed_bytes: int = 256 * 1024
    session_timeout: float = 24 * 3600.0  # a session of WHIP or WHEP of which nothing was heard; its media goes on
    # Of one address, except loopback, and of one access token: WebSockets at a time, joins, offers over HTTP.
    caller_connections: int = 256
    caller_joins: float = 20.0  # a second, on average
    caller_joins_burst: int = 256
    caller_offers: float = 20.0
    caller_offers_burst: int = 100
    # Of all callers together, into one room.
    room_joins: float = 100.0
    room_joins_burst: int = 500
    room_offers: float = 100.0
    room_offers_burst: int = 500

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) <= 0:
                raise ValueError(f"{one.name} has to be more than 0, not {getattr(self, one.name)!r}; raise it")


@dataclass(frozen=True, kw_only=True)
class Access:
    """With which keys access tokens are checked; any of them will do. docs/tokens.md says what the files hold.

    `audience`: what tokens have to name in `aud`; `leeway`: seconds by which clocks may differ.
    """

    key_files: tuple[Path, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    audience: str | None = None
    leeway: float = LEEWAY

    def __post_init__(self) -> None:
        if not self.key_files and not self.secrets:
            raise ValueError("there is no key to check tokens with; name a key file or a secret")
        if not 0 <= self.leeway <= 600:
            raise ValueError(f"a leeway of {self.leeway:g} s is none; use 0 to 600")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to serve: the address, the ICE servers handed to every client, the user's own pages, the limits.

    `access`: who may come in; without, everybody may do everything, and then the server listens on loopback only,
    unless `open` says that this is meant. `turn`: TURN servers for which each participant gets its own password.
    `static` is a folder whose files are served beside the built-in page. `allowed_origins` are further origins
    (`https://example.org`) whose pages may connect; the server's own host and loopback always may. `redis` is the URL
    of a Redis over which this server is one of several nodes (docs/many-nodes.md); None: it is alone. `peerjs_path` is
    the `path` that pages written with PeerJS give; slashes at its ends do not count.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    ice_servers: tuple[IceServer, ...] = ()
    static: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    redis: str | None = field(default=None, repr=False)  # it may hold a password
    peerjs_path: str = "/"
    limits: Limits = field(default_factory=Limits)
    access: Access | None = None
    open: bool = False
    turn: TurnAccess | None = field(default=None, repr=False)
    operation: Operation = field(default_factory=Operation)

    def __post_init__(self) -> None:
        if self.access is None and not self.open and not is_loopback(self.host):
            raise ValueError(
                f"on {self.host or 'every address'} everybody who reaches it could enter every room; "
                "give it keys (access=), or open=True if everybody may"
            )
        if not 0 <= self.port <= 65535:
            raise ValueError(f"{self.port} is no port; use 0 (any free one) to 65535")
        if self.redis is not None and not self.redis.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("this is not the URL of a Redis; write one like redis://localhost:6379")
        if not _PATH.fullmatch(self.peerjs_path):
            raise ValueError(f"{self.peerjs_path!r} is no path for PeerJS; use one such as / or /myapp")


def load_ice_servers(path: Path) -> tuple[IceServer, ...]:
    """The ICE servers of the file `path`: JSON as in browsers, or one URL a line. Raises BadIceServer; blocks."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadIceServer(f"the ICE servers in {path} cannot be read ({error}); correct the file") from error
    if len(text) > _MAX_FILE_BYTES:
        raise BadIceServer(f"the file {path} is too long for a list of ICE servers; shorten it")
    try:
        return tuple(parse_ice_servers(text))
    except BadIceServer as error:
        raise BadIceServer(f"in {path}: {error}") from error
