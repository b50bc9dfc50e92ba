"""Public addresses announced in place of private ones (NAT 1:1, as cloud hosts have). Pure."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from peer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.interfaces import LocalAddress


def public_addresses(local: Sequence[LocalAddress], public: Sequence[str]) -> dict[str, str]:
    """Local address -> what is announced for it: the first public one of a family for the preferred local one, ...

    A host has one of each mostly. Further local addresses (of containers, say) are announced as they are. Raises
    UsageError for what is no address.
    """
    for text in public:
        try:
            ip_address(text)
        except ValueError:
            raise UsageError(f"the public address {text!r} is no IP address; write one like 203.0.113.5") from None
    found: dict[str, str] = {}
    for version in (4, 6):
        here = [each.address for each in local if each.version == version]
        there = [str(ip_address(text)) for text in public if ip_address(text).version == version]
        found.update(zip(here, there, strict=False))
    return found


def announced(candidate: Candidate, public: Mapping[str, str]) -> Candidate:
    """The host candidate that the other side is told: only its address differs, the port has to be the same."""
    address = public.get(candidate.address)
    return candidate if address is None else replace(candidate, address=address)
