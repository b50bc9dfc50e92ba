"""The rooms that this node owns: keeps their leases, applies requests, commits, and only then lets the answers go.

One task commits for all rooms, everything that came in meanwhile at once, so a round trip to the backplane carries as
many messages as it takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signaling.backplane import NODE, BackplaneDown, Commit
from signaling.nodewire import AnyAnswer, AnyRequest, Batch, Expire, Heard, NodeGone, Step, pack
from signaling.owner import Mail, Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from signaling.backplane import Alive, Backplane

logger = logging.getLogger(__name__)

SNAPSHOT_AFTER: Final = 256  # records of a journal, after which it is written anew as one
SURE_AFTER: Final = 3.0  # seconds in which edges attach their members to a new owner; others count as gone
RETRY: Final = 0.25  # seconds between attempts to reach a backplane that is down


@dataclass(slots=True)
class Lease:
    """A room of this node: its fence, and how many records its journal has."""

    fence: int
    records: int
    since: float  # when the owner before was last heard of
    sure_at: float | None  # None: every member is attached, or known to be gone


@dataclass(slots=True)
class _Done:
    """A commit that is under way, and what it was made of."""

    commit: Commit
    requests: list[AnyRequest]
    batches: dict[str, Batch]


class Ownership:
    """`deliver` takes answers for this node; `lost` is told of a room that another node has now."""

    def __init__(
        self,
        backplane: Backplane,
        owner: Owner,
        now: Callable[[], float],
        deliver: Callable[[Batch], None],
        lost: Callable[[str], None],
    ) -> None:
        self._backplane = backplane
        self._owner = owner
        self._now = now
        self._deliver = deliver
        self._lost = lost
        self._held: dict[str, Lease] = {}
        self._work: dict[str, list[AnyRequest]] = {}
        self._wake = asyncio.Event()
        self._seen: dict[str, float] = {}  # node -> when it was last heard of
        self._settled = asyncio.Event()

    def __contains__(self, room: str) -> bool:
        return room in self._held

    def put(self, request: AnyRequest) -> None:
        """A request about a room of this node."""
        self._work.setdefault(request.room, []).append(request)
        self._wake.set()

    async def acquire(self, room: str) -> str:
        """Takes a room, if nobody has it; the node that has it then. Raises BackplaneDown."""
        if room in self._held:
            return self._backplane.node
        claim = await self._backplane.claim(room)
        if claim.owner == self._backplane.node:
            try:
                self._owner.restore(room, claim.records)
            except ValueError:
                logger.exception("the journal of a room cannot be read; the room begins anew")
                self._owner.forget(room)
            edges = self._owner.nodes_of(room)
            sure_at = self._now() + SURE_AFTER if self._owner.rooms.ids_of(room) else None
            self._held[room] = Lease(claim.fence, len(claim.records), claim.since, sure_at)
            await self._greet(room, edges)
        return claim.owner

    async def run(self) -> None:
        """Commits what comes in, for ever."""
        while True:
            self._settled.set()
            await self._wake.wait()
            self._wake.clear()
            self._settled.clear()
            work, self._work = self._work, {}
            under_way = [done for room, requests in work.items() if (done := self._apply(room, requests)) is not None]
            if under_way:
                written = await self._patiently(under_way)
                for done, ok in zip(under_way, written, strict=True):
                    await (self._committed(done) if ok else self._refused(done))

    async def settle(self) -> None:
        """Returns when everything that came in is committed."""
        while self._work or not self._settled.is_set():
            await self._settled.wait()
            await asyncio.sleep(0)

    async def give_up(self) -> None:
        """Lets others have the rooms of this node, as they are. Raises BackplaneDown."""
        held, self._held = self._held, {}
        for room, lease in held.items():
            await self._backplane.release(room, lease.fence, keep=True)
            nobody = Batch(room, "", lease.fence, [])
            await self._backplane.send(self._posted(dict.fromkeys(self._owner.nodes_of(room), nobody)))

    async def renew(self, alive: Alive, *, after_outage: bool) -> None:
        """To be called every second or two: keeps the leases, notices dead nodes and members. Raises BackplaneDown."""
        leases = [(room, lease.fence) for room, lease in self._held.items()]
        for (room, _), kept in zip(leases, await self._backplane.renew(leases) if leases else [], strict=True):
            if not kept and room in self._held:
                self.put(Expire(room, self._backplane.node))  # refused when it is committed, and cleared up there
        for node, seen in alive.nodes.items():
            self._seen[node] = alive.now if after_outage else max(seen, self._seen.get(node, 0.0))
        for room in self._owner.rooms.overdue(alive.now) & self._held.keys():
            self.put(Expire(room, self._backplane.node))
        for room, lease in self._held.items():
            self._look_for_dead(room, lease, alive.now)

    def _look_for_dead(self, room: str, lease: Lease, now: float) -> None:
        node = self._backplane.node
        if lease.sure_at is not None and lease.sure_at <= now:
            lease.sure_at = None
            if gone := self._owner.unsure_of(room):
                self.put(NodeGone(room, node, "", gone, lease.since))
        for edge in self._owner.nodes_of(room) - {node}:
            seen = self._seen.setdefault(edge, now)
            if seen < now - NODE:
                self.put(NodeGone(room, node, edge, [], seen))

    # Inside

    def _apply(self, room: str, requests: list[AnyRequest]) -> _Done | None:
        lease = self._held.get(room)
        if lease is None:
            return None  # it was lost; who asked asks again
        now, mail, records = self._now(), list[Mail](), list[bytes]()
        for request in requests:
            try:
                mail += self._owner.apply(request, now)
            except Exception:
                logger.exception("a %s could not be carried out", type(request).__name__)
                continue
            if not isinstance(request, Heard):
                records.append(pack(Step(now, request)))
        if not records:
            return None
        anew = lease.records + len(records) > SNAPSHOT_AFTER
        if anew:
            records = [self._owner.snapshot(room)]
        return self._done(room, lease, records, mail, requests, anew=anew)

    def _done(
        self, room: str, lease: Lease, records: list[bytes], mail: list[Mail], requests: list[AnyRequest], *, anew: bool
    ) -> _Done:
        answers: defaultdict[str, list[AnyAnswer]] = defaultdict(list)
        for node, answer in mail:
            answers[node].append(answer)
        batches = {node: Batch(room, self._backplane.node, lease.fence, some) for node, some in answers.items()}
        posted = self._posted(batches)
        return _Done(Commit(room, lease.fence, lease.records, records, anew, posted), requests, batches)

    def _posted(self, batches: dict[str, Batch]) -> list[tuple[str, bytes]]:
        return [(node, pack(batch)) for node, batch in batches.items() if node != self._backplane.node]

    async def _patiently(self, under_way: list[_Done]) -> list[bool]:
        """Commits, as soon as the backplane can be reached: until then nobody hears of any of it."""
        while True:
            try:
                return await self._backplane.commit([done.commit for done in under_way])
            except BackplaneDown:
                await asyncio.sleep(RETRY)

    async def _committed(self, done: _Done) -> None:
        commit = done.commit
        lease = self._held.get(commit.room)
        if lease is not None:
            lease.records = len(commit.records) if commit.anew else commit.at + len(commit.records)
        own = done.batches.get(self._backplane.node)
        if own is not None:
            self._deliver(own)
        if lease is not None and not self._owner.rooms.ids_of(commit.room) and commit.room not in self._work:
            self._forget(commit.room)
            try:
                await self._backplane.release(commit.room, lease.fence, keep=False)
            except BackplaneDown:
                logger.debug("an empty room could not be released; its lease ends by itself")

    async def _refused(self, done: _Done) -> None:
        """The lease ended while this node was away, or the backplane lost its memory."""
        room, at = done.commit.room, done.commit.at
        while True:
            try:
                claim = await self._backplane.claim(room)
                break
            except BackplaneDown:
                await asyncio.sleep(RETRY)
        if claim.owner != self._backplane.node:
            logger.warning("room %r has another owner now", room)
            self._forget(room)
            self._lost(room)
            return
        sure_at = self._now() + SURE_AFTER
        if claim.records and len(claim.records) != at:  # another owner came and went
            self._owner.restore(room, claim.records)
            lease = self._held[room] = Lease(claim.fence, len(claim.records), claim.since, sure_at)
            self._work[room] = [*done.requests, *self._work.get(room, [])]
            self._wake.set()
            return
        lease = self._held[room] = Lease(claim.fence, len(claim.records), claim.since, sure_at)
        self._owner.doubt(room)
        mail = [(node, answer) for node, batch in done.batches.items() for answer in batch.answers]
        again = self._done(room, lease, [self._owner.snapshot(room)], mail, done.requests, anew=True)
        [ok] = await self._patiently([again])
        if not ok:
            await self._refused(again)
            return
        await self._committed(again)
        await self._greet(room, self._owner.nodes_of(room))

    def _forget(self, room: str) -> None:
        self._held.pop(room, None)
        self._owner.forget(room)

    async def _greet(self, room: str, edges: Iterable[str]) -> None:
        """Tells the edges who has the room now, so that they attach their members."""
        lease = self._held[room]
        batches = {edge: Batch(room, self._backplane.node, lease.fence, []) for edge in edges}
        try:
            await self._backplane.send(self._posted(batches))
        except BackplaneDown:
            logger.debug("the edges of a room could not be told of its new owner; they ask")
        if self._backplane.node in batches:
            self._deliver(batches[self._backplane.node])
