"""What the nodes of one server share: leases and journals of rooms, mail between nodes, who is alive.

A room has one owner at a time. It holds a *lease* that ends by itself, with a *fence*: a number that grows with each
new owner. What an owner commits counts only while the lease is its own: an owner that was asleep meanwhile is refused,
and nobody hears of what it believed. `MemoryBackplane` is one process; `signaling.redisplane` is Redis; both keep to
`tests/signaling/test_backplane.py`.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from signaling.bans import SIZE, Ban
from signaling.codes import Code, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LEASE: Final = 6.0  # seconds after which the room of an owner that says nothing may be had by another
NODE: Final = 6.0  # seconds after which a node that says nothing counts as dead
KEPT: Final = 60.0  # seconds that the journal of a room without an owner is kept; more than grace and lease together
MAILBOX: Final = 10_000  # messages that may wait in memory for a node that does not take them; more are dropped


class BackplaneDown(Exception):
    """The nodes cannot reach what they share. What was asked for may have been done or not: ask again."""


def unavailable() -> ProtocolError:
    """What clients are told of it."""
    return ProtocolError(Code.UNAVAILABLE, "The servers cannot reach what they share; try again in a few seconds.")


class Claim(NamedTuple):
    """Who has a room: the claimant itself, with the journal so far, or another node (then without).

    `since`: when the last owner was last heard of, in the backplane's time.
    """

    owner: str
    fence: int
    records: list[bytes]
    since: float


class Commit(NamedTuple):
    """Records for the journal of a room, and mail that goes out with them, or neither.

    `at`: how many records the journal has before; `anew`: these take the place of all of them. To commit the same again
    is harmless.
    """

    room: str
    fence: int
    at: int
    records: list[bytes]
    anew: bool
    mail: list[tuple[str, bytes]]


class Alive(NamedTuple):
    """The backplane's time in seconds, when each node was last heard of, and a number that changes with every ban."""

    now: float
    nodes: dict[str, float]
    bans: int = 0


class Backplane(Protocol):
    """What a node uses. Every coroutine raises BackplaneDown, within seconds, when it cannot do its work."""

    node: str

    async def claim(self, room: str) -> Claim:
        """Takes the lease of a room that nobody has, or says who has it."""
        ...

    async def commit(self, commits: list[Commit]) -> list[bool]:
        """Which of these were written and their mail sent; False: the lease, or the journal, is not what it was."""
        ...

    async def renew(self, leases: list[tuple[str, int]]) -> list[bool]:
        """Keeps rooms, given with their fences; False: it is lost."""
        ...

    async def release(self, room: str, fence: int, *, keep: bool) -> None:
        """Gives a room back; `keep` its journal for the next owner."""
        ...

    async def send(self, mail: list[tuple[str, bytes]]) -> None:
        """Sends to nodes. What goes to a node that does not listen is lost."""
        ...

    async def beat(self) -> Alive:
        """Says that this node lives, and tells which do."""
        ...

    async def ban(self, bans: list[Ban], word: bytes) -> None:
        """Writes down who is kept out of which room, and sends all nodes `word` of it.

        The last for the same counts; of too many, the last to end.
        """
        ...

    async def bans(self) -> list[Ban]:
        """Everything that was written down, some of it over perhaps."""
        ...

    def mail(self) -> AsyncIterator[bytes]:
        """What is sent to this node from now on, in order; ends with BackplaneDown: then something may be lost."""
        ...

    async def close(self) -> None:
        """Gives everything back. Idempotent."""
        ...


class _Journal:
    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.touched = 0.0


