"""`peer record` and pages in one room: who does not call is recorded too, and everybody is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from peer.recording.verify import verify
from tests.browser.test_page import join, of, pair, participant, sees
from tests.cli.command import Command

if TYPE_CHECKING:
    from signaling.app import Server
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

WAIT = 15.0
NOTICE = "recorder records what you send. If you do not want that, hang up that call."
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "recorded.png"


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, chromium: StartChromium, firefox: StartFirefox) -> Browser:
    """Each of the browsers, one after the other."""
    return await (chromium() if request.param == "chromium" else firefox())


def recorder(server: Server, folder: Path, *arguments: str) -> Command:
    return Command("record", server.url, "--room", "lab", "--output", "kept", "--json", *arguments, cwd=folder)


async def ended(command: Command) -> dict[str, Any]:
    """The recorder's result, after Ctrl-C."""
    command.signal(signal.SIGINT)
    code = await asyncio.to_thread(command.end)
    assert code == 0 and "Traceback" not in command.err, command.err
    found: dict[str, Any] = json.loads(command.out)
    return found


async def playable(folder: Path, report: dict[str, Any], frames: int) -> None:
    """The one file of a call holds picture and sound, and decodes."""
    (file,) = report["files"]
    assert file["whole"] and file["error"] is None and report["recordingError"] is None
    verdict = await asyncio.to_thread(verify, folder / file["path"], tolerance=1.0)
    assert verdict.ok, verdict.problems
    assert verdict.video_frames >= frames


async def recorded(command: Command, names: list[str]) -> None:
    for name in names:
        await asyncio.to_thread(command.wait_for, f"{name} connected, VP8")


async def test_a_page_that_calls_nobody_is_recorded_and_told(server: Server, browser: Browser, tmp_path: Path) -> None:
    await join(browser, server, "alice")
    with recorder(server, tmp_path) as command:
        await browser.wait_for(f"{of('recorder')}.recording", WAIT)
        assert NOTICE in await browser.evaluate("peerPage.notices")
        await recorded(command, ["alice"])
        assert (await participant(browser, "recorder"))["framesDecoded"] == 0
        assert await browser.evaluate("document.querySelector('#own .recording').innerText") == "recorded"
        assert await browser.evaluate("document.querySelector('#tiles .recording').innerText") == "records you"
        await asyncio.sleep(2)
        result = await ended(command)
        await browser.wait_for(f"{of('recorder')}.state === 'ended'", WAIT)
        assert NOTICE not in await browser.evaluate("peerPage.notices")
        assert await browser.evaluate("document.querySelector('#own .recording').hidden")
    (report,) = result["calls"]
    assert (report["name"], report["outgoing"]) == ("alice", True)
    await playable(tmp_path, report, 30)


async def test_who_hangs_up_on_the_recorder_is_left_alone(
    server: Server, chromium: StartChromium, tmp_path: Path
) -> None:
    with recorder(server, tmp_path) as command:
        await asyncio.to_thread(command.wait_for, "in room lab")
        alice, bob = await pair(chromium, server)
        await recorded(command, ["alice", "bob"])
        await alice.evaluate("peerPage.hangUp('recorder')")
        await asyncio.to_thread(command.wait_for, "alice hung up")
        assert NOTICE not in await alice.evaluate("peerPage.notices")
        assert NOTICE in await bob.evaluate("peerPage.notices")
        # A reloaded page comes anew, and calls everybody who is there.
        await bob.open(f"{server.url}/?room=lab&name=bob")
        await asyncio.to_thread(command.wait_for, "(?s)bob connected.*bob left the room.*bob connected")
        await bob.wait_for(f"{of('recorder')}.recording", WAIT)
        assert not (await participant(alice, "recorder"))["recording"]
        await sees(alice, "bob")
        result = await ended(command)
    # On a busy machine the recorder calls a page while that one calls it, and one of the two does not come about.
    came_about = [report for report in result["calls"] if report["state"] != "failed"]
    assert sorted(report["name"] for report in came_about) == ["alice", "bob", "bob"], result["calls"]


async def test_how_a_recorder_looks_to_those_who_are_recorded(
    server: Server, chromium: StartChromium, tmp_path: Path
) -> None:
    """With PEER_SCREENSHOT set, what is seen becomes the picture in docs/recording.md."""
    alice, _ = await pair(chromium, server)
    with recorder(server, tmp_path) as command:
        await recorded(command, ["alice", "bob"])
        await alice.wait_for(f"{of('recorder')}.state === 'connected' && {of('bob')}.fps > 20", WAIT)
        image = IMAGE if "PEER_SCREENSHOT" in os.environ else tmp_path / "recorded.png"
        await alice.screenshot(image)
        await ended(command)
    seen = await asyncio.to_thread(cv2.imread, str(image))
    assert seen.shape[1] >= 1280 and seen.std() > 20
