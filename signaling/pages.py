"""The files served over HTTP: the built-in pages (`/`, `/doctor`, `/assets/`), and the user's own folder beside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STATIC: Final = Path(__file__).parent / "static"

# Nothing inline, nothing from elsewhere. ws: and wss: because 'self' does not cover them in every browser.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "connect-src 'self' ws: wss:",
        "media-src 'self' blob: mediastream:",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}


def add_pages(app: web.Application, static: Path | None) -> None:
    """Adds the routes of the files but `/`. The user's folder comes last, so it never hides a route of ours."""
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/doctor", files(STATIC, "doctor.html"), name="doctor")
    app.router.add_get("/assets/{path:.+}", files(STATIC), name="assets")
    if static is not None:
        app.router.add_get("/{path:.+}", files(static), name="static")


def files(root: Path, fixed: str | None = None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """What serves the files below `root`, of which the address says which; or the `fixed` one."""

    async def serve(request: web.Request) -> web.StreamResponse:
        path = fixed if fixed is not None else request.match_info["path"]
        found = await asyncio.to_thread(_find, root, path)
        if found is None:
            raise web.HTTPNotFound
        return web.FileResponse(found)

    return serve


def _find(root: Path, path: str) -> Path | None:
    """The file `path` under `root`, or None: nothing outside of it, nothing hidden, of a folder its index.html."""
    parts = path.split("/")
    if "\x00" in path or "\\" in path or any(part.startswith(".") and part != ".well-known" for part in parts):
        return None
    try:
        root = root.resolve(strict=True)
        found = (root / path.strip("/")).resolve(strict=True)
        if found.is_dir():
            found = (found / "index.html").resolve(strict=True)
    except (OSError, RuntimeError):  # absent, a name too long, a loop of links
        return None
    return found if found.is_relative_to(root) and found.is_file() else None


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_ALWAYS)
    route = request.match_info.route.name
    if route in {"page", "doctor", "assets"}:
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    if route is not None:
        response.headers.setdefault("Cache-Control", "no-cache")
