"""How a server is operated: TLS, proxies in front, figures, the administrator; frozen, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from signaling.forwarded import Network

MIN_SECRET: Final = 16  # characters


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """The certificate with its chain, and its key without a password, both in PEM; read anew when they change."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`tls`: speak TLS only. `trusted_proxies`: whose `X-Forwarded-*` and `Forwarded` are believed.

    `metrics`: host and port of the listener for `/metrics`, which asks nobody who they are. `admin_secret`: what the
    administrator's requests carry as their bearer token; without one `/admin/` refuses everybody.
    """

    tls: TlsFiles | None = None
    trusted_proxies: tuple[Network, ...] = ()
    metrics: tuple[str, int] | None = None
    admin_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.metrics is not None and not 0 <= self.metrics[1] <= 65535:
            raise ValueError(f"{self.metrics[1]} is no port; use 0 (any free one) to 65535")
        if self.admin_secret is not None and len(self.admin_secret) < MIN_SECRET:
            raise ValueError(f"the administrator's secret is short; use {MIN_SECRET} characters or more")
