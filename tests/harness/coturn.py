"""A real TURN server, coturn, on the loopback interface for as long as a test needs it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.certificates import Certificate, make_certificate
from tests.harness.servers import answers_stun, server
from tests.harness.tools import require

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

REALM = "example.org"

PORT, TLS_PORT, RELAYED = 0, 2, 10
"""Which of its ports. With two addresses it takes the one after each as well (RFC 5780); from RELAYED on it relays."""


@dataclass(frozen=True)
class Coturn:
    """A server that runs."""

    port: int
    tls_port: int
    username: str
    password: str
    certificate: Certificate | None
    process: subprocess.Popen[bytes]

    def url(self, transport: str = "udp", host: str = "127.0.0.1") -> str:
        """Its URL over udp, tcp or tls."""
        if transport == "tls":
            return f"turns:{host}:{self.tls_port}"
        return f"turn:{host}:{self.port}?transport={transport}"

    @property
    def stun_url(self) -> str:
        return f"stun:127.0.0.1:{self.port}"


@contextlib.contextmanager
def coturn(
    *options: str,
    users: dict[str, str] | None = None,
    secret: str | None = None,
    names: tuple[str, ...] = (),
    addresses: tuple[str, ...] = ("127.0.0.1",),
    ports: range | None = None,
) -> Iterator[Coturn]:
    """Runs one. It blocks: for fixtures that are no coroutines, and tests marked `may_block`.

    `users`: long-term credentials; `secret`: ephemeral ones in their place (`Coturn.username` is then one that is good
    for an hour); `names`: what its certificate is for, without any it speaks no TLS; `ports`: those of one
    which ran before, held by `ports.block()`; `options`: more of its own.
    """
    (program,) = require("turnserver")
    users = users or {"user": "correct-horse"}
    with tempfile.TemporaryDirectory(prefix="coturn-") as folder:
        certificate = make_certificate(Path(folder), *names) if names else None
        common = [program, *_options(folder), *_secured(certificate), *options]
        common += [f"{kind}={address}" for address in addresses for kind in ("--listening-ip", "--relay-ip")]
        if secret is None:
            common += ["--lt-cred-mech", *(f"--user={name}:{password}" for name, password in users.items())]
            username, password = next(iter(users.items()))
        else:
            common += ["--use-auth-secret", f"--static-auth-secret={secret}"]
            username, password = ephemeral_credentials(secret)

        def command(ports: range) -> list[str]:
            return [*common, *_places(ports)]

        def answers(ports: range) -> bool:
            return all(_answers(address, ports, with_tls=certificate is not None) for address in addresses)

        with server(command, answers, ports) as (mine, process):
            yield Coturn(mine[PORT], mine[TLS_PORT], username, password, certificate, process)


def ephemeral_credentials(secret: str, *, name: str = "user", seconds: int = 3600) -> tuple[str, str]:
    """User and password of the TURN REST API; expired with `seconds` below 0."""
    username = f"{int(time.time()) + seconds}:{name}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def _options(folder: str) -> list[str]:
    return [
        "-n",
        f"--realm={REALM}",
        "--fingerprint",
        "--no-cli",
        "--allow-loopback-peers",
        "--relay-threads=1",
        "--no-multicast-peers",
        "--simple-log",
        "--log-file=stdout",
        "--verbose",
        "--no-dtls",
        f"--userdb={folder}/turndb",
        f"--pidfile={folder}/pid",
    ]


def _secured(certificate: Certificate | None) -> list[str]:
    if certificate is None:
        return ["--no-tls"]
    return [f"--cert={certificate.certificate}", f"--pkey={certificate.key}"]


def _places(ports: range) -> list[str]:
    relayed = ports[RELAYED:]
    return [
        *(f"--listening-port={ports[PORT]}", f"--tls-listening-port={ports[TLS_PORT]}"),
        *(f"--min-port={relayed[0]}", f"--max-port={relayed[-1]}"),
    ]


def _answers(address: str, ports: range, *, with_tls: bool) -> bool:
    plain = all(answers_stun((address, ports[PORT]), transport) for transport in ("udp", "tcp"))
    return plain and (not with_tls or answers_stun((address, ports[TLS_PORT]), "tls"))
