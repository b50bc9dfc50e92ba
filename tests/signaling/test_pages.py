"""The files over HTTP: the page with its headers, the user's folder beside it, and nothing else of the disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from signaling.pages import STATIC

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.signaling.conftest import Serve


async def test_the_page_comes_with_strict_headers(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    async with session.get(f"{server.url}/?room=lab&name=alice") as response:
        text = await response.text()
        headers = response.headers
        assert (response.status, response.content_type) == (200, "text/html")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self';" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' ws: wss:;" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Permissions-Policy"] == "camera=(self), microphone=(self), display-capture=(self)"
    # Every file that the page names is served, and nothing is fetched from elsewhere.
    named = re.findall(r'(?:src|href)="([^"#]+)', text)
    assert named
    for path in named:
        assert "//" not in path
        async with session.get(URL(f"{server.url}/").join(URL(path))) as response:
            assert response.status == 200


async def test_the_doctor_has_a_page_as_strict(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    async with session.get(f"{server.url}/doctor") as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'self';" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-cache"
    for path in re.findall(r'(?:src|href)="(assets/[^"#]+)', text):
        async with session.get(URL(f"{server.url}/doctor").join(URL(path))) as response:
            assert response.status == 200


async def test_modules_have_the_type_browsers_insist_on(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    types = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    files = [file for file in STATIC.rglob("*") if file.is_file()]
    assert files
    for file in files:
        async with session.get(f"{server.url}/assets/{file.relative_to(STATIC).as_posix()}") as response:
            assert response.status == 200
            assert types[file.suffix] in response.headers["Content-Type"]
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]


async def test_an_unchanged_file_is_not_sent_again(serve: Serve, session: ClientSession) -> None:
    server = await serve()
    async with session.get(server.url) as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
    async with session.get(server.url, headers={"If-None-Match": etag}) as response:
        assert response.status == 304


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with a secret beside it and traps in it."""
    root = tmp_path / "own"
    (root / "sub").mkdir(parents=True)
    (root / "mine.html").write_text("mine")
    (root / "sub" / "index.html").write_text("sub")
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "note").write_text("known")
    (root / "healthz").write_text("fake")
    (root / "loop").symlink_to("loop")
    (root / "inside").symlink_to("mine.html")
    (tmp_path / "secret").write_text("secret")
    (root / "outside").symlink_to(tmp_path / "secret")
    return root


async def test_the_users_folder_is_served_beside_ours(serve: Serve, session: ClientSession, folder: Path) -> None:
    server = await serve(static=folder)
    for path, text in (
        ("/mine.html", "mine"),
        ("/sub/", "sub"),
        ("/sub", "sub"),
        ("/inside", "mine"),
        ("/.well-known/note", "known"),
    ):
        async with session.get(server.url + path) as response:
            assert (response.status, await response.text()) == (200, text)
            assert "Content-Security-Policy" not in response.headers  # their page, their policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with session.get(f"{server.url}/healthz") as response:
        assert (await response.json())["status"] == "ok"
    async with session.get(server.url) as response:
        assert response.status == 200


ELSEWHERE = [
    "/absent", "/empty", "/outside", "/loop", "/.git/config", "/sub/..%2f..%2fsecret", "/..%2fsecret", "/%2e%2e/secret",
    "/..%5csecret", "/mine.html%00", "/" + "x" * 5000, "//etc/passwd", "/%2fetc%2fpasswd", "/assets/../app.py",
    "/assets/..%2fapp.py", "/assets/", "/assets/absent.js",
]  # fmt: skip


async def test_nothing_else_is_served(serve: Serve, session: ClientSession, folder: Path) -> None:
    server = await serve(static=folder)
    for path in ELSEWHERE:
        async with session.get(URL(server.url + path, encoded=True)) as response:
            assert (path, response.status) == (path, 404)
            assert "secret" not in await response.text()
