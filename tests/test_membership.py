"""Being in a room also while the server is away: who is told what, and who counts as gone."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from peer.channel import MemoryHub
from peer.errors import Unreachable
from peer.membership import RETRY_LAST, Membership
from signaling.messages import ErrorMessage, Member, MessageFrom, MessageTo
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.channel import SignalingChannel
    from peer.events import MemberAway, MemberBack
    from signaling.messages import ServerMessage


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.fails = False

    def member_joined(self, member: Member) -> None:
        self.told.put_nowait(("joined", member.name))

    def member_left(self, member: Member, reason: str) -> None:
        self.told.put_nowait(("left", member.name, reason))

    def message_received(self, message: ServerMessage) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("listener")
        self.told.put_nowait(("message", message))

    def signaling_lost(self, text: str) -> None:
        self.told.put_nowait(("lost",))

    def presence_changed(self, event: MemberAway | MemberBack) -> None:
        self.told.put_nowait((type(event).__name__, event.name))

    def signaling_restored(self, seconds: float, *, complete: bool) -> None:
        self.told.put_nowait(("restored", "complete") if complete else ("restored",))

    async def next(self) -> tuple[Any, ...]:
        told: tuple[Any, ...] = await soon(self.told.get())
        return told


class Site:
    """A hub that can be unreachable, and a member in it that runs."""

    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.away = False
        self.attempts = 0
        self.listener = Listener()

    async def connect(self, room: str, name: str, before: object = None) -> SignalingChannel:
        self.attempts += 1
        if self.away:
            raise Unreachable("away")
        return await self.hub.connect(room, name)

    def lose(self) -> None:
        """The server vanishes with everything it knew."""
        old, self.hub = self.hub, MemoryHub()
        vars(self.hub)["_ids"] = itertools.count(100)  # as the ids of a server, never given again
        for channel in reversed(list(vars(old)["_rooms"].get("lab", {}).values())):  # ours, the last, hears of nobody
            channel.abort()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    return Site()


async def _running(site: Site) -> tuple[Membership, asyncio.Task[None]]:
    membership = Membership(site.connect, await site.connect("lab", "alice"), site.listener)
    return membership, asyncio.ensure_future(membership.run())


async def _end(membership: Membership, task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    await membership.close()


async def test_who_is_there_and_what_they_say(site: Site) -> None:
    bob = await site.connect("lab", "bob")
    membership, task = await _running(site)
    assert (membership.room, membership.own.name) == ("lab", "alice")
    assert membership.named("bob") is not None and membership.named("carol") is None
    carol = await site.connect("lab", "carol")
    assert await site.listener.next() == ("joined", "carol")
    await carol.send(MessageTo(membership.own.id, 1))
    assert await site.listener.next() == ("message", MessageFrom(carol.welcome.id, 1))
    await bob.close()
    assert await site.listener.next() == ("left", "bob", "left")
    assert [member.name for member in membership.members.values()] == ["carol"]
    await membership.send(MessageTo("nobody", 1))
    assert isinstance((await site.listener.next())[1], ErrorMessage)
    await carol.close()
    await _end(membership, task)


async def test_a_listener_that_fails_does_not_end_the_membership(site: Site) -> None:
    membership, task = await _running(site)
    site.listener.fails = True
    await membership.send(MessageTo("nobody", 1))
    await membership.send(MessageTo("nobody", 2))
    assert (await site.listener.next())[0] == "message"
    assert not task.done()
    await _end(membership, task)


@pytest.mark.virtual_time
async def test_the_server_is_tried_until_it_is_back_under_the_same_name(site: Site) -> None:
    for name in ("bob", "carol"):
        await site.connect("lab", name)
    membership, task = await _running(site)
    before = membership.own.id
    site.away, site.attempts = True, 0
    site.lose()
    while await site.listener.next() != ("lost",):
        pass
    with pytest.raises(Unreachable):
        await membership.send(MessageTo("x", 1))
    await membership.send_if_possible(MessageTo("x", 1))
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(120)
    assert 120 / RETRY_LAST / 2 < site.attempts < 120 / RETRY_LAST * 2 + 10, "again and again, but not all the time"
    assert asyncio.get_running_loop().time() - began < 121
    site.away = False
    bob = await site.hub.connect("lab", "bob")
    dave = await site.hub.connect("lab", "dave")
    told = [await site.listener.next() for _ in range(4)]
    assert told == [("left", "carol", "silent"), ("joined", "bob"), ("joined", "dave"), ("restored",)]
    assert membership.own.name == "alice" and membership.own.id != before
    assert {member.id for member in membership.members.values()} == {bob.welcome.id, dave.welcome.id}
    await bob.close()
    await dave.close()
    await _end(membership, task)


@pytest.mark.virtual_time
async def test_a_change_of_the_network_brings_it_back_at_once(site: Site) -> None:
    membership, task = await _running(site)
    before, loop = membership.own.id, asyncio.get_running_loop()
    began = loop.time()
    membership.network_changed()
    membership.network_changed()  # a moment later, as addresses come one by one
    assert [await site.listener.next() for _ in range(2)] == [("lost",), ("restored",)]
    assert membership.own.id != before and loop.time() - began < 0.1
    site.away = True
    site.lose()
    assert await site.listener.next() == ("lost",)
    await asyncio.sleep(60)
    site.away, began = False, loop.time()
    membership.network_changed()
    assert await site.listener.next() == ("restored",)
    assert loop.time() - began < 0.1
    await _end(membership, task)


@pytest.mark.virtual_time
async def test_a_name_that_is_still_taken_is_tried_again(site: Site) -> None:
    membership, task = await _running(site)
    old = site.hub
    for channel in list(vars(old)["_rooms"]["lab"].values()):
        channel.abort()
    ghost = await old.connect("lab", "alice")
    assert await site.listener.next() == ("lost",)
    await asyncio.sleep(30)
    await ghost.close()
    assert await site.listener.next() == ("restored",)
    await _end(membership, task)


@pytest.mark.virtual_time
async def test_it_can_be_ended_while_the_server_is_away(site: Site) -> None:
    membership, task = await _running(site)
    site.away = True
    site.lose()
    assert await site.listener.next() == ("lost",)
    await _end(membership, task)
    assert task.cancelled()
