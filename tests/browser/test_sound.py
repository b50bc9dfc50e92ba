"""Sound of a browser over a path that loses packets, and with a browser that sends nothing while it is silent (DTX)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from av import AudioFrame

from peer.rtc import codecs
from peer.rtc.receiver import RemoteTrack
from tests.browser.meeting import WAIT, meeting

if TYPE_CHECKING:
    from peer.rtc.packet import RtpPacket
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LOST = (3, 10, 11, 12)
"""Of each 25 packets."""


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, chromium: StartChromium, firefox: StartFirefox) -> Browser:
    """Each of the browsers, one after the other."""
    return await (chromium() if request.param == "chromium" else firefox())


async def holes(track: RemoteTrack, frames: int) -> list[int]:
    """Samples that are missing between decoded frames; not those of a second or more, after which sound goes on."""
    taker = track.frames()
    async with asyncio.timeout(WAIT):
        heard = [await anext(taker) for _ in range(frames)]
    taker.close()
    assert all(isinstance(each.frame, AudioFrame) for each in heard)
    ends = [each.encoded.timestamp + each.frame.samples for each in heard]  # type: ignore[union-attr]
    missing = [after.encoded.timestamp - end for after, end in zip(heard[1:], ends, strict=False)]
    return [each for each in missing if each < 48000]


async def test_lost_packets_leave_no_hole(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    take = RemoteTrack.rtp

    def lossy(self: RemoteTrack, packets: list[RtpPacket], layer: str) -> None:
        left = [each for each in packets if self.kind == "video" or each.sequence_number % 25 not in LOST]
        if left:
            take(self, left, layer)

    monkeypatch.setattr(RemoteTrack, "rtp", lossy)
    async with meeting(browser) as met:
        await met.browser_begins()
        await met.hears("0")
        track = met.track("0")
        assert not any(await holes(track, 200))
        stats = track.stats()
        assert stats.concealed_samples >= 20 * 960 and stats.concealment_events >= 10
        assert stats.silent_concealed_samples == 0, "no hole was longer than what is concealed"
        assert stats.concealed_samples < 0.25 * stats.total_samples_received


async def test_a_silent_sender_is_not_lost(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    opus, *others = codecs.RECEIVABLE["audio"]
    saves = codecs.codec("audio", "opus", 48000, 2, opus.payload_type, f"{opus.fmtp};usedtx=1", opus.feedback)
    for table in (codecs.CAPABILITIES, codecs.RECEIVABLE):
        monkeypatch.setitem(table, "audio", (saves, *others))
    async with meeting(browser) as met:
        await met.browser_begins()
        await met.hears("0")
        await browser.evaluate("pc.getSenders()[0].track.enabled = false")
        track = met.track("0")
        frames = track.encoded()
        listening = asyncio.create_task(holes(track, 200))
        before, pauses = await anext(frames), 0
        while not listening.done():
            frame = await anext(frames)
            pauses += frame.timestamp - before.timestamp > 960
            before = frame
        assert not any(await listening)
        assert pauses >= 1, "it left packets out"
        assert track.stats().concealed_samples == 0
        frames.close()
