"""One generation of candidates and checks (one ufrag): the agent, its sockets, its timer, its name lookups."""

from __future__ import annotations

import asyncio
import secrets
import string
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Protocol

from peer.rtc.ice.agent import Agent
from peer.rtc.ice.candidate import IceParameters
from peer.rtc.ice.consent import NOMINATION_WINDOW, Deadlines
from peer.rtc.ice.gather import Gatherer
from peer.rtc.ice.interfaces import usable_addresses
from peer.rtc.ice.mdns import is_local_name, resolve
from peer.rtc.ice.netwatch import AddressWatch
from peer.rtc.ice.pairs import MAX_REMOTE
from peer.rtc.ticks import tick_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Set

    from peer.rtc.ice.bases import Base
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.pairs import Pair
    from peer.rtc.ice.servers import CandidateError, IceSettings
    from peer.rtc.ice.stun import Address

MAX_ERRORS: Final = 64
"""Failures of servers kept for the explanation; later ones are only reported."""
MAX_LOCAL: Final = 100
"""Candidates of our own that are announced; more would not be taken by the other side."""
MAX_NAMES: Final = 16
"""Names of the other side that are looked up, each by several multicasts; a browser has one for each of its addresses.
More are ignored, and so is any name that is not `.local`, though RFC 8839 allows it: this host would have to ask name
services on the word of the other side, and no peer that is known announces such names."""
SOON: Final = 0.5
"""Seconds within which timers are exact."""
_ICE_CHARS: Final = string.ascii_letters + string.digits
_random: Final = SystemRandom()


def usable(settings: IceSettings) -> frozenset[str]:
    """The addresses of this host that a transport with these settings has sockets on."""
    return frozenset(local.address for local in usable_addresses(settings))


class Gathering(Protocol):
    """What a generation needs of `gather.Gatherer`."""

    async def start(self) -> None: ...
    def handle_stun(self, base: Base, data: bytes, address: Address) -> bool: ...
    async def close(self) -> None: ...


