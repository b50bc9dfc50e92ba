"""Firefox, driven by WebDriver BiDi: Debian has no geckodriver, and none is needed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import re
import shutil
import subprocess
from collections import deque
from typing import TYPE_CHECKING, Any

from tests.browser.base import Browser, ScriptError
from tests.browser.bidi import Bidi
from tests.harness.tools import require

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 30.0

PREFERENCES: dict[str, Any] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.getusermedia.insecure.enabled": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    # Host candidates on 127.0.0.1 too, for machines that have nothing but loopback.
    "media.peerconnection.ice.loopback": True,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    # Nobody reads what it shows at its start, and no process is needed before there is a page for it.
    "browser.startup.page": 0,
    "browser.newtabpage.enabled": False,
    "browser.newtab.preload": False,
    "browser.aboutwelcome.enabled": False,
    "dom.ipc.processPrelaunch.enabled": False,
}


def prepare(profile: Path) -> None:
    """Makes a profile, if there is none, and starts Firefox with it once: with a used one it starts in half the time.

    The process that comes first makes it for all of the run. It blocks.
    """
    (binary,) = require("firefox-esr")
    with profile.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if profile.exists():
            return
        making = profile.with_suffix(".new")
        making.mkdir()
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in PREFERENCES.items()]
        (making / "user.js").write_text("\n".join(lines))
        seen = ("--screenshot", str(making / "blank.png"), "about:blank")
        with contextlib.suppress(subprocess.TimeoutExpired):  # what it is for is speed
            subprocess.run(
                [binary, "--headless", "--no-remote", "--profile", str(making), *seen],
                env=_environment(making / "home"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=START_SECONDS,
                check=False,
            )
        making.rename(profile)


def _environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "MOZ_CRASHREPORTER_DISABLE": "1", "LANG": "C.UTF-8"}


class Firefox(Browser):
    """One headless Firefox with fake camera and microphone."""

    def __init__(self, profile: Path) -> None:
        """`profile`: what it works with a copy of; made if it does not exist."""
        (self._binary,) = require("firefox-esr")
        super().__init__()
        self._used = profile
        self._process: asyncio.subprocess.Process | None = None
        self._bidi = Bidi()
        self._context = ""
        self._messages: deque[str] = deque(maxlen=50)
        self._drain: asyncio.Task[None] | None = None

    async def start(self) -> None:
        profile = self.folder / "profile"
        await asyncio.to_thread(prepare, self._used)
        leave = shutil.ignore_patterns("lock", ".parentlock", "home")
        await asyncio.to_thread(shutil.copytree, self._used, profile, ignore=leave)
        self._process = await asyncio.create_subprocess_exec(
            *(self._binary, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(self.folder),
        )
        await self._bidi.connect(await asyncio.wait_for(self._address(), START_SECONDS))
        self._drain = asyncio.create_task(self._read_messages())
        await self._bidi.command("session.new", capabilities={})
        tree = await self._bidi.command("browsingContext.getTree", maxDepth=0)
        self._context = tree["contexts"][0]["context"]

    async def _address(self) -> str:
        assert self._process is not None and self._process.stderr is not None
        async for line in self._process.stderr:
            self._messages.append(line.decode(errors="replace"))
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", self._messages[-1]):
                return found[1]
        raise RuntimeError("Firefox ended: " + "".join(self._messages))

    async def _read_messages(self) -> None:
        """Empties the pipe, or Firefox would stop when it is full."""
        assert self._process is not None and self._process.stderr is not None
        with contextlib.suppress(ValueError):  # a line without end
            async for line in self._process.stderr:
                self._messages.append(line.decode(errors="replace"))

    async def open(self, url: str) -> None:
        await self._bidi.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def _evaluate_text(self, expression: str) -> str:
        answer = await self._bidi.command(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        if answer["type"] != "success":
            raise ScriptError(answer["exceptionDetails"]["text"])
        text: str = answer["result"]["value"]
        return text

    async def screenshot(self, path: Path) -> None:
        shot = await self._bidi.command("browsingContext.captureScreenshot", context=self._context)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))

    async def _disconnect(self) -> None:
        await self._bidi.close()
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        if self._process is not None:
            await self._process.wait()

    def _root_pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def _is_tab(self, command: str) -> bool:
        return "-contentproc" in command and command.split()[-1] == "tab"
