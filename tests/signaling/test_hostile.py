"""A running server is fed with broken messages: it logs no error, raises nothing, and loses no member."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from signaling.app import Limits
from tests.harness.examples import examples
from tests.signaling.helpers import ANSWER, CANDIDATE, OFFER, connect, connections, hears, hub_of, until

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from signaling.app import Server
    from tests.signaling.conftest import Connect, Serve
    from tests.signaling.helpers import Client

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from("type version room name to session description candidate reason text data polite".split())
valid: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "join", "version": 1, "room": "lab", "name": "eve"},
        {"type": "join", "version": 1, "room": "lab", "name": "alice"},
        {"type": "description", "to": "ALICE", "session": "s", "description": OFFER},
        {"type": "description", "to": "http-1", "session": "s", "description": ANSWER},
        {"type": "candidate", "to": "ALICE", "session": "s", "candidate": CANDIDATE},
        {"type": "candidate", "to": "http-1", "session": "s", "candidate": None},
        {"type": "bye", "to": "ALICE", "session": "s", "reason": "hung-up"},
        {"type": "message", "to": "ALICE", "data": {"some": "data"}},
        {"type": "leave"},
    ]
)


@st.composite
def broken_messages(draw: st.DrawFn) -> str | bytes:
    """A message with a field changed, lost or added; or cut off; or any text or bytes at all."""
    kind = draw(st.sampled_from(["valid", "field", "cut", "text", "bytes"]))
    if kind == "text":
        return draw(st.text(st.characters(exclude_categories=["Cs"])))
    if kind == "bytes":
        return draw(st.binary())
    message: dict[str, Any] = dict(draw(valid))
    if kind == "field":
        field = draw(fields)
        if draw(st.booleans()):
            message.pop(field, None)
        else:
            message[field] = draw(json_values)
    text = json.dumps(message)
    return text[: draw(st.integers(0, len(text)))] if kind == "cut" else text


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Stage:
    """A server with two members, who watch what others do to it."""

    server: Server
    session: ClientSession
    alice: Client
    bob: Client

    async def check(self) -> None:
        """Everybody else is gone; the two are there and hear each other."""
        await until(lambda: connections(self.server) == 2)
        assert hub_of(self.server).rooms.member_count == 2
        for client in (self.alice, self.bob):
            await client.send(type="message", to="nobody", data="the end of what came meanwhile")
            while (await client.next())["type"] != "error":
                pass
        await hears(self.alice, self.bob)
        await hears(self.bob, self.alice)


@pytest.fixture
async def stage(serve: Serve, join: Connect, session: ClientSession) -> Stage:
    limits = Limits(messages_per_second=100_000, burst=100_000, close_timeout=0.1)
    server = await serve(limits=limits)
    alice, bob = await join(server, "alice"), await join(server, "bob")
    await alice.next("joined")
    return Stage(server, session, alice, bob)


few = examples(25, suppress_health_check=list(HealthCheck), database=None)


@few
@given(messages=st.lists(broken_messages(), min_size=1, max_size=12), member=st.booleans())
async def test_broken_messages_harm_nobody(stage: Stage, messages: list[str | bytes], member: bool) -> None:
    eve = await connect(stage.session, stage.server.url)
    if member:
        await eve.join("mallory")
    for message in messages:
        with contextlib.suppress(ConnectionError):  # the server may have closed already
            if isinstance(message, bytes):
                await eve.ws.send_bytes(message)
            else:
                await eve.text(message.replace("ALICE", stage.alice.id))
    await eve.close()
    await stage.check()


@few
@given(data=st.binary(min_size=1, max_size=200), upgrade=st.booleans())
async def test_broken_bytes_harm_nobody(stage: Stage, data: bytes, upgrade: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    if upgrade:
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await stage.check()
