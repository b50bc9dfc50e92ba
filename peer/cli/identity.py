"""Who may use the server of `peer serve`: its flags for keys and for TURN passwords, checked, and shown unspoilt."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from peer.cli.settings import is_local
from peer.errors import UsageError

if TYPE_CHECKING:
    from signaling.credentials import TurnAccess
    from signaling.settings import Access

_MAX_SECRET: Final = 4096
_PANEL: Final = "Who may come in"

KeyFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        show_default=False,
        rich_help_panel=_PANEL,
        help="Let in who has a token of a key in FILE (docs/tokens.md); read anew when it changes; repeatable.",
    ),
]
SecretEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=_PANEL, help="The same, with the secret in the environment variable NAME."
    ),
]
Audience = Annotated[
    str | None, typer.Option(metavar="AUD", rich_help_panel=_PANEL, help="Take only tokens whose claim aud names AUD.")
]
Open = Annotated[
    bool, typer.Option("--open", rich_help_panel=_PANEL, help="Without keys: let everybody in who reaches --host.")
]
TurnUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--turn",
        metavar="URL",
        show_default=False,
        rich_help_panel=_PANEL,
        help="TURN server with a shared secret, such as turn:HOST:3478; each participant gets a password; repeatable.",
    ),
]
TurnSecretFile = Annotated[
    Path | None, typer.Option(metavar="FILE", rich_help_panel=_PANEL, help="Its static-auth-secret is in FILE.")
]
TurnSecretEnv = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_PANEL, help="It is in the environment variable NAME."),
]
TurnTtl = Annotated[
    str, typer.Option(metavar="TIME", rich_help_panel=_PANEL, help="How long a password of it is good: 90s, 10m, 1h.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the flags say; secrets are read from where they are when they are needed, and kept nowhere."""

    key_file: Sequence[Path] = ()
    secret_env: str | None = None
    audience: str | None = None
    open: bool = False
    turn: Sequence[str] = ()
    turn_secret_file: Path | None = None
    turn_secret_env: str | None = None
    turn_ttl: float = 3600.0

    def check(self, host: str) -> None:
        """Raises UsageError where everybody in the network could come in and nobody said so."""
        keyed = bool(self.key_file or self.secret_env)
        if not keyed and not self.open and not is_local(host):
            raise UsageError(
                f"--host {host} would let everybody who reaches it enter every room; add --key-file FILE so that only "
                "who has a token may (peer token --new-key FILE makes one), or --open if everybody may"
            )
        if self.audience is not None and not keyed:
            raise UsageError("--audience says nothing without --key-file or --secret-env; add one of them")

    def access(self) -> "Access | None":
        """The keys. Raises UsageError."""
        from peer.hosting import Access

        if not self.key_file and self.secret_env is None:
            return None
        secrets = (of_environment(self.secret_env, "--secret-env"),) if self.secret_env is not None else ()
        return Access(key_files=tuple(self.key_file), secrets=secrets, audience=self.audience)

    def turn_access(self) -> "TurnAccess | None":
        """The TURN servers with a shared secret. Raises UsageError."""
        from peer.hosting import TurnAccess

        if not self.turn:
            if self.turn_secret_file or self.turn_secret_env:
                raise UsageError("a secret of a TURN server needs --turn URL too; add it")
            return None
        if (self.turn_secret_file is None) == (self.turn_secret_env is None):
            raise UsageError("--turn needs its secret: give --turn-secret-file FILE or --turn-secret-env NAME")
        if self.turn_secret_file is not None:
            secret = _of_file(self.turn_secret_file)
        else:
            secret = of_environment(self.turn_secret_env or "", "--turn-secret-env")
        return TurnAccess(urls=tuple(map(_checked, self.turn)), secret=secret, ttl=self.turn_ttl)

    def shown(self) -> dict[str, Any]:
        """Name and value of everything; there is no secret among it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        texts = {"key_file": list(map(str, self.key_file)), "turn": list(self.turn)}
        return values | texts | {"turn_secret_file": str(self.turn_secret_file) if self.turn_secret_file else None}


def of_environment(name: str, flag: str) -> str:
    """The value of an environment variable. Raises UsageError where there is none."""
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(f"{flag} {name} names an environment variable that is not set; set it to the secret")
    return value


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the secret in {path} cannot be read ({reason}); correct --turn-secret-file") from error
    if not text:
        raise UsageError(f"{path} is empty; write the static-auth-secret of the TURN server into it")
    return text


def _checked(url: str) -> str:
    from peer.joining import ice_server

    if "@" in url or not url.startswith(("turn:", "turns:")):
        raise UsageError(f"--turn {url.rpartition('@')[2]} has to be like turn:HOST:3478, without user and password")
    scheme, _, address = url.partition(":")
    ice_server(f"{scheme}:user:password@{address}")
    return url
