"""The contract of backplanes, checked in memory (test_backplane.py) and over a real Redis (test_redisplane.py)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest

from signaling.backplane import Backplane, BackplaneDown, Claim, Commit
from signaling.bans import SIZE, Ban
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


SHORT = 1.0


class Make(Protocol):
    def __call__(self, node: str) -> Backplane: ...


def commit(claim: Claim, *records: bytes, at: int = 0, anew: bool = False, **mail: bytes) -> Commit:
    return Commit("lab", claim.fence, at, list(records), anew, list(mail.items()))


async def free(backplane: Backplane) -> Claim:
    """The room, as soon as its lease ended by itself."""
    async with asyncio.timeout(10):
        while (claim := await backplane.claim("lab")).owner != backplane.node:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return claim


async def a_room_has_one_owner_at_a_time(make: Make) -> None:
    one, two = make("one"), make("two")
    first = await one.claim("lab")
    assert (first.owner, first.records) == ("one", [])
    assert (await two.claim("lab"))[:3] == ("one", first.fence, [])
    assert (await two.claim("hall")).owner == "two"
    assert await one.commit([commit(first, b"a", b"b")]) == [True]
    second = await free(two)
    assert (second.owner, second.records) == ("two", [b"a", b"b"])
    assert second.fence > first.fence


async def an_owner_that_was_asleep_is_refused(make: Make) -> None:
    one, two = make("one"), make("two")
    first = await one.claim("lab")
    second = await free(two)
    async with listening(two) as heard:
        assert await one.commit([commit(first, b"late", two=b"late")]) == [False]
        assert await one.renew([("lab", first.fence)]) == [False]
        await one.release("lab", first.fence, keep=False)
        assert await two.commit([commit(second, b"a", two=b"mine")]) == [True]
        assert await soon(heard.get()) == b"mine"
    assert (await two.claim("lab")).records == [b"a"]


async def a_lease_that_is_renewed_stays(make: Make) -> None:
    one, two = make("one"), make("two")
    for _ in range(10):  # a busy machine may renew too late
        if await _kept(one, two):
            return
    pytest.fail("a lease was never kept for longer than it takes to end")


async def _kept(one: Backplane, two: Backplane) -> bool:
    fence, loop = (await free(one)).fence, asyncio.get_running_loop()
    ends = loop.time() + 2 * SHORT
    while loop.time() < ends:
        if await one.renew([("lab", fence)]) != [True] or (await two.claim("lab")).owner != "one":
            return False
        await asyncio.sleep(SHORT / 10)
    return True


async def a_commit_may_be_repeated(make: Make) -> None:
    one = make("one")
    claim = await one.claim("lab")
    steps = [commit(claim, b"a", b"b"), commit(claim, b"a", b"b"), commit(claim, b"c", at=2), commit(claim, b"c", at=2)]
    assert await one.commit(steps) == [True] * 4
    assert await one.commit([commit(claim, b"x", at=7)]) == [False]
    assert await one.commit([commit(claim, b"all", anew=True)] * 2) == [True] * 2
    assert await one.commit([commit(claim, b"d", at=1)]) == [True]
    assert (await one.claim("lab")).records == [b"all", b"d"]


async def a_room_is_given_back_with_its_journal_or_without(make: Make) -> None:
    one, two = make("one"), make("two")
    claim = await one.claim("lab")
    await one.commit([commit(claim, b"a")])
    await one.release("lab", claim.fence, keep=True)
    claim = await two.claim("lab")
    assert (claim.owner, claim.records) == ("two", [b"a"])
    await two.release("lab", claim.fence, keep=False)
    claim = await one.claim("lab")
    assert (claim.owner, claim.records) == ("one", [])


async def who_takes_a_room_over_learns_when_its_owner_was_heard_of(make: Make) -> None:
    one, two = make("one"), make("two")
    claim = await one.claim("lab")
    await one.commit([commit(claim, b"a")])
    before = (await two.beat()).now
    claim = await free(two)
    after = (await two.beat()).now
    assert claim.since == pytest.approx(before, abs=0.3) and claim.since < after - SHORT / 2


async def mail_comes_in_order_to_those_who_listen(make: Make) -> None:
    one, two = make("one"), make("two")
    await one.send([("two", b"nobody listens")])
    async with listening(two) as heard:
        await one.send([("two", b"%d" % number) for number in range(50)])
        assert [await soon(heard.get()) for _ in range(50)] == [b"%d" % number for number in range(50)]


async def bans_are_known_to_all(make: Make) -> None:
    one, two = make("one"), make("two")
    before = (await two.beat()).bans
    await one.ban([Ban("lab", 9e9, "eve"), Ban("lab", 9e9, bearer="jti"), Ban("hall", 9e9)], b"word")
    after = (await two.beat()).bans
    assert after != before
    await one.ban([Ban("lab", 8e9, "eve")], b"word")
    assert (await two.beat()).bans not in {before, after}
    found = sorted(await two.bans(), key=repr)
    assert found == sorted([Ban("lab", 8e9, "eve"), Ban("lab", 9e9, bearer="jti"), Ban("hall", 9e9)], key=repr)
    await one.ban([Ban(str(number), 9.1e9 + number) for number in range(SIZE)], b"word")
    async with listening(two) as heard:
        await one.ban([], b"to all")
        assert await soon(heard.get()) == b"to all"
    kept = await two.bans()
    assert len(kept) == SIZE and not {"lab", "hall"} & {ban.room for ban in kept}


async def who_is_alive(make: Make) -> None:
    one, two = make("one"), make("two")
    first = await one.beat()
    assert list(first.nodes) == ["one"]
    second = await two.beat()
    assert set(second.nodes) == {"one", "two"}
    assert second.nodes["one"] == pytest.approx(first.now, abs=0.002)
    assert second.now >= first.now


async def says_that_it_is_down(backplane: Backplane, kill: Callable[[], object]) -> None:
    """Listeners and callers learn it."""
    claim = await backplane.claim("lab")
    async with listening(backplane) as heard:
        kill()
        assert await soon(heard.get()) is None
    for call in (
        lambda: backplane.claim("lab"),
        lambda: backplane.commit([commit(claim, b"a")]),
        lambda: backplane.renew([("lab", claim.fence)]),
        lambda: backplane.release("lab", claim.fence, keep=True),
        lambda: backplane.send([("two", b"x")]),
        backplane.beat,
        lambda: backplane.ban([Ban("lab", 9e9)], b"word"),
        backplane.bans,
    ):
        with pytest.raises(BackplaneDown):
            await soon(call())


@contextlib.asynccontextmanager
async def listening(backplane: Backplane) -> AsyncIterator[asyncio.Queue[bytes | None]]:
    """What comes, and None when the backplane went down."""
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def listen() -> None:
        try:
            async for data in backplane.mail():
                heard.put_nowait(data)
        except BackplaneDown:
            heard.put_nowait(None)

    task = asyncio.create_task(listen())
    async with asyncio.timeout(10):  # it may take a moment until it listens
        while heard.empty():
            await backplane.send([(backplane.node, b"hello")])
            await asyncio.sleep(0.01)
    while not heard.empty():
        heard.get_nowait()
    await asyncio.sleep(0.05)
    while not heard.empty():
        assert heard.get_nowait() == b"hello"
    yield heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


ENDING = (
    a_room_has_one_owner_at_a_time,
    an_owner_that_was_asleep_is_refused,
    a_lease_that_is_renewed_stays,
    who_takes_a_room_over_learns_when_its_owner_was_heard_of,
)
"""With leases that take `SHORT` seconds."""
CHECKS = (
    a_commit_may_be_repeated,
    a_room_is_given_back_with_its_journal_or_without,
    mail_comes_in_order_to_those_who_listen,
    bans_are_known_to_all,
    who_is_alive,
)
