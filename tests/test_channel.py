"""What every signaling channel does: in memory, and over a WebSocket to a real server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from peer.channel import INBOX, MemoryHub
from peer.errors import SignalingError, Unreachable, UsageError
from peer.websocket import WebSocketConnect
from signaling.app import Server, Settings
from signaling.messages import (
    ByeFrom,
    ByeTo,
    CandidateFrom,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    ErrorMessage,
    IceCandidate,
    Join,
    Joined,
    Leave,
    Left,
    MessageFrom,
    MessageTo,
    SessionDescription,
)
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.channel import Connect, SignalingChannel


@pytest.fixture(params=["memory", "websocket"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    if request.param == "memory":
        yield MemoryHub().connect
    else:
        async with Server(Settings(port=0)) as server:
            yield WebSocketConnect(server.url)


@contextlib.asynccontextmanager
async def members(connect: Connect, *names: str) -> AsyncIterator[list[SignalingChannel]]:
    channels = [await soon(connect("lab", name)) for name in names]
    for index, channel in enumerate(channels):
        for name in names[index + 1 :]:
            joined = await soon(channel.receive())
            assert isinstance(joined, Joined) and joined.member.name == name
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


async def check_channel(connect: Connect) -> None:
    """The contract of `Connect` and `SignalingChannel`."""
    async with members(connect, "alice", "bob") as (alice, bob):
        assert (alice.welcome.room, alice.welcome.name, alice.welcome.members) == ("lab", "alice", [])
        assert [(member.id, member.name) for member in bob.welcome.members] == [(alice.welcome.id, "alice")]
        to, sender = bob.welcome.id, alice.welcome.id
        description, candidate = SessionDescription("offer", "v=0"), IceCandidate("candidate:1", "0", 0, "abcd")
        await alice.send(DescriptionTo(to, "s", description, about={"for": "b"}))
        await alice.send(CandidateTo(to, "s", candidate))
        await alice.send(CandidateTo(to, "s", None))
        await alice.send(ByeTo(to, "s", "busy", "later"))
        await alice.send(MessageTo(to, {"a": [1, None]}))
        received = [await soon(bob.receive()) for _ in range(5)]
        assert received == [
            DescriptionFrom(sender, "s", description, about={"for": "b"}),
            CandidateFrom(sender, "s", candidate),
            CandidateFrom(sender, "s", None),
            ByeFrom(sender, "s", "busy", "later"),
            MessageFrom(sender, {"a": [1, None]}),
        ]


async def test_the_contract(connect: Connect) -> None:
    await check_channel(connect)


async def test_a_name_is_taken_once(connect: Connect) -> None:
    async with members(connect, "alice") as (alice,):
        with pytest.raises(SignalingError) as caught:
            await soon(connect("lab", "alice"))
        assert caught.value.code == "name-taken"
        other = await soon(connect("attic", "alice"))
        await other.close()
        await alice.close()
        again = await _eventually(connect, "alice")
        await again.close()


async def _eventually(connect: Connect, name: str) -> SignalingChannel:
    async with asyncio.timeout(10):
        while True:
            try:
                return await connect("lab", name)
            except SignalingError:
                await asyncio.sleep(0)


@pytest.mark.parametrize(("room", "name"), [("", "x"), ("x", ""), ("x" * 65, "x"), ("x", "a\nb"), ("x", " a")])
async def test_names_that_cannot_be_are_the_callers_mistake(connect: Connect, room: str, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be joined"):
        await soon(connect(room, name))


@pytest.mark.parametrize("session", ["s", None])
async def test_a_message_to_nobody_comes_back_as_an_error(connect: Connect, session: str | None) -> None:
    async with members(connect, "alice") as (alice,):
        for target in ("nobody", alice.welcome.id):
            await alice.send(ByeTo(target, session, "hung-up") if session else MessageTo(target, 1))
            error = await soon(alice.receive())
            assert isinstance(error, ErrorMessage)
            assert (error.code, error.to, error.session) == ("unknown-target", target, session)


async def test_who_leaves_is_told_to_the_others(connect: Connect) -> None:
    async with members(connect, "alice", "bob", "carol") as (alice, bob, carol):
        await bob.close()
        left = await soon(alice.receive())
        assert isinstance(left, Left)
        assert (left.member.name, left.reason) == ("bob", "left")
        await carol.send(Leave())
        left = await soon(alice.receive())
        assert isinstance(left, Left) and left.member.name == "carol"


async def test_a_closed_channel_is_unreachable_and_stays_so(connect: Connect) -> None:
    async with members(connect, "alice") as (alice,):
        receiving = asyncio.ensure_future(alice.receive())
        await asyncio.sleep(0)
        await alice.close()
        await alice.close()
        with pytest.raises(Unreachable):
            await soon(receiving)
        for _ in range(2):
            with pytest.raises(Unreachable):
                await alice.send(MessageTo("x", 1))
            with pytest.raises(Unreachable):
                await soon(alice.receive())


# In memory only


async def test_a_broken_channel_is_lost_to_the_others() -> None:
    hub = MemoryHub()
    async with members(hub.connect, "alice", "bob") as (alice, bob):
        bob.abort()  # type: ignore[attr-defined]
        left = await soon(alice.receive())
        assert isinstance(left, Left) and left.reason == "lost"
        with pytest.raises(Unreachable):
            await soon(bob.receive())


async def test_who_does_not_read_is_thrown_out_and_nobody_else_notices() -> None:
    hub = MemoryHub()
    async with members(hub.connect, "alice", "sleepy", "bob") as (alice, sleepy, bob):
        for number in range(INBOX - 1):
            await alice.send(MessageTo(sleepy.welcome.id, number))
        newcomer = await hub.connect("lab", "carol")
        last = await hub.connect("lab", "dave")
        for channel in (alice, bob):
            kinds = [await soon(channel.receive()) for _ in range(3)]
            names = [(type(m).__name__, m.member.name) for m in kinds]  # type: ignore[union-attr]
            assert sorted(names) == [("Joined", "carol"), ("Joined", "dave"), ("Left", "sleepy")]
        await newcomer.close()
        await last.close()


async def test_joining_twice_over_one_channel_is_refused() -> None:
    async with members(MemoryHub().connect, "alice") as (alice,):
        with pytest.raises(SignalingError, match="you have joined already"):
            await alice.send(Join("lab", "bob", 1))


async def test_an_empty_room_is_forgotten() -> None:
    hub = MemoryHub()
    async with members(hub.connect, "alice", "bob"):
        pass
    assert vars(hub)["_rooms"] == {}
