"""The application and the server that carries it: routes, refusals as JSON, health, bounded end.

    async with Server(Settings(port=0)) as server:
        print(server.url)

`create_app` makes the same application for an aiohttp runner of your own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from aiohttp.http import HttpProcessingError

from signaling.admin import add_admin
from signaling.asking import add_cors, check_origin
from signaling.clients import add_mdn, add_peerjs
from signaling.codes import Code, ProtocolError
from signaling.exchange import error_response, serve_offer
from signaling.gate import Gate
from signaling.hub import Hub
from signaling.keyring import Keyring
from signaling.operating import Operating
from signaling.origins import is_loopback
from signaling.pages import STATIC, add_pages, files
from signaling.ports import CannotListen, PortTaken, listen, own_address
from signaling.settings import Access, Limits, Settings, load_ice_servers
from signaling.websocket import serve_websocket
from signaling.whip import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from aiohttp.typedefs import Middleware

    from signaling.clients import Handler

__all__ = ["Access", "CannotListen", "Limits", "PortTaken", "Server", "Settings", "create_app", "load_ice_servers"]

logger = logging.getLogger(__name__)

_DRAIN_TIMEOUT: Final = 2.0  # seconds for all connections to say goodbye
_SHUTDOWN_TIMEOUT: Final = 0.3  # seconds that aiohttp gives, twice, to what is neither connection nor exchange
_LINGERING_TIME: Final = 1.0  # seconds to read on and ignore, so that who sends a refused body sees the refusal
_http_logger: Final = logging.getLogger("signaling.http")
HUB: Final = web.AppKey("hub", Hub)
_CLIENT_CLOSED_REQUEST: Final = 499  # nobody reads it; nginx's name for it


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a failure that aiohttp logs is one of the server: what is no HTTP is its sender's, who is told (400)."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_logger.addFilter(_is_ours)


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
    hub = _make_hub(settings, Gate(keyring))
    app = web.Application(middlewares=[_answer_refusals(hub)], client_max_size=settings.limits.message_bytes)
    add_cors(app, settings)

    def guarded(handler: Handler) -> Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            check_origin(request, settings)
            return await handler(request)

        return serve

    @guarded
    async def open_websocket(request: web.Request) -> web.StreamResponse:
        return await serve_websocket(request, hub)

    @guarded
    async def post_offer(request: web.Request) -> web.StreamResponse:
        return await serve_offer(request, hub)

    async def get_health(request: web.Request) -> web.StreamResponse:
        rooms, participants = hub.rooms.room_count, hub.rooms.member_count
        trouble = hub.trouble
        status = "draining" if hub.draining else "ok" if trouble is None else "degraded"
        health = {"status": status, "version": _VERSION, "rooms": rooms, "participants": participants}
        reason = {"reason": trouble} if trouble is not None else {}
        return web.json_response(health | reason, status=200 if status == "ok" else 503)

    async def start(app: web.Application) -> None:
        await hub.start()

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
    Gateway(hub, lambda request: check_origin(request, settings)).add_routes(app)
    add_mdn(app, hub, guarded, files(STATIC, "index.html"))
    add_peerjs(app, hub, guarded, settings.peerjs_path)
    add_admin(app, hub)
    add_pages(app, settings.static)
    app[HUB] = hub
    app.cleanup_ctx.append(watch_keys)
    app.on_startup.append(start)
    app.on_shutdown.append(drain)
    return app


def _make_hub(settings: Settings, gate: Gate) -> Hub:
    if settings.redis is None:
        return Hub(settings, gate)
    try:
        from signaling.cluster import ClusterHub
        from signaling.redisplane import RedisBackplane
    except ImportError as error:
        raise ValueError(f"redis cannot be used ({error}); install it: pip install 'webrtc-peer[redis]'") from error
    return ClusterHub(settings, RedisBackplane(settings.redis, secrets.token_hex(8)), gate)


class Server:
    """The application on a port. Use it with `async with`, or `await start()` and `close()`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.port = self.settings.port
        self._runner: web.AppRunner | None = None
        self._operating = Operating(self.settings.operation)
        self._closing: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Binds the port and serves; afterwards `port` and `url` are the real ones.

        Raises PortTaken or CannotListen, both OSError, or BadKey, a ValueError, with a sentence that says what to do.
        """
        if self._runner is not None:
            raise RuntimeError("a server starts once; make another one")
        await self._operating.load()
        sockets = await asyncio.to_thread(listen, self.settings.host, self.settings.port)
        app = create_app(self.settings)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_http_logger,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
            lingering_time=_LINGERING_TIME,
        )
        try:
            await self._runner.setup()
            await self._operating.start(app[HUB])
            while sockets:
                await web.SockSite(self._runner, sockets[-1], ssl_context=self._operating.ssl).start()
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
        return self._url(host)

    @property
    def metrics_port(self) -> int | None:
        """The port of `/metrics`, where there is one."""
        return self._operating.metrics_port

    @property
    def urls(self) -> list[str]:
        """The addresses for people, `http://localhost:PORT` first where that works, then that of the network."""
        host = self.settings.host
        if host in {"", "0.0.0.0", "::"}:
            network = own_address()
            return [self._url("localhost"), *([self._url(network)] if network else [])]
        return [self._url("localhost" if is_loopback(host) else host)]

    async def drain(self, seconds: float) -> None:
        """Lets nobody in any more and sends everybody elsewhere, evenly over time; returns when nobody is left.

        `/healthz` answers 503 meanwhile, so that a load balancer sends nobody here. Takes at most `seconds`.
        """
        if self._runner is not None:
            await self._runner.app[HUB].move(seconds)

    async def close(self) -> None:
        """Tells every client `shutting-down`, ends everything and frees the port, in less than 3 s. Idempotent."""
        if self._runner is None:
            return
        if self._closing is None:
            self._closing = asyncio.create_task(self._end(self._runner))
        await asyncio.shield(self._closing)

    async def _end(self, runner: web.AppRunner) -> None:
        try:
            await runner.cleanup()
        finally:
            await self._operating.close()

    def _url(self, host: str) -> str:
        scheme = "http" if self.settings.operation.tls is None else "https"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _answer_refusals(hub: Hub) -> Middleware:
    """The middleware that makes a response of each refusal, and counts it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ProtocolError as error:
            refusal = error
        except ConnectionError:
            return web.Response(status=_CLIENT_CLOSED_REQUEST)
        except web.HTTPException:
            raise
        except Exception:
            logger.exception("a request ends on a mistake of the server")
            text = "The server made a mistake; try again and report it."
            refusal = ProtocolError(Code.INTERNAL_ERROR, text)
        hub.counters.refused[refusal.code] += 1
        return error_response(refusal)

    return middleware
