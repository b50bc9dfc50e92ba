"""The kinds of network that a peer may be behind, as rules for the router between it and the public network.

Names are the classic ones; RFC 4787 calls them by mapping and filtering, which `MAPPING` and `FILTERING` say.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A network, as a user would tell it."""

    PUBLIC = "public"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "UDP blocked"
    TCP_443 = "TCP 443 only"
    IPV6_ONLY = "IPv6 only"

    BROKEN_IPV6 = "IPv6 broken"
    """Port-restricted; the host has an IPv6 address too, but nothing that goes out by it ever arrives."""
    ONE_TO_ONE = "1:1 NAT"
    """A private address, and a public one of which every port leads there: a server in a cloud, with `--public-ip`."""


KINDS = (
    *(Kind.PUBLIC, Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED, Kind.SYMMETRIC),
    *(Kind.UDP_BLOCKED, Kind.TCP_443, Kind.IPV6_ONLY),
)
"""Those of the matrix; each is tried with each other one."""

UDP_NATS = (Kind.FULL_CONE, Kind.ADDRESS_RESTRICTED, Kind.PORT_RESTRICTED, Kind.SYMMETRIC)

MAPPING = {
    Kind.FULL_CONE: "endpoint-independent",
    Kind.ADDRESS_RESTRICTED: "endpoint-independent",
    Kind.PORT_RESTRICTED: "endpoint-independent",
    Kind.SYMMETRIC: "address and port-dependent",
}
FILTERING = {
    Kind.FULL_CONE: "endpoint-independent",
    Kind.ADDRESS_RESTRICTED: "address-dependent",
    Kind.PORT_RESTRICTED: "address and port-dependent",
    Kind.SYMMETRIC: "address and port-dependent",
}


def rules(kind: Kind, host: str) -> str:
    """The nft rules of the router: `wan` is the interface to the public network, `lan` the one to the host."""
    if kind is Kind.PUBLIC:
        return _TROUBLE
    if kind is Kind.IPV6_ONLY:
        # What a home router does with IPv6: no translation, and nothing comes in that was not asked for.
        return _TROUBLE + _firewall()
    return _TROUBLE + _firewall(_REFUSED.get(kind, "")) + _translation(kind, host)


def cut() -> str:
    """Nothing passes any more, in either direction, and nobody is told."""
    return "flush chain inet trouble passing\nadd rule inet trouble passing drop\n"


def lose(share: float) -> str:
    """This share of the packets is lost, in each direction."""
    return (
        "flush chain inet trouble passing\n"
        f"add rule inet trouble passing numgen random mod 10000 < {round(share * 10000)} drop\n"
    )


def close_off(address: str) -> str:
    """Nothing comes from this address any more: whoever is there is gone, for this side."""
    return f"add rule inet trouble passing ip saddr {address} drop\n"


def mend() -> str:
    return "flush chain inet trouble passing\n"


_TROUBLE = """
table inet trouble {
 chain passing { type filter hook forward priority -10; }
}
"""
_REFUSED = {
    Kind.UDP_BLOCKED: "meta l4proto udp drop;",
    Kind.TCP_443: "meta l4proto udp drop; iifname lan tcp dport != 443 drop;",
    Kind.BROKEN_IPV6: "meta nfproto ipv6 drop;",
}


def _firewall(refused: str = "") -> str:
    # New packets to the router itself are dropped before conntrack keeps them: a check of the other peer that comes
    # early would otherwise take the port, the next mapping would get another one, and a cone would turn symmetric.
    return f"""
table inet firewall {{
 chain arriving {{ type filter hook input priority 0;
  iifname wan ct state new meta l4proto {{ tcp, udp }} drop;
 }}
 chain passing {{ type filter hook forward priority 0; policy drop;
  {refused}
  ct state established,related accept;
  ct status dnat accept;
  iifname lan accept;
 }}
}}
"""


_OPENED = {
    Kind.FULL_CONE: ("inet_service", "udp sport", "udp dport"),
    Kind.ADDRESS_RESTRICTED: ("inet_service . ipv4_addr", "udp sport . ip daddr", "udp dport . ip saddr"),
}
"""Who may come in by a port that a packet left by: the type, what a leaving packet opens, what a coming one asks."""


def _translation(kind: Kind, host: str) -> str:
    # Conntrack alone lets in exactly whom a packet went to. `random` gives each conversation a port of its own;
    # without it the host's own port is kept, as there is one host and so nothing to be in conflict with.
    how = "masquerade random" if kind is Kind.SYMMETRIC else "masquerade"
    coming = _openings(kind) if kind in _OPENED else ""
    if kind is Kind.ONE_TO_ONE:
        coming = _coming(f"meta l4proto {{ tcp, udp }} dnat ip to {host}")
    return f"""
table ip nat {{
 chain leaving {{ type nat hook postrouting priority 100;
  oifname wan {how};
 }}
 {coming}
}}
"""


def _openings(kind: Kind) -> str:
    types, opens, asks = _OPENED[kind]
    return f"""
 map open {{ type {types} : ipv4_addr . inet_service; flags dynamic,timeout; timeout 2m; size 4096; }}
 chain learning {{ type filter hook forward priority -1;
  oifname wan meta l4proto udp update @open {{ {opens} : ip saddr . udp sport }};
 }}
 {_coming(f"meta l4proto udp dnat ip to {asks} map @open")}
"""


def _coming(rule: str) -> str:
    return f"""
 chain coming {{ type nat hook prerouting priority -100;
  iifname wan {rule};
 }}
"""
