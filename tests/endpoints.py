"""Endpoints of WHIP and WHEP: one that says what the test wants, and our server with a participant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

import peer
from signaling.app import Server, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SMALL = "test:160x120@15"
PWD = "p" * 22
CANDIDATE = "candidate:1 1 udp 1 192.0.2.7 5000 typ host"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def sdp(ufrag: str = "ours", *lines: str) -> str:
    own = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"]
    return "".join(f"{line}\r\n" for line in [*own, f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{PWD}", *lines])


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Endpoint:
    """`answers` are given one after the other, by method; what is not there is refused with 418."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[Answer | web.Response]] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, method: str, *answers: Answer | web.Response) -> None:
        self.answers.setdefault(method, []).extend(answers)

    async def silence(self, request: web.Request) -> web.StreamResponse:
        """An answer that does not come as long as the test runs."""
        await self.over.wait()
        return web.Response(status=418)

    def requests(self, *methods: str) -> list[Asked]:
        return [each for each in self.asked if each.method in methods]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.path_qs, headers, await request.text()))
        answers = self.answers.get(request.method)
        if not answers:
            return web.Response(status=200 if request.method in ("OPTIONS", "DELETE") else 418)
        answer = answers.pop(0)
        return answer if isinstance(answer, web.Response) else await answer(request)


def created(where: str | None = "/session", etag: str | None = '"one"', body: str | None = None) -> web.Response:
    headers = {"Location": where, "ETag": etag}
    return web.Response(
        status=201,
        text=sdp("theirs") if body is None else body,
        content_type="application/sdp",
        headers={name: value for name, value in headers.items() if value is not None},
    )


@contextlib.asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        found.over.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def desk() -> AsyncIterator[tuple[Server, peer.Room]]:
    """Our server, and somebody called `desk` in its room `lab`, who answers."""
    async with Server(Settings(port=0)) as server, peer.join(server.url, room="lab", name="desk") as room:

        async def answer() -> None:
            async for ring in room.rings():
                room.start(_until_its_end, ring.accept(video=SMALL, audio="test"))

        answering = asyncio.create_task(answer())
        yield server, room
        answering.cancel()


async def _until_its_end(call: peer.Call) -> None:
    await call.ended()
