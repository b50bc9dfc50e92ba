"""Where other people's clients find what they know: the WebSocket of MDN's chat, and the broker of PeerJS.

Behind these addresses there is nothing of their own: each connection is one of `signaling.websocket` that speaks
another dialect, and its client a member of a room like any other. docs/other-clients.md is for those who use them.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from aiohttp import web

from signaling.codes import Code, ProtocolError
from signaling.mdn import DEFAULT_ROOM, SUBPROTOCOL, Mdn
from signaling.messages import check_label
from signaling.peerjs import PeerJs
from signaling.websocket import serve_websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signaling.hub import Hub

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Guard = Callable[[Handler], Handler]
    """Refuses whom no handler may serve."""

_KEY: Final = "{key:[^/]{1,256}}"


def add_mdn(app: web.Application, hub: Hub, guarded: Guard, page: Handler) -> None:
    """Adds the route `/`: who asks for a WebSocket speaks as MDN's chat, everybody else gets the page."""

    @guarded
    async def open_websocket(request: web.Request) -> web.StreamResponse:
        if SUBPROTOCOL not in _offered(request):
            text = f"This address speaks to clients of the sub-protocol {SUBPROTOCOL}; name it, or connect to /ws."
            raise ProtocolError(Code.BAD_MESSAGE, text)
        room = request.query.get("room", DEFAULT_ROOM)
        try:
            check_label("room", room)
        except ValueError as error:
            raise ProtocolError(Code.BAD_MESSAGE, f"The room cannot be used: {error}.") from error
        dialect = Mdn(room, secrets.randbits(48), lambda: secrets.token_hex(16))
        return await serve_websocket(request, hub, dialect, protocols=(SUBPROTOCOL,))

    async def serve(request: web.Request) -> web.StreamResponse:
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        return await (open_websocket if upgrade else page)(request)

    app.router.add_get("/", serve, name="page")


def add_peerjs(app: web.Application, hub: Hub, guarded: Guard, path: str) -> None:
    """Adds the routes of a PeerJS broker below `path`; slashes at its ends do not count.

    Lists of peers are off, as they are by default in PeerJS' own.
    """

    below = f"/{path.strip('/')}/" if path.strip("/") else "/"

    @guarded
    async def open_websocket(request: web.Request) -> web.StreamResponse:
        key, peer_id, token = (request.query.get(name, "") for name in ("key", "id", "token"))
        return await serve_websocket(request, hub, PeerJs(key, peer_id, token))

    @guarded
    async def get_id(request: web.Request) -> web.StreamResponse:
        return _readable(request, web.Response(text=str(uuid4()), headers={"Cache-Control": "no-store"}))

    @guarded
    async def get_peers(request: web.Request) -> web.StreamResponse:
        return _readable(request, web.Response(status=401, text="Lists of peers are off; agree on ids."))

    app.router.add_get(f"{below}peerjs", open_websocket, name="peerjs")
    app.router.add_get(f"{below}{_KEY}/id", get_id, name="peerjs-id")
    app.router.add_get(f"{below}{_KEY}/peers", get_peers, name="peerjs-peers")


def _offered(request: web.Request) -> list[str]:
    named = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [one.strip() for line in named for one in line.split(",")]


def _readable(request: web.Request, response: web.Response) -> web.Response:
    """A page of another origin that was let in may read the answer (Fetch standard, CORS)."""
    origin = request.headers.get("Origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
    return response