class MemoryBus:
    """What `MemoryBackplane`s share. `down`: as if it could not be reached. `now`: the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.down = False
        self.leases: dict[str, tuple[str, int, float]] = {}  # room -> node, fence, until
        self.journals: dict[str, _Journal] = {}
        self.nodes: dict[str, float] = {}
        self.boxes: dict[str, asyncio.Queue[bytes | None]] = {}
        self.fences = itertools.count(1)
        self.bans: dict[tuple[str, str | None, str | None], Ban] = {}
        self.banned = 0

    def wipe(self) -> None:
        """Loses everything, as a Redis that was started anew without its data; listeners are cut off."""
        self.leases.clear()
        self.journals.clear()
        self.nodes.clear()
        self.bans.clear()
        self.banned = 0
        for box in self.boxes.values():
            box.put_nowait(None)
        self.boxes.clear()

    def holds(self, room: str, node: str, fence: int) -> bool:
        """Whether the lease is in force, and this one's."""
        lease = self.leases.get(room)
        return lease is not None and lease[:2] == (node, fence) and lease[2] > self.now()

    def put(self, mail: list[tuple[str, bytes]]) -> None:
        """Into the boxes of those who listen."""
        for node, data in mail:
            box = self.boxes.get(node)
            if box is not None and box.qsize() < MAILBOX:
                box.put_nowait(data)


class MemoryBackplane:
    """A node's end of a `MemoryBus`."""

    def __init__(self, bus: MemoryBus, node: str) -> None:
        self.node = node
        self._bus = bus

    async def claim(self, room: str) -> Claim:
        self._check()
        bus, now = self._bus, self._bus.now()
        lease = bus.leases.get(room)
        if lease is not None and lease[2] > now and lease[0] != self.node:
            return Claim(lease[0], lease[1], [], now)
        journal = bus.journals.get(room)
        if journal is None or now - journal.touched > KEPT:
            journal = bus.journals[room] = _Journal()
            journal.touched = now
        since, fence = journal.touched, next(bus.fences)
        bus.leases[room] = (self.node, fence, now + LEASE)
        return Claim(self.node, fence, list(journal.records), since)

    async def commit(self, commits: list[Commit]) -> list[bool]:
        self._check()
        return [self._commit(one) for one in commits]

    def _commit(self, commit: Commit) -> bool:
        bus = self._bus
        journal = bus.journals.get(commit.room)
        if journal is None or not bus.holds(commit.room, self.node, commit.fence):
            return False
        if commit.anew:
            journal.records = list(commit.records)
        elif len(journal.records) == commit.at:
            journal.records += commit.records
        elif len(journal.records) != commit.at + len(commit.records):
            return False
        self._touch(commit.room, commit.fence)
        bus.put(commit.mail)
        return True

    async def renew(self, leases: list[tuple[str, int]]) -> list[bool]:
        self._check()
        return [self._touch(room, fence) for room, fence in leases]

    def _touch(self, room: str, fence: int) -> bool:
        bus, now = self._bus, self._bus.now()
        if not bus.holds(room, self.node, fence) or room not in bus.journals:
            return False
        bus.leases[room] = (self.node, fence, now + LEASE)
        bus.journals[room].touched = now
        return True

    async def release(self, room: str, fence: int, *, keep: bool) -> None:
        self._check()
        if self._bus.holds(room, self.node, fence):
            del self._bus.leases[room]
            if not keep:
                del self._bus.journals[room]

    async def send(self, mail: list[tuple[str, bytes]]) -> None:
        self._check()
        self._bus.put(mail)

    async def beat(self) -> Alive:
        self._check()
        now = self._bus.now()
        self._bus.nodes[self.node] = now
        return Alive(now, dict(self._bus.nodes), self._bus.banned)

    async def ban(self, bans: list[Ban], word: bytes) -> None:
        self._check()
        self._bus.bans |= {(ban.room, ban.name, ban.bearer): ban for ban in bans}
        self._bus.bans = {key: self._bus.bans[key] for key in sorted(self._bus.bans, key=self._ends)[-SIZE:]}
        self._bus.banned += 1
        self._bus.put([(node, word) for node in self._bus.boxes])

    def _ends(self, key: tuple[str, str | None, str | None]) -> float:
        return self._bus.bans[key].until

    async def bans(self) -> list[Ban]:
        self._check()
        return list(self._bus.bans.values())

    async def mail(self) -> AsyncIterator[bytes]:
        self._check()
        box = self._bus.boxes[self.node] = asyncio.Queue()
        while (data := await box.get()) is not None:
            yield data
        raise BackplaneDown("the bus was wiped")

    async def close(self) -> None:
        self._bus.boxes.pop(self.node, None)

    def _check(self) -> None:
        if self._bus.down:
            raise BackplaneDown("the bus is down")
