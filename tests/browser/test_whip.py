"""WHIP and WHEP with a browser at the other end: as a client of our server, and as the participant behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import peer
from tests.browser.test_page import join

if TYPE_CHECKING:
    from signaling.app import Server
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

WAIT = 40.0
SMALL = "test:160x120@15"

CLIENT = """(() => {
  // A client as of RFC 9725: the offer goes out at once, candidates and ICE restarts by PATCH.
  const client = (window.client = { statuses: [] });
  const fragment = (sdp, candidates) => {
    const line = (name) => sdp.match(new RegExp(`a=${name}:.*`))[0];
    const found = candidates.map((each) => `a=${each.candidate}`);
    return [sdp.match(/m=.*/)[0], "a=mid:0", line("ice-ufrag"), line("ice-pwd"), ...found, ""].join("\\r\\n");
  };
  const patch = async (match, body) => {
    const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": match };
    const response = await fetch(client.session, { method: "PATCH", headers, body });
    client.statuses.push(response.status);
    return response;
  };
  client.start = async (url, tracks) => {
    const pc = (client.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    const found = [];
    pc.onicecandidate = ({ candidate }) => candidate && candidate.candidate && found.push(candidate);
    for (const track of tracks) {
      pc.addTransceiver(track, { direction: typeof track === "string" ? "recvonly" : "sendonly" });
    }
    await pc.setLocalDescription();
    const { sdp } = pc.localDescription;
    const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp });
    client.statuses.push(response.status);
    client.session = response.headers.get("Location");
    client.etag = response.headers.get("ETag");
    await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
    while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
    await patch(client.etag, fragment(sdp, found));
  };
  client.restart = async () => {
    const { pc } = client;
    const before = pc.remoteDescription.sdp;
    const found = [];
    const gathered = new Promise((resolve) => {
      pc.onicecandidate = ({ candidate }) => (candidate ? candidate.candidate && found.push(candidate) : resolve());
    });
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    await gathered;
    const response = await patch("*", fragment(pc.localDescription.sdp, found));
    client.etag = response.headers.get("ETag");
    const lines = (await response.text()).split("\\r\\n");
    const value = (name) => lines.find((line) => line.startsWith(`a=${name}:`));
    const kept = before.split("\\r\\n").filter((line) => !/^a=(candidate|end-of)/.test(line)).join("\\r\\n");
    let answer = kept.replace(/a=ice-ufrag:.*/g, value("ice-ufrag")).replace(/a=ice-pwd:.*/g, value("ice-pwd"));
    const theirs = lines.filter((line) => line.startsWith("a=candidate:")).join("\\r\\n");
    answer = answer.replace(/(a=mid:0)/, `$1\\r\\n${theirs}`);
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
  };
  client.stop = async () => {
    client.statuses.push((await fetch(client.session, { method: "DELETE" })).status);
    client.pc.close();
  };
})()"""

PUBLISH = """navigator.mediaDevices.getUserMedia({ audio: true, video: true })
  .then((stream) => client.start("/whip/lab/desk", stream.getTracks())).then(() => true)"""


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, chromium: StartChromium, firefox: StartFirefox) -> Browser:
    """Each of the browsers, one after the other."""
    return await (chromium() if request.param == "chromium" else firefox())


async def test_a_browser_publishes(server: Server, browser: Browser) -> None:
    async with peer.join(server.url, room="lab", name="desk") as room, asyncio.timeout(WAIT):
        await browser.open(f"{server.url}/doctor")
        await browser.evaluate(CLIENT)
        publishing = asyncio.create_task(browser.evaluate(PUBLISH))
        call = await (await anext(room.rings())).accept()
        await publishing
        await call.flowing()
        await browser.evaluate("client.restart().then(() => true)")
        while not call._connection.restarts:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert (await call.picture()).width > 0
        await browser.evaluate("client.stop().then(() => true)")
        assert (await call.ended()).by == "whip"
        assert await browser.evaluate("client.statuses") == [201, 204, 200, 200]


async def test_a_browser_pulls(server: Server, browser: Browser) -> None:
    async with peer.join(server.url, room="lab", name="desk", video=SMALL, audio="test") as room, asyncio.timeout(WAIT):
        await browser.open(f"{server.url}/doctor")
        await browser.evaluate(CLIENT)
        pulling = asyncio.create_task(
            browser.evaluate('client.start("/whep/lab/desk", ["audio", "video"]).then(() => true)')
        )
        call = await (await anext(room.rings())).accept()
        await pulling
        await browser.evaluate(
            "client.pc.getReceivers().forEach(({ track }) => {"
            " const media = document.createElement('video'); media.muted = true; media.autoplay = true;"
            " media.srcObject = new MediaStream([track]); document.body.append(media); })"
        )
        await browser.wait_for("[...document.querySelectorAll('video')].some((each) => each.videoWidth === 160)", WAIT)
        await browser.evaluate("client.stop().then(() => true)")
        assert (await call.ended()).by == "whep"
        assert await browser.evaluate("client.statuses") == [201, 204, 200]


async def test_we_pull_from_a_page(server: Server, chromium: StartChromium) -> None:
    await join(await chromium(), server, "page")
    async with asyncio.timeout(WAIT), peer.pull(f"{server.url}/whep/lab/page") as call:
        await call.flowing()
        call._connection.restart()
        while not call._connection.restarts:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert (await call.picture()).width == 640


async def test_we_publish_to_a_page(server: Server, chromium: StartChromium) -> None:
    browser = await chromium()
    await join(browser, server, "page")
    async with asyncio.timeout(WAIT), peer.publish(f"{server.url}/whip/lab/page", video=SMALL, audio="test") as call:
        await browser.wait_for("[...document.querySelectorAll('video')].some((each) => each.videoWidth === 160)", WAIT)
        assert call.open
