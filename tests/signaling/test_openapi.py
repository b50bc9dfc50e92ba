"""The description of the HTTP endpoints: complete, and true under whatever requests it leads to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from signaling.app import Settings, create_app
from signaling.openapi import DESCRIPTION

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.signaling.conftest import Serve

SECRET = "correct horse battery"
UNDESCRIBED = {"/", "/doctor", "/assets/{path}", "/ws", "/peerjs"}
"""Pages, files, and the WebSockets, which OpenAPI cannot describe."""
ELSEWHERE = {"/metrics"}
"""On a listener of their own."""


async def test_it_is_served(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    async with session.get(f"{server.url}/openapi.json") as response:
        assert await response.json() == DESCRIPTION


async def test_every_route_is_described_and_every_description_has_a_route() -> None:
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in create_app(Settings()).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {
        (path, method)
        for path, operations in DESCRIPTION["paths"].items()
        if path not in ELSEWHERE
        for method in operations
        if method != "parameters"
    }
    for path in [path for path, method in routes if method == "*"]:  # WHIP and WHEP answer for every method themselves
        routes -= {(path, "*")}
        both = {path.replace("{kind}", kind) for kind in ("whip", "whep")}
        assert all((one, "options") in described for one in both)
        routes |= {(one, method) for one, method in described if one in both}
    assert {route for route in routes if route[0] not in UNDESCRIBED} == described


def test_every_reference_leads_somewhere() -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(DESCRIPTION)))
    assert names == set(DESCRIPTION["components"]["schemas"])
