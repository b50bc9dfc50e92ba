"""Findings as the probes make them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from peer.doctor.findings import (
    CallFinding,
    Findings,
    HostAddress,
    NatFinding,
    Seen,
    ServerFinding,
    SignalingFinding,
)
from peer.rtc.ice.servers import UNREACHABLE, CandidateError

NOW = 1_700_000_000.0
LOCAL = ("192.168.1.7", 4000)
STUN = ServerFinding(
    url="stun:stun.example.org",
    origin="--ice-server",
    address=("192.0.2.1", 3478),
    seconds=0.02,
    mapped=("198.51.100.7", 61000),
)
TURN = ServerFinding(
    url="turn:turn.example.org",
    origin="--ice-server",
    turn=True,
    username="alice",
    address=("192.0.2.2", 3478),
    seconds=0.04,
    mapped=("198.51.100.7", 61001),
    relayed=(("192.0.2.2", 50000),),
    carried=0.012,
)
TURNS = replace(TURN, url="turns:turn.example.org", transport="tls", address=("192.0.2.2", 5349))
DIRECT = CallFinding(
    path="direct",
    seconds=0.21,
    local="host 192.168.1.7:4000",
    remote="host 192.168.1.7:4001",
    protocol="udp",
    round_trip=0.001,
    echoed=True,
)
SIGNALING = SignalingFinding(url="http://localhost:8080", room="doctor", seconds=0.01, ice_servers=("stun:s", "turn:t"))


def failed(
    server: ServerFinding, code: int = UNREACHABLE, text: str = "no answer within 5 s", **more: Any
) -> ServerFinding:
    """The server, as one that gave nothing."""
    error = CandidateError(server.url, code, text, advice="check it")
    more.setdefault("silent", text.startswith("no answer"))
    return replace(server, seconds=None, mapped=None, relayed=(), carried=None, error=error, **more)


def nat(mapping: Any = "endpoint-independent", filtering: Any = "unknown") -> NatFinding:
    seen = (Seen(("192.0.2.1", 3478), ("198.51.100.7", 61000)),)
    return NatFinding(local=LOCAL, seen=seen, mapping=mapping, filtering=filtering, source="RFC 5780")


def findings(*servers: ServerFinding, **more: Any) -> Findings:
    hosts = (HostAddress("192.168.1.7", "eth0"),)
    return replace(Findings(at=NOW, seconds=1.25, hosts=hosts, servers=servers), **more)