class Watch(Protocol):
    """What a transport needs of `netwatch.AddressWatch`."""

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a transport is built of; tests put in their own."""

    gatherer: Callable[[IceSettings, IceParameters, Generation], Gathering] = Gatherer
    watch: Callable[[Callable[[frozenset[str]], None]], Watch] = AddressWatch
    resolve: Callable[[str], Awaitable[list[str]]] = resolve
    addresses: Callable[[IceSettings], frozenset[str]] = usable


class Owner(Protocol):
    """The transport, as its generations see it. Plain calls; they do not raise."""

    def generation_changed(self, generation: Generation) -> None: ...
    def generation_gathering(self, generation: Generation) -> None: ...
    def generation_candidate(self, generation: Generation, candidate: Candidate | None) -> None: ...
    def generation_error(self, error: CandidateError) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def media_received(self, datagrams: list[Datagram]) -> None: ...


class Generation:
    """Lives from the making of its credentials until `close`."""

    def __init__(
        self, settings: IceSettings, owner: Owner, parts: Parts, role: str, *, restarted: bool = False
    ) -> None:
        self.parameters = IceParameters(_text(8), _text(24))
        self.candidates: list[Candidate] = []
        self.errors: list[CandidateError] = []
        self.unresolved: list[str] = []
        self.gathering = "new"
        self.agent = Agent(self.parameters, role, _random, deadlines(settings, restarted=restarted))
        self.selected: Pair | None = None
        """The pair that data goes over."""
        self.state = "new"
        self.received = 0
        """Packets that were no STUN, over any pair."""
        self.closed = False
        self.listening = False
        self._settings = settings
        self._owner = owner
        self._resolve = parts.resolve
        self._gatherer = parts.gatherer(settings, self.parameters, self)
        self._waiting: list[Candidate] = []
        self._asked: set[tuple[str, str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @property
    def call(self) -> object:
        """What all generations of one call have in common."""
        return self._owner

    # From the transport

    async def gather(self) -> None:
        """Binds the host sockets and goes on by itself."""
        if self.gathering != "new" or self.closed:
            return
        self._loop = asyncio.get_running_loop()
        self._set_gathering("gathering")
        try:
            await self._gatherer.start()
        except BaseException:
            self._set_gathering("new")
            raise

    def start(self, remote: IceParameters) -> None:
        """Checks begin, with the candidates that are known by now."""
        self._loop = asyncio.get_running_loop()
        self.agent.start(remote, self._loop.time())
        waiting, self._waiting = self._waiting, []
        for candidate in waiting:
            self.add_remote_candidate(candidate)
        self._give_up_without_candidates()
        self.pump()

    def add_remote_candidate(self, candidate: Candidate) -> None:
        remote = self.agent.remote
        if remote is None:
            if len(self._waiting) < MAX_REMOTE:
                self._waiting.append(candidate)
        elif candidate.username_fragment not in (None, remote.username_fragment) or self.closed:
            return
        elif candidate.is_ip:
            assert self._loop is not None
            self.agent.add_remote_candidate(candidate, self._loop.time())
            self.pump()
        elif is_local_name(candidate.address):
            self._ask_for(candidate)

    def left(self, addresses: Set[Address]) -> None:
        if not self.closed and self._loop is not None:
            self.agent.left(addresses, self._loop.time())
            self.pump()

    def heard(self, now: float) -> None:
        self.agent.heard(now)
        if self.agent.state != self.state:
            self.pump()

    def give_up(self) -> None:
        """There can be no path."""
        assert self._loop is not None
        self.agent.give_up(self._loop.time())
        self.pump()

    def listen(self) -> None:
        """Only receive data from now on: a browser that goes on sending over the path that served before then finds it
        silent, and moves to the one that serves now; until it does, nothing is lost."""
        self.listening = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """Sends and receives nothing any more; `close` gives back what it holds."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Idempotent, and bounded by the deadline of the gatherer."""
        self.stop()
        await asyncio.gather(*self._tasks, self._gatherer.close(), return_exceptions=True)

    # From the sockets

    def stun_received(self, base: Base, data: bytes, address: Address) -> None:
        if self.closed or self.listening or self._loop is None:
            return
        # Answers of STUN servers come in at the same sockets, and belong to the gatherer.
        if not self._gatherer.handle_stun(base, data, address):
            if self.agent.stun_received(base, data, address, self._loop.time()):
                self.pump()

    def data_received(self, data: bytes) -> None:
        if not self.closed:
            self._count(1, len(data))
            self._owner.data_received(data)

    def media_received(self, datagrams: list[Datagram]) -> None:
        if not self.closed:
            size = 0
            for data, _, _ in datagrams:
                size += len(data)
            self._count(len(datagrams), size)
            self._owner.media_received(datagrams)

    def _count(self, packets: int, size: int) -> None:
        self.received += packets
        pair = self.selected
        if pair is not None:  # over which pair they came is not looked up: nearly always over this one
            pair.packets_received += packets
            pair.bytes_received += size

    def base_lost(self, base: Base) -> None:
        if not self.closed and self._loop is not None:
            self.agent.remove_base(base, self._loop.time())
            self.pump()

    # From the gatherer

    def base_added(self, base: Base) -> None:
        if not self.closed and self._loop is not None:
            self.agent.add_base(base, self._loop.time())
            self.pump()

    def candidate_found(self, candidate: Candidate, base: Base | None) -> None:
        if self.closed or len(self.candidates) >= MAX_LOCAL:
            return
        self.candidates.append(candidate)
        if base is not None:
            self.agent.add_local_candidate(candidate, base)
        self._owner.generation_candidate(self, candidate)

    def server_failed(self, error: CandidateError) -> None:
        if self.closed:
            return
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error)
        self._owner.generation_error(error)

    def gathering_done(self) -> None:
        if self.closed:
            return
        self._set_gathering("complete")
        self._owner.generation_candidate(self, None)
        self._give_up_without_candidates()

    # Itself

    def _set_gathering(self, state: str) -> None:
        self.gathering = state
        self._owner.generation_gathering(self)

    def pump(self) -> None:
        """Carries out what the agent decided; after every input."""
        agent = self.agent
        for base, data, address in agent.packets():
            base.send(data, address)
        if self.closed:
            return
        self._arm(agent.next_timeout())
        if agent.state != self.state or agent.selected is not self.selected:
            self.state = agent.state
            self.selected = agent.selected
            self._owner.generation_changed(self)

    def _arm(self, when: float | None) -> None:
        """A timer that fires too early only asks again: most of the time that is cheaper than a new one."""
        if when is None or self.listening or self._loop is None or (self._timer is not None and self._due <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        # Kept here: a handle of uvloop that is due at once does not tell when.
        self._due = when
        # To keep a path alive can wait for the tick that wakes the process in any case.
        due = tick_after(when) if self.state in ("connected", "completed") and when - self._loop.time() > SOON else when
        self._timer = self._loop.call_at(due, self._fire, when)

    def _fire(self, when: float) -> None:
        assert self._loop is not None
        self._timer = None
        # A loop may call a little before the time.
        self.agent.timeout(max(when, self._loop.time()))
        self.pump()

    def _give_up_without_candidates(self) -> None:
        if self.gathering == "complete" and not self.candidates and self.agent.remote is not None:
            self.give_up()

    def _ask_for(self, candidate: Candidate) -> None:
        key = (candidate.protocol, candidate.address, candidate.port)
        if key not in self._asked and len(self._asked) < MAX_NAMES:
            self._asked.add(key)
            task = asyncio.create_task(self._look_up(candidate), name="ice name lookup")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, candidate: Candidate) -> None:
        addresses = await self._resolve(candidate.address)
        if not addresses:
            self.unresolved.append(candidate.address)
        for address in addresses:
            self.add_remote_candidate(replace(candidate, address=address))


def deadlines(settings: IceSettings, *, restarted: bool = False) -> Deadlines:
    return Deadlines(
        connect_timeout=settings.connect_timeout,
        disconnected_after=settings.disconnected_after,
        lost_after=settings.lost_after,
        # Where only relays are allowed there is nothing better to wait for. A restart mostly repairs something: media
        # waits, and a browser goes on over the path that is dead until another one is nominated.
        nomination_window=0.0 if restarted or settings.policy == "relay" else NOMINATION_WINDOW,
    )


def _text(size: int) -> str:
    return "".join(secrets.choice(_ICE_CHARS) for _ in range(size))
