"""STUN and TURN servers (RFC 7064, RFC 7065), how they fail, and the settings of a transport. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, overload

from peer.rtc.ice.datagrams import MAX_PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from signaling.messages import IceServer

MAX_SERVER_URLS: Final = 32
"""URLs beyond are not used: each costs sockets and time in every call. What is dropped is reported as an error."""

UNREACHABLE: Final = 701
"""The code of W3C webrtc-pc (RTCPeerConnectionIceErrorEvent) for a server that could not be reached."""

_URL: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>[a-z]+))?",
    re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"stun": 3478, "stuns": 5349, "turn": 3478, "turns": 5349}


@dataclass(frozen=True, slots=True)
class IceServerUrl:
    """One URL of one server. `transport` is what carries it: "udp", "tcp" or "tls"."""

    scheme: str
    host: str
    """A name or an address, without brackets."""
    port: int
    transport: str
    url: str
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"IceServerUrl({self.url!r})"

    @property
    def is_turn(self) -> bool:
        return self.scheme.startswith("turn")


@dataclass(frozen=True, slots=True)
class CandidateError:
    """What W3C's RTCPeerConnectionIceErrorEvent says of a server that gave no candidate."""

    url: str
    error_code: int
    """The server's STUN error code; 701 when it did not answer or could not be reached."""
    error_text: str
    address: str | None = None
    """The local address that was used."""
    port: int | None = None
    advice: str = ""
    """What can be done about it."""


@dataclass(frozen=True, slots=True)
class IceSettings:
    """How a transport finds its candidates, and its deadlines in seconds."""

    servers: Sequence[IceServer] = ()
    """Looked at anew whenever candidates are gathered, also for a restart."""
    policy: Literal["all", "relay"] = "all"
    ipv4: bool = True
    ipv6: bool = True
    interfaces: tuple[str, ...] = ()
    """Interface names, addresses or CIDR networks to use; empty: all."""
    public_ips: tuple[str, ...] = ()
    """NAT 1:1: announced in place of the private host address of the same family."""
    udp_port: int | None = None
    """One UDP port for all calls of the process (per local address)."""
    udp_ports: tuple[int, int] | None = None
    """A range, both ends included."""
    tcp_port: int | None = None
    """ICE-TCP passive: one listener for all calls of the process."""
    ca_file: str | None = None
    """Certificate authorities that `turns:` servers are checked against, beside the system's."""
    connect_timeout: float = 15.0
    """From having both descriptions to `failed`."""
    disconnected_after: float = 2.5
    """Silence until `disconnected`."""
    lost_after: float = 30.0
    """Silence until `failed`: RFC 7675 section 5.1, consent expires. A restart that both sides agreed on before that
    still has its `connect_timeout`."""
    max_pause: float = MAX_PAUSE
    """Seconds that packets of media may wait in their socket, where many come, to be read together."""


class CurrentServers(Sequence["IceServer"]):
    """ICE servers that change, such as those whose passwords expire: `look` gives those of now."""

    def __init__(self, look: Callable[[], Sequence[IceServer]]) -> None:
        self._look = look

    @overload
    def __getitem__(self, index: int) -> IceServer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[IceServer]: ...
    def __getitem__(self, index: int | slice) -> IceServer | Sequence[IceServer]:
        return self._look()[index]

    def __len__(self) -> int:
        return len(self._look())

    def __iter__(self) -> Iterator[IceServer]:
        return iter(self._look())


class MalformedUrl(ValueError):
    """The text is no URL of an ICE server; a browser refuses the whole configuration (a SyntaxError of W3C)."""


def parse_server_url(url: str, username: str | None = None, credential: str | None = None) -> IceServerUrl:
    """Reads one URL. Raises ValueError with a sentence that can be shown; MalformedUrl for what is no URL at all."""
    match = _URL.fullmatch(url)
    if match is None:
        raise MalformedUrl("this is no ICE server; write stun:HOST[:PORT] or turn:HOST[:PORT][?transport=tcp]")
    scheme = match["scheme"].lower()
    secure, turn = scheme.endswith("s"), scheme.startswith("turn")
    transport = (match["transport"] or ("tcp" if secure else "udp")).lower()
    if transport not in ("udp", "tcp") or (match["transport"] and not turn):
        raise MalformedUrl("only turn: and turns: take ?transport=, udp or tcp")
    if secure and transport == "udp":
        raise ValueError("TURN over DTLS is not supported; write turns:HOST[:PORT] for TLS over TCP")
    if scheme == "stuns":
        raise ValueError("STUN over TLS is of no use to find UDP addresses; write stun:HOST[:PORT]")
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise MalformedUrl("the port is not one from 1 to 65535")
    if turn and not (username and credential):
        raise ValueError("a TURN server needs a user and a password")
    host = match["host"].strip("[]")
    return IceServerUrl(scheme, host, port, "tls" if secure else transport, url, username, credential)


def server_urls(servers: Iterable[IceServer]) -> tuple[list[IceServerUrl], list[CandidateError]]:
    """Every usable URL once, in order, and an error for each that is none."""
    found: dict[tuple[str, str, int, str, str | None], IceServerUrl] = {}
    errors: list[CandidateError] = []
    for server in servers:
        for url in server.urls:
            try:
                parsed = parse_server_url(url, server.username, server.credential)
            except ValueError as error:
                errors.append(CandidateError(url, UNREACHABLE, str(error)))
                continue
            key = (parsed.scheme[:4], parsed.host.lower(), parsed.port, parsed.transport, parsed.username)
            if key not in found and len(found) >= MAX_SERVER_URLS:
                errors.append(CandidateError(url, UNREACHABLE, f"more than {MAX_SERVER_URLS} servers are too many"))
                continue
            found.setdefault(key, parsed)
    return list(found.values()), errors
