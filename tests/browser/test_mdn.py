"""A chat client that follows MDN's article, in a real browser: it calls a peer, is called by it, and by its like."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from peer import events
from signaling.app import Server
from signaling.settings import Settings
from tests.browser.foreign import BROWSERS, WAIT, bot, ended, receives, sees

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

VARIANTS = pytest.mark.parametrize("variant", ["", "&transceivers"], ids=["tracks", "transceivers"])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The signaling server, which serves the page of the chat beside its own."""
    shutil.copy(Path(__file__).with_name("mdn.html"), tmp_path / "chat.html")
    async with Server(Settings(port=0, static=tmp_path)) as running:
        yield running


async def sign_in(browser: Browser, server: Server, name: str, variant: str = "", room: str = "lobby") -> None:
    await browser.open(f"{server.url}/chat.html?name={name}&room={room}{variant}")
    await browser.wait_for(f"chat.users.includes('{name}')")


@VARIANTS
async def test_the_chat_calls_a_peer(server: Server, chromium: StartChromium, variant: str) -> None:
    alice = await chromium()
    async with bot(server, "lobby") as room:
        await sign_in(alice, server, "alice", variant)
        rings = room.rings()
        assert await alice.evaluate("invite('bot')")
        async with asyncio.timeout(WAIT):
            call = await (await anext(rings)).accept()
        assert call.name == "alice"
        await receives(call)
        await sees(alice)
        assert await alice.evaluate("hangUp()")
        how = await ended(call)
        assert (how.by, how.reason) == ("alice", "hung up")
        assert await alice.evaluate("[chat.errors, chat.unknown]") == [[], []]


@VARIANTS
@BROWSERS
async def test_a_peer_calls_the_chat(
    server: Server, chromium: StartChromium, firefox: StartFirefox, variant: str, kind: str
) -> None:
    alice = await (chromium() if kind == "chromium" else firefox())
    async with bot(server, "lobby") as room:
        await sign_in(alice, server, "alice", variant)
        await room.wait_for("alice", timeout=WAIT)
        async with asyncio.timeout(WAIT):
            call = await room.call("alice")
        await receives(call)  # with `transceivers` that takes an offer of the called side in mid-call
        await sees(alice)
        assert await alice.evaluate("chat.answers") == (1 if variant else 0)
        await call.hang_up()
        await alice.wait_for("pc === null")
        assert await alice.evaluate("[chat.errors, chat.unknown]") == [[], []]


async def test_two_chats_call_each_other(server: Server, chromium: StartChromium) -> None:
    alice, carol = await asyncio.gather(chromium(), chromium())
    await sign_in(alice, server, "alice")
    await sign_in(carol, server, "alice")
    assert await carol.evaluate("chat.name") == "alice1"
    await alice.wait_for("chat.users.includes('alice1')")
    assert await alice.evaluate("invite('alice1')")
    await asyncio.gather(sees(alice), sees(carol))
    assert await carol.evaluate("hangUp()")
    await alice.wait_for("pc === null")
    await carol.evaluate("(invite('alice'), true)")
    await asyncio.gather(sees(alice), sees(carol))


async def test_who_is_not_there_or_declines_hangs_up(server: Server, chromium: StartChromium) -> None:
    alice = await chromium()
    async with bot(server, "lobby") as room:
        await sign_in(alice, server, "alice")
        assert await alice.evaluate("invite('nobody')")
        await alice.wait_for("pc === null && chat.unknown.length === 1")
        rings = room.rings()
        assert await alice.evaluate("invite('bot')")
        async with asyncio.timeout(WAIT):
            await (await anext(rings)).reject("busy")
        await alice.wait_for("pc === null")


async def test_chat_goes_both_ways_and_runs_no_script_of_others(server: Server, chromium: StartChromium) -> None:
    alice = await chromium()
    async with bot(server, "lobby") as room:
        happened = room.events()
        await sign_in(alice, server, "alice")
        await room.wait_for("alice", timeout=WAIT)
        await alice.evaluate("(write('hello'), true)")
        async with asyncio.timeout(WAIT):
            while not isinstance(event := await anext(happened), events.MemberMessage):
                pass
        assert (event.name, event.data) == ("alice", {"text": "hello"})
        hostile = "<img src=x onerror=\"chat.errors.push('script')\">"
        await room.message("alice", {"text": hostile})
        await room.message("alice", {"text": "good evening"})
        await alice.wait_for("chat.lines.length === 3")
        assert await alice.evaluate("chat.lines[0]") == ["alice", "hello"]
        assert await alice.evaluate("chat.lines[2]") == ["bot", "good evening"]
        assert await alice.evaluate("document.querySelectorAll('#chatbox img').length") == 0
        shown = await alice.evaluate("document.getElementById('chatbox').innerText")
        assert re.search(r"bot: .img src=x", shown)


@VARIANTS
async def test_a_recording_that_begins_in_mid_call_leaves_the_call_alone(
    server: Server, chromium: StartChromium, variant: str, tmp_path: Path
) -> None:
    alice = await chromium()
    async with bot(server, "lobby") as room:
        await sign_in(alice, server, "alice", variant)
        rings = room.rings()
        assert await alice.evaluate("invite('bot')")
        async with asyncio.timeout(WAIT):
            call = await (await anext(rings)).accept()
        await sees(alice)
        async with call.record(tmp_path / "kept") as recorder:
            await receives(call)
            await sees(alice, 30)
        assert recorder.files[0].video_frames > 0
        assert await alice.evaluate("[chat.errors, chat.answers]") == [[], 1]
