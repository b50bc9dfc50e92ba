"""The page on a server with keys: how it comes by a token, what it may do with it, and what is said when it ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys

from peer.joining import join
from signaling.app import Access, Server, Settings
from signaling.messages import Kick
from tests.browser.test_page import of, sees
from tests.rooms import soon
from tests.signaling.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Settings(port=0, access=Access(secrets=(SECRET,)))) as running:
        yield running


async def enter(browser: Browser, server: Server, name: str, **claims: Any) -> None:
    """Opens the page as `name` with a token for that name behind the #."""
    await browser.open(f"{server.url}/?room=lab&name={name}#token={token(name=name, **claims)}")
    await browser.wait_for("peerPage.state === 'joined'")


async def test_the_token_of_the_address_is_used_kept_and_shown_nowhere(server: Server, chromium: StartChromium) -> None:
    alice, bob = await asyncio.gather(chromium(), chromium())
    await enter(alice, server, "alice")
    await enter(bob, server, "bob")
    await asyncio.gather(sees(alice, "bob"), sees(bob, "alice"))
    for value in ("location.href", "document.body.innerText", "JSON.stringify(localStorage)"):
        assert "eyJ" not in await alice.evaluate(value)
    await alice.evaluate("location.reload()")
    await alice.wait_for("peerPage.state === 'joined'")
    await sees(alice, "bob")


async def test_who_has_no_token_is_asked_for_one(server: Server, chromium: StartChromium) -> None:
    alice = await chromium()
    await alice.open(f"{server.url}/?room=lab&name=alice")
    await alice.wait_for("document.getElementById('refusal').textContent.includes('access token')")
    assert await alice.wait_for("document.activeElement.id") == "token"
    await alice.press(token(name="bob"), Keys.ENTER)
    await alice.wait_for("document.getElementById('refusal').textContent.includes('another room or name')")
    await alice.evaluate(f"document.getElementById('token').value = {json.dumps(token(name='alice'))}")
    await alice.evaluate("document.getElementById('form').requestSubmit()")
    await alice.wait_for("peerPage.state === 'joined'")


async def test_a_page_sends_and_calls_as_its_token_says(server: Server, chromium: StartChromium) -> None:
    watcher, alice = await asyncio.gather(chromium(), chromium())
    await enter(alice, server, "alice", can=("be-called", "publish", "receive"))
    await enter(watcher, server, "watcher", can=("call", "receive"))
    await sees(watcher, "alice")
    assert (await alice.evaluate(of("watcher")))["videoWidth"] == 0
    await watcher.evaluate("peerPage.hangUp('alice')")
    await alice.wait_for(f"{of('watcher')}.state === 'ended'")
    await alice.evaluate("peerPage.call('watcher')")
    await alice.wait_for("peerPage.log.some(({what}) => what.startsWith('may not be called'))")


async def test_another_token_is_handed_in_and_a_moderator_sends_a_page_away(
    server: Server, chromium: StartChromium
) -> None:
    alice = await chromium()
    await enter(alice, server, "alice", ttl=5)  # taken for 35 s, and the notice comes after the half
    chair = token(name="chair", can=("be-called", "receive", "moderate"))
    async with join(server.url, room="lab", name="chair", token=chair) as room:
        await soon(room.wait_for("alice"))
        await alice.wait_for("peerPage.notices.some((text) => text.startsWith('Your access token ends'))", 25)
        await alice.evaluate(f"(location.hash = 'token={token(name='alice')}')")
        await alice.wait_for("peerPage.notices.length === 0")
        assert "eyJ" not in await alice.evaluate("location.href")
        await room.send(Kick(room.find("alice").id, "be kind"))
        await alice.wait_for("peerPage.state === 'refused'")
        assert "sent away from this room: be kind" in await alice.evaluate("peerPage.notices[0]")
