"""Candidate pairs (RFC 8445 section 6.1.2): which there are, how good each is, and what is counted of it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.candidate import Candidate, pair_priority
from peer.rtc.ice.checks import check_priority

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from peer.rtc.ice.bases import Base
    from peer.rtc.ice.stun import Address

MAX_PAIRS: Final = 100
"""RFC 8445 section 6.1.2.5. A better pair takes the place of the worst that never worked; a worse one is not made."""
MAX_REMOTE: Final = 100
"""Candidates that the other side may name; more are ignored."""
MAX_LEARNED: Final = 32
"""Peer-reflexive candidates; the oldest that leads nowhere is forgotten for a new one."""

_DIRECT_PREFERENCE: Final = 64
"""Type preferences of relays lie below, those of everything else above, in every implementation known."""
DORMANT: Final = math.inf
UNANSWERED: Final = 3
"""So many checks in a row without an answer, and a pair counts as silent: another may take over."""


class PairState(Enum):
    """The names are W3C's (RTCStatsIceCandidatePairState). Frozen is missing: with trickle, one component and a pace of
    10 ms there is nothing to save by it."""

    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Pair:
    """A base of ours and an address of theirs. Once SUCCEEDED it stays valid: whether it still works, `alive` tells."""

    __slots__ = (
        "address",
        "attempts",
        "base",
        "bytes_received",
        "bytes_sent",
        "cost",
        "error",
        "last_response",
        "last_sent",
        "local",
        "next_check",
        "nominated",
        "number",
        "packets_received",
        "packets_sent",
        "remote",
        "requests_received",
        "requests_sent",
        "responses_received",
        "responses_sent",
        "round_trip_time",
        "state",
        "total_round_trip_time",
        "unanswered",
    )

    def __init__(self, number: int, base: Base, remote: Candidate) -> None:
        self.number = number
        self.base = base
        self.local = base.candidate
        self.remote = remote
        self.address: Address = (remote.address, remote.port)
        self.cost = _cost(base.candidate) + _cost(remote)
        self.state = PairState.WAITING
        self.next_check = -math.inf
        self.last_sent = -math.inf
        self.last_response: float | None = None
        self.attempts = 0
        self.unanswered = 0
        self.nominated = False
        self.error: str | None = None
        self.round_trip_time: float | None = None
        self.total_round_trip_time = 0.0
        self.requests_sent = self.requests_received = 0
        self.responses_sent = self.responses_received = 0
        self.packets_sent = self.packets_received = 0
        self.bytes_sent = self.bytes_received = 0

    @property
    def is_valid(self) -> bool:
        return self.state is PairState.SUCCEEDED

    @property
    def alive(self) -> bool:
        """Whether it answers, as far as is known."""
        return self.state is PairState.SUCCEEDED and self.unanswered < UNANSWERED

    def priority(self, role: str) -> int:
        ours, theirs = self.local.priority, self.remote.priority
        return pair_priority(ours, theirs) if role == "controlling" else pair_priority(theirs, ours)

    def describe(self) -> str:
        """Short, for reasons and sentences."""
        relayed = "relayed" if "relay" in (self.local.type, self.remote.type) else "direct"
        tcp = "tcp" in (self.remote.protocol, self.local.relay_protocol, self.local.protocol)
        secure = self.local.relay_protocol == "tls"
        return f"{relayed} {'TLS' if secure else 'TCP' if tcp else 'UDP'}"


@dataclass(frozen=True, slots=True)
class PairReport:
    """A pair at one moment, with the counters of W3C's RTCIceCandidatePairStats."""

    id: str
    local: Candidate
    remote: Candidate
    state: str
    nominated: bool
    selected: bool
    priority: int
    round_trip_time: float | None
    """Seconds, of the last answered check."""
    total_round_trip_time: float
    last_response: float | None
    requests_sent: int
    requests_received: int
    responses_sent: int
    responses_received: int
    packets_sent: int
    packets_received: int
    bytes_sent: int
    bytes_received: int
    reason: str = ""
    """Of the selected pair: why this one."""
    error: str | None = None
    """What the other side refused its checks with."""


