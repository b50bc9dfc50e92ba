"""Who asks, through which proxies: `Forwarded` (RFC 7239) and `X-Forwarded-*`. No I/O, no clock.

What such a header says counts only as far as somebody trusted wrote it: the addresses are walked from the nearest one
on, and the first that is not on the list of trusted networks is the client. Whatever stands before it may be invented.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

MAX_HOPS: Final = 32
UNKNOWN: Final = "unknown"
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for what: the client's address ("" where there is none), and the scheme and host that it used."""

    address: str
    scheme: str
    host: str


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy said of who asked it; None: nothing that can be used."""

    address: Address | None
    scheme: str | None = None
    host: str | None = None


def network(text: str) -> Network:
    """The network `192.0.2.0/24`, `2001:db8::/32` or of one address. Raises ValueError with a sentence."""
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is no network ({error}); write one like 10.0.0.0/8 or 192.0.2.7") from None


def asker(direct: Asker, headers: Sequence[tuple[str, str]], trusted: Sequence[Network]) -> Asker:
    """Who really asked, where `direct` is who our socket is connected to and what its request line and Host say.

    `X-Forwarded-For` stands above `Forwarded`; a proxy that writes the one has to remove the other. What a trusted
    proxy calls no address that can be read (`unknown`, RFC 7239, section 6.2) is all one client, `unknown`.
    """
    peer = _address(direct.address)
    if peer is None or not _within(peer, trusted):
        return direct
    found, last = str(peer), _Hop(None)
    for hop in reversed((_x_forwarded(headers) or _forwarded(headers))[-MAX_HOPS:]):
        found, last = UNKNOWN if hop.address is None else str(hop.address), hop
        if hop.address is None or not _within(hop.address, trusted):
            break
    return Asker(found, last.scheme or direct.scheme, last.host or direct.host)


def limited_as(address: str) -> str:
    """What of an address limits are counted by: whoever has one IPv6 address has its whole /64 (RFC 6177)."""
    found = _address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in one for one in networks)


def _x_forwarded(headers: Sequence[tuple[str, str]]) -> list[_Hop]:
    """Every hop with the last scheme and host that were said: proxies pass them on or write them, one value each."""
    schemes, hosts = _values(headers, "x-forwarded-proto"), _values(headers, "x-forwarded-host")
    scheme, host = _scheme(schemes[-1]) if schemes else None, _host(hosts[-1]) if hosts else None
    return [_Hop(_address(text), scheme, host) for text in _values(headers, "x-forwarded-for")]


def _forwarded(headers: Sequence[tuple[str, str]]) -> list[_Hop]:
    """Elements are told apart by commas alone, quoted or not: a client's open quote swallows no proxy's element."""
    hops = []
    for element in _values(headers, "forwarded"):
        pairs = {key.strip().lower(): value.strip().strip('"') for key, _, value in map(_halves, element.split(";"))}
        hops.append(_Hop(_address(pairs.get("for", "")), _scheme(pairs.get("proto")), _host(pairs.get("host"))))
    return hops


def _halves(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


def _values(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value.strip() for key, text in headers if key.lower() == name for value in text.split(",") if value.strip()]


def _scheme(text: str | None) -> str | None:
    return _SCHEMES.get(text.lower()) if text else None


def _host(text: str | None) -> str | None:
    return text if text and len(text) <= 255 and _HOST.fullmatch(text) else None


def _address(text: str) -> Address | None:
    """An address, with or without a port (RFC 7239, section 6); IPv4 in IPv6's clothes as what it is."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
