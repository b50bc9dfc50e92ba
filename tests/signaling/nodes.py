"""Several nodes in one process, over a backplane in memory, and clients of them without sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from peer.continuity import Continuity
from signaling import messages as m
from signaling.backplane import MemoryBackplane, MemoryBus
from signaling.cluster import ClusterHub
from signaling.codes import Code, ProtocolError
from signaling.settings import Limits, Settings

if TYPE_CHECKING:
    from signaling.backplane import Backplane
    from signaling.delivery import Delivery
    from signaling.gate import Gate


class Connection:
    """A connection of a client to a node: a recipient that hands on what it gets."""

    def __init__(self, client: Client, hub: ClusterHub) -> None:
        self.client = client
        self.hub = hub
        self.id: str | None = None
        self.ended = False
        hub.connect(self)

    def deliver(self, delivery: Delivery) -> None:
        if not self.ended:
            self.client.read(delivery.frame)

    def resumed(self, member_id: str) -> None:
        self.id = member_id

    def refuse(self, error: ProtocolError) -> None:
        self.client.refused.append(error.code)
        if not self.ended:
            self.client.join_over(self)

    def drop(self, error: ProtocolError) -> None:
        self.client.refused.append(error.code)
        self.end(error.code.value)

    def abort(self) -> None:
        self.end("lost", lost=True)

    def end(self, reason: str, *, lost: bool = False) -> None:
        if self.ended:
            return
        self.ended = True
        if self.id is not None:
            (self.hub.lose if lost else self.hub.part)(self, self.id, reason)
        self.hub.disconnect(self)


class Client:
    """A client that knows how to come back. `resume=False`: one that does not."""

    def __init__(self, name: str, *, resume: bool = True, room: str = "lab", token: str | None = None) -> None:
        self.token = token
        self.name = name
        self.resume = resume
        self.room = room
        self.id = ""
        self.place: Continuity | None = None
        self.connection: Connection | None = None
        self.entered = asyncio.Event()
        self.ids: list[str] = []
        self.refused: list[Code] = []
        self.told: list[m.ServerMessage] = []
        self.others: dict[str, str] = {}
        self.heard: dict[str, list[object]] = {}
        self.sent: dict[str, list[object]] = {}

    @property
    def connected(self) -> bool:
        return self.connection is not None and not self.connection.ended and self.entered.is_set()

    def connect(self, hub: ClusterHub) -> None:
        """Joins, or comes back."""
        self.entered.clear()
        connection = self.connection = Connection(self, hub)
        if self.place is None:
            self.join_over(connection)
            return
        resume = self.place.resume()
        try:
            hub.resume(connection, resume)
        except ProtocolError as error:
            connection.drop(error)

    def join_over(self, connection: Connection) -> None:
        self.place = None
        secret = f"secret of {self.name}" if self.resume else None
        try:
            connection.id = connection.hub.join(
                connection, m.Join(self.room, self.name, 1, secret=secret, resume=self.resume, token=self.token)
            )
        except ProtocolError as error:
            connection.drop(error)

    def lose(self) -> None:
        """The connection breaks; the node notices."""
        if self.connection is not None:
            self.connection.end("lost", lost=True)

    def say(self, to: str, data: object) -> None:
        assert self.connection is not None and self.connection.id is not None
        message = m.MessageTo(to, data)
        self.sent.setdefault(to, []).append(data)
        if self.place is not None:
            sent = m.parse_client(self.place.numbered(m.encode(message)))
            assert isinstance(sent, m.MessageTo)
            message = sent
        if not self.connection.ended:
            self.connection.hub.relay(self.connection.id, message)

    def read(self, frame: bytes) -> None:
        message = m.parse_server(frame)
        if isinstance(message, m.Welcome):
            self.id = message.id
            self.ids.append(message.id)
            self.others = {member.id: member.name for member in message.members}
            self.heard, self.sent = {}, {}
            if self.resume:
                self.place = Continuity(self.room, message.id, f"secret of {self.name}")
            self.entered.set()
        if isinstance(message, m.Resumed):
            self._resumed(message.got)
            return
        if self.place is not None and not self.place.fresh(message):
            return
        self.told.append(message)
        match message:
            case m.MessageFrom(sender, data):
                self.heard.setdefault(sender, []).append(data)
            case m.Joined(member):
                self.others[member.id] = member.name
            case m.Left(member):
                self.others.pop(member.id, None)
        due = self.place.due() if self.place is not None else None
        if due is not None and self.connection is not None and self.connection.id is not None:
            self.connection.hub.acknowledge(self.connection.id, due.got)

    def _resumed(self, got: int) -> None:
        assert self.place is not None and self.connection is not None and self.connection.id is not None
        again = self.place.resumed(got)
        assert again is not None
        self.entered.set()
        for text in again:
            message = m.parse_client(text)
            assert isinstance(message, m.MessageTo)
            self.connection.hub.relay(self.connection.id, message)


class Nodes:
    """Nodes over one bus, or over backplanes of your own."""

    def __init__(self, limits: Limits | None = None, gate: Gate | None = None) -> None:
        self.gate = gate
        self.bus = MemoryBus(asyncio.get_running_loop().time)
        self.limits = limits or Limits()
        self.hubs: dict[str, ClusterHub] = {}

    async def start(self, node: str, backplane: Backplane | None = None) -> ClusterHub:
        hub = ClusterHub(Settings(limits=self.limits), backplane or MemoryBackplane(self.bus, node), self.gate)
        await hub.start()
        self.hubs[node] = hub
        return hub

    async def kill(self, node: str, *clients: Client) -> None:
        """As kill -9: no goodbye to anybody; its connections break."""
        hub = self.hubs.pop(node)
        await hub.abandon()
        for client in clients:
            if client.connection is not None and client.connection.hub is hub:
                client.connection.ended = True

    async def close(self) -> None:
        for hub in self.hubs.values():
            await hub.abandon()
        self.hubs.clear()


async def entered(*clients: Client) -> None:
    """Waits until all are in the room."""
    async with asyncio.timeout(60):
        for client in clients:
            await client.entered.wait()
