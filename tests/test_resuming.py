"""Calls and rooms over connections to the signaling server that break."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from peer import events as happened
from peer.joining import join
from signaling.app import Server, Settings
from tests.rooms import connect, soon, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.room import Room
    from peer.taker import Taker


@contextlib.asynccontextmanager
async def meeting(url: str) -> AsyncIterator[tuple[Room, Room]]:
    async with join(url, room="lab", name="alice") as alice, join(url, room="lab", name="bob") as bob:
        await alice.wait_for("bob", timeout=20)
        yield alice, bob


def lose(room: Room) -> str:
    """The connection breaks, as by a proxy that was started anew; returns the id of the room's own member."""
    room._membership._channel.abort()
    return room.own.id


async def presence(told: Taker[happened.Event], *, messages: int) -> list[str]:
    """What is told until so many messages have come, and how many those are."""
    kinds: list[str] = []
    while kinds.count("MemberMessage") < messages:
        kinds.append(type(await soon(anext(told))).__name__)
    return kinds


async def test_a_connection_that_breaks_disturbs_nobody() -> None:
    async with Server(Settings(port=0)) as server, meeting(server.url) as (alice, bob):
        call, answered = await connect(alice, bob)
        told_alice, told_bob = alice.events(), bob.events()
        member = lose(alice)
        await until(told_alice, happened.SignalingLost)
        assert (await until(told_bob, happened.MemberAway)).name == "alice"
        await bob.message("alice", 1)
        await until(told_alice, happened.SignalingRestored)
        await bob.message("alice", 2)
        await alice.message("bob", 3)
        assert alice.own.id == member
        assert await presence(told_alice, messages=2) == ["MemberMessage"] * 2
        assert await presence(told_bob, messages=1) == ["MemberBack", "MemberMessage"]
        assert call.open and answered.open and alice.members == ["bob"]
        await call.hang_up()
        assert (await soon(answered.ended())).reason == "hung up"


async def test_both_lose_their_connections_while_they_call() -> None:
    """What was said over the broken connections arrives over the next ones."""
    async with Server(Settings(port=0)) as server, meeting(server.url) as (alice, bob):
        rings = bob.rings()
        dialling = asyncio.ensure_future(_dial(alice))
        ring = await soon(anext(rings))
        for room in (alice, bob):
            told = room.events()
            lose(room)
            await until(told, happened.SignalingRestored)
        answered = await soon(ring.accept())
        call = await soon(dialling)
        assert call.open and answered.open
        await call.hang_up()


async def _dial(room: Room) -> object:
    return await room.call("bob")
