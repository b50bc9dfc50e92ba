"""TLS with a certificate that may change while the server runs: a bad new pair is refused, and the old one stays.

Each connection gets the context that is valid when its handshake begins. A pair is proven by a handshake in memory
before anybody gets it, so that a key of another certificate, or half a chain, is found here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from signaling.operation import TlsFiles

logger = logging.getLogger(__name__)

POLL: Final = 2.0  # seconds between two looks at the files
_MAX_ROUNDS: Final = 10  # of a handshake in memory; it takes four


class BadCertificate(ValueError):
    """A certificate and key that no client can be served with; one sentence that says what to do."""


@dataclass(frozen=True)
class Pair:
    """A certificate that works: the context to serve it with, and until when it is valid, in Unix time."""

    context: ssl.SSLContext
    expires: float


def load(files: TlsFiles) -> Pair:
    """Reads and tries a certificate. Blocks. Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (files.certificate, files.key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise BadCertificate(f"{path} cannot be read ({error.strerror}); correct its name or rights") from error
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except _KeyEncrypted:
        raise BadCertificate(f"the key in {files.key} wants a password; store it without one") from None
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "reason", None) or str(error)
        text = f"{files.certificate} and {files.key} are no certificate with its key, in PEM ({why}); correct them"
        raise BadCertificate(text) from error
    return Pair(context, _expiry(context, files))


class Certificates:
    """The pair in use. `context` is for listening; `watch` looks for changes until it is cancelled."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads them, so it blocks. Raises BadCertificate."""
        self._files = files
        self._seen = self._tried = _state(files)
        self._pair = load(files)
        self.context = self._pair.context
        self.context.sni_callback = self._choose

    @property
    def expires(self) -> float:
        """Until when the pair in use is valid, in Unix time."""
        return self._pair.expires

    async def watch(self) -> None:
        """Looks every two seconds, for ever."""
        while True:
            await asyncio.sleep(POLL)
            await self.look()

    async def look(self) -> None:
        """Takes a changed pair into use, once it is the same at two looks: the two files change one after the other."""
        before, self._seen = self._seen, await asyncio.to_thread(_state, self._files)
        if self._seen == self._tried or self._seen != before:
            return
        self._tried = self._seen
        try:
            self._pair = await asyncio.to_thread(load, self._files)
        except BadCertificate as error:
            logger.error("the new certificate is not used, the old one stays: %s", error)
        else:
            days = (self._pair.expires - time.time()) / 86400
            logger.info("the new certificate is in use; it is valid for %.0f days", days)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        """Called in each handshake, with or without a name in it (RFC 6066, section 3)."""
        connection.context = self._pair.context


class _KeyEncrypted(Exception):
    """OpenSSL asks for the password of a key."""


def _no_password() -> str:
    raise _KeyEncrypted  # without a callback, OpenSSL asks on the terminal and waits


def _state(files: TlsFiles) -> tuple[Any, ...]:
    return (_stamp(files.certificate), _stamp(files.key))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does; links, as of certbot, are followed."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _expiry(server: ssl.SSLContext, files: TlsFiles) -> float:
    """Until when the certificate is valid. Raises BadCertificate when it is not valid now, or no client can use it."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # who issued it is not our business: it vouches for itself
    try:
        client.load_verify_locations(files.certificate)
        found = _handshake(client, server)
    except ssl.SSLCertVerificationError as error:
        text = f"clients will not take the certificate in {files.certificate} ({error.verify_message}); get a new one"
        raise BadCertificate(text) from error
    except (ssl.SSLError, OSError) as error:
        raise BadCertificate(f"{files.certificate} does not serve ({error}); get a new one") from error
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))


def _handshake(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> dict[str, Any]:
    """The certificate as a client has verified it. Raises ssl.SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up)
    server = server_context.wrap_bio(up, down, server_side=True)
    for _ in range(_MAX_ROUNDS):
        done = 0
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                done += 1
        if done == 2:
            break
    found: dict[str, Any] = client.getpeercert() or {}
    return found
