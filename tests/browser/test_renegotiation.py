"""What browsers do in mid-call, one RTCPeerConnection against one of ours, step by step without signaling.

The browser offers each time, as after its `negotiationneeded`; offers and answers carry all candidates.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from peer.media.pattern import TestPictures
from peer.rtc.connection import Options, PeerConnection
from signaling.messages import SessionDescription
from tests.browser.test_page import CANVAS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.errors import Error
    from peer.rtc.receiver import RemoteTrack
    from signaling.app import Server
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

WAIT = 15.0

SETUP = f"""(async () => {{
    window.pc = new RTCPeerConnection();
    window.canvas = () => {CANVAS}.getVideoTracks()[0];
    window.media = await navigator.mediaDevices.getUserMedia({{audio: true, video: true}});
    for (const track of media.getTracks()) pc.addTrack(track, media);
    pc.createDataChannel("any");
    window.video = pc.getTransceivers().find((each) => each.receiver.track.kind === "video");
    window.gathered = () => new Promise((resolve) => {{
        if (pc.iceGatheringState === "complete") return resolve();
        pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
    }});
    return true;
}})()"""
SEEN = """(async () => {{
    const report = await {}.receiver.getStats();
    return [...report.values()].some(({{framesDecoded}}) => framesDecoded > 5);
}})()"""
OFFER = """(async () => {
    await pc.setLocalDescription();
    await gathered();
    return pc.localDescription.toJSON();
})()"""


class Recorded:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.active: list[RemoteTrack] = []
        self.told: list[str] = []
        self.texts: list[str | bytes] = []
        self.up = asyncio.Event()
        self.over = asyncio.Event()
        self.heard = asyncio.Event()

    def connected(self) -> None:
        self.up.set()

    def disconnected(self, silence: float) -> None:
        self.told.append("disconnected")

    def reconnected(self, outage: float) -> None:
        self.told.append("reconnected")

    def failed(self, error: Error) -> None:
        self.told.append(f"failed: {error}")

    def closed_by_remote(self) -> None:
        self.told.append("closed")
        self.over.set()

    def track_added(self, track: RemoteTrack) -> None:
        self.active.append(track)

    def track_removed(self, track: RemoteTrack) -> None:
        self.active.remove(track)

    def text_received(self, text: str | bytes) -> None:
        self.texts.append(text)
        self.heard.set()


class Meeting:
    """One browser and one connection of ours."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.observer = Recorded()
        self.connection = PeerConnection(Options(), self.observer)

    async def negotiate(self, change: str = "null") -> str:
        """Let the browser change something and offer it; returns our answer."""
        await self.browser.evaluate(f"(async () => {{ {change}; return true; }})()")
        offer = await self.browser.evaluate(OFFER)
        answer = await self.connection.answer(SessionDescription(**offer))
        description = json.dumps({"type": "answer", "sdp": answer.sdp})
        await self.browser.evaluate(f"pc.setRemoteDescription({description})")
        async with asyncio.timeout(WAIT):
            await self.observer.up.wait()
        return answer.sdp

    def videos(self) -> list[RemoteTrack]:
        return [track for track in self.observer.active if track.kind == "video"]

    async def frames(self, track: RemoteTrack, count: int = 10) -> Any:
        """Returns the last of so many frames that come from now on."""
        frame = None
        taker = track.encoded()
        async with asyncio.timeout(WAIT):
            for _ in range(count):
                frame = await anext(taker)
        return frame

    async def flows(self) -> None:
        """Everything that is active brings frames, and nothing went wrong."""
        assert self.observer.told == []
        await asyncio.gather(*(self.frames(track) for track in self.observer.active))


@pytest.fixture(params=["chromium", "firefox"])
async def meeting(
    request: pytest.FixtureRequest, server: Server, chromium: StartChromium, firefox: StartFirefox
) -> AsyncIterator[Meeting]:
    """A call that a browser began: its camera and microphone, a data channel."""
    browser = await (chromium() if request.param == "chromium" else firefox())
    await browser.open(server.url)
    await browser.evaluate(SETUP)
    met = Meeting(browser)
    await met.negotiate()
    yield met
    await met.connection.close()


