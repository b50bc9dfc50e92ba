"""A real TURN server, coturn, on the loopback interface for as long as a test needs it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.certificates import Certificate, make_certificate
from tests.harness.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

REALM = "example.org"
START_SECONDS = 20.0


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
    port: int | None = None,
) -> Iterator[Coturn]:
    """Runs one. It blocks: for fixtures that are no coroutines, and tests marked `may_block`.

    `users`: long-term credentials; `secret`: ephemeral ones in their place (`Coturn.username` is then one that is good
    for an hour); `names`: what its certificate is for, without any it speaks no TLS; `port`: that of one
    which ran before; `options`: more of its own.
    """
    (program,) = require("turnserver")
    users = users or {"user": "correct-horse"}
    free_port, tls_port = _free_ports(2)
    port = port or free_port
    with tempfile.TemporaryDirectory(prefix="coturn-") as folder:
        certificate = make_certificate(Path(folder), *names) if names else None
        command = [program, *_options(port, folder), *options]
        command += [f"{kind}={address}" for address in addresses for kind in ("--listening-ip", "--relay-ip")]
        if certificate is None:
            command += ["--no-tls", "--no-dtls"]
        else:
            command += [f"--tls-listening-port={tls_port}", f"--cert={certificate.certificate}"]
            command += [f"--pkey={certificate.key}", "--no-dtls"]
        if secret is None:
            command += ["--lt-cred-mech", *(f"--user={name}:{password}" for name, password in users.items())]
            username, password = next(iter(users.items()))
        else:
            command += ["--use-auth-secret", f"--static-auth-secret={secret}"]
            username, password = ephemeral_credentials(secret)
        with _running(command, folder) as process:
            yield Coturn(port, tls_port, username, password, certificate, process)


def ephemeral_credentials(secret: str, *, name: str = "user", seconds: int = 3600) -> tuple[str, str]:
    """User and password of the TURN REST API; expired with `seconds` below 0."""
    username = f"{int(time.time()) + seconds}:{name}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def _options(port: int, folder: str) -> list[str]:
    return [
        "-n",
        f"--listening-port={port}",
        f"--realm={REALM}",
        "--fingerprint",
        "--no-cli",
        "--allow-loopback-peers",
        "--relay-threads=1",
        "--no-multicast-peers",
        "--simple-log",
        "--log-file=stdout",
        "--verbose",
        f"--userdb={folder}/turndb",
        f"--pidfile={folder}/pid",
    ]


@contextlib.contextmanager
def _running(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    log = Path(folder) / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait_until_listening(process, log, sum(word.startswith("--listening-ip=") for word in command))
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _wait_until_listening(process: subprocess.Popen[bytes], log: Path, addresses: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while log.read_text(errors="replace").count("UDP listener opened on") < addresses:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"coturn did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.01)


def _free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP on the loopback interface."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                found.append(tcp.getsockname()[1])
        return found
