"""Browsers and the server for the tests in this folder: each test has its own, all ended with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from signaling.app import Server
from signaling.settings import Settings
from tests.browser.chromium import Chromium, ChromiumOptions
from tests.browser.firefox import Firefox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.browser.base import Browser

    StartChromium = Callable[..., Awaitable[Chromium]]
    StartFirefox = Callable[[], Awaitable[Firefox]]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The signaling server with the page, on a free port of 127.0.0.1."""
    async with Server(Settings(port=0)) as running:
        yield running


@pytest.fixture
async def _browsers() -> AsyncIterator[list[Browser]]:
    browsers: list[Browser] = []
    yield browsers
    await asyncio.gather(*(browser.close() for browser in browsers))


@pytest.fixture
def chromium(_browsers: list[Browser]) -> StartChromium:
    """Starts a Chromium: `await chromium()`, with the fields of ChromiumOptions as keywords."""

    async def start(**options: object) -> Chromium:
        browser = Chromium(ChromiumOptions(**options))  # type: ignore[arg-type]
        _browsers.append(browser)
        await browser.start()
        return browser

    return start


@pytest.fixture
def firefox(_browsers: list[Browser], run_folder: Path) -> StartFirefox:
    """Starts a Firefox: `await firefox()`."""

    async def start() -> Firefox:
        browser = Firefox(run_folder / "firefox-profile")
        _browsers.append(browser)
        await browser.start()
        return browser

    return start
