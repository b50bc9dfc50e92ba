"""Chromium, driven by Selenium; its blocking calls run on a thread of their own."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.chrome.service import Service

from tests.browser.base import Browser, ScriptError
from tests.harness.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
    # Host candidates on 127.0.0.1 too, for machines that have nothing but loopback.
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream=fps=30",
    # Nobody is there to choose a screen.
    "--auto-select-desktop-capture-source=Entire screen",
)


@dataclass(frozen=True, kw_only=True)
class ChromiumOptions:
    """`camera` False: the user refuses camera and microphone. `flags`: further ones. Sizes in CSS pixels."""

    camera: bool = True
    width: int = 1280
    height: int = 800
    scale: float = 1.0
    dark: bool = False
    flags: tuple[str, ...] = ()


class Chromium(Browser):
    """One headless Chromium with fake camera and microphone."""

    def __init__(self, options: ChromiumOptions | None = None) -> None:
        self.options = options or ChromiumOptions()
        self._binary, self._chromedriver = require("chromium", "chromedriver")
        super().__init__()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="selenium")
        self._service: Service | None = None
        self._driver: webdriver.Chrome | None = None

    async def start(self) -> None:
        await self._run(self._start)

    def _start(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = self._binary
        for flag in (
            *FLAGS,
            *self.options.flags,
            f"--user-data-dir={self.folder / 'profile'}",
            f"--crash-dumps-dir={self.folder}",
        ):
            options.add_argument(flag)
        options.add_argument("--use-fake-ui-for-media-stream" if self.options.camera else "--deny-permission-prompts")
        self._service = Service(self._chromedriver, log_output=subprocess.DEVNULL)
        self._driver = webdriver.Chrome(options=options, service=self._service)
        self.resize(self.options)

    def resize(self, options: ChromiumOptions) -> None:
        """Makes the page look as on a screen of that size and taste. Blocks; see `look`."""
        metrics = {"width": options.width, "height": options.height, "deviceScaleFactor": options.scale}
        self._devtools("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if options.dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    async def look(self, options: ChromiumOptions) -> None:
        """Makes the page look as on a screen of that size and taste."""
        await self._run(self.resize, options)

    async def open(self, url: str) -> None:
        await self._run(self._page.get, url)

    async def press(self, *keys: str) -> None:
        """Presses keys one after another, at what has the focus; see selenium.webdriver.common.keys."""
        await self._run(lambda: webdriver.ActionChains(self._page).send_keys(*keys).perform())

    async def before_each_page(self, script: str) -> None:
        """Runs a script in every page that is opened from now on, before its own."""
        await self._run(self._devtools, "Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def accessibility(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader finds in the page."""
        tree = await self._run(self._devtools, "Accessibility.getFullAXTree", {})
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree["nodes"]
            if not node["ignored"]
        ]

    async def console(self) -> list[str]:
        """What the browser and the page complained about since the last call."""
        return [entry["message"] for entry in await self._run(self._page.get_log, "browser")]

    async def _evaluate_text(self, expression: str) -> str:
        try:
            text: str = await self._run(self._page.execute_script, f"return {expression}")
        except JavascriptException as error:
            raise ScriptError(f"{error.msg}") from error
        return text

    async def screenshot(self, path: Path) -> None:
        shot = await self._run(self._devtools, "Page.captureScreenshot", {"format": "png"})
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))

    @property
    def _page(self) -> webdriver.Chrome:
        assert self._driver is not None, "start() first"
        return self._driver

    def _devtools(self, command: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._page.execute_cdp_cmd(command, parameters)
        return answer

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _disconnect(self) -> None:
        if self._driver is not None:
            # Selenium keeps the connection; its annotation says that this may be a URL, which it never is here.
            await self._run(self._driver.command_executor.close)  # type: ignore[union-attr]
        try:
            if self._service is not None:
                await self._run(self._service.stop)
        except OSError:  # the driver was gone before it had answered
            if self._service is not None and self._service.process is not None:
                self._service.process.kill()
                await asyncio.to_thread(self._service.process.wait, 10)
        finally:
            await asyncio.to_thread(self._thread.shutdown)

    def _root_pid(self) -> int | None:
        return self._service.process.pid if self._service and self._service.process else None

    def _is_tab(self, command: str) -> bool:
        return "--type=renderer" in command
