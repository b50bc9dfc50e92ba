"""Two nodes as real processes over a real Redis: one is killed, Redis is killed, and clients of ours go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from peer.errors import SignalingError, Unreachable
from peer.websocket import WebSocketChannel, WebSocketConnect
from signaling.messages import Away, Back, ErrorMessage, Joined, Left, MessageFrom, MessageTo
from tests.cli.command import COMMAND
from tests.harness.redis import redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from pathlib import Path

    from signaling.messages import ServerMessage
    from tests.harness.redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PATIENCE = 60.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Node:
    """`peer serve --redis URL` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def health(self) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/healthz") as answer:
            return answer.status, await answer.json()

    async def becomes(self, status: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                _, health = await self.health()
                if health["status"] == status:
                    return health
                await asyncio.sleep(0.1)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


async def start(redis: RedisServer, started: list[Node], *flags: str) -> Node:
    """One more; it has to be killed, also if this fails."""
    command = [*COMMAND, "serve", "--port", "0", "--redis", redis.url, "--json", *flags]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    node = Node(process, "")
    started.append(node)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        node.url = json.loads(await process.stdout.readline())["url"]
    return node


@contextlib.asynccontextmanager
async def nodes(redis: RedisServer, count: int = 2, *flags: str) -> AsyncIterator[list[Node]]:
    started: list[Node] = []
    try:
        for _ in range(count):
            await start(redis, started, *flags)
        yield started
    finally:
        for node in started:
            await node.kill()


async def join(node: Node, name: str, before: WebSocketChannel | None = None) -> WebSocketChannel:
    channel = await WebSocketConnect(node.url)("lab", name, before)
    assert isinstance(channel, WebSocketChannel)
    return channel


async def next_of(channel: WebSocketChannel) -> ServerMessage:
    async with asyncio.timeout(PATIENCE):
        return await channel.receive()


async def refusal(attempt: Awaitable[object]) -> str:
    """The code that it fails with."""
    with pytest.raises(SignalingError) as caught:
        await attempt
    return caught.value.code


async def error_of(channel: WebSocketChannel) -> str:
    """The code of the error that it hears, whatever it hears before."""
    while not isinstance(message := await next_of(channel), ErrorMessage):
        pass
    return message.code


async def lost(channel: WebSocketChannel) -> None:
    with pytest.raises(Unreachable):
        await next_of(channel)
    await channel.close()


async def test_members_of_two_nodes_whose_one_is_killed(redis: RedisServer) -> None:
    async with nodes(redis) as (one, two):
        alice, bob = await join(one, "alice"), await join(two, "bob")
        assert isinstance(await next_of(alice), Joined)
        count = 200  # fewer than are kept for a member
        for number in range(count):
            await bob.send(MessageTo(alice.welcome.id, number))
            if number == count // 2:
                await one.kill()
        heard: list[object] = []
        with contextlib.suppress(Unreachable):
            while True:
                message = await next_of(alice)
                assert isinstance(message, MessageFrom)
                heard.append(message.data)
        await alice.close()
        back = await join(two, "alice", alice)
        assert back.welcome is alice.welcome, "the same place"
        while len(heard) < count:
            message = await next_of(back)
            assert isinstance(message, MessageFrom)
            heard.append(message.data)
        assert heard == list(range(count))
        kinds = []
        await back.send(MessageTo(bob.welcome.id, "here"))
        while True:
            message = await next_of(bob)
            if isinstance(message, MessageFrom):
                break
            kinds.append(type(message))
        assert kinds in ([], [Away, Back])
        for channel in (back, bob):
            await channel.close()


async def test_no_ghost_stays_of_a_node_that_was_killed(redis: RedisServer) -> None:
    async with nodes(redis) as (one, two):
        alice, bob = await join(one, "alice"), await join(two, "bob")
        await one.kill()
        began = asyncio.get_running_loop().time()
        assert isinstance(await next_of(bob), Away)
        left = await next_of(bob)
        assert isinstance(left, Left) and left.member.id == alice.welcome.id
        assert asyncio.get_running_loop().time() - began > 20, "it had its time to come back"
        await lost(alice)
        await bob.close()


@pytest.mark.may_block("it kills and starts a program")
async def test_redis_is_killed_and_started_anew_without_its_data(redis: RedisServer) -> None:
    async with nodes(redis) as (one, two):
        alice, bob = await join(one, "alice"), await join(two, "bob")
        assert isinstance(await next_of(alice), Joined)
        assert (await one.health())[0] == 200
        redis.kill()
        for node in (one, two):
            assert "cannot be reached" in (await node.becomes("degraded"))["reason"]
        assert (await one.health())[0] == 503
        await bob.send(MessageTo(alice.welcome.id, "meanwhile"))
        redis.start()
        for node in (one, two):
            await node.becomes("ok")
        await bob.send(MessageTo(alice.welcome.id, "after"))
        heard = []
        while len(heard) < 2:
            message = await next_of(alice)
            if isinstance(message, MessageFrom):
                heard.append(message.data)
        assert heard == ["meanwhile", "after"]
        carol = await join(two, "carol")
        assert {member.name for member in carol.welcome.members} == {"alice", "bob"}
        for channel in (alice, bob, carol):
            await channel.close()


@pytest.mark.may_block("it kills and starts a program")
async def test_the_administrator_of_one_node_is_that_of_all(redis: RedisServer, tmp_path: Path) -> None:
    secret = "correct horse battery"
    (tmp_path / "secret").write_text(secret)

    async def ask(node: Node, method: str, path: str) -> tuple[int, Any]:
        url, headers = f"{node.url}/admin/v1/rooms{path}", {"Authorization": f"Bearer {secret}"}
        async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async with nodes(redis, 2, "--admin-secret-file", str(tmp_path / "secret")) as (one, two):
        alice, eve = await join(one, "alice"), await join(two, "eve")
        assert isinstance(await next_of(alice), Joined)
        for node in (one, two):
            async with asyncio.timeout(PATIENCE):  # until both know of each other
                while await ask(node, "GET", "") != (200, {"rooms": [{"name": "lab", "participants": 2}]}):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert len((await ask(node, "GET", "/lab"))[1]["participants"]) == 2
        assert (await ask(one, "DELETE", "/lab/participants/eve?seconds=600"))[0] == 204
        left = await next_of(alice)
        assert isinstance(left, Left) and left.reason == "kicked"
        for node in (one, two):
            assert await refusal(join(node, "eve")) == "kicked"
        redis.kill()
        await one.becomes("degraded")
        assert (await ask(one, "GET", ""))[0] == 503
        redis.start()
        for node in (one, two):
            await node.becomes("ok")
            assert await refusal(join(node, "eve")) == "kicked"
        assert (await ask(two, "DELETE", "/lab?seconds=600"))[0] == 204
        assert await error_of(alice) == "room-closed"
        for channel in (alice, eve):
            await channel.close()
