"""Passwords of a TURN server that expire, in calls that last longer: on a real coturn, which refuses the old ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from peer.joining import join
from peer.rtc.ice.lookup import ServerFailed
from peer.rtc.ice.relay import RelayOptions
from peer.rtc.ice.relaying import open_relay
from peer.rtc.ice.servers import IceSettings, parse_server_url
from signaling.app import Server, Settings
from signaling.credentials import TurnAccess
from tests.harness.coturn import coturn
from tests.rooms import connect
from tests.rtc.ice.recording import Recorder

if TYPE_CHECKING:
    from peer.call import Call
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.servers import IceServerUrl
    from signaling.messages import IceServer
    from tests.harness.coturn import Coturn

pytestmark = [pytest.mark.coturn, pytest.mark.slow, pytest.mark.may_block("it starts a server")]

SECRET = "north"
TTL = 4.0
RELAY_ONLY = IceSettings(policy="relay", ipv6=False)


def url_of(server: IceServer) -> IceServerUrl:
    return parse_server_url(server.urls[0], server.username, server.credential)


def local(call: Call) -> Candidate:
    """Our end of the path in use."""
    pair = call._connection._pc.path.ice.selected_pair
    assert pair is not None
    return pair.local


async def expired(server: IceServer) -> None:
    """Returns when the password is good no more, which its user name tells."""
    assert server.username is not None
    ends = int(server.username.partition(":")[0])
    while (left := ends + 1.1 - time.time()) > 0:  # noqa: ASYNC110 - coturn goes by the seconds of the wall clock
        await asyncio.sleep(left)


async def refused(server: IceServer, turn: Coturn) -> None:
    with pytest.raises(ServerFailed, match="wrong user or password"):
        await open_relay(url_of(server), ("127.0.0.1", turn.port), RelayOptions("ourufrag", 65535), Recorder())


async def test_a_long_call_has_a_relay_also_after_its_first_password() -> None:
    with coturn(secret=SECRET) as turn:
        access = TurnAccess(urls=(turn.url(),), secret=SECRET, ttl=TTL)
        async with (
            Server(Settings(port=0, turn=access)) as server,
            join(server.url, room="lab", name="alice", network=RELAY_ONLY) as alice,
            join(server.url, room="lab", name="bob", network=RELAY_ONLY) as bob,
        ):
            first = alice.ice_servers[0]
            assert str(first.username).endswith(f":{alice.own.id}")
            assert first != bob.ice_servers[0]  # each has its own
            calling, _ = await connect(alice, bob)
            before = local(calling)
            await expired(first)
            await refused(first, turn)
            assert alice.ice_servers[0] != first
            calling._connection.restart()
            async with asyncio.timeout(20):
                while local(calling) == before:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
            assert before.type == local(calling).type == "relay"


async def test_a_wrong_secret_makes_passwords_that_are_refused() -> None:
    with coturn(secret=SECRET) as turn:
        wrong = TurnAccess(urls=(turn.url(),), secret="south").ice_server("p1", time.time())
        await refused(wrong, turn)
