"""The addresses of this host: what there is, and which of them a call may use."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import sys
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

import ifaddr

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.rtc.ice.servers import IceSettings

MAX_ADDRESSES: Final = 16
"""More do not make a call more likely, only its check list longer; the ones with the least preference are left out."""

KEPT_SECONDS: Final = 0.5
"""Many calls that begin at once look once; who watches for changes (`netwatch`) looks afresh, for all."""

_PROBES: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses: nothing is sent there, the kernel only tells which address it would send from."""

_SIOCGIFFLAGS: Final = 0x8913
_UP_AND_RUNNING: Final = 0x41


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of a network interface."""

    interface: str
    index: int
    """The kernel's number of the interface; 0 where it is not known."""
    address: str

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.address).is_loopback


@dataclass(slots=True)
class _Known:
    addresses: Sequence[LocalAddress] = ()
    sources: Sequence[str] = ()
    at: float = -math.inf


_known = _Known()


def all_addresses(*, fresh: bool = False) -> list[LocalAddress]:
    """Every address that a socket can be bound to, without link-local IPv6 ones, which nobody elsewhere can use.

    Takes a millisecond and waits for nothing; unless `fresh`, what was found in the last half second counts still.
    Interfaces that are down or without a cable are left out (Linux tells), and so is an address whose uniqueness is
    still being probed for, which cannot be bound.
    """
    return list(_looked(fresh=fresh).addresses)


def sources() -> list[str]:
    """The addresses that packets to the rest of the world leave from, IPv4 first."""
    return list(_looked().sources)


def _looked(*, fresh: bool = False) -> _Known:
    now = time.monotonic()
    if fresh or now - _known.at > KEPT_SECONDS:
        _known.addresses, _known.at = _look(), now
        _known.sources = [found for version in (4, 6) if (found := outgoing(version))]
    return _known


def _look() -> list[LocalAddress]:
    found = []
    for adapter in ifaddr.get_adapters():
        if not is_running(adapter.nice_name):
            continue
        for entry in adapter.ips:
            text = entry.ip[0] if isinstance(entry.ip, tuple) else entry.ip
            if _is_usable(ip_address(text)) and can_bind(text):
                found.append(LocalAddress(adapter.nice_name, adapter.index or 0, text))
    return found


def _is_usable(address: IPv4Address | IPv6Address) -> bool:
    if address.version == 6 and address.is_link_local:
        return False
    return not (address.is_unspecified or address.is_multicast)


def is_running(interface: str) -> bool:
    """Whether packets can go through the interface; true where that cannot be told."""
    if sys.platform != "linux":
        return True
    import fcntl

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("16sH14x", interface.encode()[:15], 0))
        flags: int = struct.unpack("16sH14x", answer)[1]
        return flags & _UP_AND_RUNNING == _UP_AND_RUNNING
    return True


def can_bind(address: str) -> bool:
    """Whether the kernel lets a socket have the address now."""
    with contextlib.suppress(OSError), socket.socket(family(address), socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def family(address: str) -> socket.AddressFamily:
    """The socket family of an IP address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def is_ip(text: str) -> bool:
    """Whether it is an IP address, and not a name that would have to be looked up."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def usable_addresses(settings: IceSettings) -> list[LocalAddress]:
    """The addresses that the settings allow, the preferred first. Raises UsageError for a filter that cannot be."""
    return select(all_addresses(), settings, preferred=sources())


def select(
    addresses: Iterable[LocalAddress], settings: IceSettings, *, preferred: Sequence[str] = ()
) -> list[LocalAddress]:
    """Pure part of `usable_addresses`: filters, sorts, and has loopback addresses only where nothing else is left."""
    filters = [_Filter(text) for text in settings.interfaces]
    versions = {version for version, wanted in ((4, settings.ipv4), (6, settings.ipv6)) if wanted}
    allowed = [
        local
        for local in dict.fromkeys(addresses)
        if local.version in versions and (not filters or any(each.matches(local) for each in filters))
    ]
    if not any(each.is_exact for each in filters):
        allowed = [local for local in allowed if not local.is_loopback] or allowed
    # RFC 8421 section 4: families take turns, so that neither has to wait for all of the other.
    ranks = {4: 0, 6: 0}
    ordered = []
    for local in sorted(allowed, key=lambda local: local.address not in preferred):
        ordered.append((ranks[local.version], local.version == 4, local))
        ranks[local.version] += 1
    return [local for _, _, local in sorted(ordered, key=lambda entry: entry[:2])][:MAX_ADDRESSES]


class _Filter:
    """One entry of `IceSettings.interfaces`: the name of an interface, an address or a network."""

    def __init__(self, text: str) -> None:
        self._name = text
        self._network = None
        if "/" in text or is_ip(text):
            try:
                self._network = ip_network(text, strict=False)
            except ValueError:
                raise UsageError(
                    f"{text!r} is no interface, address or network; write one like eth0, 192.0.2.1 or 192.0.2.0/24"
                ) from None

    @property
    def is_exact(self) -> bool:
        """Whether a loopback address that it matches was asked for, and is not just one among all."""
        return self._network is None or self._network.is_loopback

    def matches(self, local: LocalAddress) -> bool:
        if self._network is None:
            return self._name in (local.interface, local.interface.partition(":")[0])
        address = ip_address(local.address)
        return address.version == self._network.version and address in self._network


def outgoing(version: int) -> str | None:
    """The address that packets to the rest of the world leave from; nothing is sent to find out."""
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(kind, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((_PROBES[version], 9))
        address: str = probe.getsockname()[0]
        return address
    return None
