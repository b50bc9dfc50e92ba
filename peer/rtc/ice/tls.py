"""TLS to TURN servers: the context, made off the loop and kept, and what went wrong with a connection, in words."""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import Final

from peer.rtc.ice.lookup import NoRoute, ServerFailed
from peer.rtc.ice.servers import UNREACHABLE

MAX_CONTEXTS: Final = 16
"""Contexts kept, one for each CA file; all are forgotten when there are more."""

_OTHER_NAME: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_NOT_NOW: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED

_contexts: dict[str | None, ssl.SSLContext] = {}


async def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the system's authorities, and those in the file. Reading them takes a while: not on the loop."""
    context = _contexts.get(ca_file)
    if context is None:
        try:
            context = await asyncio.to_thread(_make_context, ca_file)
        except (OSError, ValueError) as error:
            raise ServerFailed(
                UNREACHABLE, f"the CA file {ca_file} cannot be read", "give a file with certificates in PEM form"
            ) from error
        if len(_contexts) >= MAX_CONTEXTS:
            _contexts.clear()
        _contexts[ca_file] = context
    return context


def _make_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def connection_failed(error: Exception) -> ServerFailed:
    """What an exception while connecting, or of a connection, means for the user."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_failed(error)
    if isinstance(error, ssl.SSLError):
        text, advice = "it does not speak TLS there", "use turn: in place of turns:, or the server's TLS port"
    elif isinstance(error, ConnectionRefusedError):
        text, advice = "connection refused", "check the port, and that the server runs"
    elif isinstance(error, ConnectionError):
        text, advice = "it closed the connection", "check that what listens there is a TURN server"
    elif isinstance(error, TimeoutError):
        text, advice = "no connection in time", "check the address, and that a firewall lets it through"
    elif isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return NoRoute(UNREACHABLE, "no route to it from here", "check the network of this host")
    else:
        text, advice = f"no connection ({getattr(error, 'strerror', None) or type(error).__name__})", ""
    return ServerFailed(UNREACHABLE, text, advice)


def _certificate_failed(error: ssl.SSLCertVerificationError) -> ServerFailed:
    if error.verify_code in _OTHER_NAME:
        text = "its certificate is for another name"
        advice = "use the name that the certificate is for in the URL"
    elif error.verify_code in _NOT_NOW:
        text = "its certificate has expired or is not valid yet"
        advice = "renew it, or correct the clock of this host"
    else:
        text = f"its certificate is not trusted ({error.verify_message})"
        advice = "give the authority that signed it as the CA file (--ca-file)"
    return ServerFailed(UNREACHABLE, text, advice)
