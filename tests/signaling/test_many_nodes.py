"""Many nodes under everything that can happen to them, in virtual time: nothing lost, nothing twice, no ghosts.

Nodes are killed, freeze and wake up as owners that were deposed, the backplane goes away, mail gets lost, clients lose
their connections and come back anywhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from signaling.backplane import MemoryBackplane, MemoryBus
from tests.harness.clock import run_virtual
from tests.signaling.nodes import Client, Nodes

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = ("one", "two", "three")
NAMES = ("alice", "bob", "carol")


class LossyBus(MemoryBus):
    """Loses mail between nodes; and remembers who committed what, to see that leases hold."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.loses = 0

    def put(self, mail: list[tuple[str, bytes]]) -> None:
        lost = min(self.loses, len(mail))
        self.loses -= lost
        super().put(mail[lost:])


class FreezingBackplane(MemoryBackplane):
    """A node whose calls to the backplane do not come through for a while."""

    def __init__(self, bus: MemoryBus, node: str) -> None:
        super().__init__(bus, node)
        self.awake = asyncio.Event()
        self.awake.set()

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in {"claim", "commit", "renew", "release", "send", "beat"}:
            return value

        async def later(*arguments: Any, **keywords: Any) -> Any:
            await self.awake.wait()
            return await value(*arguments, **keywords)

        return later


@dataclass(frozen=True)
class Connect:
    """Joins or comes back, at a node, whether the last connection is known to be dead or not."""

    name: str
    node: str


@dataclass(frozen=True)
class Lose:
    name: str


@dataclass(frozen=True)
class Say:
    name: str
    to: str
    count: int


@dataclass(frozen=True)
class Kill:
    node: str


@dataclass(frozen=True)
class Freeze:
    node: str
    seconds: float


@dataclass(frozen=True)
class Outage:
    seconds: float


@dataclass(frozen=True)
class LoseMail:
    count: int


@dataclass(frozen=True)
class Wait:
    seconds: float


Step: TypeAlias = Connect | Lose | Say | Kill | Freeze | Outage | LoseMail | Wait

names, nodes = st.sampled_from(NAMES), st.sampled_from(NODES)
seconds = st.sampled_from([0.0, 0.3, 2.0, 8.0])
steps = st.lists(
    st.one_of(
        st.builds(Connect, names, nodes),
        st.builds(Lose, names),
        st.builds(Say, names, names, st.integers(1, 5)),
        st.builds(Say, names, names, st.integers(1, 5)),
        st.builds(Kill, nodes),
        st.builds(Freeze, nodes, seconds),
        st.builds(Outage, seconds),
        st.builds(LoseMail, st.integers(1, 3)),
        st.builds(Wait, seconds),
    ),
    max_size=40,
)


class Town:
    """The nodes and the clients, and how a step changes them."""

    def __init__(self) -> None:
        self.nodes = Nodes()
        self.bus = self.nodes.bus = LossyBus(asyncio.get_running_loop().time)
        self.backplanes: dict[str, FreezingBackplane] = {}
        self.clients = {name: Client(name) for name in NAMES}
        self.count = 0

    async def start(self, node: str) -> None:
        if node not in self.nodes.hubs:
            self.count += 1
            self.backplanes[node] = FreezingBackplane(self.bus, f"{node}-{self.count}")  # a new process has a new name
            await self.nodes.start(node, self.backplanes[node])

    async def step(self, step: Step) -> None:
        match step:
            case Connect(name, node):
                await self.start(node)
                self.clients[name].connect(self.nodes.hubs[node])
            case Lose(name):
                self.clients[name].lose()
            case Say(name, to, count):
                client = self.clients[name]
                for _ in range(count):
                    if client.connected and name != to and self.clients[to].id:
                        self.count += 1
                        client.say(self.clients[to].id, self.count)
            case Kill(node) if node in self.nodes.hubs:
                await self.nodes.kill(node, *self.clients.values())
            case Freeze(node, seconds) if node in self.nodes.hubs:
                awake = self.backplanes[node].awake
                awake.clear()
                asyncio.get_running_loop().call_later(seconds, awake.set)
            case Outage(seconds):
                self.bus.down = True
                asyncio.get_running_loop().call_later(seconds, setattr, self.bus, "down", False)
            case LoseMail(count):
                self.bus.loses += count
            case Wait(seconds):
                await asyncio.sleep(seconds)
        await asyncio.sleep(0.01)
        self.nothing_twice_and_in_order()

    def nothing_twice_and_in_order(self) -> None:
        for client in self.clients.values():
            for other in self.clients.values():
                heard, sent = client.heard.get(other.id, []), other.sent.get(client.id, [])
                assert heard == sent[: len(heard)]

    async def everything_arrives_in_the_end(self) -> None:
        await asyncio.sleep(10)
        self.bus.loses = 0
        await self.start("one")
        for _ in range(3):
            for client in self.clients.values():
                if not client.connected:
                    client.connect(self.nodes.hubs["one"])
            await asyncio.sleep(8)
        present = list(self.clients.values())
        assert all(client.connected for client in present)
        for client in present:
            for other in present:
                if client is not other:
                    self.count += 1
                    client.say(other.id, self.count)
        await asyncio.sleep(8)
        for client in present:
            assert client.others == {other.id: other.name for other in present if other is not client}
            for other in present:
                assert client.heard.get(other.id, []) == other.sent.get(client.id, [])


async def scenario(steps: list[Step]) -> None:
    town = Town()
    try:
        for step in (*(Connect(name, node) for name, node in zip(NAMES, NODES, strict=True)), *steps):
            await town.step(step)
        await town.everything_arrives_in_the_end()
        for client in town.clients.values():
            client.lose()
        await asyncio.sleep(60)
        assert town.nodes.hubs["one"].rooms.member_count == 0, "ghosts"
    finally:
        await town.nodes.close()


@example([Say("bob", "alice", 3), Kill("one"), Say("bob", "alice", 3), Wait(8.0), Connect("alice", "two")])
@example([Freeze("one", 8.0), Say("alice", "bob", 2), Say("bob", "carol", 2), Wait(8.0)])
@example([LoseMail(1), Say("bob", "carol", 2), Say("bob", "carol", 2), Say("alice", "bob", 2), Wait(2.0)])
@example([Kill("one"), Wait(8.0), Wait(8.0), Wait(8.0), Wait(8.0), Wait(8.0)])
@given(steps)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens(steps: list[Step]) -> None:
    run_virtual(scenario(steps))
