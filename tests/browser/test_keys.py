"""Keys (RFC 4733) between a browser and our side: those of its page are heard here, and ours are heard there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiortc.mediastreams import AudioStreamTrack

from tests.browser.meeting import WAIT, Meeting, meeting
from tests.browser.test_peer import bot, meet

if TYPE_CHECKING:
    from signaling.app import Server
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PRESS = """(async () => {
  const dtmf = audio.sender.dtmf, told = [];
  const over = new Promise((resolve) => {
    dtmf.ontonechange = ({ tone }) => (told.push(tone), tone || resolve());
  });
  dtmf.insertDTMF("1a#,*", 300, 100);
  await over;
  return told;
})()"""


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, chromium: StartChromium, firefox: StartFirefox) -> Browser:
    """Each of the browsers, one after the other."""
    return await (chromium() if request.param == "chromium" else firefox())


def told(met: Meeting, mid: str) -> list[tuple[str, float]]:
    """The keys that the page presses from now on."""
    found: list[tuple[str, float]] = []
    met.track(mid).on_key = lambda key, seconds: found.append((key, seconds))
    return found


@pytest.mark.parametrize("caller", ["the browser", "ours"])
async def test_keys_of_the_page_are_heard(browser: Browser, caller: str) -> None:
    async with meeting(browser) as met:
        if caller == "ours":
            met.pc.addTransceiver("audio")
            await browser.wait_for("pc.signalingState === 'stable' && rounds > 0", WAIT)
        await met.browser_begins()
        mid = await browser.evaluate("audio.mid")
        await met.hears(mid)
        found, before = told(met, mid), met.track(mid).stats()
        assert await browser.evaluate(PRESS) == ["1", "A", "#", ",", "*", ""]
        await met.until(lambda: len(found) >= 4)
        await met.hears(mid, 10)
        assert [key for key, _ in found] == ["1", "A", "#", "*"]
        assert all(0.03 < seconds < 0.4 for _, seconds in found)
        if caller == "the browser" and type(browser).__name__ == "Chromium":
            assert all(seconds > 0.28 for _, seconds in found), "as long as the page said"
        after = met.track(mid).stats()
        assert (after.packets_lost, after.nack_count) == (before.packets_lost, before.nack_count) == (0, 0)
        assert after.packets_received - before.packets_received > after.frames_received - before.frames_received


async def test_our_keys_are_heard_in_the_page(browser: Browser) -> None:
    """Browsers tell their page nothing of keys, but play their tones: among silence, those are what it hears."""
    async with meeting(browser) as met:
        silence = AudioStreamTrack()
        sender = met.pc.addTrack(silence)
        await met.browser_begins()
        mid = next(each.mid for each in met.pc.getTransceivers() if each.sender is sender)
        track = f"new MediaStream([at('{mid}').receiver.track])"
        await browser.evaluate(f"(window.ear = new Audio(), ear.srcObject = {track}, ear.play(), true)")
        await browser.wait_for(f"inbound('{mid}').then((its) => its.totalSamplesReceived > 24000)", WAIT)
        before = await browser.evaluate(f"inbound('{mid}')")
        assert before["totalAudioEnergy"] == 0
        assert sender.dtmf is not None
        await sender.dtmf.press("123", 0.3, 0.1)
        # It would be far less of tones that are thought to be over after a sixth of the time.
        await browser.wait_for(f"inbound('{mid}').then((its) => its.totalAudioEnergy > 0.06)", WAIT)
        count = before["packetsReceived"] + 100
        await browser.wait_for(f"inbound('{mid}').then((its) => its.packetsReceived > {count})", WAIT)
        after = await browser.evaluate(f"inbound('{mid}')")
        assert after["packetsLost"] == 0
        assert after["totalAudioEnergy"] < 0.15, "no tone goes on"
        silence.stop()
        await met.messages()


async def test_the_page_presses_keys_unless_something_is_written(server: Server, browser: Browser) -> None:
    async with bot(server) as room:
        call = await meet(room, browser, server)
        assert await browser.evaluate("peerPage.press('1#')") == 1
        await browser.wait_for("peerPage.log.find(({ what }) => what === 'pressed 1#')")
        for place, key in (
            ("document.body", "x"),
            ("document.getElementById('chat-text')", "7"),
            ("document.body", "8"),
        ):
            event = f"new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }})"
            await browser.evaluate(f"{place}.dispatchEvent({event})")
        async with asyncio.timeout(WAIT):
            keys = call.keys()
            assert "".join([await anext(keys) for _ in range(3)]) == "1#8"
        await call.press("12", duration=0.05)
