"""Our clients at a server that drains go where the load balancer sends them; those that are sent away stay away."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import pytest

import peer
from peer import events
from signaling.app import Server
from signaling.operation import Operation
from signaling.settings import Settings
from tests.rooms import PATIENCE, connect, soon, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Balancer:
    """Passes connections on to the port of the server that is healthy."""

    def __init__(self) -> None:
        self.target = 0
        self.passed: list[int] = []

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._pass_on, "127.0.0.1", 0) as listening:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed.append(self.target)
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            writer.close()
            back.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_clients_move_one_after_the_other_and_their_call_goes_on() -> None:
    balancer = Balancer()
    async with Server(Settings(port=0)) as old, Server(Settings(port=0)) as new, balancer.serve() as url:
        balancer.target = old.port
        async with (
            peer.join(url, room="lab", name="alice") as alice,
            peer.join(url, room="lab", name="bob") as bob,
        ):
            told = {room: room.events() for room in (alice, bob)}
            calling, answered = await connect(alice, bob)
            balancer.target = new.port
            await old.drain(2)
            for room in (alice, bob):
                await until(told[room], events.SignalingRestored)
            for room, other in ((alice, bob), (bob, alice)):
                await soon(room.wait_for(other.name))
            assert balancer.passed == [old.port, old.port, new.port, new.port]
            assert calling.open and answered.open
            await calling.write("still here")
            assert await soon(anext(answered.messages())) == "still here"
            await calling.hang_up(text="over")
            assert (await soon(answered.ended())).text == "over"


@pytest.mark.parametrize("path", ["", "/participants/bob"])
async def test_whom_the_administrator_sends_away_does_not_come_back(path: str) -> None:
    secret = "correct horse battery"
    async with (
        Server(Settings(port=0, operation=Operation(admin_secret=secret))) as server,
        peer.join(server.url, room="lab", name="bob") as bob,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as session,
    ):
        told = bob.events()
        async with session.delete(f"{server.url}/admin/v1/rooms/lab{path}") as response:
            assert response.status == 204
        async with asyncio.timeout(PATIENCE):
            async for _ in told:  # until the room is left
                pass
        assert bob.refusal is not None
        assert bob.refusal.code == ("kicked" if path else "room-closed")
