"""Which calls are worth trying, after what the servers gave: one for each kind of path. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from signaling.messages import CandidateTo, DescriptionTo, IceServer, SessionDescription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.doctor.findings import NatFinding, ServerFinding
    from peer.rtc.ice.servers import IceServerUrl
    from signaling.messages import ClientMessage

MAX_CALLS: Final = 8
"""Calls that are tried; more tell little more, and each takes two allocations of a TURN server."""


@dataclass(frozen=True, slots=True)
class CallPath:
    """How one call is to go."""

    path: str
    """`direct`, `public address` or `relay`."""
    servers: tuple[IceServer, ...] = ()
    url: str | None = None
    """The server that it is about."""
    types: frozenset[str] | None = None
    """The types of our candidates that are told to the other end; None: all."""

    @property
    def relayed(self) -> bool:
        return self.path == "relay"


def call_paths(
    urls: Sequence[IceServerUrl], findings: Sequence[ServerFinding], nats: Sequence[NatFinding]
) -> list[CallPath]:
    """Direct; over the public address, where there is a NAT; and through each TURN server that gave a relay."""
    paths = [CallPath("direct")]
    good = {finding.url for finding in findings if finding.error is None}
    behind = any(nat.mapping != "none" and nat.seen for nat in nats)
    by_udp = [url for url in urls if url.url in good and url.transport == "udp"]
    if behind and by_udp:
        first = by_udp[0]
        paths.append(CallPath("public address", (_server(first),), first.url, frozenset({"srflx"})))
    paths += [CallPath("relay", (_server(url),), url.url) for url in urls if url.is_turn and url.url in good]
    return paths[:MAX_CALLS]


def told(message: ClientMessage, types: frozenset[str]) -> ClientMessage | None:
    """The message with candidates of these types only; None when nothing is left of it."""
    if isinstance(message, CandidateTo) and message.candidate is not None and message.candidate.candidate:
        return message if _type(message.candidate.candidate) in types else None
    if isinstance(message, DescriptionTo):
        lines = message.description.sdp.splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("a=candidate:") or _type(line) in types]
        description = SessionDescription(message.description.type, "".join(kept))
        return msgspec.structs.replace(message, description=description)
    return message


def _type(candidate: str) -> str:
    found = re.search(r" typ ([a-z]+)", candidate)
    return found[1] if found else ""


def _server(url: IceServerUrl) -> IceServer:
    return IceServer([url.url], url.username, url.credential)