def report(pair: Pair, generation: str, role: str, reason: str | None) -> PairReport:
    """`reason` is that of the selected pair, None for another."""
    counters = {name: getattr(pair, name) for name in _COUNTERS}
    return PairReport(
        id=f"{generation}-{pair.number}",
        local=pair.local,
        remote=pair.remote,
        state=pair.state.value,
        nominated=pair.nominated,
        selected=reason is not None,
        priority=pair.priority(role),
        reason=reason or "",
        **counters,
    )


_COUNTERS: Final = (
    *("round_trip_time", "total_round_trip_time", "last_response", "requests_sent", "requests_received"),
    *("responses_sent", "responses_received", "packets_sent", "packets_received", "bytes_sent", "bytes_received"),
    "error",
)


class CheckList:
    """All pairs of one generation, and the candidates they are made of; bounded on both sides."""

    def __init__(self) -> None:
        self.bases: list[Base] = []
        self.local: list[tuple[Candidate, Base]] = []
        self.remote: dict[tuple[str, str, int], Candidate] = {}
        self.dropped = 0
        """Pairs that were not made because there are too many."""
        self._pairs: dict[tuple[int, Address], Pair] = {}
        self._learned: list[tuple[str, str, int]] = []
        self._numbers = 0

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def find(self, base: Base, address: Address) -> Pair | None:
        return self._pairs.get((id(base), address))

    def has(self, pair: Pair) -> bool:
        """Whether the pair is still one of these."""
        return self._pairs.get((id(pair.base), pair.address)) is pair

    def add_base(self, base: Base, role: str) -> None:
        """Pairs it with every candidate of the other side that it can reach."""
        if not any(known is base for known in self.bases):
            self.bases.append(base)
            for remote in list(self.remote.values()):
                self._pair(base, remote, role)

    def remove_base(self, base: Base) -> None:
        self.bases = [known for known in self.bases if known is not base]
        self.local = [entry for entry in self.local if entry[1] is not base]
        self._pairs = {key: pair for key, pair in self._pairs.items() if pair.base is not base}

    def remove_remote(self, addresses: Set[Address]) -> None:
        """The other side is not at these addresses any more."""
        self.remote = {key: each for key, each in self.remote.items() if key[1:] not in addresses}
        self._learned = [key for key in self._learned if key[1:] not in addresses]
        self._pairs = {key: pair for key, pair in self._pairs.items() if pair.address not in addresses}

    def add_local(self, candidate: Candidate, base: Base) -> None:
        """Remembers what the base is known as elsewhere: pairs are reported with it."""
        self.local.append((candidate, base))

    def add_remote(self, candidate: Candidate, role: str) -> None:
        """A candidate that the other side named; what cannot be reached from here makes no pair."""
        key = (candidate.protocol, candidate.address, candidate.port)
        known = self.remote.get(key)
        if known is not None and known.type != "prflx":
            return
        if len(self.remote) - len(self._learned) >= MAX_REMOTE:
            return
        if known is not None:
            self._rename(key, candidate)
        self.remote[key] = candidate
        for base in self.bases:
            self._pair(base, candidate, role)

    def learn(self, base: Base, address: Address, priority: int) -> Pair | None:
        """The pair that an authenticated check came over; made, with its candidate, where there was none.

        None when there is no room, because everything else works.
        """
        pair = self.find(base, address)
        if pair is not None:
            return pair
        protocol = base.candidate.protocol
        key = (protocol, *address)
        remote = self.remote.get(key)
        if remote is None:
            # RFC 8445 section 7.3.1.3; over TCP only an active side can have come (RFC 6544 section 5.2).
            tcp_type = "active" if protocol == "tcp" else None
            remote = Candidate(f"p{self._numbers}", 1, protocol, priority, *address, "prflx", tcp_type=tcp_type)
            if not self._forget_learned():
                return None
            self._learned.append(key)
            self.remote[key] = remote
        return self._insert(base, remote)

    def best(self, role: str, since: float = -math.inf) -> Pair | None:
        """The valid pair to use: one that answers, direct before relayed, UDP before TCP, then by priority.

        With `since`, only among those that have answered after it.
        """
        valid = [
            pair for pair in self._pairs.values() if pair.last_response is not None and pair.last_response >= since
        ]
        return min(valid, key=lambda pair: (not pair.alive, pair.cost, -pair.priority(role)), default=None)

    def relabel(self, pair: Pair, mapped: Address | None) -> None:
        """Sets the local candidate of a pair to the one that the other side sees (RFC 8445 section 7.2.5.3.1)."""
        if mapped is None or mapped == (pair.local.address, pair.local.port):
            return
        for candidate, base in self.local:
            if base is pair.base and (candidate.address, candidate.port) == mapped:
                pair.local = candidate
                return
        origin = pair.base.candidate
        if origin.protocol == "udp" and origin.type == "host":
            pair.local = replace(
                origin,
                type="prflx",
                priority=check_priority(origin),
                address=mapped[0],
                port=mapped[1],
                related_address=origin.address,
                related_port=origin.port,
            )

    def _pair(self, base: Base, remote: Candidate, role: str) -> None:
        if not reaches(base.candidate, remote) or self.find(base, (remote.address, remote.port)) is not None:
            return
        if len(self._pairs) >= MAX_PAIRS:
            pair = Pair(0, base, remote)
            worst = self._worst(role)
            if worst is None or worst.priority(role) >= pair.priority(role):
                self.dropped += 1
                return
            self._drop(worst)
        self._insert(base, remote)

    def _insert(self, base: Base, remote: Candidate) -> Pair | None:
        if len(self._pairs) >= MAX_PAIRS:
            worst = self._worst("controlling")
            if worst is None:
                return None
            self._drop(worst)
        self._numbers += 1
        pair = self._pairs[id(base), (remote.address, remote.port)] = Pair(self._numbers, base, remote)
        return pair

    def _worst(self, role: str) -> Pair | None:
        unproven = [pair for pair in self._pairs.values() if not pair.is_valid]
        return min(unproven, key=lambda pair: pair.priority(role), default=None)

    def _drop(self, pair: Pair) -> None:
        self.dropped += 1
        del self._pairs[id(pair.base), pair.address]

    def _rename(self, key: tuple[str, str, int], candidate: Candidate) -> None:
        """What was learned from a check turns out to be a candidate that the other side also names."""
        if key in self._learned:
            self._learned.remove(key)
        for pair in self._pairs.values():
            if (pair.remote.protocol, *pair.address) == key:
                pair.remote = candidate
                pair.cost = _cost(pair.base.candidate) + _cost(candidate)

    def _forget_learned(self) -> bool:
        """Makes room for one more; False if there is none."""
        if len(self._learned) < MAX_LEARNED:
            return True
        in_use = {(pair.remote.protocol, *pair.address) for pair in self._pairs.values() if pair.alive}
        key = next((key for key in self._learned if key not in in_use), None)
        if key is None:
            return False
        self._learned.remove(key)
        del self.remote[key]
        self._pairs = {
            known: pair for known, pair in self._pairs.items() if (pair.remote.protocol, *pair.address) != key
        }
        return True


def reaches(local: Candidate, remote: Candidate) -> bool:
    """Whether a check from the base to the candidate makes sense (RFC 8445 section 6.1.2.2, RFC 6544 section 6.2)."""
    # A passive TCP candidate waits for the other side, and nobody can connect to an active one.
    if local.protocol != "udp" or remote.protocol != "udp" or local.family != remote.family or remote.port == 0:
        return False
    address = ip_address(remote.address)
    if address.is_multicast or address.is_unspecified or remote.address == "255.255.255.255":
        return False
    if address.version == 6 and address.is_link_local:
        return False
    # A check must not become a way to reach what listens on this host only.
    return local.type == "relay" or address.is_loopback == ip_address(local.address).is_loopback


def _cost(candidate: Candidate) -> int:
    """What a detour costs: 1 for a relay, 1 for TCP, which stops at every loss."""
    if candidate.type == "prflx":
        # Of the other side, learned from a check. Its priority tells whether it came out of a relay of a peer like us.
        return int(candidate.protocol == "udp" and candidate.priority >> 24 < _DIRECT_PREFERENCE)
    over_tcp = candidate.protocol == "tcp" or candidate.relay_protocol in ("tcp", "tls")
    return (candidate.type == "relay") + over_tcp
