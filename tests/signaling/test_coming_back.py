"""Coming back, as a whole: clients over wires that break, the rooms, and time.

Nothing is lost, nothing comes twice, the order stays, and nobody who is gone stays in a room after the grace. The
server's half is `signaling.rooms`, the clients' half is `peer.continuity`; the wires carry the JSON of both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from peer.continuity import Continuity
from signaling import messages as m
from signaling.codes import Code, ProtocolError
from signaling.rooms import Keep, Rooms

if TYPE_CHECKING:
    from collections.abc import Callable

    from signaling.delivery import Delivery

GRACE = 30.0
KEPT = 8
NAMES = ("alice", "bob", "carol")


@dataclass
class Client:
    """A client with its place, and the wire between it and the server."""

    name: str
    id: str = ""
    place: Continuity | None = None
    up: list[str] = field(default_factory=list)
    down: list[bytes] = field(default_factory=list)
    connected: bool = False
    noticed: bool = True  # the server knows whether it is connected
    lost_at: float = 0.0  # when the server noticed
    sent: dict[str, list[int]] = field(default_factory=dict)  # id of the other -> what it was told
    heard: dict[str, list[int]] = field(default_factory=dict)  # id of the other -> what it said
    others: dict[str, str] = field(default_factory=dict)  # id -> "here" or "away", as the client was told

    def read(self, frame: bytes) -> None:
        message = m.parse_server(frame)
        assert self.place is not None
        if not self.place.fresh(message):
            return
        match message:
            case m.MessageFrom(sender, data):
                self.heard.setdefault(sender, []).append(data)
            case m.Welcome(members=members):
                self.others = {member.id: "here" for member in members}
            case m.Joined(member):
                assert member.id not in self.others
                self.others[member.id] = "here"
            case m.Away(member):
                assert self.others[member.id] == "here" or member.id in self.others
                self.others[member.id] = "away"
            case m.Back(member):
                assert self.others[member.id] == "away"
                self.others[member.id] = "here"
            case m.Left(member):
                del self.others[member.id]
            case m.ErrorMessage():
                pass
            case _:
                pytest.fail(f"unexpected: {message}")
        due = self.place.due()
        if due is not None:
            self.up.append(m.encode(due))


class Meeting(RuleBasedStateMachine):
    """Three clients in one room."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.count = 0
        self.rooms = Rooms(10, keep=Keep(GRACE, KEPT, 100_000))
        self.clients = {name: Client(name) for name in NAMES}
        self.gone: set[str] = set()  # ids that are no more: what was on its way to and from them is lost

    @initialize()
    def everybody_joins(self) -> None:
        for client in self.clients.values():
            self.join(client)

    # What happens

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def say(self, name: str, to: str) -> None:
        client, other = self.clients[name], self.clients[to]
        if name == to or not client.connected or client.place is None or other.id in self.gone:
            return
        self.count += 1
        client.sent.setdefault(other.id, []).append(self.count)
        client.up.append(client.place.numbered(m.encode(m.MessageTo(other.id, self.count))))

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 50))
    def carry_up(self, name: str, count: int) -> None:
        client = self.clients[name]
        for _ in range(min(count, len(client.up))):
            self.take(client, client.up.pop(0))

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 50))
    def carry_down(self, name: str, count: int) -> None:
        client = self.clients[name]
        for _ in range(min(count, len(client.down))):
            client.read(client.down.pop(0))

    @rule(name=st.sampled_from(NAMES), noticed=st.booleans())
    def lose(self, name: str, noticed: bool) -> None:
        """The wire breaks with everything on it; the server may notice that at once or later."""
        client = self.clients[name]
        if client.connected:
            client.connected, client.noticed = False, False
            client.up.clear()
            client.down.clear()
            if noticed:
                self.notice(name)

    @rule(name=st.sampled_from(NAMES))
    def notice(self, name: str) -> None:
        client = self.clients[name]
        if not client.connected and not client.noticed:
            client.noticed, client.lost_at = True, self.now
            self.deliver(self.rooms.suspend(client.id, "lost", self.now))

    @rule(name=st.sampled_from(NAMES))
    def come_back(self, name: str) -> None:
        client = self.clients[name]
        if client.connected or client.place is None:
            return
        try:
            deliveries = self.rooms.resume(client.place.resume())
        except ProtocolError as error:
            assert error.code is Code.CANNOT_RESUME
            self.rejoin(client)
            return
        client.connected = client.noticed = True
        resumed = deliveries[0].message
        assert isinstance(resumed, m.Resumed) and deliveries[0].to == client.id
        again = client.place.resumed(resumed.got)
        assert again is not None
        client.up.extend(again)
        self.deliver(deliveries[1:])

    @rule(seconds=st.sampled_from([1.0, 10.0, GRACE]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        before = self.rooms.next_expiry
        self.deliver(self.rooms.expire(self.now))
        assert before is None or before > self.now or self.rooms.next_expiry != before
        for client in self.clients.values():
            if not self.rooms.has(client.id):
                self.forget(client.id)

    # What always holds

    @invariant()
    def nobody_hears_anything_twice_or_out_of_order(self) -> None:
        for client in self.clients.values():
            for sender in self.clients.values():
                told = sender.sent.get(client.id, [])
                assert client.heard.get(sender.id, []) == told[: len(client.heard.get(sender.id, []))]

    @invariant()
    def nobody_who_is_gone_stays_after_the_grace(self) -> None:
        for client in self.clients.values():
            if not client.connected and client.noticed and self.now - client.lost_at >= GRACE:
                assert not self.rooms.has(client.id)

    @precondition(lambda self: not self.gone)
    @rule()
    def everything_arrives_in_the_end(self) -> None:
        for name in NAMES:
            self.come_back(name)
        for _ in range(3):
            for name in NAMES:
                self.carry_up(name, 1000)
            for name in NAMES:
                self.carry_down(name, 1000)
        if self.gone:
            return  # somebody had missed too much
        for client in self.clients.values():
            here = {other.id for other in self.clients.values() if other is not client}
            assert client.others == dict.fromkeys(here, "here")
            for sender in self.clients.values():
                assert client.heard.get(sender.id, []) == sender.sent.get(client.id, [])

    # The server

    def join(self, client: Client) -> None:
        self.count += 1
        client.id = f"id{self.count}"
        client.place = Continuity("lab", client.id, "secret")
        client.up, client.down, client.sent, client.heard = [], [], {}, {}
        client.connected = client.noticed = True
        self.deliver(self.rooms.join(client.id, m.Join("lab", client.name, 1, secret="secret", resume=True)))

    def rejoin(self, client: Client) -> None:
        """As an ordinary join does it after a refused resume: the old place, if there is one, is taken over."""
        before = self.rooms.place_of(m.Join("lab", client.name, 1, secret="secret"))
        assert before in {client.id, None}
        self.deliver(self.rooms.leave(client.id, "replaced"))
        self.forget(client.id)
        self.join(client)

    def take(self, client: Client, text: str) -> None:
        message = m.parse_client(text)
        if isinstance(message, m.Ack):
            self.rooms.acknowledge(client.id, message.got)
            return
        assert isinstance(message, m.MessageTo)
        try:
            self.deliver(self.rooms.relay(client.id, message))
        except ProtocolError as error:
            assert error.to in self.gone
            self.deliver(self.rooms.refuse(client.id, error))

    def deliver(self, deliveries: list[Delivery]) -> None:
        by_id: dict[str, Callable[[bytes], None]] = {
            client.id: client.down.append for client in self.clients.values() if client.connected
        }
        for delivery in deliveries:
            by_id.get(delivery.to, lambda frame: None)(delivery.frame)

    def forget(self, member_id: str) -> None:
        self.gone.add(member_id)
        for client in self.clients.values():
            client.sent.pop(member_id, None)
            client.heard.pop(member_id, None)
            if client.id == member_id:
                client.sent, client.heard = {}, {}


Meeting.TestCase.settings = settings(stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestMeeting = Meeting.TestCase