async def test_hold_and_resume(meeting: Meeting) -> None:
    await meeting.flows()
    for _ in range(2):
        await meeting.negotiate("for (const each of pc.getTransceivers()) each.direction = 'inactive'")
        assert meeting.observer.active == []
        await meeting.negotiate("for (const each of pc.getTransceivers()) each.direction = 'sendrecv'")
        assert sorted(track.kind for track in meeting.observer.active) == ["audio", "video"]
        await meeting.flows()


async def test_a_stopped_transceiver_and_its_place_used_again(meeting: Meeting) -> None:
    await meeting.negotiate("window.second = pc.addTransceiver(canvas(), {direction: 'sendonly'})")
    first, second = meeting.videos()
    await meeting.flows()
    answer = await meeting.negotiate("second.stop()")
    assert "m=video 0 " in answer
    assert meeting.videos() == [first]
    await meeting.flows()
    lines = answer.count("\nm=") + answer.startswith("m=")

    answer = await meeting.negotiate("window.third = pc.addTransceiver(canvas(), {direction: 'sendonly'})")
    assert answer.count("\nm=") == lines
    _, third = meeting.videos()
    assert third.id != second.id
    await meeting.flows()
    frame = await meeting.frames(third)
    assert frame.codec.name == "VP8"


async def test_the_main_video_moves_to_another_m_line(meeting: Meeting) -> None:
    source = TestPictures(320, 240, 15)
    meeting.connection.pictures.show(source.open())
    (first,) = meeting.videos()
    await meeting.browser.wait_for(SEEN.format("video"))
    await meeting.negotiate("video.stop(); window.moved = pc.addTransceiver(canvas(), {direction: 'sendrecv'})")
    (second,) = meeting.videos()
    assert first.ended and second.id != first.id
    await meeting.flows()
    await meeting.browser.wait_for(SEEN.format("moved"))
    await source.close()


async def test_the_first_m_line_stopped_ends_the_connection(meeting: Meeting) -> None:
    """Browsers then begin ICE and DTLS anew, also with one another; the engine cannot follow that yet."""
    await meeting.negotiate("pc.getTransceivers()[0].stop()")
    async with asyncio.timeout(WAIT):
        await meeting.observer.over.wait()
    assert meeting.observer.told == ["closed"]


async def test_a_replaced_track_needs_no_negotiation(meeting: Meeting) -> None:
    (track,) = meeting.videos()
    before = await meeting.frames(track)
    assert before.codec.name == "VP8"
    await meeting.browser.evaluate("video.sender.replaceTrack(canvas()).then(() => true)")
    async with asyncio.timeout(WAIT):
        pictures = track.pictures()
        async for picture in pictures:
            if picture.array[5:-5, 5:-5].std(axis=(0, 1)).max() < 8:
                break  # the canvas has one colour, the fake camera has not
    await meeting.flows()


async def test_a_removed_and_added_track(meeting: Meeting) -> None:
    await meeting.negotiate("pc.removeTrack(video.sender)")
    assert meeting.videos() == []
    await meeting.negotiate("pc.addTrack(media.getVideoTracks()[0], media)")
    assert len(meeting.videos()) == 1
    await meeting.flows()


async def test_messages_go_on_through_it_all(meeting: Meeting) -> None:
    await meeting.browser.evaluate(
        "(() => { window.heard = []; window.channel = pc.createDataChannel('more');"
        " channel.onmessage = ({data}) => heard.push(data); return true; })()"
    )
    await meeting.negotiate("for (const each of pc.getTransceivers()) each.direction = 'inactive'")
    await meeting.browser.wait_for("channel.readyState === 'open'")
    await meeting.browser.evaluate("(channel.send('still here'), true)")
    async with asyncio.timeout(WAIT):
        await meeting.observer.heard.wait()
    assert meeting.observer.texts == ["still here"]


async def test_h264_only(meeting: Meeting) -> None:
    if not await meeting.browser.evaluate(
        "RTCRtpSender.getCapabilities('video').codecs.some(({mimeType}) => mimeType === 'video/H264')"
    ):
        return  # Debian's Firefox has no H.264 for calls
    await meeting.negotiate(
        "video.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs"
        ".filter(({mimeType}) => mimeType === 'video/H264'))"
    )
    (track,) = meeting.videos()
    frame = await meeting.frames(track, 30)
    assert frame.codec.name == "H264"
    async with asyncio.timeout(WAIT):
        picture = await anext(track.pictures())
    assert picture.width >= 160
