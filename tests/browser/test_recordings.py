"""Recordings play in a real browser: a `<video>` element knows how long they are, seeks, and plays them to the end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.recording.containers import begin, layout, write
from tests.recording.synthetic import AV1, H264, VP8, VP9, audio, encode_all, kind_of, merged, video

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from peer.recording.formats import Format
    from peer.rtc.frames import Codec
    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PLAY = """(async () => {
    const video = document.createElement("video");
    video.muted = true;
    const happens = (name) => new Promise((done) => {
        video.addEventListener(name, () => done(true), {once: true});
        video.addEventListener("error", () => done(false), {once: true});
    });
    const known = happens("loadedmetadata");
    video.src = "FILE";
    await known;
    const seeks = happens("seeked");
    video.currentTime = 1.5;
    const sought = await seeks && video.currentTime;
    const ends = happens("ended");
    video.play().catch(() => undefined);
    const ended = await ends;
    return {
        duration: video.duration, seekable: video.seekable.length && video.seekable.end(0), sought, ended,
        size: [video.videoWidth, video.videoHeight], error: video.error && video.error.message,
        sound: video.webkitAudioDecodedByteCount > 0,
    };
})()"""


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """The folder over HTTP, with an empty page; yields the address of it."""
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>recordings</title>", content_type="text/html")

    app.router.add_get("/", page)
    app.router.add_static("/files", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def played(browser: Browser, name: str) -> dict[str, Any]:
    found: dict[str, Any] = await browser.evaluate(PLAY.replace("FILE", f"/files/{name}"))
    return found


@pytest.fixture(scope="module", autouse=True)
def _encoded() -> None:
    encode_all()


async def test_every_format_plays_in_chromium(chromium: StartChromium, tmp_path: Path) -> None:
    pairs: list[tuple[Format, Codec]] = [
        *(("mp4", H264), ("mp4", VP9), ("mp4", AV1)),
        *(("webm", VP8), ("webm", VP9), ("webm", AV1)),
    ]
    for form, codec in pairs:
        write(tmp_path / f"{codec.name}.{form}", merged(video(3, codec), audio(3)))
    browser = await chromium()
    async with served(tmp_path) as url:
        await browser.open(url)
        for form, codec in pairs:
            found = await played(browser, f"{codec.name}.{form}")
            assert found.pop("duration") == found.pop("seekable") == pytest.approx(3, abs=0.05)
            assert found == {"sought": 1.5, "ended": True, "size": [320, 240], "error": None, "sound": True}


@pytest.mark.parametrize(("form", "codec"), [("mp4", H264), ("webm", VP8)])
async def test_what_a_crash_leaves_plays_in_chromium(
    chromium: StartChromium, tmp_path: Path, form: Format, codec: Codec
) -> None:
    frames = merged(video(3, codec), audio(3))
    muxer = begin(form, (tmp_path / "whole").open("xb", buffering=0), layout(frames))
    for frame in frames:
        muxer.write(kind_of(frame), frame)
    # As after the kill of the process in the middle of a write: more was to come.
    left = (tmp_path / "whole").read_bytes() + (b"\0\1\0\0free" + bytes(100) if form == "mp4" else b"\x1fC")
    (tmp_path / f"left.{form}").write_bytes(left)
    muxer.close()
    browser = await chromium()
    async with served(tmp_path) as url:
        await browser.open(url)
        found = await played(browser, f"left.{form}")
    assert found["ended"] and found["error"] is None and found["sound"]
    assert found["size"] == [320, 240] and found["sought"] == 1.5
