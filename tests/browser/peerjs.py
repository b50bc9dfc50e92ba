"""PeerJS itself, taken from npm when a test needs it, and a page written with it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.harness.tools import require, unavailable

VERSION = "1.5.5"
INSTALL_TIMEOUT = 60.0


async def make_page(folder: Path) -> None:
    """Puts `page.html`, and the library that it loads, into a folder. Skips the test (fails it in CI) without npm."""
    (npm,) = require("npm")
    install = [npm, "install", "--prefix", str(folder / "npm"), "--ignore-scripts", "--no-audit", "--no-fund"]
    process = await asyncio.create_subprocess_exec(
        *install,
        f"peerjs@{VERSION}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
    if process.returncode != 0:
        unavailable(f"npm cannot install peerjs: {output.decode(errors='replace')[-300:]}")
    here = Path(__file__)
    await asyncio.to_thread(shutil.copy, folder / "npm/node_modules/peerjs/dist/peerjs.min.js", folder / "peerjs.js")
    await asyncio.to_thread(shutil.copy, here.with_name("peerjs.html"), folder / "page.html")
