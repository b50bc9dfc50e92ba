"""The backplane over a real Redis keeps the contract of backplanes, and outlives its Redis."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from signaling.redisplane import RedisBackplane
from tests.harness.redis import redis_server
from tests.signaling import backplanecontract as contract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.harness.redis import RedisServer


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.mark.parametrize(
    "check", [*contract.CHECKS, *(pytest.param(one, marks=pytest.mark.slow) for one in contract.ENDING)]
)
async def test_the_contract(
    redis: RedisServer, check: Callable[[contract.Make], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if check in contract.ENDING:
        monkeypatch.setattr("signaling.redisplane.LEASE", contract.SHORT)
    prefix, made = secrets.token_hex(4), list[RedisBackplane]()

    def make(node: str) -> RedisBackplane:
        made.append(RedisBackplane(redis.url, node, prefix=prefix))
        return made[-1]

    await check(make)
    for backplane in made:
        await backplane.close()


@pytest.mark.may_block("it starts and kills a program")
async def test_redis_that_is_down_says_so_and_is_used_again_when_it_is_back() -> None:
    with redis_server() as server:
        backplane = RedisBackplane(server.url, "one")
        await contract.says_that_it_is_down(backplane, server.kill)
        server.start()
        assert (await backplane.beat()).nodes.keys() == {"one"}
        async with contract.listening(backplane) as heard:
            await backplane.send([("one", b"again")])
            assert await heard.get() == b"again"
        await backplane.close()
