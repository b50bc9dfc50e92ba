"""The flags with which `peer serve` is operated, and what they say together."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.hosting import Limits, Operation

_OPERATION: Final = "Operation"
_MAX_SECRET: Final = 4096


class LogFormat(StrEnum):
    """How events are written to standard error."""

    TEXT = "text"
    JSON = "json"


TlsCert = Annotated[
    Path | None,
    typer.Option(metavar="F", rich_help_panel=_OPERATION, help="Certificate and chain (PEM): speak https and wss."),
]
TlsKey = Annotated[
    Path | None, typer.Option(metavar="F", rich_help_panel=_OPERATION, help="The key of --tls-cert (PEM, no password).")
]
TrustProxy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CIDR",
        show_default=False,
        rich_help_panel=_OPERATION,
        help="Believe X-Forwarded-For, -Proto, -Host and Forwarded of proxies in this network; repeatable.",
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N",
        show_default=False,
        rich_help_panel=_OPERATION,
        help="Another limit than the default, such as connections=5000; repeatable.",
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        metavar="P", min=0, max=65535, rich_help_panel=_OPERATION, help="Port of /metrics for Prometheus, of its own."
    ),
]
MetricsHost = Annotated[
    str, typer.Option(metavar="H", rich_help_panel=_OPERATION, help="Address for --metrics-port; it asks for no token.")
]
Format = Annotated[
    LogFormat, typer.Option(rich_help_panel=_OPERATION, help="Lines for people, or one JSON object a line.")
]
Drain = Annotated[
    float,
    typer.Option(
        metavar="S",
        min=0,
        rich_help_panel=_OPERATION,
        help="On SIGTERM, send clients elsewhere over S seconds before the end.",
    ),
]
AdminSecretFile = Annotated[
    Path | None,
    typer.Option(metavar="F", rich_help_panel=_OPERATION, help="File with the secret that opens /admin/."),
]


@dataclass(frozen=True, slots=True)
class OperatingFlags:
    """What the flags of the panel "Operation" say."""

    tls_cert: Path | None = None
    tls_key: Path | None = None
    trust_proxy: Sequence[str] = ()
    limit: Sequence[str] = ()
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    log_format: LogFormat = LogFormat.TEXT
    drain: float = 0.0
    admin_secret_file: Path | None = None

    @property
    def secure(self) -> bool:
        """Whether pages come over https, from here or through a proxy."""
        return self.tls_cert is not None or bool(self.trust_proxy)

    def operation(self) -> "Operation":
        """Reads the secret, not yet the certificate. Raises UsageError."""
        from peer.hosting import Operation, TlsFiles, network

        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key belong together; give both")
        tls = TlsFiles(certificate=self.tls_cert, key=self.tls_key) if self.tls_cert and self.tls_key else None
        try:
            return Operation(
                tls=tls,
                trusted_proxies=tuple(network(text) for text in self.trust_proxy),
                metrics=(self.metrics_host, self.metrics_port) if self.metrics_port is not None else None,
                admin_secret=_secret(self.admin_secret_file) if self.admin_secret_file is not None else None,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error

    def limits(self, room_size: int) -> "Limits":
        """The limits of the server. Raises UsageError."""
        from peer.hosting import Limits

        kinds = {name.replace("_", "-"): type(value) for name, value in dataclasses.asdict(Limits()).items()}
        found: dict[str, Any] = {"room_size": room_size}
        for text in self.limit:
            name, _, value = text.partition("=")
            kind = kinds.get(name.strip().replace("_", "-"))
            if kind is None:
                raise UsageError(f"--limit {text}: there is no such limit; use one of {', '.join(sorted(kinds))}")
            try:
                found[name.strip().replace("-", "_")] = kind(value)
            except ValueError:
                raise UsageError(f"--limit {text}: {value!r} is no number; write {name}=N") from None
        try:
            return Limits(**found)
        except ValueError as error:
            raise UsageError(f"--limit: {error}") from error

    def shown(self) -> dict[str, Any]:
        """Name and value of everything. Secrets are in files, whose names are shown."""
        return {one.name: _plain(getattr(self, one.name)) for one in dataclasses.fields(self)}


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the secret in {path} cannot be read ({reason}); correct --admin-secret-file") from error
    if len(text) > _MAX_SECRET or "\n" in text:
        raise UsageError(f"{path} holds more than a secret; write one line into it")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, (list, tuple)) else value
