"""What the probes found: plain records, without a judgement. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from peer.rtc.ice.servers import CandidateError

Address = tuple[str, int]
Mapping = Literal["none", "endpoint-independent", "address-dependent", "address-and-port-dependent", "unknown"]
"""RFC 4787 section 4.1; `none`: packets leave with the address that they were sent from."""
Filtering = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent", "unknown"]
"""RFC 4787 section 5."""
Source = Literal["RFC 5780", "comparison", ""]
"""How that was found: by a server made for it, by comparing what several saw, or not at all."""

SIGNALING: Final = "the signaling server"
"""The origin of ICE servers that nobody named here."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address of this host that calls use."""

    address: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFinding:
    """One URL of an ICE server, over one address family."""

    url: str
    origin: str
    """Where it was named: `--ice-server`, `PEER_ICE_SERVERS`, or `SIGNALING`."""
    transport: str = "udp"
    """`udp`, `tcp` or `tls`."""
    turn: bool = False
    username: str | None = None
    address: Address | None = None
    """Where it is; None when its name was not found."""
    seconds: float | None = None
    """From the start, its name included, to the candidate."""
    mapped: Address | None = None
    """As which it sees us."""
    relayed: tuple[Address, ...] = ()
    """The addresses at which it relays for us."""
    carried: float | None = None
    """Seconds that a packet took through the relay and back to us; None when none came, or none was sent."""
    tcp_opens: bool | None = None
    """Of one that failed: whether a TCP connection to its port opens."""
    silent: bool = False
    """Whether it failed by not answering at all."""
    error: CandidateError | None = None

    @property
    def looking_up(self) -> bool:
        """Whether its name was still being looked up when its time was over."""
        return self.error is not None and "looked up in time" in self.error.error_text

    @property
    def carries(self) -> bool:
        return self.carried is not None

    @property
    def good(self) -> bool:
        return self.error is None and (self.carries or not self.turn)


@dataclass(frozen=True, slots=True)
class Seen:
    """A socket of ours as one server sees it."""

    server: Address
    mapped: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class NatFinding:
    """What lies between one address of this host and the world."""

    local: Address
    seen: tuple[Seen, ...]
    mapping: Mapping
    filtering: Filtering
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalingFinding:
    """Joining a room of the signaling server."""

    url: str
    room: str
    seconds: float | None = None
    ice_servers: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinding:
    """One call through one kind of path."""

    path: str
    """`direct`, `public address`, `relay`; `ICE-TCP`: a check over TCP of a candidate that the other side offers."""
    url: str | None = None
    """The server that it was to go through."""
    to: str = ""
    own: bool = True
    """Whether the other end was ours too, on this host."""
    seconds: float | None = None
    """From dialling to open."""
    local: str = ""
    """Type and address of our candidate."""
    remote: str = ""
    protocol: str = ""
    round_trip: float | None = None
    echoed: bool | None = None
    """Whether a text came back; None when the other side does not give texts back."""
    answered: bool = True
    """Whether the other side took the call at all."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything."""

    at: float
    """Seconds since the epoch: passwords of TURN servers may expire."""
    seconds: float
    hosts: tuple[HostAddress, ...] = ()
    servers: tuple[ServerFinding, ...] = ()
    nats: tuple[NatFinding, ...] = ()
    signaling: SignalingFinding | None = None
    calls: tuple[CallFinding, ...] = ()
    remarks: tuple[str, ...] = ()
    """What happened on the way and is no failure."""
