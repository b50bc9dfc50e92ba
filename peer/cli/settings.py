"""What `peer serve` was told, checked; and how it is shown without its secrets."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peer.cli.operating import OperatingFlags

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from peer.cli.identity import Identity
    from peer.hosting import Limits
    from signaling.messages import IceServer

NO_CAMERA = (
    "browsers give a page no camera or microphone over plain http from another machine; "
    "use --tls-cert or a proxy with https in front, or open the page on this machine"
)
"""What whoever opens the server to the network has to know."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The configuration of the server; texts of ICE servers as they were written."""

    host: str
    port: int
    room: str
    ice_servers: Sequence[str]
    static: Path | None
    origins: Sequence[str]
    room_size: int
    peerjs_path: str
    seconds: float | None
    identity: Identity
    operating: OperatingFlags = field(default_factory=OperatingFlags)
    redis: str | None = None

    def limits(self) -> Limits:
        """The limits of the server. Raises UsageError."""
        return self.operating.limits(self.room_size)

    def parsed(self) -> list[IceServer]:
        """The ICE servers. Raises UsageError."""
        from peer.joining import ice_server

        return [server for text in self.ice_servers for server in ice_server(text)]

    def shown(self) -> dict[str, Any]:
        """Name and value of everything, passwords masked."""
        return {
            "host": self.host,
            "port": self.port,
            "room": self.room,
            "ice_servers": [masked(server) for server in self.parsed()],
            "static": str(self.static) if self.static else None,
            "origins": list(self.origins),
            "room_size": self.room_size,
            "peerjs_path": self.peerjs_path,
            "redis": re.sub(r"//[^/@]*@", "//***@", self.redis) if self.redis else None,
            "seconds": self.seconds,
            **self.identity.shown(),
            **self.operating.shown(),
        }


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def masked(server: IceServer) -> str:
    """An ICE server as it may be shown to anybody."""
    if server.username is None and server.credential is None:
        return ",".join(server.urls)
    user = json.dumps(server.username or "")[1:-1]
    return ",".join(re.sub(r"^(\w+:)", lambda scheme: f"{scheme[1]}{user}:***@", url) for url in server.urls)
