"""One run puts it all together: who is asked, who is called, and what is said meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from peer.channel import MemoryHub
from peer.doctor.diagnosis import exit_code
from peer.doctor.examination import Examination, Plan
from peer.errors import Unreachable, UsageError
from peer.joining import join
from peer.rtc.ice.servers import IceSettings
from signaling.messages import IceServer
from tests.harness.coturn import coturn
from tests.rooms import soon
from tests.rtc.ice.servers_on_loopback import StunServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from peer.channel import SignalingChannel
    from peer.doctor.findings import Findings
    from tests.harness.coturn import Coturn

pytestmark = pytest.mark.coturn

LOOPBACK = IceSettings(interfaces=("127.0.0.1",))


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    with coturn() as server:
        yield server


class Handing:
    """A way to rooms in memory, with a server that hands out ICE servers."""

    def __init__(self, *servers: IceServer) -> None:
        self.hub = MemoryHub()
        self._servers = list(servers)

    async def connect(self, room: str, name: str, before: object = None) -> SignalingChannel:
        channel = await self.hub.connect(room, name)
        channel.welcome = msgspec.structs.replace(channel.welcome, ice_servers=self._servers)
        return channel


def credentials(turn: Coturn, *urls: str) -> IceServer:
    return IceServer(list(urls), turn.username, turn.password)


async def examined(signaling: Handing | None = None, **plan: Any) -> Findings:
    url = "memory" if signaling is not None else None
    examination = Examination(
        Plan(url=url, settings=LOOPBACK, **plan), signaling.connect if signaling is not None else None
    )
    assert examination.status() == ""
    found: Findings = await soon(examination.run())
    return found


async def test_without_a_url_servers_are_asked(turn: Coturn) -> None:
    found = await examined(
        servers=(IceServer([turn.stun_url]), credentials(turn, turn.url())), origin="PEER_ICE_SERVERS"
    )
    assert [(each.url, each.good, each.origin) for each in found.servers] == [
        (turn.stun_url, True, "PEER_ICE_SERVERS"),
        (turn.url(), True, "PEER_ICE_SERVERS"),
    ]
    assert [each.address for each in found.hosts] == ["127.0.0.1"]
    assert [each.mapping for each in found.nats] == ["none"]
    assert (found.signaling, found.calls) == (None, ())
    assert exit_code(found) == 0


async def test_with_a_url_calls_are_made_through_everything(turn: Coturn) -> None:
    signaling = Handing(credentials(turn, turn.url("tcp"), turn.url("udp")))
    found = await examined(signaling, servers=(credentials(turn, turn.url("udp")),))
    # What both name is asked once, and counts as named here.
    assert [(each.url, each.origin) for each in found.servers] == [
        (turn.url("udp"), "--ice-server"),
        (turn.url("tcp"), "the signaling server"),
    ]
    assert found.signaling is not None and found.signaling.error is None
    assert found.signaling.ice_servers == (turn.url("tcp"), turn.url("udp"))
    assert [(each.path, each.url, each.error) for each in found.calls] == [
        ("direct", None, None),
        ("relay", turn.url("udp"), None),
        ("relay", turn.url("tcp"), None),
    ]
    assert all(each.own and each.echoed for each in found.calls)
    assert exit_code(found) == 0


async def test_a_signaling_server_that_is_away(turn: Coturn) -> None:
    async def away(room: str, name: str) -> SignalingChannel:
        raise Unreachable("no answer; start it")

    found = await soon(
        Examination(Plan(url="memory", servers=(IceServer([turn.stun_url]),), settings=LOOPBACK), away).run()
    )
    assert found.signaling.error == "no answer; start it"
    assert [each.good for each in found.servers] == [True]  # the rest is examined all the same
    assert found.calls == ()
    assert exit_code(found) == 3


@contextlib.asynccontextmanager
async def somebody(signaling: Handing, name: str, *, answers: bool) -> AsyncIterator[None]:
    async with join(signaling.connect, room="doctor", name=name, network=LOOPBACK) as room:

        async def take() -> None:
            async for ring in room.rings():
                if answers:
                    await ring.accept()
                else:
                    await ring.reject("declined")

        room.spawn(take(), "take")
        yield


async def test_whoever_is_in_the_room_is_called() -> None:
    signaling = Handing()
    async with somebody(signaling, "bob", answers=True):
        found = await examined(signaling)
    assert [(each.to, each.own, each.error) for each in found.calls] == [("bob", False, None)]


async def test_other_doctors_are_not_called() -> None:
    signaling = Handing()
    async with somebody(signaling, "doctor-0a1b2c-1-echo", answers=False):
        found = await examined(signaling)
    assert [(each.own, each.error) for each in found.calls] == [(True, None)]
    assert found.remarks == ()


async def test_one_who_does_not_answer_is_left_alone() -> None:
    signaling = Handing()
    async with somebody(signaling, "bob", answers=False):
        found = await examined(signaling)
    assert [(each.own, each.error) for each in found.calls] == [(True, None)]
    assert found.remarks[0].startswith("bob is in room doctor and does not answer: ")


async def test_who_was_to_be_called_has_to_answer() -> None:
    signaling = Handing()
    async with somebody(signaling, "bob", answers=False):
        found = await examined(signaling, to="bob")
        (call,) = found.calls
        assert (call.to, call.answered) == ("bob", False)
        assert exit_code(found) == 8
        found = await examined(signaling, to="eve")
    (call,) = found.calls
    assert call.error == "eve is not in room doctor (bob is); start it there, or correct --to"
    assert exit_code(found) == 8


async def test_urls_that_cannot_be_are_findings() -> None:
    found = await examined(servers=(IceServer(["stuns:stun.example.org"]),))
    (server,) = found.servers
    assert server.error is not None and server.error.advice == "correct the URL"
    assert exit_code(found) == 8


async def test_a_filter_that_cannot_be_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UsageError, match="no interface, address or network"):
        await Examination(Plan(settings=IceSettings(interfaces=("1/2/3",)))).run()


async def test_it_tells_what_it_does_and_ends_when_cancelled() -> None:
    silent = await StunServer.open(lambda address: None)
    signaling = Handing(IceServer([silent.url]))
    examination = Examination(Plan(url="memory", settings=LOOPBACK), signaling.connect)
    running = asyncio.create_task(examination.run())
    await soon(silent.asked.wait())
    assert examination.status().startswith(f"asking {silent.url}, ")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    silent.close()
