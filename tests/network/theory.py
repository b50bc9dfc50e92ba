"""Which pair of networks can connect with which servers, and how: what the matrix is held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.network.nat import Kind


class Path(StrEnum):
    """How packets go between two parties, the best first."""

    DIRECT = "direct"
    TCP = "TCP"
    RELAY = "relay"
    NONE = "none"


class Help(StrEnum):
    """What a party can be given to find its way out, apart from addresses of its own."""

    STUN = "STUN"
    TURN_UDP = "TURN/UDP"
    TURN_TCP = "TURN/TCP"
    TURN_TLS = "TURN/TLS"
    ICE_TCP = "ICE-TCP"
    """The second party listens on TCP port 443 (`--tcp-port 443`), and the first can connect actively."""


@dataclass(frozen=True)
class Expectation:
    path: Path
    reason: str


_UDP = {Kind.PUBLIC, Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED, Kind.SYMMETRIC}
_ALIKE = {Kind.BROKEN_IPV6: Kind.PORT_RESTRICTED, Kind.ONE_TO_ONE: Kind.PUBLIC}
_NEEDED = {Help.TURN_UDP: "UDP", Help.TURN_TCP: "TCP to any port", Help.TURN_TLS: "TCP to port 443"}


def expected(first: Kind, second: Kind, helps: frozenset[Help], *, relay_only: bool = False) -> Expectation:
    """The best path between the two that their networks allow; `relay_only`: and that they allow themselves."""
    first, second = _ALIKE.get(first, first), _ALIKE.get(second, second)
    if relay_only:
        return _relayed(first, second, helps)
    direct = _direct(first, second, helps)
    if direct is not None:
        return Expectation(Path.DIRECT, direct)
    if Help.ICE_TCP in helps and second is Kind.PUBLIC and first is not Kind.IPV6_ONLY:
        return Expectation(Path.TCP, "the second party can be reached on TCP port 443")
    return _relayed(first, second, helps)


def _direct(first: Kind, second: Kind, helps: frozenset[Help]) -> str | None:
    """Why UDP packets get from one to the other and back; None when they do not."""
    pair = {first, second}
    if pair & {Kind.UDP_BLOCKED, Kind.TCP_443}:
        return None
    if Kind.IPV6_ONLY in pair:
        if pair <= {Kind.IPV6_ONLY, Kind.PUBLIC}:
            return "IPv6 needs no translation: both know their addresses, and each opens its own firewall"
        return None  # the other one has IPv4 only
    if Kind.PUBLIC in pair:
        return "a public host is reached by everybody who may send UDP, and sees where they come from"
    if Help.STUN not in helps and Help.TURN_UDP not in helps:
        return None  # nobody knows an address of his that the other could send to
    if Kind.SYMMETRIC not in pair:
        return "STUN tells each its mapping, which is the same towards everybody; both send, and both get in"
    if pair & {Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED}:
        return (
            "the unknown port of the symmetric side may come in, as only its address has to be known, or not even that"
        )
    return None  # the port that the symmetric side sends from is unknown, and it has to be known


def _relayed(first: Kind, second: Kind, helps: frozenset[Help]) -> Expectation:
    with_relay = [kind for kind in (first, second) if _relays(kind, helps)]
    if len(with_relay) == 2:
        return Expectation(Path.RELAY, "both reach the TURN server")
    if with_relay and (second if with_relay[0] is first else first) in _UDP:
        return Expectation(Path.RELAY, "one reaches the TURN server, the other reaches its relay by UDP")
    offered = [f"{help_} needs {_NEEDED[help_]}" for help_ in Help if help_ in helps and help_ in _NEEDED]
    return Expectation(Path.NONE, "; ".join(offered) or "no server relays for them, and no packet gets in directly")


def _relays(kind: Kind, helps: frozenset[Help]) -> bool:
    """Whether a party on this network gets a relay from a TURN server."""
    if kind is Kind.TCP_443:
        return Help.TURN_TLS in helps
    if kind is Kind.UDP_BLOCKED:
        return bool({Help.TURN_TCP, Help.TURN_TLS} & helps)
    return bool(set(_NEEDED) & helps)
