"""The ways into a room for bots: rooms of our server, and endpoints of WHIP and WHEP."""

from __future__ import annotations

import asyncio

import pytest

from peer.errors import UsageError
from peer.media import open_media
from peer.swarm.entry import RoomEntry, way
from peer.whip import WhipConnect
from tests.endpoints import desk, endpoint
from tests.rooms import soon


def test_a_server_stays_a_url() -> None:
    assert way("http://localhost:8080", 20) == "http://localhost:8080"


@pytest.mark.parametrize("kind", ["whip", "whep"])
def test_an_endpoint_is_a_way_of_its_own(kind: str) -> None:
    found = way(f"http://localhost:8080/{kind}/lab/desk", 20)
    assert isinstance(found, WhipConnect) and found.endpoint == "desk"
    with pytest.raises(UsageError):
        way(f"ftp://localhost/{kind}", 20)


async def test_the_token_goes_along() -> None:
    async with endpoint() as there:
        async with RoomEntry(way(f"{there.url}/whip", 5, "secret")).enter("lab", "bot-001"):
            pass
        assert there.asked[0].headers["authorization"] == "Bearer secret"


async def test_a_bot_sends_to_whip() -> None:
    async with desk() as (server, room):
        media = await open_media("test:160x120@15", "none")
        entry = RoomEntry(way(f"{server.url}/whip/lab/desk", 10), media.pictures)
        async with entry.enter("lab", "bot-001") as place, asyncio.timeout(20):
            await place.reach("desk", 10)
            await place.dial("desk", 10)
            assert (await room.calls[0].picture()).width == 160
        await media.close()


async def test_a_bot_receives_from_whep() -> None:
    async with desk() as (server, _):
        entry = RoomEntry(way(f"{server.url}/whep/lab/desk", 10), silent=True)
        async with entry.enter("lab", "bot-001") as place:
            call = await soon(place.dial("desk", 10))
            assert (await soon(call.picture())).width == 160
