"""A real Janus on the loopback interface, as an endpoint of WHIP: its recorder behind as much HTTP as WHIP needs.

ICE, DTLS, SRTP and session descriptions are Janus's; only the translation of WHIP into its API is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from signaling.sdpfrag import FRAGMENT, SDP, fragment_of, parse_fragment, restarted
from tests.harness.ports import block
from tests.harness.servers import Silent
from tests.harness.tools import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_SECONDS = 20.0


@contextlib.asynccontextmanager
async def janus(folder: Path) -> AsyncIterator[str]:
    """Runs one, which records into `folder` what is published to `/whip` with the token `secret`; yields its URL."""
    (program,) = require("janus")
    with block() as ports:
        for name, text in _settings(folder, ports).items():
            (folder / name).write_text(text)
        log = folder / "janus.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                program, "-F", str(folder), "--disable-colors", stdout=output, stderr=asyncio.subprocess.STDOUT
            )
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{ports[0]}") as api:
                endpoint = _Endpoint(api)
                if not await endpoint.ready(process):
                    raise Silent(f"Janus does not answer:\n{log.read_text(errors='replace')[-2000:]}")
                async with _serving(endpoint) as url:
                    yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]


def recorded_packets(folder: Path, kind: str) -> int:
    """How many packets of RTP Janus kept of `kind`, `audio` or `video`; each is a record that begins with MEET."""
    return sum(path.read_bytes().count(b"MEET") for path in folder.glob(f"*-{kind}.mjr"))


class _Endpoint:
    """One session at a time."""

    def __init__(self, api: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = self._handle = self._offer = ""
        self._etag = 0

    async def ready(self, process: asyncio.subprocess.Process) -> bool:
        """Waits until Janus answers, or has ended, or is silent for too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while process.returncode is None:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with self._api.get("/janus/info"):
                            return True
                    await asyncio.sleep(0.1)
        return False

    async def create(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        self._session = f"/janus/{(await self._ask('/janus', janus='create'))['data']['id']}"
        attached = await self._ask(self._session, janus="attach", plugin="janus.plugin.recordplay")
        self._handle = f"{self._session}/{attached['data']['id']}"
        self._offer = await request.text()
        answer = await self._described(update=False)
        headers = {"Location": "/session", "ETag": f'"{self._etag}"'}
        return web.Response(status=201, text=answer, content_type=SDP, headers=headers)

    async def patch(self, request: web.Request) -> web.Response:
        fragment = parse_fragment(await request.text())
        if request.headers.get("If-Match") == "*":
            self._etag += 1
            self._offer = restarted(self._offer, fragment)
            answer = fragment_of(await self._described(update=True))
            return web.Response(text=str(answer), content_type=FRAGMENT, headers={"ETag": f'"{self._etag}"'})
        if request.headers.get("If-Match") != f'"{self._etag}"':
            return web.Response(status=412)
        for text in fragment.candidates:
            await self._ask(self._handle, janus="trickle", candidate={"sdpMLineIndex": 0, "candidate": text})
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        await self._ask(self._handle, janus="message", body={"request": "stop"})
        await self._ask(self._session, janus="destroy")
        return web.Response()

    async def _described(self, *, update: bool) -> str:
        body = {"request": "record", "name": "call", "filename": "call", "update": update}
        jsep = {"type": "offer", "sdp": self._offer, "update": update}
        await self._ask(self._handle, janus="message", body=body, jsep=jsep)
        while True:
            async with self._api.get(self._session) as response:
                event = await response.json()
            if "jsep" in event:
                return str(event["jsep"]["sdp"])
            if "error" in event.get("plugindata", {}).get("data", {}):
                raise web.HTTPBadRequest(text=json.dumps(event))

    async def _ask(self, path: str, **body: Any) -> Any:
        async with self._api.post(path, json={"transaction": "test", **body}) as response:
            return await response.json()


@contextlib.asynccontextmanager
async def _serving(endpoint: _Endpoint) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/whip", endpoint.create)
    application.router.add_patch("/session", endpoint.patch)
    application.router.add_delete("/session", endpoint.delete)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _settings(folder: Path, ports: range) -> dict[str, str]:
    return {
        "janus.jcfg": f"general: {{ debug_level = 4 }}\nplugins: {{ disable = {_all_but('recordplay', 'plugins')} }}\n"
        f"transports: {{ disable = {_all_but('http', 'transports')} }}\n"
        f'media: {{ rtp_port_range = "{ports[10]}-{ports[-1]}" }}\n',
        "janus.transport.http.jcfg": 'general: { json = "compact", base_path = "/janus", http = true, '
        f'port = {ports[0]}, ip = "127.0.0.1", https = false }}\nadmin: {{ admin_http = false }}\n',
        "janus.plugin.recordplay.jcfg": f"general: {{ path = {json.dumps(str(folder))} }}\n",
    }


def _all_but(name: str, kind: str) -> str:
    found = Path("/usr/lib").glob(f"*/janus/{kind}/libjanus_*.so")
    return json.dumps(",".join(sorted(path.name for path in found if not re.search(name, path.name))))
