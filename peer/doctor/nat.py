"""Which kind of NAT it is, from what servers saw (RFC 4787, RFC 5780). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peer.doctor.findings import NatFinding, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.doctor.findings import Address, Filtering, Mapping, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The answers to the tests of RFC 5780 section 4 by one server."""

    server: Address
    mapped: Address
    mapped_by_other_address: Address | None = None
    """Section 4.3, test II; None: no answer."""
    mapped_by_other_port: Address | None = None
    """Section 4.3, test III."""
    heard_other_address: bool | None = None
    """Section 4.4, test II: from where nothing had been sent to; None: it could not be made."""
    heard_other_port: bool | None = None
    """Section 4.4, test III."""


def judge(local: Address, seen: Sequence[Seen], behaviour: Behaviour | None) -> NatFinding:
    """What one local address of ours is behind."""
    mapping = compared_mapping(local, seen)
    filtering: Filtering = "unknown"
    source: Source = "" if mapping == "unknown" else "comparison"
    if behaviour is not None:
        filtering = filtering_of(behaviour)
        tested = mapping_of(behaviour)
        if mapping != "none" and tested != "unknown":
            mapping = tested
        if "unknown" not in (filtering, tested):
            source = "RFC 5780"
    return NatFinding(local=local, seen=tuple(seen), mapping=mapping, filtering=filtering, source=source)


def mapping_of(tests: Behaviour) -> Mapping:
    """RFC 5780 section 4.3."""
    if tests.mapped_by_other_address is None:
        return "unknown"
    if tests.mapped_by_other_address == tests.mapped:
        return "endpoint-independent"
    if tests.mapped_by_other_port is None:
        return "unknown"
    if tests.mapped_by_other_port == tests.mapped_by_other_address:
        return "address-dependent"
    return "address-and-port-dependent"


def filtering_of(tests: Behaviour) -> Filtering:
    """RFC 5780 section 4.4."""
    if tests.heard_other_address is None:
        return "unknown"
    if tests.heard_other_address:
        return "endpoint-independent"
    return "address-dependent" if tests.heard_other_port else "address-and-port-dependent"


def compared_mapping(local: Address, seen: Sequence[Seen]) -> Mapping:
    """What follows from the answers of ordinary servers to one socket; two addresses of servers tell enough."""
    if not seen:
        return "unknown"
    if all(each.mapped == local for each in seen):
        return "none"
    by_server = {each.server: each.mapped for each in seen}
    hosts = {server[0] for server in by_server}
    if len(set(by_server.values())) == 1:
        return "endpoint-independent" if len(hosts) > 1 else "unknown"
    for host in hosts:
        if len({mapped for server, mapped in by_server.items() if server[0] == host}) > 1:
            return "address-and-port-dependent"
    # Other addresses saw other ports; whether the port of the server counts too, they cannot tell.
    return "address-dependent"


def is_symmetric(nat: NatFinding) -> bool:
    """Whether another mapping is used for another destination, so that what a STUN server says is of no use."""
    return nat.mapping in ("address-dependent", "address-and-port-dependent")
