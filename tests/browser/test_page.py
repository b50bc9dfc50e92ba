"""The page, used by real browsers through a real server: what people in a call see, and what they are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys

from signaling.app import Server
from signaling.settings import Settings
from signaling.websocket import Connection
from tests.signaling.helpers import hub_of

if TYPE_CHECKING:
    from tests.browser.base import Browser
    from tests.browser.chromium import Chromium
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

# A moving picture to share, for browsers without a screen.
CANVAS = """(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 800, height: 600 });
    const context = canvas.getContext("2d");
    let count = 0;
    setInterval(() => {
        context.fillStyle = `hsl(${count++ % 360} 60% 40%)`;
        context.fillRect(0, 0, 800, 600);
    }, 50);
    return canvas.captureStream(20);
})()"""


async def join(browser: Browser, server: Server, name: str, query: str = "") -> None:
    """Opens the page as `name` in the room "lab"; returns when the server has welcomed it."""
    await browser.open(f"{server.url}/?room=lab&name={name}{query}")
    await browser.wait_for("peerPage.state === 'joined'")


async def sees(browser: Browser, name: str, *, frames: int = 5, timeout: float = 10.0) -> None:
    """Returns when that many pictures of `name` were decoded."""
    await browser.wait_for(f"{of(name)}.framesDecoded >= {frames}", timeout)


def of(name: str) -> str:
    """JavaScript for the participant `name`."""
    return f"peerPage.participants.find(({{name}}) => name === {name!r})"


async def participant(browser: Browser, name: str) -> dict[str, Any]:
    found: dict[str, Any] = await browser.evaluate(of(name))
    return found


async def pair(start: StartChromium, server: Server) -> tuple[Chromium, Chromium]:
    """Two pages in a call: alice, and bob who came second and called."""
    alice, bob = await asyncio.gather(start(), start())
    await join(alice, server, "alice")
    await join(bob, server, "bob")
    await asyncio.gather(sees(alice, "bob"), sees(bob, "alice"))
    return alice, bob


async def test_two_pages_see_each_other_chat_and_hang_up(server: Server, chromium: StartChromium) -> None:
    alice, bob = await asyncio.gather(chromium(), chromium())
    await join(alice, server, "alice")
    await join(bob, server, "bob")
    # Within three seconds of joining; the page itself reads its numbers once a second.
    await asyncio.gather(sees(alice, "bob", frames=1, timeout=3.5), sees(bob, "alice", frames=1, timeout=3.5))
    for browser, other in ((alice, "bob"), (bob, "alice")):
        await browser.wait_for(f"{of(other)}.fps >= 20")
        seen = await participant(browser, other)
        assert (seen["videoWidth"], seen["videoHeight"]) == (640, 480)
        assert seen["state"] == "connected"
        assert seen["path"].startswith("host/")

    assert await alice.evaluate("peerPage.send('Hello <b>Bob</b>')") == 1
    assert await bob.wait_for("peerPage.chat[0]") == {"name": "alice", "text": "Hello <b>Bob</b>", "own": False}
    assert "Hello <b>Bob</b>" in await bob.evaluate("document.getElementById('chat-lines').innerText")
    assert await bob.evaluate("peerPage.send('Hello Alice')") == 1
    assert await alice.wait_for("peerPage.chat[1]") == {"name": "bob", "text": "Hello Alice", "own": False}

    await bob.evaluate("peerPage.hangUp('alice')")
    await alice.wait_for(f"{of('bob')}.state === 'ended'")
    told, own = await participant(alice, "bob"), await participant(bob, "alice")
    assert (told["endedBy"], told["endedReason"]) == ("bob", "hung-up")
    assert (own["endedBy"], own["endedReason"]) == ("you", "hung-up")
    await alice.wait_for("document.querySelector('#tiles .ended-text').innerText === 'bob hung up.'")

    # Called again by the button in the tile.
    await alice.evaluate("document.querySelector('#tiles .call').click()")
    await asyncio.gather(sees(alice, "bob"), sees(bob, "alice"))


async def test_pages_say_goodbye_when_they_close(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    await bob.open("about:blank")
    await alice.wait_for(f"{of('bob')}.state === 'ended' && !{of('bob')}.inRoom", 2)
    told = await participant(alice, "bob")
    assert (told["endedBy"], told["endedReason"]) == ("bob", "left")
    await alice.evaluate("document.querySelector('#tiles .dismiss').click()")
    await alice.wait_for("peerPage.participants.length === 0")


async def test_a_killed_tab_is_told_as_lost(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    await bob.kill_tab()
    await alice.wait_for(f"{of('bob')}.state === 'ended'", 15)
    assert "left the room" in " ".join(entry["what"] for entry in await alice.evaluate("peerPage.log"))
    assert (await participant(alice, "bob"))["endedReason"] in {"left", "lost"}


async def test_a_shared_screen_comes_and_goes(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    for _ in range(2):  # the second time in the place of the first
        await bob.evaluate(f"peerPage.shareScreen({CANVAS})")
        await alice.wait_for(f"{of('bob')}.screens[0]?.framesDecoded > 3")
        assert (await participant(alice, "bob"))["screens"][0]["width"] == 800
        assert await alice.evaluate("document.querySelectorAll('#tiles .tile').length") == 2
        before = (await participant(alice, "bob"))["framesDecoded"]
        await bob.evaluate("peerPage.shareScreen(false)")
        await alice.wait_for(f"{of('bob')}.screens.length === 0")
        await alice.wait_for("document.querySelectorAll('#tiles .tile').length === 1")
        await sees(alice, "bob", frames=before + 10)
    # Whoever comes while a screen is shared sees it too, as does the one who is called.
    await bob.evaluate(f"peerPage.shareScreen({CANVAS})")
    await alice.evaluate("peerPage.hangUp('bob')")
    await alice.evaluate("peerPage.call('bob')")
    await alice.wait_for(f"{of('bob')}.screens[0]?.framesDecoded > 3")


async def test_both_share_at_the_same_time(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    await asyncio.gather(*(browser.evaluate(f"peerPage.shareScreen({CANVAS})") for browser in (alice, bob)))
    await alice.wait_for(f"{of('bob')}.screens[0]?.framesDecoded > 3")
    await bob.wait_for(f"{of('alice')}.screens[0]?.framesDecoded > 3")


async def test_crossing_calls_become_one(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    await alice.evaluate("peerPage.hangUpAll()")
    await bob.wait_for(f"{of('alice')}.state === 'ended'")
    await asyncio.gather(alice.evaluate("peerPage.call('bob')"), bob.evaluate("peerPage.call('alice')"))
    await asyncio.gather(sees(alice, "bob"), sees(bob, "alice"))
    assert await alice.evaluate("peerPage.send('one')") == 1
    await bob.wait_for("peerPage.chat.length === 1")
    errors = "peerPage.log.filter(({level}) => level === 'error')"
    assert await alice.evaluate(errors) == await bob.evaluate(errors) == []


async def test_calls_outlive_the_server(chromium: StartChromium) -> None:
    async with Server(Settings(port=0)) as first:
        alice, bob = await pair(chromium, first)
    for browser, other in ((alice, "bob"), (bob, "alice")):
        assert "Calls go on" in (await browser.wait_for("peerPage.state === 'lost' && peerPage.notices[0]"))
        frames = (await participant(browser, other))["framesDecoded"]
        await sees(browser, other, frames=frames + 30)
    async with Server(Settings(port=first.port)):
        for browser, other in ((alice, "bob"), (bob, "alice")):
            await browser.wait_for(f"peerPage.state === 'joined' && {of(other)}.inRoom", 15)
            assert (await participant(browser, other))["state"] == "connected"
            assert await browser.evaluate("peerPage.notices") == []
        # The same call, and it can be changed and ended again.
        calls = "peerPage.log.filter(({what}) => /calls|being called/.test(what)).length"
        assert (await alice.evaluate(calls), await bob.evaluate(calls)) == (1, 1)
        await bob.evaluate(f"peerPage.shareScreen({CANVAS})")
        await alice.wait_for(f"{of('bob')}.screens[0]?.framesDecoded > 3")
        await alice.evaluate("peerPage.hangUp('bob')")
        await bob.wait_for(f"{of('alice')}.endedReason === 'hung-up'")


async def test_a_page_comes_back_to_its_place(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    recipients = hub_of(server)._recipients
    members = set(recipients)
    for connection in list(recipients.values()):
        assert isinstance(connection, Connection)
        connection.abort()
    for browser, other in ((alice, "bob"), (bob, "alice")):
        await browser.wait_for("peerPage.log.some(({what}) => what === 'is back')")
        await browser.wait_for("peerPage.state === 'joined'")
        assert (await participant(browser, other))["state"] == "connected"
    assert set(recipients) == members
    # The same call, and it can be changed and ended again.
    calls = "peerPage.log.filter(({what}) => /calls|being called/.test(what)).length"
    assert (await alice.evaluate(calls), await bob.evaluate(calls)) == (1, 1)
    await bob.evaluate(f"peerPage.shareScreen({CANVAS})")
    await alice.wait_for(f"{of('bob')}.screens[0]?.framesDecoded > 3")
    await alice.evaluate("peerPage.hangUp('bob')")
    await bob.wait_for(f"{of('alice')}.endedReason === 'hung-up'")


async def test_a_hang_up_without_the_server_is_seen(chromium: StartChromium) -> None:
    async with Server(Settings(port=0)) as server:
        alice, bob = await pair(chromium, server)
    await alice.wait_for("peerPage.state === 'lost'")
    await bob.evaluate("peerPage.hangUpAll()")
    await alice.wait_for(f"{of('bob')}.state === 'ended'", 5)
    told = await participant(alice, "bob")
    assert (told["endedBy"], told["endedReason"]) == ("bob", "hung-up")


async def test_refused_devices_leave_a_page_that_receives(server: Server, chromium: StartChromium) -> None:
    alice, bob = await asyncio.gather(chromium(), chromium(camera=False))
    await join(alice, server, "alice")
    await join(bob, server, "bob")
    await sees(bob, "alice")
    assert (await bob.evaluate("peerPage.media"))["receiveOnly"]
    [sentence] = await bob.evaluate("peerPage.notices.filter((notice) => /refused/.test(notice))")
    assert sentence.endswith("To send, allow access in the address bar and reload the page.")
    assert (await participant(alice, "bob"))["state"] == "connected"
    # The same when the refused one is called.
    await bob.evaluate("peerPage.hangUpAll()")
    await alice.wait_for(f"{of('bob')}.state === 'ended'")
    await alice.evaluate("peerPage.call('bob')")
    await sees(bob, "alice")


async def test_plain_http_of_another_machine_says_why_there_is_no_camera(
    server: Server, chromium: StartChromium
) -> None:
    browser = await chromium(flags=("--host-resolver-rules=MAP peer.test 127.0.0.1",))
    await browser.open(f"http://peer.test:{server.port}/?room=lab&name=alice")
    [sentence] = await browser.wait_for("peerPage.state === 'joined' && peerPage.notices")
    assert "plain http" in sentence
    assert "https" in sentence


async def test_without_camera_by_the_address(server: Server, chromium: StartChromium) -> None:
    browser = await chromium()
    await join(browser, server, "alice", "&video=0")
    media = await browser.evaluate("peerPage.media")
    assert (media["video"], media["audio"]) == (False, True)
    assert await browser.evaluate("peerPage.notices") == []
    assert await browser.evaluate("document.getElementById('camera-toggle').disabled")


async def test_mute_and_camera_off(server: Server, chromium: StartChromium) -> None:
    alice, bob = await pair(chromium, server)
    await bob.evaluate("document.getElementById('mute').click()")
    await bob.evaluate("document.getElementById('camera-toggle').click()")
    media = await bob.evaluate("peerPage.media")
    assert (media["muted"], media["cameraOff"]) == (True, True)
    await bob.wait_for("document.querySelector('#own .state').innerText === 'you, muted, camera off'")
    # Black, not frozen: pictures keep coming.
    await sees(alice, "bob", frames=(await participant(alice, "bob"))["framesDecoded"] + 5)
    brightness = """(() => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
        const context = canvas.getContext("2d");
        context.drawImage(document.querySelector("#tiles video"), 0, 0, 8, 8);
        return Math.max(...context.getImageData(0, 0, 8, 8).data.filter((_, index) => index % 4 < 3));
    })()"""
    await alice.wait_for(f"{brightness} < 40")
    await bob.evaluate("document.getElementById('camera-toggle').click()")
    await alice.wait_for(f"{brightness} > 80")


async def test_the_form_by_keyboard_alone(server: Server, chromium: StartChromium) -> None:
    alice, other = await asyncio.gather(chromium(), chromium())
    await join(other, server, "alice", "&video=0&audio=0")
    await alice.open(f"{server.url}/?room=lab")
    await alice.wait_for("document.activeElement.id === 'name'")
    await alice.press("alice", Keys.ENTER)
    refusal = await alice.wait_for("document.getElementById('refusal').innerText")
    assert "name" in refusal
    await alice.press("carol", Keys.ENTER)  # the taken name is selected: typing replaces it
    await alice.wait_for("peerPage.state === 'joined' && peerPage.name === 'carol'")
    assert await alice.evaluate("location.search") == "?room=lab&name=carol"
    await other.wait_for(f"{of('carol')}.state === 'connected'")
    # The name is remembered.
    await alice.open(f"{server.url}/")
    await alice.wait_for("document.getElementById('name').value === 'carol'")


async def test_everything_is_reached_by_keyboard_and_has_a_name(server: Server, chromium: StartChromium) -> None:
    alice, _ = await pair(chromium, server)
    reached = set()
    for _step in range(20):
        await alice.press(Keys.TAB)
        here = await alice.evaluate(
            """(({id, className, dataset}) => id || className.split(" ")[0])(document.activeElement)"""
        )
        if here and here not in reached:
            outline = await alice.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"no focus is seen on {here}"
        reached.add(here)
    assert {"hang-up", "chat-tab", "chat-text", "mute", "camera-toggle", "share", "hang-up-all"} <= reached
    await alice.evaluate("document.getElementById('chat-tab').focus()")
    await alice.press(Keys.ARROW_RIGHT)
    assert await alice.evaluate("document.activeElement.id") == "log-tab"
    assert await alice.evaluate("!document.getElementById('log-panel').hidden")

    tree = await alice.accessibility()
    nameless = [role for role, name in tree if role in {"button", "textbox", "tab", "log", "tablist"} and not name]
    assert nameless == []
    assert ("button", "Hang up the call with bob") in tree
    assert ("log", "Events, newest first") in tree


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline(server: Server, chromium: StartChromium) -> None:
    browser = await chromium()
    await join(browser, server, "alice")
    fetched = await browser.evaluate("performance.getEntriesByType('resource').map(({name}) => name)")
    assert f"{server.url}/assets/main.js" in fetched
    assert [url for url in fetched if not url.startswith(server.url)] == []
    assert await browser.console() == []  # a breach of the Content-Security-Policy would be reported here


async def test_a_caller_over_plain_http_gets_an_answer_with_candidates(server: Server, chromium: StartChromium) -> None:
    alice, caller = await asyncio.gather(chromium(), chromium())
    await join(alice, server, "alice")
    await caller.open(f"{server.url}/")
    answer = await caller.evaluate("""(async () => {
        const pc = window.pc = new RTCPeerConnection();
        pc.addTransceiver("video", { direction: "recvonly" });
        await pc.setLocalDescription();
        await new Promise((done) => { pc.onicecandidate = ({candidate}) => candidate || done(); });
        const response = await fetch("rooms/lab/participants/alice/offer?from=alice", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(pc.localDescription),
        });
        const answer = await response.json();
        await pc.setRemoteDescription(answer);
        return answer;
    })()""")
    assert "a=candidate:" in answer["sdp"]
    await caller.wait_for("pc.connectionState === 'connected'")
    await caller.wait_for("pc.getStats().then((all) => [...all.values()].some(({framesDecoded}) => framesDecoded > 5))")
    assert (await participant(alice, "alice"))["state"] == "connected"  # the caller's name may be anybody's
    await alice.evaluate("peerPage.hangUp('alice')")
    await alice.wait_for(f"{of('alice')}.endedReason === 'hung-up'")


async def test_devices_that_come_late_need_no_new_negotiation(server: Server, chromium: StartChromium) -> None:
    alice, bob = await asyncio.gather(chromium(), chromium())
    await join(alice, server, "alice")
    # The user takes time to allow the camera: the call is there before.
    await bob.before_each_page("""
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (constraints) =>
            new Promise((resolve) => { window.allow = () => resolve(ask(constraints)); });
    """)
    await join(bob, server, "bob")
    await sees(bob, "alice")
    assert (await participant(alice, "bob"))["framesDecoded"] == 0
    await bob.evaluate("allow()")
    await sees(alice, "bob")
    assert await alice.evaluate("document.querySelectorAll('#tiles .tile').length") == 1


@pytest.mark.parametrize("second", ["firefox", "chromium"])
async def test_firefox_and_chromium(
    server: Server, chromium: StartChromium, firefox: StartFirefox, second: str
) -> None:
    """Whoever comes second calls, so both orders make both browsers offer and answer."""
    browsers: dict[str, Browser] = dict(
        zip(("chromium", "firefox"), await asyncio.gather(chromium(), firefox()), strict=True)
    )
    first = "chromium" if second == "firefox" else "firefox"
    await join(browsers[first], server, first)
    await join(browsers[second], server, second)
    await asyncio.gather(sees(browsers[first], second), sees(browsers[second], first))
    for name, other in ((first, second), (second, first)):
        assert await browsers[name].evaluate("peerPage.send('Hello')") == 1
        await browsers[name].evaluate(f"peerPage.shareScreen({CANVAS})")
        await browsers[other].wait_for(f"{of(name)}.screens[0]?.framesDecoded > 3")
        await browsers[name].evaluate("peerPage.shareScreen(false)")
        await browsers[other].wait_for(f"{of(name)}.screens.length === 0")
    for browser in browsers.values():
        await browser.wait_for("peerPage.chat.length === 2")
        assert await browser.evaluate("peerPage.log.filter(({level}) => level === 'error')") == []
    await browsers["firefox"].evaluate("peerPage.hangUp('chromium')")
    await browsers["chromium"].wait_for(f"{of('firefox')}.endedReason === 'hung-up'")
