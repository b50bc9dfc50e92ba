"""A peer in Python and the page in a real browser, in one call: what each sees, hears and is told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pytest

import peer
from peer import events
from peer.recording.verify import verify
from tests.browser.test_page import CANVAS, join, of, participant, sees
from tests.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peer.call import Call
    from peer.room import Room
    from signaling.app import Server
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

WAIT = 15.0
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "page.png"


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, chromium: StartChromium, firefox: StartFirefox) -> Browser:
    """Each of the browsers, one after the other."""
    return await (chromium() if request.param == "chromium" else firefox())


@asynccontextmanager
async def bot(server: Server, **sources: Any) -> AsyncIterator[Room]:
    """A peer that shows the test picture in the room of the page."""
    sources = {"video": "test", "audio": "test"} | sources
    async with peer.join(server.url, room="lab", name="bot", **sources) as room:
        yield room


async def answered(room: Room) -> Call:
    """The next call that comes in, accepted."""
    async with asyncio.timeout(WAIT):
        async for ring in room.rings():
            return await ring.accept()
    raise AssertionError("nobody called")


async def meet(room: Room, browser: Browser, server: Server) -> Call:
    """The page joins, calls the bot, and both see each other."""
    answering = asyncio.create_task(answered(room))
    await join(browser, server, "alice")
    call = await answering
    await sees(browser, "bot")
    return call


async def received(call: Call, frames: int, kind: str = "video") -> None:
    """Returns when that many more frames of the main track have come."""
    async with asyncio.timeout(WAIT):
        track = await call.main_track(kind)
        assert track is not None
        taker = track.encoded()
        for _ in range(frames):
            await anext(taker)


async def frame_rate(call: Call) -> float:
    """Frames a second that come in, over two seconds' worth of frames."""
    before = await call.stats()
    await received(call, 60)
    after = await call.stats()
    counts = [moment.received("video").frames_received for moment in (before, after)]  # type: ignore[union-attr]
    return (counts[1] - counts[0]) / (after.time - before.time)


async def until(taker: Any, kind: type[events.Event]) -> Any:
    """The next event of this kind."""
    async with asyncio.timeout(WAIT):
        async for event in taker:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} came")


async def test_picture_sound_and_chat_both_ways(server: Server, browser: Browser) -> None:
    async with bot(server) as room:
        began = asyncio.create_task(answered(room))
        await join(browser, server, "alice")
        joined = time.monotonic()
        call = await began
        pictures = call.pictures()
        async with asyncio.timeout(WAIT):
            picture = await anext(pictures)
        seen_here = time.monotonic() - joined
        await sees(browser, "bot", frames=1)
        seen_there = time.monotonic() - joined
        assert max(seen_here, seen_there) < 3.0
        assert picture.array.shape == (picture.height, picture.width, 3)
        async with asyncio.timeout(WAIT):
            sound = await anext(call.sound(rate=16000))
        assert sound.rate == 16000 and sound.array.dtype == "int16"

        await browser.wait_for(f"{of('bot')}.fps >= 25", WAIT)
        async with asyncio.timeout(2 * WAIT):
            while await frame_rate(call) < 25:
                pass

        await call.write("Hello from Python")
        line = await browser.wait_for("peerPage.chat[0]")
        assert line == {"name": "bot", "text": "Hello from Python", "own": False}
        assert await browser.evaluate("peerPage.send('Hello from the page')") == 1
        async with asyncio.timeout(WAIT):
            assert await anext(call.messages()) == "Hello from the page"


async def test_calls_that_cross_become_one(server: Server, browser: Browser) -> None:
    """The bot calls whoever joins, the page calls whoever is there."""
    async with bot(server) as room:
        happened = room.events()
        joining = asyncio.create_task(join(browser, server, "alice"))
        await until(happened, events.MemberJoined)
        async with asyncio.timeout(WAIT), room.call("alice") as call:
            await joining
            await sees(browser, "bot")
            await received(call, 10)
            assert [one.name for one in room.calls] == ["alice"]


async def test_the_page_shares_a_second_video_and_takes_it_away(server: Server, browser: Browser) -> None:
    async with bot(server) as room:
        call = await meet(room, browser, server)
        happened = call.events()
        for _ in range(2):
            await browser.evaluate(f"peerPage.shareScreen({CANVAS})")
            added = await until(happened, events.TrackAdded)
            while added.kind != "video" or added.track == "video-1":  # that is the camera
                added = await until(happened, events.TrackAdded)
            screen = next(track for track in call.remote.tracks if track.id == added.track)
            async with asyncio.timeout(WAIT):
                shared = await anext(screen.pictures())
            assert abs(shared.width / shared.height - 800 / 600) < 0.03  # a browser begins small
            await browser.evaluate("peerPage.shareScreen(false)")
            removed = await until(happened, events.TrackRemoved)
            assert removed.track == added.track
            assert len(call.remote.tracks) == 2
            await received(call, 10)
            await sees(browser, "bot", frames=(await participant(browser, "bot"))["framesDecoded"] + 10)


