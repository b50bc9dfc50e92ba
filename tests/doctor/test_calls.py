"""Real calls over one kind of path each, to an end of our own or to who is there."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from peer.channel import MemoryHub
from peer.doctor.callpaths import CallPath
from peer.doctor.calls import Caller, Only, is_doctor, new_name, try_paths
from peer.errors import Error
from peer.joining import join
from peer.rtc.ice.servers import IceSettings
from signaling.messages import IceServer
from tests.harness.coturn import coturn
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from peer.call import Call
    from peer.doctor.findings import CallFinding
    from peer.room import Room
    from tests.harness.coturn import Coturn

DIRECT = CallPath("direct")
LOOPBACK = IceSettings(interfaces=("127.0.0.1",))


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    with coturn() as server:
        yield server


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


def caller(hub: MemoryHub, to: str | None = None, timeout: float = 10.0) -> Caller:
    return Caller(hub.connect, "doctor", new_name(), to, LOOPBACK, timeout)


async def tried(caller: Caller, path: CallPath = DIRECT) -> CallFinding:
    begun: list[CallPath] = []
    (finding,) = await soon(try_paths(caller, [path], begun.append))
    assert begun == [path]
    return finding  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def somebody(hub: MemoryHub, name: str = "echo") -> AsyncIterator[Room]:
    async with join(hub.connect, room="doctor", name=name, network=LOOPBACK) as room:
        yield room


def test_doctors_know_each_other() -> None:
    name = new_name()
    assert all(is_doctor(each) for each in (name, f"{name}-3", f"{name}-3-echo"))
    assert not any(is_doctor(each) for each in ("doctor", "doctor-who", "echo", f"x{name}", f"{name}-echo-1"))


async def test_a_direct_call_to_an_end_of_our_own(hub: MemoryHub) -> None:
    found = await tried(caller(hub))
    assert (found.error, found.own, found.echoed) == (None, True, True)
    assert found.seconds is not None and found.seconds < 10
    assert found.local.startswith("host 127.0.0.1:") and found.remote.startswith("host 127.0.0.1:")
    assert found.protocol == "udp"


@pytest.mark.coturn
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_through_a_relay_only(hub: MemoryHub, turn: Coturn, transport: str) -> None:
    url = turn.url(transport)
    found = await tried(caller(hub), CallPath("relay", (IceServer([url], turn.username, turn.password),), url))
    assert (found.error, found.echoed) == (None, True)
    assert found.local.startswith("relay ") and found.protocol == transport


@pytest.mark.coturn
async def test_a_path_that_is_not_there_says_why(hub: MemoryHub, turn: Coturn) -> None:
    server = IceServer([turn.url()], turn.username, "wrong")
    found = await tried(caller(hub, timeout=1.0), CallPath("relay", (server,), turn.url()))
    assert found.seconds is None and found.answered
    assert found.error is not None and turn.url() in found.error
    assert "wrong user or password" in found.error


async def test_candidates_of_other_types_are_not_told(hub: MemoryHub) -> None:
    found = await tried(caller(hub, timeout=0.3), replace(DIRECT, types=frozenset({"relay"})))
    assert found.error is not None


async def test_several_calls_at_once(hub: MemoryHub) -> None:
    found = await soon(try_paths(caller(hub), [DIRECT] * 5, lambda path: None))
    assert [each.error for each in found] == [None] * 5


async def test_somebody_who_gives_texts_back(hub: MemoryHub) -> None:
    async with somebody(hub) as room:

        async def echo(call: Call) -> None:
            async for text in call.messages():
                await call.write(f"you said: {text}")

        async def answer() -> None:
            async for ring in room.rings():
                room.start(echo, ring.accept())

        room.spawn(answer(), "answer")
        found = await tried(caller(hub, "echo"))
    assert (found.error, found.to, found.own, found.echoed) == (None, "echo", False, True)


async def test_somebody_who_only_answers(hub: MemoryHub) -> None:
    async with somebody(hub) as room:

        async def answer() -> None:
            async for ring in room.rings():
                await ring.accept()

        room.spawn(answer(), "answer")
        found = await tried(caller(hub, "echo"))
    assert (found.error, found.echoed) == (None, None)


async def test_somebody_who_calls_whoever_comes(hub: MemoryHub) -> None:
    """As `peer call` does without --to: both calls cross, and one of them stands."""
    async with somebody(hub) as room:
        ended = asyncio.Event()

        async def call_back(name: str) -> None:
            with contextlib.suppress(Error):
                async with room.call(name) as call:
                    await call.ended()
            ended.set()

        async def answer() -> None:
            async for ring in room.rings():
                with contextlib.suppress(Error):
                    await ring.accept()

        async def watch() -> None:
            async for event in room.events():
                if (name := getattr(event, "name", "")).startswith("doctor-") and type(
                    event
                ).__name__ == "MemberJoined":
                    room.spawn(call_back(name), "call back")

        room.spawn(answer(), "answer")
        room.spawn(watch(), "watch")
        found = await soon(try_paths(caller(hub, "echo"), [DIRECT] * 4, lambda path: None))
        await soon(ended.wait())
    assert [each.error for each in found] == [None] * 4


async def test_somebody_who_declines_and_nobody(hub: MemoryHub) -> None:
    async with somebody(hub) as room:

        async def decline() -> None:
            async for ring in room.rings():
                await ring.reject("busy", "not now")

        room.spawn(decline(), "decline")
        found = await tried(caller(hub, "echo"))
        assert not found.answered and found.error is not None and "not now" in found.error
    found = await tried(caller(hub, "nobody"))
    assert not found.answered and found.error is not None and "nobody is not in room doctor" in found.error


async def test_a_mistake_of_ours_is_told_as_one(hub: MemoryHub, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*where: object) -> Any:
        raise LookupError("oops")

    found = await tried(replace(caller(hub), connect=broken))
    assert found.error == "a mistake in peer, please report it: LookupError: oops"


async def test_channels_hand_out_no_servers(hub: MemoryHub) -> None:
    channel = await Only(hub.connect, None)("doctor", "x")
    assert channel.welcome.ice_servers == []
    await channel.close()
