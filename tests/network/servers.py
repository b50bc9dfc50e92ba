"""Real servers in the public part: coturn twice (long-term and REST credentials), with a CA of the laboratory's own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import hmac
import shutil
import socket
import sys
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.servers import SILENT_SECONDS, TRIALS, answers_stun
from tests.network.namespaces import LabError, inside
from tests.network.theory import Help

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from tests.network.lab import Lab

USER, PASSWORD = "ada", "difference-engine"
SECRET = "shared-between-turn-and-signaling"
REALM = "lab"
SIGNALING = ("203.0.113.14", 443)
ROOT = Path(__file__).parents[2]

DEAD = (
    {"urls": ["stun:dead.lab:3478"]},
    {"urls": ["stun:nowhere.lab:3478"]},
    {"urls": ["turn:dead.lab:3478", "turn:dead.lab:3478?transport=tcp"], "username": USER, "credential": PASSWORD},
)
"""Servers that nobody is behind: packets to them are swallowed, and one's name resolves to nothing."""


def ice_servers(helps: frozenset[Help], *, dead: bool = False, rest: bool = False) -> list[dict[str, Any]]:
    """The RTCIceServer dictionaries for these; with dead ones first; with REST credentials."""
    account = rest_account("turn-user") if rest else (USER, PASSWORD)
    name = "rest.lab" if rest else "turn.lab"
    urls = {
        Help.TURN_UDP: f"turn:{name}:3478?transport=udp",
        Help.TURN_TCP: f"turn:{name}:3478?transport=tcp",
        Help.TURN_TLS: f"turns:{name}:443?transport=tcp",
    }
    servers: list[dict[str, Any]] = [*DEAD] if dead else []
    if Help.STUN in helps:
        servers.append({"urls": ["stun:stun.lab:3478"]})
    turn = [urls[each] for each in Help if each in helps and each in urls]
    if turn:
        servers.append({"urls": turn, "username": account[0], "credential": account[1]})
    return servers


def rest_account(name: str, seconds: int = 3600) -> tuple[str, str]:
    """User name and password as a signaling server makes them (draft-uberti-behave-turn-rest)."""
    user = f"{int(time.time()) + seconds}:{name}"
    digest = hmac.new(SECRET.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


class Servers:
    """The TURN servers of a laboratory, and our signaling server; `close()` ends them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._folder = Path(tempfile.mkdtemp(prefix="peerlab-"))
        self._processes: list[asyncio.subprocess.Process] = []

    @property
    def ca_file(self) -> Path:
        return self._folder / "ca.pem"

    async def start(self) -> None:
        await asyncio.to_thread(write_certificates, self._folder)
        long_term = ("--lt-cred-mech", f"--user={USER}:{PASSWORD}")
        rest = ("--use-auth-secret", f"--static-auth-secret={SECRET}")
        await asyncio.gather(self._turn("10", long_term), self._turn("11", rest), self._signaling())

    async def _signaling(self) -> None:
        program = "import sys; from peer.cli import main; sys.exit(main())"
        serve = ("-c", program, "serve", "--host", SIGNALING[0], "--port", str(SIGNALING[1]), "--open", "--quiet")
        await self._run("signaling", [sys.executable, *serve], lambda: _takes(SIGNALING))

    async def _turn(self, host: str, options: tuple[str, ...]) -> None:
        addresses = (f"203.0.113.{host}", f"2001:db8:ffff::{host}")
        command = [
            *("turnserver", "-n", *options),
            *(f"--listening-ip={address}" for address in addresses),
            *(f"--relay-ip={address}" for address in addresses),
            *("--listening-port=3478", "--tls-listening-port=443", f"--realm={REALM}", "--fingerprint"),
            *(f"--cert={self._folder / 'turn.pem'}", f"--pkey={self._folder / 'turn.key'}"),
            *(f"--userdb={self._folder / host}.db", f"--pidfile={self._folder / host}.pid"),
            *("--no-cli", "--no-dtls", "--no-multicast-peers", "--relay-threads=1", "--log-file=stdout"),
        ]
        asked = [
            ((each, port), way) for each in addresses for way, port in (("udp", 3478), ("tcp", 3478), ("tls", 443))
        ]
        await self._run(f"turn-{host}", command, lambda: all(answers_stun(*each) for each in asked))

    async def _run(self, name: str, command: list[str], answers: Callable[[], bool]) -> None:
        """Starts a server in public, once more if it stays silent; returns when it answers there."""
        for left in reversed(range(TRIALS)):
            process = await self._start(name, command)
            deadline = time.monotonic() + SILENT_SECONDS
            while process.returncode is None and time.monotonic() < deadline:
                if await asyncio.to_thread(inside, self._lab.public, answers):
                    return
                await asyncio.sleep(0.05)
            if not left:
                raise LabError(f"{command[0]} does not answer:\n{self.log(name)[-2000:]}")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self, name: str, command: list[str]) -> asyncio.subprocess.Process:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                # It ends with us, however we end.
                *("ip", "netns", "exec", self._lab.public, "setpriv", "--pdeathsig", "KILL", *command),
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    async def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes))
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _takes(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def write_certificates(folder: Path) -> None:
    """A CA (ca.pem) and a certificate of the TURN servers (turn.pem, turn.key), good for a day."""
    ca_key, ca = _certificate("laboratory CA")
    key, certificate = _certificate("turn.lab", (ca_key, ca))
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "turn.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "turn.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    name: str, issuer: tuple[EllipticCurvePrivateKey, x509.Certificate] | None = None
) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer, signer_name = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer:
        names = [x509.DNSName("turn.lab"), x509.DNSName("rest.lab"), x509.IPAddress(ip_address("203.0.113.10"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(signer, hashes.SHA256())
