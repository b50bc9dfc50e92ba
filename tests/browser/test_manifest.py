"""What the manifest says of a call with Chromium: sizes, a hold, a camera switched off, a killed tab."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import peer
from peer.recording import manifestfile
from peer.recording.check import check
from peer.recording.found import find
from tests.browser.test_page import CANVAS, join
from tests.browser.test_peer import received, until

if TYPE_CHECKING:
    from pathlib import Path

    from peer.recording.check import Checked
    from signaling.app import Server
    from tests.browser.conftest import StartChromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

KEPT = """
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...any) { super(...any); globalThis.kept = this; }
    }, true
"""
"""Makes the connection of the page's next call known as `kept`."""
CAMERA = "(globalThis.camera = kept.getTransceivers().find(({ sender }) => sender.track?.kind === 'video')), true"
HALF = """
    (async () => {
      const parameters = camera.sender.getParameters();
      parameters.encodings[0].scaleResolutionDownBy = 2;
      await camera.sender.setParameters(parameters);
      return true;
    })()
"""
OFF = "(async () => { globalThis.off = camera.sender.track; await camera.sender.replaceTrack(null); return true; })()"
ON = "(async () => { await camera.sender.replaceTrack(off); return true; })()"


async def test_what_happens_to_a_camera_is_told(server: Server, chromium: StartChromium, tmp_path: Path) -> None:
    browser = await chromium()
    await join(browser, server, "alice")
    await browser.evaluate(KEPT)
    async with peer.join(server.url, room="lab", name="bot") as room:
        call = await room.call("alice", timeout=20)
        recorder, happened = call.record(tmp_path), call.events()
        await received(call, 30)
        await browser.evaluate(CAMERA)
        await browser.evaluate(HALF)
        await received(call, 60)
        await browser.evaluate("peerPage.cameraOff(true)")  # it sends black pictures: nothing is missing
        await received(call, 30)
        await browser.evaluate("peerPage.cameraOff(false)")
        await received(call, 30)
        await browser.evaluate("camera.direction = 'inactive'")
        await until(happened, peer.events.TrackRemoved)
        await received(call, 50, "audio")
        await browser.evaluate("camera.direction = 'sendrecv'")
        await until(happened, peer.events.TrackAdded)
        await received(call, 60)
        await browser.evaluate(OFF)
        await received(call, 200, "audio")
        await browser.evaluate(ON)
        await received(call, 60)
        await browser.evaluate(f"peerPage.shareScreen({CANVAS})")
        await until(happened, peer.events.TrackAdded)
        await received(call, 60)
        await browser.kill_tab()
        await call.ended()
        await call.hang_up()
        (path,) = recorder.manifests
    manifest = await asyncio.to_thread(manifestfile.read, path)
    sound, camera, screen = manifest.tracks
    assert [(size.width, size.height) for size in camera.sizes[:2]] == [(640, 480), (320, 240)]
    assert screen.added > 5 and screen.begins is not None
    gaps = {track.id: [gap for gap in manifest.gaps if gap.track == track.id] for track in manifest.tracks}
    # What the network of a busy machine loses is told too, and nothing of this test.
    assert [gap.cause for gap in gaps[camera.id] if gap.cause != "lost"] == ["paused", "muted", "disconnected"]
    assert [gap.cause for gap in gaps[sound.id] if gap.cause != "lost"] == ["disconnected"]
    assert [gap.cause for gap in gaps[screen.id] if gap.cause != "lost"] == ["disconnected"]
    rows = await asyncio.to_thread(checked, tmp_path)
    assert len(rows) == 2 and [problem for row in rows for problem in row.problems] == []


def checked(directory: Path) -> list[Checked]:
    return [row for found in find([directory]) for row in check(found)]
