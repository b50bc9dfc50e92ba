"""The administrator's API, `/admin/v1/`: who is in which room; sending somebody away; closing a room.

`authorize` is the one place that decides who is the administrator.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from aiohttp import web

from signaling.asking import check_origin
from signaling.codes import Code, ProtocolError
from signaling.gate import bearer
from signaling.openapi import DESCRIPTION

if TYPE_CHECKING:
    from signaling.credentials import Grants
    from signaling.hub import Hub

PAGE: Final = 100  # rooms in one answer, unless another number is asked for
MAX_PAGE: Final = 1000
KEPT_OUT: Final = 60  # seconds that who was sent away stays away, or a room closed, unless another time is given
MAX_KEPT_OUT: Final = 86400


def authorize(request: web.Request, hub: Hub, room: str | None = None) -> Grants | None:
    """What the request may administer: the rooms of its token, or everything (None) with the administrator's secret.

    Raises ProtocolError: no-admin; token-missing, token-invalid, token-expired, not-allowed; forbidden, if the token is
    not for `room`.
    """
    secret, token = hub.settings.operation.admin_secret, bearer(request)
    if secret is not None and token is not None and hmac.compare_digest(token.encode(), secret.encode()):
        return None
    if hub.gate.open:
        text = "Only the administrator may do this; start the server with --admin-secret-file, and send what is in it."
        raise ProtocolError(Code.NO_ADMIN, text)
    grants = hub.gate.grants(token)
    if grants is None or not grants.admin:
        raise ProtocolError(Code.NOT_ALLOWED, "Your token makes no administrator of you; get one with `admin`.")
    if room is not None and not grants.covers(room):
        raise ProtocolError(Code.FORBIDDEN, "Your token is for other rooms; get one for this room.")
    return grants


def add_admin(app: web.Application, hub: Hub) -> None:
    """Adds the routes, and the description of all routes."""
    admin = hub.administration

    async def get_rooms(request: web.Request) -> web.Response:
        grants = _enter(request, hub)
        limit = _number(request, "limit", PAGE, 1, MAX_PAGE)
        after = request.query.get("after", "")
        listing = [(name, size) for name, size in await admin.rooms() if name > after and _covers(grants, name)]
        rooms = [{"name": name, "participants": size} for name, size in listing[:limit]]
        more = {"next": rooms[-1]["name"]} if len(listing) > limit else {}
        return web.json_response({"rooms": rooms, **more})

    async def get_room(request: web.Request) -> web.Response:
        _enter(request, hub, request.match_info["room"])
        room = request.match_info["room"]
        members = await admin.members(room)
        found = [{"id": member.id, "name": member.name, "polite": member.polite} for member in members]
        return web.json_response({"name": room, "participants": found})

    async def delete_room(request: web.Request) -> web.Response:
        _enter(request, hub, request.match_info["room"])
        await admin.close(request.match_info["room"], _number(request, "seconds", KEPT_OUT, 0, MAX_KEPT_OUT))
        return web.Response(status=204)

    async def delete_participant(request: web.Request) -> web.Response:
        _enter(request, hub, request.match_info["room"])
        seconds = _number(request, "seconds", KEPT_OUT, 0, MAX_KEPT_OUT)
        await admin.expel(request.match_info["room"], request.match_info["name"], seconds)
        return web.Response(status=204)

    async def get_description(request: web.Request) -> web.Response:
        return web.json_response(DESCRIPTION)

    app.router.add_get("/admin/v1/rooms", get_rooms, name="admin-rooms")
    app.router.add_get("/admin/v1/rooms/{room}", get_room, name="admin-room")
    app.router.add_delete("/admin/v1/rooms/{room}", delete_room, name="admin-close")
    app.router.add_delete("/admin/v1/rooms/{room}/participants/{name}", delete_participant, name="admin-kick")
    app.router.add_get("/openapi.json", get_description, name="openapi")


def _enter(request: web.Request, hub: Hub, room: str | None = None) -> Grants | None:
    check_origin(request, hub.settings)
    return authorize(request, hub, room)


def _covers(grants: Grants | None, room: str) -> bool:
    return grants is None or grants.covers(room)


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """A number of the query. Raises ProtocolError (bad-message)."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise ProtocolError(Code.BAD_MESSAGE, f"`{name}` is no number from {least} to {most}; correct it.")
    return int(text)
