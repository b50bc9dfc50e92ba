"""Pages written with PeerJS, and a peer in Python: calls and data connections both ways, and how they end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from signaling.app import Server
from signaling.settings import Settings
from tests.browser.foreign import BROWSERS, WAIT, bot, ended, receives, sees
from tests.browser.peerjs import make_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from peer.call import Call
    from peer.room import Room
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The signaling server, which serves a page written with PeerJS beside its own."""
    await make_page(tmp_path)
    async with Server(Settings(port=0, static=tmp_path)) as running:
        yield running


async def arrive(browser: Browser, server: Server, name: str) -> None:
    await browser.open(f"{server.url}/page.html?name={name}")
    await browser.wait_for(f"page.id === '{name}'")


async def answered(room: Room) -> Call:
    async with asyncio.timeout(WAIT):
        return await (await anext(room.rings())).accept()


@BROWSERS
async def test_a_page_calls_a_peer(server: Server, chromium: StartChromium, firefox: StartFirefox, kind: str) -> None:
    alice = await (chromium() if kind == "chromium" else firefox())
    async with bot(server, "peerjs") as room:
        await arrive(alice, server, "alice")
        answering = asyncio.create_task(answered(room))
        assert await alice.evaluate("call('bot')")
        call = await answering
        assert call.name == "alice"
        await receives(call)
        await sees(alice)
        await alice.evaluate("(page.media.close(), true)")
        assert (await ended(call)).by == "alice"

        answering = asyncio.create_task(answered(room))
        assert await alice.evaluate("call('bot')")
        call = await answering
        await sees(alice)
        await call.hang_up()
        await alice.wait_for("page.events.filter((event) => event === 'media closed').length === 2")
        assert await alice.evaluate("page.errors") == []


async def test_a_peer_calls_a_page(server: Server, chromium: StartChromium) -> None:
    alice = await chromium()
    async with bot(server, "peerjs") as room:
        await arrive(alice, server, "alice")
        await room.wait_for("alice", timeout=WAIT)
        async with asyncio.timeout(WAIT), room.call("alice") as call:
            await receives(call)
            await sees(alice)
        await alice.wait_for("page.events.includes('media closed')")
        assert await alice.evaluate("page.errors") == []


async def test_a_recording_that_begins_in_mid_call_leaves_the_call_alone(
    server: Server, chromium: StartChromium, tmp_path: Path
) -> None:
    alice = await chromium()
    async with bot(server, "peerjs") as room:
        await arrive(alice, server, "alice")
        answering = asyncio.create_task(answered(room))
        assert await alice.evaluate("call('bot')")
        call = await answering
        await sees(alice)
        async with call.record(tmp_path / "kept") as recorder:
            await receives(call)
            await sees(alice, 30)
        assert recorder.files[0].video_frames > 0
        assert not call._connection.crossing  # the offer that said so was answered
        assert await alice.evaluate("[page.events, page.errors]") == [[], []]


@pytest.mark.parametrize("serialization", ["json", "raw"])
async def test_a_data_connection(server: Server, chromium: StartChromium, serialization: str) -> None:
    alice = await chromium()
    async with bot(server, "peerjs") as room:
        await arrive(alice, server, "alice")
        answering = asyncio.create_task(answered(room))
        assert await alice.evaluate(f"connect('bot', {{ serialization: '{serialization}', reliable: true }})")
        call = await answering
        messages = call.messages()
        await alice.wait_for("page.events.includes('data open')")
        said, answer = {"text": "hello", "numbers": [1, 2.5, None]}, {"text": "good evening", "ok": True}
        if serialization == "json":
            await alice.evaluate(f"(page.data.send({json.dumps(said)}), true)")
            await call.write(json.dumps(answer).encode())
        else:
            await alice.evaluate(f"(page.data.send({json.dumps(json.dumps(said))}), true)")
            await call.write(json.dumps(answer))
        async with asyncio.timeout(WAIT):
            assert json.loads(await anext(messages)) == said
        got = await alice.wait_for("page.texts[0]")
        assert got == (answer if serialization == "json" else json.dumps(answer))
        await call.hang_up()
        await alice.wait_for("page.events.includes('data closed')")
        assert await alice.evaluate("page.errors") == []


async def test_two_pages_call_each_other_with_what_they_say_of_it(server: Server, chromium: StartChromium) -> None:
    alice, carol = await asyncio.gather(chromium(), chromium())
    await asyncio.gather(arrive(alice, server, "alice"), arrive(carol, server, "carol"))
    assert await alice.evaluate("call('carol', { why: 'media' })")
    await asyncio.gather(sees(alice), sees(carol))
    assert await carol.evaluate("page.meta") == {"why": "media"}
    assert await carol.evaluate("connect('alice', { label: 'chat', metadata: { why: 'data' } })")
    await carol.wait_for("page.events.includes('data open')")
    assert await alice.evaluate("[page.data.label, page.data.serialization, page.meta]") == [
        "chat",
        "binary",
        {"why": "data"},
    ]
    await carol.evaluate("(page.data.send({ deep: [1, 2] }), true)")
    assert await alice.wait_for("page.texts[0]") == {"deep": [1, 2]}
    await carol.evaluate("(page.media.close(), true)")
    await alice.wait_for("page.events.includes('media closed')")
    assert await alice.evaluate("page.data.open")


async def test_what_does_not_come_about_is_told_to_the_page(server: Server, chromium: StartChromium) -> None:
    alice, second = await asyncio.gather(chromium(), chromium())
    async with bot(server, "peerjs") as room:
        await arrive(alice, server, "alice")
        assert await alice.evaluate("call('nobody')")
        await alice.wait_for("page.errors.length === 1")
        rings = room.rings()
        assert await alice.evaluate("call('bot')")
        async with asyncio.timeout(WAIT):
            await (await anext(rings)).reject("busy")
        await alice.wait_for("page.errors.length === 2")
        assert {error[0] for error in await alice.evaluate("page.errors")} == {"peer-unavailable"}
        await second.open(f"{server.url}/page.html?name=alice")
        await second.wait_for("page.errors.length === 1")
        assert await second.evaluate("page.errors[0][0]") == "unavailable-id"
        await second.open(f"{server.url}/page.html")  # an id of the server's
        assert len(await second.wait_for("page.id")) == 36
