"""Certificates made for one test: an authority, and a server that it vouches for."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Files in PEM form."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, *names: str, days: int = 1) -> Certificate:
    """A certificate for these names and addresses, signed by an authority of its own; `days` below 0: expired."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name("test authority")
    authority = (
        _builder(issuer, issuer, authority_key, days=abs(days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _builder(_name(names[0]), issuer, server_key, days=days)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    made = Certificate(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    begin, end = sorted((now - datetime.timedelta(hours=1), now + datetime.timedelta(days=days)))
    if days < 0:
        begin, end = now + datetime.timedelta(days=days), now - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def another_fingerprint(text: str) -> str:
    """The description, with fingerprints that no certificate of its side has."""
    wrong = re.compile(r"(a=fingerprint:sha-\d+ \S)(\S)")
    return wrong.sub(lambda digits: digits[1] + ("1" if digits[2] == "0" else "0"), text)
