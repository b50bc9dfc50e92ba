"""`peer serve --check`: everything that would keep the server from running, found without running it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peer.cli import output
from peer.errors import Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.cli.settings import ServeSettings

SOON = 14.0
"""Days before the end of a certificate from which on it is said."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one check found: a sentence, and whether the server can run like that."""

    name: str
    ok: bool
    text: str


def check(settings: ServeSettings) -> list[Found]:
    """Looks at all of it. Blocks, for some seconds at most."""
    checks: list[tuple[str, Callable[[ServeSettings], str | None]]] = [
        ("keys", _keys),
        ("ice-servers", _ice_servers),
        ("static", _static),
        ("limits", _limits),
        ("operation", _operation),
        ("certificate", _certificate),
        ("redis", _redis),
        ("port", _port),
        ("metrics-port", _metrics_port),
    ]
    found = []
    for name, look in checks:
        try:
            text = look(settings)
        except (Error, OSError, ValueError) as error:
            found.append(Found(name, ok=False, text=str(error)))
        else:
            if text is not None:
                found.append(Found(name, ok=True, text=text))
    return found


def report(found: list[Found], *, json: bool) -> int:
    """Prints what was found; the exit code."""
    code = 0 if all(one.ok for one in found) else UsageError.exit_code
    if json:
        checks: list[dict[str, Any]] = [{"name": one.name, "ok": one.ok, "text": one.text} for one in found]
        output.print_json({"exitCode": code, "checks": checks})
    else:
        for one in found:
            output.say(f"{'ok' if one.ok else 'FAIL':5} {one.name:13} {one.text}")
    return code


def _keys(settings: ServeSettings) -> str:
    from peer.hosting import read_keys

    settings.identity.check(settings.host)
    access = settings.identity.access()
    turn = settings.identity.turn_access()
    passwords = f"; passwords for {len(turn.urls)} TURN servers" if turn is not None else ""
    if access is None:
        return f"none: everybody may come in who reaches {settings.host}{passwords}"
    count = len(access.secrets) + sum(len(read_keys(path)) for path in access.key_files)
    return f"{count} that tokens may be signed with{passwords}"


def _ice_servers(settings: ServeSettings) -> str | None:
    count = len(settings.parsed())
    return f"{count} for every client" if count else "none: clients behind NATs may not reach each other"


def _static(settings: ServeSettings) -> str | None:
    if settings.static is None:
        return None
    return f"{sum(1 for _ in settings.static.iterdir())} entries in {settings.static}"


def _limits(settings: ServeSettings) -> str | None:
    limits = settings.limits()
    return f"{limits.connections} connections, {limits.caller_connections} of one address, {limits.room_size} in a room"


def _operation(settings: ServeSettings) -> str | None:
    operation = settings.operating.operation()
    proxies = ", ".join(map(str, operation.trusted_proxies)) or "none"
    admin = "open to who has the secret" if operation.admin_secret is not None else "closed"
    return f"trusted proxies: {proxies}; /admin/: {admin}"


def _certificate(settings: ServeSettings) -> str | None:
    from peer.hosting import load_certificate

    tls = settings.operating.operation().tls
    if tls is None:
        return None
    days = (load_certificate(tls).expires - time.time()) / 86400
    return f"valid for {days:.0f} days" + ("; renew it" if days < SOON else "")


def _redis(settings: ServeSettings) -> str | None:
    from peer.hosting import look_at_redis

    return look_at_redis(settings.redis) if settings.redis is not None else None


def _port(settings: ServeSettings) -> str | None:
    return _free(settings.host, settings.port)


def _metrics_port(settings: ServeSettings) -> str | None:
    metrics = settings.operating.operation().metrics
    return _free(*metrics, flags="--metrics-") if metrics is not None else None


def _free(host: str, port: int, flags: str = "--") -> str:
    from peer.hosting import PortTaken, listen

    try:
        for one in listen(host, port, flags=flags):
            one.close()
    except PortTaken as error:
        if "(peer serve)" not in str(error):
            raise
        return f"{port} is in use by another peer serve; good, if it is the one that you replace"
    return f"{port} of {host} is free" if port else f"any free one of {host}"
