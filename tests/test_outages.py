"""Everything around a call is killed and started anew, one after the other: coturn, Redis, both nodes. It goes on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from peer.joining import join
from tests.harness.coturn import coturn
from tests.harness.ports import block
from tests.harness.redis import redis_server
from tests.rooms import connect, soon
from tests.signaling.test_two_nodes import nodes, start
from tests.test_moving import Balancer
from tests.test_turn_credentials import RELAY_ONLY, SECRET, local

if TYPE_CHECKING:
    from pathlib import Path

    from peer.call import Call

pytestmark = [
    *(pytest.mark.coturn, pytest.mark.slow, pytest.mark.timeout(240)),
    pytest.mark.may_block("it starts and kills servers"),
]
PATIENCE = 60.0


async def still_open(calling: Call, answered: Call, text: str) -> None:
    """What is written comes out at the other end."""
    assert calling.open and answered.open
    await calling.write(text)
    assert await soon(anext(answered.messages())) == text


async def takes_another_path(calling: Call) -> None:
    """An ICE restart: descriptions and candidates go through the servers, new relays are opened at coturn."""
    before = local(calling)
    calling._connection.restart()
    async with asyncio.timeout(PATIENCE):
        while local(calling) == before:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
    assert local(calling).type == "relay"


async def test_a_call_outlives_every_server(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    balancer, relay = Balancer(), contextlib.ExitStack()
    with redis_server() as redis, block() as ports, relay:
        turn = relay.enter_context(coturn(secret=SECRET, ports=ports))
        flags = ("--turn", turn.url(), "--turn-secret-file", str(tmp_path / "secret"))
        async with nodes(redis, 2, *flags) as running, balancer.serve() as url:
            one, two = running
            balancer.target = one.port
            async with contextlib.AsyncExitStack() as rooms:
                alice = await rooms.enter_async_context(join(url, room="lab", name="alice", network=RELAY_ONLY))
                balancer.target = two.port
                bob = await rooms.enter_async_context(join(url, room="lab", name="bob", network=RELAY_ONLY))
                ids = alice.own.id, bob.own.id
                await soon(alice.wait_for("bob"))
                calling, answered = await connect(alice, bob)
                await still_open(calling, answered, "at first")

                await one.kill()
                await takes_another_path(calling)
                await still_open(calling, answered, "one node was killed")

                redis.kill()
                await two.becomes("degraded")
                await still_open(calling, answered, "Redis is away")
                redis.start()
                await two.becomes("ok")
                await takes_another_path(calling)
                await still_open(calling, answered, "Redis is back")

                three = await start(redis, running, *flags)
                await three.becomes("ok")
                balancer.target = three.port
                await two.kill()
                await takes_another_path(calling)
                await still_open(calling, answered, "the other node was killed")

                relay.close()
                relay.enter_context(coturn(secret=SECRET, ports=ports))
                await takes_another_path(calling)
                await still_open(calling, answered, "coturn was started anew")
                assert (alice.own.id, bob.own.id) == ids, "the same places all the while"
                assert await calling.hang_up(text="over") is None
                assert (await soon(answered.ended())).text == "over"