async def test_camera_off_and_on_again(server: Server, browser: Browser) -> None:
    async with bot(server) as room:
        call = await meet(room, browser, server)
        await received(call, 10)
        await browser.evaluate("peerPage.cameraOff(true)")
        await browser.evaluate("peerPage.cameraOff(false)")
        await browser.evaluate("peerPage.mute(true)")
        await browser.evaluate("peerPage.mute(false)")
        await received(call, 30)
        await received(call, 30, "audio")


async def test_hang_up_is_told_to_the_other_side(server: Server, browser: Browser) -> None:
    async with bot(server) as room:
        call = await meet(room, browser, server)
        await call.hang_up(text="that is all")
        await browser.wait_for(f"{of('bot')}.state === 'ended'")
        told = await participant(browser, "bot")
        assert (told["endedBy"], told["endedReason"], told["text"]) == ("bot", "hung-up", "that is all")

        await browser.evaluate("peerPage.call('bot')")
        call = await answered(room)
        await sees(browser, "bot")
        await browser.evaluate("peerPage.hangUp('bot')")
        async with asyncio.timeout(WAIT):
            ended = await call.ended()
        assert (ended.by, ended.reason) == ("alice", "hung up")
        assert ended.seconds > 0


async def test_the_page_shows_what_a_script_raised(server: Server, browser: Browser) -> None:
    async def script(call: Call) -> None:
        await anext(call.pictures())
        raise ValueError("no such answer")

    async with bot(server) as room:
        call = await meet(room, browser, server)
        room.start(script, call)
        await browser.wait_for(f"{of('bot')}.state === 'ended'")
        told = await participant(browser, "bot")
        assert (told["endedReason"], told["text"]) == ("error", "ValueError: no such answer")


async def test_a_killed_tab_is_noticed_and_its_recording_plays(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    async with bot(server) as room:
        call = await meet(room, browser, server)
        recorder = call.record(tmp_path)
        await received(call, 60)
        await browser.kill_tab()
        async with asyncio.timeout(15):
            ended = await call.ended()
        assert ended.reason in ("left", "lost")
        await call.hang_up()
        (file,) = recorder.files
        assert file.whole and file.video_frames >= 50
        # A killed sender stops when it is killed, with the one track perhaps a little before the other.
        verdict = await asyncio.to_thread(verify, file.path, tolerance=2.0)
        assert verdict.ok, verdict.problems


async def test_the_call_goes_on_without_the_server(chromium: StartChromium) -> None:
    from signaling.app import Server as SignalingServer
    from signaling.settings import Settings

    browser = await chromium()
    async with SignalingServer(Settings(port=0)) as server, bot(server) as room:
        call = await meet(room, browser, server)
        happened = room.events()
        await server.close()
        await until(happened, events.SignalingLost)
        await received(call, 60)
        before = (await participant(browser, "bot"))["framesDecoded"]
        await sees(browser, "bot", frames=before + 30)
        assert call.open


async def test_the_picture_of_the_readme(server: Server, chromium: StartChromium, tmp_path: Path) -> None:
    """The page in a call with a peer; with PEER_SCREENSHOT set, what is seen becomes the picture in the README."""
    browser = await chromium()
    async with bot(server) as room:
        call = await meet(room, browser, server)
        await call.write("Hello Alice, this is Python.")
        await browser.evaluate("peerPage.send('I see your clock, do you see me?')")
        async with asyncio.timeout(WAIT):
            text = await anext(call.messages())
        await call.write(f"Yes, at {len(text)} characters a second.")
        await browser.wait_for(f"peerPage.chat.length === 3 && {of('bot')}.fps > 20")
        image = IMAGE if "PEER_SCREENSHOT" in os.environ else tmp_path / "page.png"
        await asyncio.to_thread(image.parent.mkdir, parents=True, exist_ok=True)
        await browser.screenshot(image)
    seen = await asyncio.to_thread(cv2.imread, str(image))
    assert seen.shape[1] >= 1280 and seen.std() > 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_the_command_in_a_call_with_the_page_is_ended(
    server: Server, chromium: StartChromium, tmp_path: Path, number: signal.Signals
) -> None:
    """As a user runs it; its recording plays however it ends."""
    browser = await chromium()
    arguments = ("call", server.url, "--room", "lab", "--name", "bot", "--record", "kept")
    with Command(*arguments, cwd=tmp_path) as command:
        await browser.open(f"{server.url}/?room=lab&name=alice")
        await sees(browser, "bot", timeout=WAIT)
        await asyncio.to_thread(command.wait_for, "alice connected, VP8 640x480 at")
        await sees(browser, "bot", frames=(await participant(browser, "bot"))["framesDecoded"] + 90, timeout=WAIT)
        command.signal(number)
        code = await asyncio.to_thread(command.end)
        await browser.wait_for(f"{of('bot')}.state === 'ended'", WAIT)
        told = await participant(browser, "bot")
    if number is signal.SIGINT:
        assert code == 0 and "Traceback" not in command.err
        assert (told["endedBy"], told["endedReason"]) == ("bot", "hung-up")
    (file,) = await asyncio.to_thread(lambda: list((tmp_path / "kept").glob("*.mkv")))
    verdict = await asyncio.to_thread(verify, file, tolerance=1.0)
    assert verdict.ok, verdict.problems
    assert verdict.video_frames >= 45
