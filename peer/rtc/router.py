"""Which m-line, and which simulcast layer, an RTP packet belongs to (RFC 9143 section 9.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peer.rtc.packet import RtpPacket

T = TypeVar("T")

MAX_STREAMS = 256
"""SSRCs that are remembered; packets of those beyond are looked at each time, and those of none are dropped."""
LOOKS = 200
"""Packets of a stream in which its MID and RID are looked for: senders leave them out once they were understood."""


class RtpStream(Protocol):
    """What the path wants of a receiver; plain calls on the event loop."""

    def rtp(self, packets: list[RtpPacket], layer: str) -> None: ...
    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None: ...


@dataclass(slots=True)
class Route(Generic[T]):
    """Where the packets of one SSRC go."""

    target: T
    layer: str = ""
    """The restriction id of the simulcast layer, "" where there are no layers or it is not known yet."""
    looks: int = LOOKS


@dataclass(slots=True)
class _MLine(Generic[T]):
    mid: str
    target: T
    payload_types: frozenset[int]
    learned: dict[int, Route[T]] = field(default_factory=dict)
    """The streams that it had when it was put on hold."""
    announced: set[int] = field(default_factory=set)
    """And those that its description named."""


class Router(Generic[T]):
    """By SSRC if it is known, else by MID, else by a payload type that only one m-line has.

    What was learned of a stream outlives negotiations and holds: a sender that saw its MID and RID understood does
    not say them again.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _MLine[T]] = {}
        self._held: dict[str, _MLine[T]] = {}
        self._routes: dict[int, Route[T]] = {}
        self._announced: dict[int, str] = {}
        self._by_type: dict[int, T | None] = {}
        self._quiet: set[int] = set()
        """Streams of m-lines on hold: what still comes of them belongs to no other."""
        self._ids = (0, 0, 0)

    def extensions(self, mid: int, rid: int, repaired_rid: int) -> None:
        """The ids of the header extensions that say MID, RID and repaired RID; 0 for those that are not used."""
        self._ids = (mid, rid, repaired_rid)

    def add(self, mid: str, target: T, payload_types: Iterable[int], ssrcs: Iterable[int] = ()) -> None:
        """An m-line that may be sent on; in the place of what it was before."""
        self.hold(mid)
        before = self._held.pop(mid, None)
        self._lines[mid] = _MLine(mid, target, frozenset(payload_types))
        if before is not None and before.target is target:
            self._routes = before.learned | self._routes  # one may have gone to another m-line meanwhile
        for ssrc in ssrcs:
            if len(self._announced) < MAX_STREAMS:
                self._announced[ssrc] = mid
        self._renew()

    def hold(self, mid: str) -> None:
        """Nothing is taken of an m-line until it is added again."""
        announced = {ssrc for ssrc, owner in self._announced.items() if owner == mid}
        self._announced = {ssrc: owner for ssrc, owner in self._announced.items() if owner != mid}
        line = self._lines.pop(mid, None)
        if line is None:
            return
        line.announced = announced
        line.learned = {ssrc: route for ssrc, route in self._routes.items() if route.target is line.target}
        self._routes = {ssrc: route for ssrc, route in self._routes.items() if ssrc not in line.learned}
        self._held[mid] = line
        self._renew()

    def remove(self, mid: str) -> None:
        """The m-line is over."""
        self.hold(mid)
        self._held.pop(mid, None)
        self._renew()

    def route(self, packet: RtpPacket) -> Route[T] | None:
        """Where a packet goes, None for nowhere."""
        route = self._routes.get(packet.ssrc)
        if route is not None and not route.looks:
            return route
        return self._look(packet, route)

    def target(self, ssrc: int) -> T | None:
        """Who gets the packets of this SSRC, for RTCP about it."""
        route = self._routes.get(ssrc)
        if route is not None:
            return route.target
        line = self._lines.get(self._announced.get(ssrc, ""))
        return line.target if line is not None else None

    def _look(self, packet: RtpPacket, known: Route[T] | None) -> Route[T] | None:
        mid_id, rid_id, repaired_id = self._ids
        mid = _text(packet, mid_id) or self._announced.get(packet.ssrc)
        line = self._lines.get(mid) if mid is not None else None
        target = line.target if line is not None else None
        if target is None and known is not None:
            target = known.target
        elif target is None and packet.ssrc not in self._quiet:
            target = self._by_type.get(packet.payload_type)
        if target is None:
            return None
        layer = _text(packet, rid_id) or _text(packet, repaired_id) or ""
        if known is None or known.target is not target:
            known = Route(target)
            if len(self._routes) < MAX_STREAMS:
                self._routes[packet.ssrc] = known
        known.layer = layer or known.layer
        known.looks -= 1
        return known

    def _renew(self) -> None:
        """M-lines changed: an SSRC may have gone to another one, and says so in its next packets."""
        self._by_type = {}
        for line in self._lines.values():
            for number in line.payload_types:
                self._by_type[number] = None if number in self._by_type else line.target
        self._quiet = {ssrc for line in self._held.values() for ssrc in (*line.learned, *line.announced)}
        for route in self._routes.values():
            route.looks = LOOKS


def _text(packet: RtpPacket, number: int) -> str | None:
    value = packet.extension(number) if number else None
    if not value:
        return None
    try:
        return value.rstrip(b"\x00").decode("ascii")
    except UnicodeDecodeError:
        return None
