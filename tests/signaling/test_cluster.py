"""Several nodes as one server: members on different nodes, nodes that die, a backplane that goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from signaling import messages as m
from signaling.backplane import LEASE
from signaling.codes import Code, ProtocolError
from signaling.credentials import Grants
from signaling.gate import Gate
from tests.signaling.nodes import Client, Nodes, entered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    nodes = Nodes()
    yield nodes
    await nodes.close()


async def pair(nodes: Nodes, *, resume: bool = True) -> tuple[Client, Client]:
    """Alice on one node, which has the room, and bob on another."""
    one, two = await nodes.start("one"), await nodes.start("two")
    alice, bob = Client("alice", resume=resume), Client("bob", resume=resume)
    alice.connect(one)
    await entered(alice)
    bob.connect(two)
    await entered(bob)
    await asyncio.sleep(0.1)
    return alice, bob


async def say(clients: tuple[Client, Client], count: int) -> None:
    for number in range(count):
        for client, other in (clients, clients[::-1]):
            client.say(other.id, (client.name, number))
    await asyncio.sleep(0.1)


def understood(*clients: Client) -> None:
    """Everybody has heard everything, once and in order."""
    for client in clients:
        for other in clients:
            if client is not other:
                assert client.heard.get(other.id, []) == [list(one) for one in other.sent.get(client.id, [])]


@pytest.mark.parametrize("resume", [True, False])
async def test_members_of_one_room_are_on_different_nodes(nodes: Nodes, resume: bool) -> None:
    alice, bob = await pair(nodes, resume=resume)
    assert alice.others == {bob.id: "bob"} and bob.others == {alice.id: "alice"}
    await say((alice, bob), 200)
    understood(alice, bob)
    assert ("lab" in nodes.hubs["one"]._owned, "lab" in nodes.hubs["two"]._owned) == (True, False)
    bob.connection.end("left")
    await asyncio.sleep(0.1)
    assert alice.others == {}
    alice.connection.end("left")
    await asyncio.sleep(0.1)
    assert nodes.bus.leases == {} and nodes.bus.journals == {}


async def test_refusals_come_from_the_owner(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    other = Client("alice", resume=False)
    other.connect(nodes.hubs["two"])
    await asyncio.sleep(0.1)
    assert other.refused == [Code.NAME_TAKEN]
    bob.say("nobody", 1)
    await asyncio.sleep(0.1)
    assert isinstance(bob.told[-1], m.ErrorMessage) and bob.told[-1].code == "unknown-target"


async def test_a_member_comes_back_over_another_node(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    before = alice.id
    alice.lose()
    await asyncio.sleep(0.1)
    assert isinstance(bob.told[-1], m.Away)
    bob.say(before, ("bob", 0))
    alice.connect(nodes.hubs["two"])
    await entered(alice)
    await say((alice, bob), 3)
    assert (alice.ids, bob.others) == ([before], {before: "alice"})
    understood(alice, bob)
    assert [type(one) for one in bob.told if not isinstance(one, m.MessageFrom)][-2:] == [m.Away, m.Back]


async def test_a_member_comes_back_before_its_node_noticed(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    old = alice.connection
    alice.connect(nodes.hubs["two"])
    await entered(alice)
    await asyncio.sleep(0.1)
    assert old.ended and alice.refused == [Code.REPLACED]
    await say((alice, bob), 3)
    understood(alice, bob)
    assert not any(isinstance(one, m.Away) for one in bob.told)


@pytest.mark.parametrize("dies", ["one", "two"])
async def test_a_node_that_is_killed_loses_its_connections_only(nodes: Nodes, dies: str) -> None:
    """`one` has the room."""
    alice, bob = await pair(nodes)
    ids = (alice.id, bob.id)
    await say((alice, bob), 10)
    victim, other = (alice, bob) if dies == "one" else (bob, alice)
    await nodes.kill(dies, victim)
    other.say(victim.id, (other.name, 10))
    await asyncio.sleep(0.5)
    [survivor] = nodes.hubs.values()
    victim.connect(survivor)
    await entered(victim)
    await say((alice, bob), 10)
    await asyncio.sleep(2)
    assert (alice.id, bob.id) == ids and alice.others.keys() == {bob.id} and bob.others.keys() == {alice.id}
    understood(alice, bob)


@pytest.mark.parametrize("dies", ["one", "two"])
async def test_nobody_stays_who_does_not_come_back_from_a_node_that_was_killed(nodes: Nodes, dies: str) -> None:
    alice, bob = await pair(nodes)
    victim, other = (alice, bob) if dies == "one" else (bob, alice)
    await nodes.kill(dies, victim)
    await asyncio.sleep(20)
    assert isinstance(other.told[-1], m.Away)
    await asyncio.sleep(13)
    assert isinstance(other.told[-1], m.Left) and other.others == {}


async def test_a_room_whose_nodes_all_died_is_found_by_the_next(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    await say((alice, bob), 3)
    for node in ("one", "two"):
        await nodes.kill(node, alice, bob)
    await asyncio.sleep(LEASE + 1)
    three = await nodes.start("three")
    alice.connect(three)
    await entered(alice)
    carol = Client("carol")
    carol.connect(three)
    await entered(carol)
    assert set(carol.others.values()) == {"alice", "bob"}
    assert len(alice.ids) == 1
    await asyncio.sleep(35)
    assert set(carol.others.values()) == {"alice"}


async def test_the_backplane_goes_away_and_comes_back(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    hub = nodes.hubs["two"]
    assert hub.trouble is None
    nodes.bus.down = True
    await asyncio.sleep(2)
    alice.say(bob.id, ("alice", 0))
    bob.say(alice.id, ("bob", 0))
    assert hub.trouble is not None and "cannot be reached" in hub.trouble
    with pytest.raises(ProtocolError) as refused:
        hub.join(bob.connection, m.Join("lab", "carol", 1))
    assert refused.value.code is Code.UNAVAILABLE
    await asyncio.sleep(60)
    assert (alice.heard, bob.heard) == ({}, {})
    nodes.bus.down = False
    await asyncio.sleep(5)
    understood(alice, bob)
    await say((alice, bob), 3)
    understood(alice, bob)
    assert hub.trouble is None
    assert len(alice.ids) == len(bob.ids) == 1


async def test_the_backplane_loses_its_memory(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    await say((alice, bob), 3)
    nodes.bus.down = True
    await asyncio.sleep(1)
    nodes.bus.wipe()
    nodes.bus.down = False
    bob.say(alice.id, ("bob", 3))
    await asyncio.sleep(5)
    await say((alice, bob), 3)
    understood(alice, bob)
    assert len(alice.ids) == len(bob.ids) == 1 and bob.others.keys() == {alice.id}


async def test_a_node_that_ends_hands_its_rooms_and_members_over(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    hub = nodes.hubs.pop("one")
    await hub.drain(2)
    assert alice.refused == [Code.SHUTTING_DOWN]
    before = asyncio.get_running_loop().time()
    alice.connect(nodes.hubs["two"])
    await entered(alice)
    assert asyncio.get_running_loop().time() - before < 0.1, "no lease had to end first"
    await say((alice, bob), 3)
    understood(alice, bob)
    assert len(alice.ids) == 1


async def test_a_guest_calls_a_member_of_another_node(nodes: Nodes) -> None:
    _, bob = await pair(nodes)

    class Guest:
        heard: list[m.ServerMessage] = []

        def deliver(self, delivery: object) -> None:
            self.heard.append(delivery.message)

        def drop(self, error: ProtocolError) -> None:
            pass

    one, guest = nodes.hubs["one"], Guest()
    guest_id, host = await one.admit_guest(guest, "lab", "bob")
    assert host.id == bob.id
    offer = m.DescriptionFrom(guest_id, "s", m.SessionDescription("offer", "v=0"), trickle=False, name="curl")
    one.call_as_guest(guest_id, offer)
    await asyncio.sleep(0.1)
    assert isinstance(bob.told[-1], m.DescriptionFrom)
    nodes.hubs["two"].relay(bob.id, m.ByeTo(guest_id, "s", "busy", n=1))
    await asyncio.sleep(0.1)
    assert guest.heard == [m.ByeFrom(bob.id, "s", "busy")]
    one.dismiss_guest(guest_id)
    await asyncio.sleep(0.1)
    assert nodes.hubs["one"].rooms.guest_count == 0
    with pytest.raises(ProtocolError) as refused:
        await one.admit_guest(guest, "lab", "nobody")
    assert refused.value.code is Code.UNKNOWN_TARGET


class Doorkeeper(Gate):
    """Takes the name of a right, or of nothing, for a token."""

    def grants(self, token: str | None) -> Grants | None:
        assert token is not None
        return Grants(room="lab", moderate=token == "moderate", call=token != "silent", expires=1e12, bearer=token)


async def test_what_a_token_grants_holds_on_every_node(nodes: Nodes) -> None:
    nodes.gate = Doorkeeper(None, lambda: 0.0)
    alice, bob = Client("alice", token="moderate"), Client("bob", token="silent")
    for client, node in ((alice, "one"), (bob, "two")):
        client.connect(await nodes.start(node))
        await entered(client)
    assert bob.connection is not None and alice.connection is not None
    offer = m.DescriptionTo(alice.id, "s", m.SessionDescription("offer", "v=0"), n=1)
    bob.connection.hub.relay(bob.id, offer)
    await asyncio.sleep(0.1)
    assert isinstance(bob.told[-1], m.ErrorMessage) and bob.told[-1].code == "not-allowed"
    bob.connection.hub.renew(bob.id, m.Token("talkative", n=2))
    await asyncio.sleep(0.1)
    assert isinstance(bob.told[-1], m.TokenTaken)
    bob.connection.hub.relay(bob.id, msgspec.structs.replace(offer, n=3))
    await asyncio.sleep(0.1)
    assert isinstance(alice.told[-1], m.DescriptionFrom)
    bob.connection.hub.kick(bob.id, m.Kick(alice.id, n=4))
    await asyncio.sleep(0.1)
    assert bob.told[-1].code == "not-allowed"
    assert b"secret of" not in b"".join(nodes.bus.journals["lab"].records), "only digests leave a node"
    assert b"talkative" in b"".join(nodes.bus.journals["lab"].records), "as the bearer, which is no secret"


async def test_who_was_sent_away_is_not_let_in_by_another_node_or_owner(nodes: Nodes) -> None:
    nodes.gate = Doorkeeper(None, lambda: 0.0)
    alice, bob = Client("alice", token="moderate"), Client("bob", token="x")
    for client, node in ((alice, "one"), (bob, "two")):
        client.connect(await nodes.start(node))
        await entered(client)
    assert alice.place is not None
    alice.place.numbered("{}")  # as the client does with what it sends
    nodes.hubs["one"].kick(alice.id, m.Kick(bob.id, n=1))
    await asyncio.sleep(0.1)
    assert bob.refused == [Code.KICKED] and alice.others == {}
    await nodes.kill("one", alice)
    alice.connect(nodes.hubs["two"])
    await entered(alice)
    again = Client("bob", token="x")
    again.connect(nodes.hubs["two"])
    await asyncio.sleep(0.1)
    assert again.refused == [Code.KICKED]


async def test_the_administrator_sends_members_of_other_nodes_away(nodes: Nodes) -> None:
    alice, bob = await pair(nodes)
    await nodes.hubs["one"].administration.expel("lab", "bob", 60)
    await asyncio.sleep(0.1)
    assert bob.refused == [Code.KICKED] and alice.others == {}
    await nodes.hubs["one"].administration.close("lab", 60)
    await asyncio.sleep(0.1)
    assert alice.refused == [Code.ROOM_CLOSED]


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xc1garbage", b"{}", b"\x91\xa5Batch", b"\x93\xa6Banned\x01"])
async def test_what_cannot_be_read_in_the_backplane_harms_nobody(nodes: Nodes, data: bytes) -> None:
    alice, bob = await pair(nodes)
    nodes.bus.put([("one", data), ("two", data)])
    await say((alice, bob), 3)
    understood(alice, bob)
    nodes.bus.journals["lab"].records.append(data)
    await nodes.kill("one", alice)
    await asyncio.sleep(LEASE + 2)
    again = Client("carol")
    again.connect(nodes.hubs["two"])
    await entered(again)  # the room begins anew
