"""The application and the server that carries it: routes, refusals as JSON, health, bounded end.

    async with Server(Settings(port=0)) as server:
        print(server.url)

`create_app` makes the same application for an aiohttp runner of your own.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from signaling.clients import add_mdn, add_peerjs
from signaling.codes import Code, ProtocolError
from signaling.exchange import error_response, serve_offer
from signaling.gate import Gate
from signaling.hub import Hub
from signaling.keyring import Keyring
from signaling.origins import is_loopback, origin_allowed
from signaling.pages import STATIC, add_pages, files
from signaling.ports import CannotListen, PortTaken, listen, own_address
from signaling.settings import Access, Limits, Settings, load_ice_servers
from signaling.websocket import serve_websocket
from signaling.whip import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from signaling.clients import Handler

__all__ = ["Access", "CannotListen", "Limits", "PortTaken", "Server", "Settings", "create_app", "load_ice_servers"]

logger = logging.getLogger(__name__)

_DRAIN_TIMEOUT: Final = 2.0  # seconds for all connections to say goodbye
_SHUTDOWN_TIMEOUT: Final = 0.3  # seconds that aiohttp gives, twice, to what is neither connection nor exchange
_LINGERING_TIME: Final = 1.0  # seconds to read on and ignore, so that who sends a refused body sees the refusal
HUB: Final = web.AppKey("hub", Hub)
_CLIENT_CLOSED_REQUEST: Final = 499  # nobody reads it; nginx's name for it


def _version() -> str:
    try:
        return version("webrtc-peer")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


_VERSION: Final = _version()  # read from a file, so here, before a loop runs


def create_app(settings: Settings) -> web.Application:
    """The aiohttp application: pages, `/ws`, `/healthz`, the plain exchange, WHIP and WHEP, what other people's clients
    know (signaling/clients.py), and the user's folder."""
    keyring = Keyring(settings.access) if settings.access is not None else None
    hub = Hub(settings, Gate(keyring))
    app = web.Application(middlewares=[_answer_refusals], client_max_size=settings.limits.message_bytes)

    def guarded(handler: Handler) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            _check_origin(request, settings)
            return await handler(request)

        return serve

    @guarded
    async def open_websocket(request: web.Request) -> web.StreamResponse:
        return await serve_websocket(request, hub)

    @guarded
    async def post_offer(request: web.Request) -> web.StreamResponse:
        return await serve_offer(request, hub)

    health = {"status": "ok", "version": _VERSION}

    async def get_health(request: web.Request) -> web.StreamResponse:
        return web.json_response({**health, "rooms": hub.rooms.room_count, "participants": hub.rooms.member_count})

    async def watch_keys(app: web.Application) -> AsyncIterator[None]:
        if keyring is None:
            yield
            return
        await asyncio.to_thread(keyring.load)
        watching = asyncio.create_task(keyring.watch())
        yield
        watching.cancel()
        await asyncio.wait([watching])

    async def drain(app: web.Application) -> None:
        await hub.drain(_DRAIN_TIMEOUT)

    app.router.add_get("/ws", open_websocket, name="ws")
    app.router.add_get("/healthz", get_health, name="healthz")
    app.router.add_post("/rooms/{room}/participants/{name}/offer", post_offer, name="offer")
    Gateway(hub, lambda request: _check_origin(request, settings)).add_routes(app)
    add_mdn(app, hub, guarded, files(STATIC, "index.html"))
    add_peerjs(app, hub, guarded, settings.peerjs_path)
    add_pages(app, settings.static)
    app[HUB] = hub
    app.cleanup_ctx.append(watch_keys)
    app.on_shutdown.append(drain)
    return app


class Server:
    """The application on a port. Use it with `async with`, or `await start()` and `close()`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.port = self.settings.port
        self._runner: web.AppRunner | None = None
        self._closing: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Binds the port and serves; afterwards `port` and `url` are the real ones.

        Raises PortTaken or CannotListen, both OSError, or BadKey, a ValueError, with a sentence that says what to do.
        """
        if self._runner is not None:
            raise RuntimeError("a server starts once; make another one")
        sockets = await asyncio.to_thread(listen, self.settings.host, self.settings.port)
        self._runner = web.AppRunner(
            create_app(self.settings),
            access_log=None,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
            lingering_time=_LINGERING_TIME,
        )
        try:
            await self._runner.setup()
            while sockets:
                await web.SockSite(self._runner, sockets[-1]).start()
                self.port = sockets.pop().getsockname()[1]
        except BaseException:
            for one in sockets:
                one.close()
            await self.close()
            raise
        return self

    @property
    def url(self) -> str:
        """The address for programs on this machine, such as `http://127.0.0.1:8080`."""
        host = self.settings.host
        if host in {"", "0.0.0.0"}:
            host = "127.0.0.1"
        elif host == "::":
            host = "::1"
        return _url(host, self.port)

    @property
    def urls(self) -> list[str]:
        """The addresses for people, `http://localhost:PORT` first where that works, then that of the network."""
        host = self.settings.host
        if host in {"", "0.0.0.0", "::"}:
            network = own_address()
            return [_url("localhost", self.port), *([_url(network, self.port)] if network else [])]
        return [_url("localhost" if is_loopback(host) else host, self.port)]

    async def close(self) -> None:
        """Tells every client `shutting-down`, ends everything and frees the port, in less than 3 s. Idempotent."""
        if self._runner is None:
            return
        if self._closing is None:
            self._closing = asyncio.create_task(self._runner.cleanup())
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@web.middleware
async def _answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProtocolError as error:
        return error_response(error)
    except ConnectionError:
        return web.Response(status=_CLIENT_CLOSED_REQUEST)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("a request ends on a mistake of the server")
        return error_response(ProtocolError(Code.INTERNAL_ERROR, "The server made a mistake; try again and report it."))


def _check_origin(request: web.Request, settings: Settings) -> None:
    origin = request.headers.get("Origin")
    if not origin_allowed(origin, request.host, settings.allowed_origins):
        text = "Pages of another origin may not connect; start the server with this origin allowed."
        raise ProtocolError(Code.BAD_ORIGIN, text)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
