"""Which pages may connect: the check of the Origin header (RFC 6455, section 10.2). No I/O, no clock."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def origin_allowed(origin: str | None, host: str, allowed: tuple[str, ...] = ()) -> bool:
    """Whether a request with this Origin header may use a server that it addressed as `host` (its Host header).

    Without the header it comes from no browser and may. Pages of the same host, of loopback and of `allowed` may too.
    Ports are not compared: a proxy in front of the server may have changed them.
    """
    if origin is None:
        return True
    if origin in allowed or "*" in allowed:
        return True
    name = _hostname(origin)
    return name is not None and (name == _hostname(f"//{host}") or is_loopback(name))


def is_loopback(name: str) -> bool:
    """Whether a host name or address is that of this machine only."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
