"""ICE candidates as RFC 8839 writes them, their priorities (RFC 8445 section 5.1.2, RFC 6544) and credentials. Pure."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

MAX_TEXT: Final = 1024
"""A longer candidate line is refused before anything looks at it."""

TYPES: Final = ("host", "srflx", "prflx", "relay")
TCP_TYPES: Final = ("active", "passive", "so")

_TYPE_PREFERENCES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 30}
_RELAY_PREFERENCES: Final = {"udp": 30, "tcp": 20, "tls": 10}
_TCP_MALUS: Final = 40
"""RFC 6544 section 4.2: a TCP candidate ranks below every UDP candidate that is as direct."""

_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
# RFC 8839 writes ice-char; some peers use "-", "_" or "=" in theirs, which does no harm.
_PEER_UFRAG: Final = re.compile(r"[A-Za-z0-9+/_=-]{1,256}")
_PASSWORD: Final = re.compile(r"[!-~]{22,256}")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


def endpoint(host: str, port: int) -> str:
    """As people write it: `192.0.2.1:3478` or `[2001:db8::1]:3478`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transport address that may reach a peer. `address` is an IP address in its canonical form, or a name."""

    foundation: str
    component: int
    protocol: str
    priority: int
    address: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    username_fragment: str | None = None
    url: str | None = None
    """Local only: the server that it came from."""
    relay_protocol: str | None = None
    """Local relays only: how the TURN server is reached, udp, tcp or tls."""

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Reads "candidate:...", with or without "a=" in front or without both. Raises ValueError."""
        if len(text) > MAX_TEXT:
            raise ValueError("a candidate line is too long")
        words = text.strip().removeprefix("a=").removeprefix("candidate:").split()
        if len(words) < 8 or words[6] != "typ":
            raise ValueError("a candidate line lacks fields")
        foundation, component, protocol, priority, address, port, _, kind = words[:8]
        if _FOUNDATION.fullmatch(foundation) is None:
            raise ValueError("a candidate has a bad foundation")
        extensions = dict(zip(words[8::2], words[9::2], strict=False))
        protocol, kind = protocol.lower(), kind.lower()
        tcp_type = extensions.get("tcptype")
        if protocol not in ("udp", "tcp") or kind not in TYPES:
            raise ValueError("a candidate has an unknown transport or type")
        if protocol == "udp":
            tcp_type = None
        elif tcp_type not in TCP_TYPES:
            raise ValueError("a TCP candidate has no tcptype")  # RFC 6544 section 4.5: mandatory
        related_port = extensions.get("rport", "")
        fragment = extensions.get("ufrag", "")
        return cls(
            foundation,
            _number(component, 1, 256),
            protocol,
            _number(priority, 0, 2**32 - 1),
            _host(address),
            _number(port, 0, 65535),
            kind,
            related_address=_related(extensions.get("raddr")),
            related_port=int(related_port) if re.fullmatch(r"[0-9]{1,5}", related_port, re.ASCII) else None,
            tcp_type=tcp_type,
            username_fragment=fragment if _PEER_UFRAG.fullmatch(fragment) else None,
        )

    def to_sdp(self) -> str:
        """The candidate-attribute of RFC 8839 section 5.1, without "a="."""
        words = [f"candidate:{self.foundation} {self.component} {self.protocol} {self.priority}"]
        words.append(f"{self.address} {self.port} typ {self.type}")
        if self.type != "host":  # both are mandatory there, also when they are kept secret
            words.append(f"raddr {self.related_address or self._any} rport {self.related_port or 0}")
        if self.tcp_type is not None:
            words.append(f"tcptype {self.tcp_type}")
        if self.username_fragment is not None:
            words.append(f"ufrag {self.username_fragment}")
        return " ".join(words)

    @property
    def is_ip(self) -> bool:
        """Whether `address` is an IP address and not a name that has to be looked up."""
        return _is_ip(self.address)

    @property
    def family(self) -> int:
        """4 or 6; 0 for a name."""
        return 0 if not self.is_ip else 6 if ":" in self.address else 4

    @property
    def _any(self) -> str:
        return "::" if self.family == 6 else "0.0.0.0"


@dataclass(frozen=True, slots=True)
class IceParameters:
    """The credentials of one generation of one side (RFC 8445 section 5.3)."""

    username_fragment: str
    password: str
    lite: bool = False

    def __repr__(self) -> str:
        return f"IceParameters({self.username_fragment!r}, lite={self.lite})"

    def validate(self) -> None:
        """Raises ValueError for credentials that no check could be made with."""
        if _PEER_UFRAG.fullmatch(self.username_fragment) is None:
            raise ValueError("ice-ufrag is missing or has characters that do not belong there")
        if _PASSWORD.fullmatch(self.password) is None:
            raise ValueError("ice-pwd is missing, too short or has characters that do not belong there")


def candidate_priority(
    kind: str, *, protocol: str = "udp", relay_protocol: str = "udp", local_preference: int = 65535, component: int = 1
) -> int:
    """RFC 8445 section 5.1.2.1. `local_preference` (0 to 65535) orders addresses that are otherwise alike."""
    preference = _RELAY_PREFERENCES[relay_protocol] if kind == "relay" else _TYPE_PREFERENCES[kind]
    if protocol == "tcp" and kind != "relay":
        preference -= _TCP_MALUS
    return (preference << 24) + (local_preference << 8) + (256 - component)


def candidate_foundation(kind: str, protocol: str, base_address: str, server: str = "") -> str:
    """RFC 8445 section 5.1.1.3: the same for candidates of one type, base address, server and transport."""
    return str(zlib.crc32(f"{kind} {protocol} {base_address} {server}".encode()))


def pair_priority(controlling: int, controlled: int) -> int:
    """RFC 8445 section 6.1.2.3, of the priorities of the two candidates."""
    return (min(controlling, controlled) << 32) + 2 * max(controlling, controlled) + (controlling > controlled)


def _number(text: str, low: int, high: int) -> int:
    if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) is None or not low <= int(text) <= high:
        raise ValueError("a candidate has a number that is none or out of range")
    return int(text)


def _host(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        if _HOST_NAME.fullmatch(text) is None or text.replace(".", "").isdigit():
            raise ValueError("a candidate has neither an address nor a name") from None
        return text
    if "%" in text:
        raise ValueError("a candidate's address has a zone, which means nothing to another host")
    return str(address)


def _related(text: str | None) -> str | None:
    """It only informs: what is no address is left out, and the candidate is as good without."""
    try:
        return None if text is None else _host(text)
    except ValueError:
        return None


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
