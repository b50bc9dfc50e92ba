"""A network in virtual time for agents: hosts, NATs, relays, loss, delay, reordering. Thousands of seconds a second."""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peer.rtc.ice.agent import Agent
from peer.rtc.ice.bases import OneByOne
from peer.rtc.ice.candidate import Candidate, IceParameters, candidate_foundation, candidate_priority

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.ice.consent import Deadlines
    from peer.rtc.ice.stun import Address


class FakeBase(OneByOne):
    """A base that is only a name: the simulation carries its packets."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.known: set[Address] = set()

    def send(self, data: bytes, address: Address) -> None:
        raise AssertionError("agents send nothing themselves")

    def proven(self, address: Address) -> None:
        self.known.add(address)

    def close(self) -> None:
        pass

    @property
    def address(self) -> Address:
        return self.candidate.address, self.candidate.port


def candidate(kind: str, address: Address, *, protocol: str = "udp", local_preference: int = 65535) -> Candidate:
    return Candidate(
        candidate_foundation(kind, protocol, address[0]),
        1,
        protocol,
        candidate_priority(kind, protocol=protocol, local_preference=local_preference),
        *address,
        kind,
        tcp_type="passive" if protocol == "tcp" else None,
    )


@dataclass
class Nat:
    """Translates what hosts behind it send; `symmetric` gives another port for every destination."""

    public: str
    symmetric: bool = False
    filtering: str = "port"
    """"none", "address" or "port": from whom a mapping lets packets in."""
    ports: Any = field(default_factory=lambda: itertools.count(40000))
    mappings: dict[Any, int] = field(default_factory=dict)
    owners: dict[int, Address] = field(default_factory=dict)
    let_in: set[Any] = field(default_factory=set)

    def outward(self, source: Address, target: Address) -> Address:
        key = (source, target) if self.symmetric else source
        port = self.mappings.get(key)
        if port is None:
            port = self.mappings[key] = next(self.ports)
            self.owners[port] = source
        self.let_in |= {(port, None), (port, target[0]), (port, target)}
        return self.public, port

    def inward(self, source: Address, port: int) -> Address | None:
        allowed = {"none": (port, None), "address": (port, source[0]), "port": (port, source)}[self.filtering]
        return self.owners.get(port) if allowed in self.let_in else None

    def forget(self) -> None:
        """As a router that was restarted: every mapping is a new one."""
        self.mappings.clear()
        self.owners.clear()
        self.let_in.clear()


class Peer:
    """An agent with its bases, perhaps behind a NAT."""

    def __init__(self, network: Network, name: str, role: str, *, deadlines: Deadlines | None = None) -> None:
        self.network = network
        self.chance = random.Random(f"{network.seed} {name}")
        self.parameters = IceParameters(f"{name}ufrag", f"{name}password-of-22-characters")
        self.agent = Agent(self.parameters, role, self.chance, deadlines)
        self.bases: list[FakeBase] = []
        self.candidates: list[Candidate] = []
        self.states: list[str] = []
        self.answers_only = False
        self._wake = 0
        network.peers.append(self)

    def add(self, kind: str, address: Address, nat: Nat | None = None, **options: Any) -> FakeBase:
        """A base; the peer announces it as it is. With a NAT it is seen from outside as what the NAT makes of it."""
        base = FakeBase(candidate(kind, address, **options))
        self.network.attach(self, base, nat)
        self.bases.append(base)
        self.candidates.append(base.candidate)
        self.do(lambda now: self.agent.add_base(base, now))
        return base

    def lose(self, base: FakeBase) -> None:
        """Its socket dies."""
        self.network.detach(base)
        self.do(lambda now: self.agent.remove_base(base, now))

    def add_reflexive(self, base: FakeBase, nat: Nat) -> None:
        """What a STUN server would have told."""
        public = nat.outward(base.address, ("192.0.2.255", 3478))
        found = candidate("srflx", public)
        self.candidates.append(found)
        self.agent.add_local_candidate(found, base)

    def do(self, action: Callable[[float], None]) -> None:
        action(self.network.now)
        self.after()

    def start(self, other: Peer, *, trickled: bool = False) -> None:
        self.do(lambda now: self.agent.start(other.parameters, now))
        if not trickled:
            self.hear_of(other)

    def hear_of(self, other: Peer) -> None:
        for found in other.candidates:
            self.do(lambda now, found=found: self.agent.add_remote_candidate(found, now))

    def receive(self, base: FakeBase, data: bytes, source: Address) -> None:
        self.do(lambda now: self.agent.stun_received(base, data, source, now))

    def after(self) -> None:
        for base, data, address in self.agent.packets():
            self.network.send(base, data, address)
        if not self.states or self.states[-1] != self.agent.state:
            self.states.append(self.agent.state)
        self._wake += 1
        when = self.agent.next_timeout()
        if when is not None:
            assert when >= self.network.now - 1e-9 or when == float("-inf"), "a timer in the past would spin"
            self.network.at(max(when, self.network.now), lambda wake=self._wake: self._timeout(wake))

    def _timeout(self, wake: int) -> None:
        if wake == self._wake:
            self.do(self.agent.timeout)


class Network:
    def __init__(self, seed: int = 1, *, loss: float = 0.0, delay: float = 0.02, jitter: float = 0.0) -> None:
        self.seed = seed
        self.now = 1000.0
        self.loss, self.delay, self.jitter = loss, delay, jitter
        self.peers: list[Peer] = []
        self.down = False
        self.sent = 0
        self.blocked: Callable[[Address, Address], bool] = lambda source, target: False
        """Of the addresses as they are seen between the NATs."""
        self._chance = random.Random(seed)
        self._at: dict[Address, tuple[Peer, FakeBase]] = {}
        self._nats: dict[str, Nat] = {}
        self._nat_of: dict[Address, Nat] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def attach(self, peer: Peer, base: FakeBase, nat: Nat | None) -> None:
        self._at[base.address] = (peer, base)
        if nat is not None:
            self._nats[nat.public] = nat
            self._nat_of[base.address] = nat

    def detach(self, base: FakeBase) -> None:
        del self._at[base.address]

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def send(self, base: Any, data: bytes, target: Address) -> None:
        self.sent += 1
        if self.down or self._chance.random() < self.loss:
            return
        delay = self.delay + self._chance.random() * self.jitter
        self.at(self.now + delay, lambda: self._arrive(base.address, data, target))
        nat = self._nat_of.get(base.address)
        if nat is not None and not self._is_local(base.address, target):
            nat.outward(base.address, target)

    def _arrive(self, source: Address, data: bytes, target: Address) -> None:
        nat = self._nat_of.get(source)
        if nat is not None and not self._is_local(source, target):
            source = nat.outward(source, target)
        if self.down or self.blocked(source, target):
            return
        inner = self._nats.get(target[0])
        if inner is not None:
            owner = inner.inward(source, target[1])
            if owner is None:
                return
            target = owner
        elif target in self._nat_of and not self._is_local(source, target):
            return  # a private address of another network
        found = self._at.get(target)
        if found is not None:
            found[0].receive(found[1], data, source)

    def _is_local(self, source: Address, target: Address) -> bool:
        nat = self._nat_of.get(source)
        return nat is not None and self._nat_of.get(target) is nat

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Until something is true, or so long; whether it became true."""
        end = self.now + seconds
        steps = 0
        while not until():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return until()
            self.now, _, what = heapq.heappop(self._events)
            what()
            steps += 1
            assert steps < 200_000, "the agents keep each other busy"
        return True


def up(*peers: Peer) -> Callable[[], bool]:
    return lambda: all(peer.agent.state in ("connected", "completed") for peer in peers)


def agreed(one: Peer, other: Peer) -> bool:
    """Both completed, on the same path: what each sends to is what the other sends from."""
    if one.agent.state != "completed" or other.agent.state != "completed":
        return False
    mine, theirs = one.agent.selected, other.agent.selected
    assert mine is not None and theirs is not None
    return mine.nominated and theirs.nominated and one.bases != [] and _seen(mine, theirs) and _seen(theirs, mine)


def _seen(mine: Any, theirs: Any) -> bool:
    """Whether `mine` leads to the base of `theirs`, directly or through what a NAT made of it."""
    return theirs.address in ((mine.local.address, mine.local.port), (mine.base.address))
