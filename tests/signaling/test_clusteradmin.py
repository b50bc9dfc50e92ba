"""The administrator of several nodes, at any of them: what it sees, whom it sends away, and that they stay away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signaling import messages as m
from signaling.codes import Code, ProtocolError
from signaling.credentials import Grants
from signaling.gate import Gate
from tests.signaling.nodes import Client, Nodes, entered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signaling.administration import Administration

pytestmark = pytest.mark.virtual_time

LONG = 600.0  # seconds of a ban; longer than the journal of a room is kept


class Doorkeeper(Gate):
    """Takes the bearer of a right, or of nothing, for a token, for an hour of the virtual clock."""

    def grants(self, token: str | None) -> Grants | None:
        return Grants(room="*", moderate=token == "moderate", expires=3600, bearer=token) if token is not None else None


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    nodes = Nodes(gate=Doorkeeper(None, asyncio.get_running_loop().time))
    for node in ("one", "two", "three"):
        await nodes.start(node)
    await asyncio.sleep(1.5)  # each has heard of the others
    yield nodes
    await nodes.close()


def admin(nodes: Nodes, node: str) -> Administration:
    return nodes.hubs[node].administration


async def came(nodes: Nodes, node: str, name: str, *, room: str = "lab", token: str | None = None) -> Client:
    """A client that is in, or was refused."""
    client = Client(name, room=room, token=token)
    client.connect(nodes.hubs[node])
    await asyncio.sleep(0.2)
    assert client.connected != bool(client.refused)
    return client


async def refused(nodes: Nodes, code: Code, name: str, *, room: str = "lab", token: str | None = None) -> None:
    """It is let in nowhere."""
    for node in nodes.hubs:
        assert (await came(nodes, node, name, room=room, token=token)).refused == [code], node


async def code_of(administration: Administration) -> Code:
    with pytest.raises(ProtocolError) as caught:
        await administration.rooms()
    return caught.value.code


async def test_each_node_lists_the_rooms_of_all(nodes: Nodes) -> None:
    for name, node, room in (("a", "one", "lab"), ("b", "two", "lab"), ("c", "two", "hall"), ("d", "three", "attic")):
        await came(nodes, node, name, room=room)
    for node in nodes.hubs:
        assert await admin(nodes, node).rooms() == [("attic", 1), ("hall", 1), ("lab", 2)]
        assert {member.name for member in await admin(nodes, node).members("lab")} == {"a", "b"}
        with pytest.raises(ProtocolError) as caught:
            await admin(nodes, node).members("cellar")
        assert caught.value.code is Code.UNKNOWN_TARGET


async def test_a_member_is_sent_away_from_any_node_and_every_node_keeps_it_out(nodes: Nodes) -> None:
    alice, eve = await came(nodes, "one", "alice"), await came(nodes, "two", "eve")
    await admin(nodes, "three").expel("lab", "eve", LONG)
    assert eve.refused == [Code.KICKED] and alice.others == {}
    await refused(nodes, Code.KICKED, "eve")
    with pytest.raises(ProtocolError) as caught:
        await admin(nodes, "three").expel("lab", "eve", LONG)
    assert caught.value.code is Code.UNKNOWN_TARGET
    for node in ("three", "one"):  # the one that was asked, and the room's owner
        await nodes.kill(node, alice)
    await nodes.start("four")
    await asyncio.sleep(LONG / 2)
    await refused(nodes, Code.KICKED, "eve")
    await asyncio.sleep(LONG / 2)
    assert (await came(nodes, "four", "eve")).connected


async def test_a_room_is_closed_from_any_node_and_stays_so(nodes: Nodes) -> None:
    clients = [await came(nodes, node, node) for node in nodes.hubs]
    await admin(nodes, "three").close("lab", LONG)
    assert [client.refused for client in clients] == [[Code.ROOM_CLOSED]] * 3
    await refused(nodes, Code.ROOM_CLOSED, "late")
    for node in ("one", "two", "three"):
        await nodes.kill(node)
    await nodes.start("four")
    await asyncio.sleep(LONG / 2)
    await refused(nodes, Code.ROOM_CLOSED, "late")
    await asyncio.sleep(LONG / 2)
    assert (await came(nodes, "four", "late")).connected


@pytest.mark.parametrize("by", ["moderator", "administrator"])
async def test_a_token_that_was_sent_away_is_taken_nowhere_whoever_has_the_room(nodes: Nodes, by: str) -> None:
    alice = await came(nodes, "one", "alice", token="moderate")
    eve = await came(nodes, "two", "eve", token="x")
    if by == "moderator":
        assert alice.place is not None and alice.connection is not None
        alice.place.numbered("{}")
        nodes.hubs["one"].kick(alice.id, m.Kick(eve.id, n=1))
        await asyncio.sleep(0.2)
    else:
        await admin(nodes, "three").expel("lab", "eve", 0)
    assert eve.refused == [Code.KICKED]
    await refused(nodes, Code.KICKED, "mallory", token="x")
    assert (await came(nodes, "two", "mallory", room="hall", token="x")).connected, "it is for one room"
    await asyncio.sleep(2)
    for node in ("one", "two", "three"):
        await nodes.kill(node)
    await nodes.start("four")
    await asyncio.sleep(LONG)  # no journal of the room is left
    await refused(nodes, Code.KICKED, "eve", token="x")
    assert (await came(nodes, "four", "eve", token="y")).connected


async def test_a_ban_outlives_a_backplane_that_lost_its_memory(nodes: Nodes) -> None:
    await came(nodes, "one", "eve")
    await admin(nodes, "two").expel("lab", "eve", LONG)
    nodes.bus.down = True
    nodes.bus.wipe()
    await asyncio.sleep(5)
    nodes.bus.down = False
    await asyncio.sleep(5)
    await nodes.start("four")
    await refused(nodes, Code.KICKED, "eve")


async def test_who_missed_the_word_learns_of_a_ban_within_a_second(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await came(nodes, "one", "eve")
    monkeypatch.setattr("signaling.sharedbans.SharedBans.heard", lambda *_: None)
    await admin(nodes, "one").expel("lab", "eve", LONG)
    await asyncio.sleep(1.1)
    await refused(nodes, Code.KICKED, "eve")


async def test_what_is_told_is_complete_or_refused(nodes: Nodes) -> None:
    await came(nodes, "one", "alice")
    await came(nodes, "three", "bob", room="hall")
    await nodes.kill("three")
    assert await code_of(admin(nodes, "two")) is Code.UNAVAILABLE, "nobody knows yet that it is dead"
    await asyncio.sleep(8)
    assert await admin(nodes, "two").rooms() == [("lab", 1)]
    nodes.bus.down = True
    assert await code_of(admin(nodes, "two")) is Code.UNAVAILABLE
    with pytest.raises(ProtocolError) as caught:
        await admin(nodes, "two").expel("lab", "alice", 60)
    assert caught.value.code is Code.UNAVAILABLE


async def test_somebody_is_sent_away_though_the_rooms_owner_just_died(nodes: Nodes) -> None:
    alice = await came(nodes, "one", "alice")
    eve = await came(nodes, "two", "eve")
    await nodes.kill("one", alice)
    await asyncio.sleep(8)
    await admin(nodes, "three").expel("lab", "eve", 60)
    assert eve.refused == [Code.KICKED]
    await entered(eve)
