"""Fixtures: a server on any free port, and clients of it."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from aiohttp import ClientSession

from signaling.app import Limits, Server, Settings
from tests.signaling.helpers import Client, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Serve(Protocol):
    async def __call__(self, *, limits: Limits = ..., **settings: Any) -> Server: ...


class Connect(Protocol):
    async def __call__(self, server: Server, name: str | None = None, **options: Any) -> Client: ...


@pytest.fixture
async def serve(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Serve]:
    """Starts servers and closes them; none of them may have logged an error."""
    async with AsyncExitStack() as stack:

        async def start(*, limits: Limits | None = None, **settings: Any) -> Server:
            server = Server(Settings(port=0, limits=limits or Limits(), **settings))
            return await stack.enter_async_context(server)

        yield start
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def join(session: ClientSession) -> AsyncIterator[Connect]:
    """Connects clients, joins those with a name to the room `lab`, and closes all of them."""
    clients: list[Client] = []

    async def open_one(server: Server, name: str | None = None, **options: Any) -> Client:
        client = await connect(session, server.url, **options)
        clients.append(client)
        return await client.join(name) if name is not None else client

    yield open_one
    for client in clients:
        await client.close()
