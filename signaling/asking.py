"""What every request is asked before its handler runs: who it is from, whether its page may; and CORS for the answer.

The order counts: an address is known first, then the Origin is checked, then limits are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from signaling.admission import Caller
from signaling.codes import Code, ProtocolError
from signaling.forwarded import Asker, asker
from signaling.origins import origin_allowed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signaling.settings import Settings

_ASKER: Final = web.RequestKey("asker", Asker)
_SHARED: Final = ("/rooms/", "/admin/", "/healthz", "/openapi.json")
"""Paths that pages of other origins may use, if their origin is allowed; files are for our own pages."""
_REQUEST_HEADERS: Final = "Authorization, Content-Type"
_EXPOSED: Final = "Retry-After, WWW-Authenticate"
_PREFLIGHT_AGE: Final = "600"  # seconds; Chromium takes two hours at most, and a restart may change what is allowed


def asker_of(request: web.Request, settings: Settings) -> Asker:
    """Who sent the request and what it used to get here, proxies that are trusted seen through."""
    found = request.get(_ASKER)
    if found is None:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        direct = Asker(address, request.scheme, request.host)
        found = asker(direct, list(request.headers.items()), settings.operation.trusted_proxies)
        request[_ASKER] = found
    return found


def counted(request: web.Request, settings: Settings) -> Caller:
    """Whom limits are counted by."""
    return Caller.of(asker_of(request, settings).address)


def check_origin(request: web.Request, settings: Settings) -> None:
    """Raises ProtocolError (bad-origin) for a page of another origin that is not allowed."""
    origin = request.headers.get(hdrs.ORIGIN)
    if not origin_allowed(origin, asker_of(request, settings).host, settings.allowed_origins):
        text = "Pages of another origin may not connect; start the server with this origin allowed."
        raise ProtocolError(Code.BAD_ORIGIN, text)


def add_cors(app: web.Application, settings: Settings) -> None:
    """Lets pages of allowed origins use the HTTP endpoints (Fetch Standard, section 3.3).

    Nothing here goes by cookies, so credentials are never allowed.
    """

    @web.middleware
    async def answer_preflight(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        methods = _preflighted(request)
        if methods is None:
            return await handler(request)
        check_origin(request, settings)
        return web.Response(status=204, headers=_preflight_headers(methods))

    async def share(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not request.path.startswith(_SHARED):
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if origin_allowed(origin, asker_of(request, settings).host, settings.allowed_origins):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    app.middlewares.append(answer_preflight)
    app.on_response_prepare.append(share)


def _preflighted(request: web.Request) -> set[str] | None:
    """The methods of a path that is asked for them by a browser, unless it has an answer of its own; else None."""
    if request.method != hdrs.METH_OPTIONS or not request.path.startswith(_SHARED):
        return None
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
        return None
    failure = request.match_info.http_exception
    return set(failure.allowed_methods) if isinstance(failure, web.HTTPMethodNotAllowed) else None


def _preflight_headers(methods: set[str]) -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _REQUEST_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_AGE,
    }
