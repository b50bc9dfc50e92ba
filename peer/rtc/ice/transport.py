"""The path to one peer: generations of ICE, from the first candidate through restarts to the close.

`IceTransport` is what the rest of the engine sees. It has a generation that carries data, and while ICE restarts
another one that is about to; the old one serves until the new one has a path.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from peer.rtc.ice.explain import Attempt, explain
from peer.rtc.ice.generation import Generation, Parts, Watch
from peer.rtc.ice.pairs import PairReport
from peer.rtc.ice.servers import server_urls

if TYPE_CHECKING:
    from collections.abc import Coroutine, Set

    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.pairs import Pair
    from peer.rtc.ice.servers import CandidateError, IceSettings
    from peer.rtc.ice.stun import Address

logger = logging.getLogger(__name__)

RETIRE_AFTER: Final = 1.0
"""Seconds that an old generation goes on receiving after both sides have moved to the new one."""
RETIRE_AT_MOST: Final = 5.0
"""Seconds after which it ends even if the new one is not nominated."""
RETIRE_WHILE_USED: Final = 15.0
"""Seconds that it goes on at most while the other side still sends over it: a browser may take its time to move."""
MAX_RETIRED: Final = 2
"""Old generations that go on for a while; of more the oldest ends at once."""

SelectedPair = PairReport
"""The pair in use: `local`, `remote`, `round_trip_time`, `reason` and counters, at the moment it was asked for."""

UP: Final = ("connected", "completed")


class IceListener(Protocol):
    """Who is told. Plain calls on the loop; they must not raise."""

    def ice_candidate(self, candidate: Candidate | None) -> None:
        """A local candidate of the newest generation; None: that was all."""

    def ice_candidate_error(self, error: CandidateError) -> None: ...
    def ice_gathering_changed(self) -> None: ...
    def ice_state_changed(self) -> None: ...
    def ice_pair_changed(self) -> None: ...
    def ice_media(self, datagrams: list[Datagram]) -> None: ...
    def ice_data(self, data: bytes) -> None:
        """What is neither STUN nor media. Both come straight from the socket, to what these are at the beginning."""

    def ice_addresses_changed(self) -> None:
        """The addresses of the host changed in a way that matters to this connection: a restart is due."""


class IceTransport:
    """RTCIceTransport and RTCIceGatherer in one, with restarts.

    `state` is W3C's RTCIceTransportState, `gathering_state` its RTCIceGatheringState. Times are those of the loop.
    """

    def __init__(self, settings: IceSettings, listener: IceListener, parts: Parts | None = None) -> None:
        self.state = "new"
        self.gathering_state = "new"
        self.data_received, self.media_received = listener.ice_data, listener.ice_media  # they take no way round
        self._settings = settings
        self._listener = listener
        self._parts = parts or Parts()
        self._turn_servers = sum(url.is_turn for url in server_urls(settings.servers)[0])
        self._current = Generation(settings, self, self._parts, "controlling")
        self._pending: Generation | None = None
        self._agreed: Generation | None = None
        """One that both sides know and that has no path yet, while another that only we know is the pending one."""
        self._retired: list[tuple[Generation, asyncio.TimerHandle]] = []
        self._sending: Pair | None = None
        self._selected: Pair | None = None
        self._watch: Watch | None = None
        self._addresses: frozenset[str] = frozenset()
        self._closings: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    @property
    def _newest(self) -> Generation:
        return self._pending or self._current

    @property
    def role(self) -> str:
        """controlling or controlled. Can be set until there is a path; two sides with the same one settle it."""
        return self._newest.agent.role

    @role.setter
    def role(self, role: str) -> None:
        self._newest.agent.role = role

    @property
    def parameters(self) -> IceParameters:
        """Our credentials, of the newest generation."""
        return self._newest.parameters

    @property
    def remote_parameters(self) -> IceParameters | None:
        """The other side's credentials for the newest generation, once `start` was called with them."""
        return self._newest.agent.remote

    @property
    def candidates(self) -> list[Candidate]:
        """What was found so far, of the newest generation."""
        return list(self._newest.candidates)

    @property
    def remote_candidates(self) -> list[Candidate]:
        """What is known of the other side in the newest generation, also what was learned from its checks."""
        return list(self._newest.agent.pairs.remote.values())

    @property
    def restarting(self) -> bool:
        """Whether a new generation is there that has no path yet."""
        return self._pending is not None and self.state != "closed"

    # Doing

    async def gather(self) -> None:
        """Binds the sockets of the newest generation; candidates are reported meanwhile and later.

        Idempotent. Raises UsageError for settings that cannot be.
        """
        if self.state == "closed":
            return
        if self._watch is None:
            self._watch = self._parts.watch(self._addresses_changed)
            self._addresses = self._parts.addresses(self._settings)
        await self._newest.gather()

    def restart(self) -> None:
        """A new generation, which takes over when it has a path; in the place of one that was not agreed yet."""
        if self.state == "closed":
            return
        role = self.role
        if self._pending is not None and self._pending.agent.remote is not None:
            self._agreed, self._pending = self._pending, None  # it holds until the new one is agreed
        self._drop_pending()
        self._pending = Generation(self._settings, self, self._parts, role, restarted=True)
        self._update_gathering()

    def rollback(self) -> None:
        """Drops the generation that `restart` made, if it has not taken over; what was agreed before holds again."""
        if self._pending is not None and self.state != "closed":
            self._drop_pending()
            self._pending, self._agreed = self._agreed, None
            self._update_gathering()
            self._update()

    def start(self, remote: IceParameters) -> None:
        """The other side's credentials for the newest generation; the same once more change nothing.

        Raises ValueError for credentials that cannot be.
        """
        if self.state == "closed":
            return
        remote.validate()
        newest = self._newest
        known = newest.agent.remote
        if known is not None:
            if known.username_fragment != remote.username_fragment:
                logger.warning(
                    "the other side changed its ICE credentials without a restart of ours; they are not used"
                )
            return
        if self._agreed is not None:  # the other side has given it up too
            agreed, self._agreed = self._agreed, None
            self._end(agreed)
        newest.start(remote)
        if self._settings.policy == "relay" and not self._turn_servers:
            newest.give_up()
        self._update()

    def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """One of theirs; None says that it was the last, which changes nothing: checks may find more (RFC 8838)."""
        if candidate is None or self.state == "closed":
            return
        fragment = candidate.username_fragment
        for generation in self._generations()[:-1]:
            known = generation.agent.remote
            if fragment is not None and known is not None and fragment == known.username_fragment:
                generation.add_remote_candidate(candidate)
                return
        self._newest.add_remote_candidate(candidate)

    def send_all(self, packets: list[bytes]) -> None:
        """Over the selected pair; dropped while there is none. Never raises."""
        pair = self._sending
        if pair is not None:
            pair.packets_sent += len(packets)
            pair.bytes_sent += sum(map(len, packets))
            pair.base.send_all(packets, pair.address)

    def heard(self, now: float) -> None:
        """Authenticated media arrived: a sign of life."""
        self._current.heard(now)

    def left(self, addresses: Set[Address]) -> None:
        """The other side is known to have closed its sockets at these addresses, and to be checking from others."""
        if self.state != "closed":
            self._current.left(addresses)

    async def close(self) -> None:
        """Idempotent, bounded; gives back every socket, timer, task and allocation. The listener hears nothing more."""
        if self._closing is None:
            self.state = "closed"
            self._sending = None
            self._closing = asyncio.create_task(self._close(), name="ice close")
        await asyncio.shield(self._closing)

    # Asking

    def silence(self, now: float) -> float:
        """Seconds since the other side was heard of; 0 before there was a path."""
        return self._current.agent.consent.silence(now)

    @property
    def last_heard(self) -> float | None:
        return self._current.agent.consent.last_heard

    @property
    def selected_pair(self) -> SelectedPair | None:
        return self._current.agent.selected_report()

    def pairs(self) -> list[PairReport]:
        """Every pair of the generation in use and of the one that is to come."""
        return [report for generation in self._generations() for report in generation.agent.reports()]

    def explain(self) -> str:
        """Why there is no path: what was tried, what did not answer, what to do. A sentence."""
        # A restart that the other side does not answer is no news: that the path was lost before is.
        generation = self._newest if self._newest.agent.remote is not None else self._current
        agent = generation.agent
        had_path = agent.consent.last_heard is not None
        silence = agent.consent.silence(asyncio.get_running_loop().time())
        return explain(
            Attempt(
                relay_only=self._settings.policy == "relay",
                turn_servers=self._turn_servers,
                seconds=silence if had_path else self._settings.connect_timeout,
                started=agent.remote is not None,
                had_path=had_path,
                gathering=generation.gathering != "complete",
                local=generation.candidates,
                remote=list(agent.pairs.remote.values()),
                unresolved=generation.unresolved,
                pairs=agent.reports(),
                errors=generation.errors,
                rejected=agent.rejected,
            )
        )

    # From the generations

    def generation_changed(self, generation: Generation) -> None:
        if self.state == "closed":
            return
        if generation in (self._pending, self._agreed) and generation.state in UP:
            self._promote(generation)
        if generation is self._current and generation.state == "completed":
            self._hasten_retirement()
        if generation in self._generations():
            self._update()

    def generation_gathering(self, generation: Generation) -> None:
        if generation is self._newest:
            self._update_gathering()

    def generation_candidate(self, generation: Generation, candidate: Candidate | None) -> None:
        if generation is self._newest and self.state != "closed":
            self._listener.ice_candidate(candidate)

    def generation_error(self, error: CandidateError) -> None:
        if self.state != "closed":
            self._listener.ice_candidate_error(error)

    # Itself

    def _generations(self) -> list[Generation]:
        """Those that are not given up, the oldest first."""
        return [each for each in (self._current, self._agreed, self._pending) if each is not None]

    def _update(self) -> None:
        """Tells what changed of the state and the pair in use."""
        current = self._current
        state = current.state
        for each in self._generations()[1:]:
            if state in ("new", "failed") and each.state != "new":
                state = each.state
        pair = current.selected
        # RFC 7675 section 5.1: nothing is sent once consent has expired.
        self._sending = pair if current.state != "failed" else None
        pair_changed, self._selected = pair is not self._selected, pair
        state_changed, self.state = state != self.state, state
        if state_changed:
            logger.debug("ICE %s is %s", current.parameters.username_fragment, state)
        if pair_changed:
            if pair is not None:
                logger.debug("ICE %s uses a %s path", current.parameters.username_fragment, pair.describe())
            self._listener.ice_pair_changed()
        if state_changed and self.state == state:
            self._listener.ice_state_changed()

    def _update_gathering(self) -> None:
        state = self._newest.gathering
        if state != self.gathering_state and self.state != "closed":
            self.gathering_state = state
            self._listener.ice_gathering_changed()

    def _promote(self, generation: Generation) -> None:
        """The new generation has a path: it carries the data from now on."""
        old, self._current, self._agreed = self._current, generation, None
        if generation is self._pending:
            self._pending = None
        self._retired.append((old, self._retirement(old, RETIRE_AT_MOST, RETIRE_WHILE_USED)))
        while len(self._retired) > MAX_RETIRED:
            self._end_retired(self._retired[0][0])

    def _hasten_retirement(self) -> None:
        soon = asyncio.get_running_loop().time() + RETIRE_AFTER
        for position, (old, timer) in enumerate(self._retired):
            if timer.when() > soon:
                timer.cancel()
                self._retired[position] = (old, self._retirement(old, RETIRE_AFTER, RETIRE_WHILE_USED))

    def _retirement(self, old: Generation, after: float, left: float) -> asyncio.TimerHandle:
        """The timer that ends an old generation, `left` seconds from now at the latest, once nothing comes over it."""
        received = old.received

        def look() -> None:
            if old.received == received or left <= after:
                self._end_retired(old)
                return
            old.listen()
            timer = self._retirement(old, RETIRE_AFTER, left - after)
            self._retired = [(each, timer if each is old else other) for each, other in self._retired]

        return asyncio.get_running_loop().call_later(after, look)

    def _end_retired(self, generation: Generation) -> None:
        for old, timer in self._retired:
            if old is generation:
                timer.cancel()
        self._retired = [entry for entry in self._retired if entry[0] is not generation]
        self._end(generation)

    def _drop_pending(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._end(pending)

    def _end(self, generation: Generation) -> None:
        generation.stop()
        self._spawn(generation.close())

    def _spawn(self, closing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(closing, name="ice generation close")
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        for _, timer in self._retired:
            timer.cancel()
        generations = [*self._generations(), *(old for old, _ in self._retired)]
        self._retired = []
        for generation in generations:
            generation.stop()
        await asyncio.gather(*(generation.close() for generation in generations), *self._closings)

    def _addresses_changed(self, _: frozenset[str]) -> None:
        """A restart is due when the path in use lost its address, or when there is none and something changed.

        While the path works a new address changes nothing: it may be better, as a cable is than a mobile network, or
        be a container's; trying it out would cost sockets, allocations and a negotiation each time.
        """
        addresses = self._parts.addresses(self._settings)
        before, self._addresses = self._addresses, addresses
        if self.state == "closed" or addresses == before:
            return
        if self.state == "new" and not before - addresses and self._newest.candidates:
            return  # the other side has not answered yet; what it was told of us still holds
        pair = self._current.selected
        cut = pair is None or pair.base.candidate.address not in addresses
        if pair is not None and pair.base.candidate.type == "relay":
            # Which address the relay is reached from is not known here. The one that was lost may come back as another.
            cut = bool(before - addresses) or self.restarting
        if self.state not in UP or cut:
            logger.debug("the addresses of this host changed, a restart is due")
            self._listener.ice_addresses_changed()
