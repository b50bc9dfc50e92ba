"""Bots and the page in a real browser: what a check finds, and a story that somebody in front of a page interrupts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_page import join
from tests.cli.command import Command
from tests.harness.tools import require

if TYPE_CHECKING:
    import re

    from signaling.app import Server
    from tests.browser.conftest import StartChromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "bots"


async def wait_for(command: Command, pattern: str) -> re.Match[str]:
    return await asyncio.to_thread(command.wait_for, pattern)


@pytest.mark.parametrize(
    ("camera", "code", "line"),
    [(True, 0, r"page: 640x480, and sound"), (False, 8, r"page did not begin to send audio within 10 s|no audio came")],
)
async def test_a_page_is_checked(
    server: Server, chromium: StartChromium, tmp_path: Path, camera: bool, code: int, line: str
) -> None:
    await join(await chromium(camera=camera), server, "page")
    with Command("bot", str(EXAMPLES / "check.py"), server.url, cwd=tmp_path) as bot:
        await wait_for(bot, line)
        assert await asyncio.to_thread(bot.end) == code


async def test_somebody_in_front_of_a_page_interrupts_a_story(
    server: Server, chromium: StartChromium, tmp_path: Path
) -> None:
    (espeak,) = require("espeak-ng")
    words = tmp_path / "words.wav"  # played over and over
    text = "Wait a moment, what is a buffer? I have never heard of it, and would like to know."
    speaking = await asyncio.create_subprocess_exec(espeak, "-w", str(words), text)
    assert await speaking.wait() == 0
    with Command("bot", str(EXAMPLES / "storyteller.py"), server.url, "--name", "storyteller", cwd=tmp_path) as bot:
        await wait_for(bot, "in room lab as storyteller")
        browser = await chromium(flags=(f"--use-file-for-fake-audio-capture={words}",))
        await join(browser, server, "alice")
        await wait_for(bot, r"alice calls")
        await wait_for(bot, r"interrupted, at \d+ s")
