"""The HTTP of a WHIP or WHEP client: what it sends, where it follows to, how long it waits, what a refusal becomes."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from peer.errors import (
    BadDescription,
    Error,
    NoAnswer,
    NotHere,
    Rejected,
    SignalingError,
    Unreachable,
    UsageError,
    retryable,
)
from peer.whiphttp import MAX_BODY, SessionOver, Unable, WhipHttp, checked_url
from signaling.messages import IceServer
from tests.endpoints import Endpoint, created, endpoint, sdp
from tests.rooms import soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def there() -> AsyncIterator[Endpoint]:
    async with endpoint() as found:
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def http(there: Endpoint, session: aiohttp.ClientSession) -> WhipHttp:
    return WhipHttp(session, f"{there.url}/whip/lab/desk", "secret")


@pytest.mark.parametrize(
    ("url", "checked"),
    [("http://a.example/whip", "http://a.example/whip"), ("a.example:8080/whip", "http://a.example:8080/whip")],
)
def test_urls(url: str, checked: str) -> None:
    assert checked_url(url) == checked


@pytest.mark.parametrize("url", ["", "ftp://a.example", "http://", "http://[::1", "http://host:port", "http://a:0/"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="write one like"):
        checked_url(url)


@pytest.mark.parametrize("token", ["", " ", "a\r\nb", "\u00e9"])
async def test_what_is_no_token(session: aiohttp.ClientSession, token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        WhipHttp(session, "https://a.example/whip", token)


async def test_a_token_that_goes_unencrypted_is_warned_of(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    WhipHttp(session, "http://localhost/whip", "secret")
    WhipHttp(session, "https://a.example/whip", "secret")
    WhipHttp(session, "http://a.example/whip", None)
    assert caplog.records == []
    WhipHttp(session, "http://a.example/whip", "secret")
    assert "unencrypted" in caplog.text and "secret" not in caplog.text


async def test_an_offer_is_posted(there: Endpoint, http: WhipHttp) -> None:
    answer = created("session/1")
    answer.headers["Link"] = '<stun:192.0.2.1>; rel="ice-server"'
    there.will("POST", answer)
    made = await soon(http.create(sdp(), 5))
    assert (made.url, made.etag, made.answer) == (f"{there.url}/whip/lab/session/1", '"one"', sdp("theirs"))
    assert made.ice_servers == [IceServer(["stun:192.0.2.1"])]
    (asked,) = there.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/whip/lab/desk", sdp())
    assert (asked.headers["content-type"], asked.headers["authorization"]) == ("application/sdp", "Bearer secret")


async def test_every_request_has_the_token_and_none_has_one_that_is_not_there(
    there: Endpoint, http: WhipHttp, session: aiohttp.ClientSession
) -> None:
    bare = WhipHttp(session, there.url, None)
    for each in (http, bare):
        there.will("PATCH", web.Response(status=204))
        await soon(each.ice_servers(5))
        await soon(each.patch(f"{there.url}/session", "", '"one"'))
        await soon(each.delete(f"{there.url}/session", 5))
    said = [asked.headers.get("authorization") for asked in there.asked]
    assert said == ["Bearer secret"] * 3 + [None] * 3


async def test_options_may_name_ice_servers(there: Endpoint, http: WhipHttp) -> None:
    there.will("OPTIONS", web.Response(headers={"Link": '<stun:192.0.2.1>; rel="ice-server"'}))
    there.will("OPTIONS", web.Response(status=405, headers={"Link": '<stun:192.0.2.1>; rel="ice-server"'}))
    assert await soon(http.ice_servers(5)) == [IceServer(["stun:192.0.2.1"])]
    assert await soon(http.ice_servers(5)) == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_followed(there: Endpoint, http: WhipHttp, status: int) -> None:
    there.will("POST", web.Response(status=status, headers={"Location": "/elsewhere/x"}), created("/session"))
    made = await soon(http.create(sdp(), 5))
    assert [(asked.path, asked.body) for asked in there.asked] == [("/whip/lab/desk", sdp()), ("/elsewhere/x", sdp())]
    assert made.url == f"{there.url}/session"


@pytest.mark.parametrize("where", ["ftp://a.example", "http://[", ""])
async def test_redirects_lead_somewhere(there: Endpoint, http: WhipHttp, where: str) -> None:
    there.will("POST", *(web.Response(status=307, headers={"Location": where} if where else {}) for _ in range(9)))
    with pytest.raises(SignalingError):
        await soon(http.create(sdp(), 5))
    assert len(there.asked) <= 6  # those that lead back end, too


async def test_nothing_goes_from_https_to_http(there: Endpoint, session: aiohttp.ClientSession) -> None:
    http = WhipHttp(session, "https://a.example/whip", "secret")

    class Reply:
        url, status, text = "https://a.example/whip", 307, ""
        headers = {"Location": f"{there.url}/whip"}

    with pytest.raises(SignalingError, match="from https to http"):
        http._redirected(Reply())  # type: ignore[arg-type]


@pytest.mark.virtual_time
@pytest.mark.parametrize("status", [409, 429, 503])
async def test_it_waits_when_it_is_asked_to(there: Endpoint, http: WhipHttp, status: int) -> None:
    there.will("POST", web.Response(status=status, headers={"Retry-After": "7"}), created())
    began = asyncio.get_running_loop().time()
    await http.create(sdp(), 20)
    assert asyncio.get_running_loop().time() - began >= 7
    assert len(there.asked) == 2


@pytest.mark.virtual_time
async def test_it_waits_until_a_date(there: Endpoint, http: WhipHttp) -> None:
    date = formatdate(time.time() + 10, usegmt=True)
    there.will("POST", web.Response(status=503, headers={"Retry-After": date}), created())
    began = asyncio.get_running_loop().time()
    await http.create(sdp(), 60)
    assert asyncio.get_running_loop().time() - began >= 5


@pytest.mark.parametrize("value", ["60", "99999999999999", "soon", "Thu, 99 Foo 2026", "\u0661"])
async def test_it_does_not_wait_for_ever(there: Endpoint, http: WhipHttp, value: str) -> None:
    there.will("POST", web.Response(status=503, headers={"Retry-After": value}))
    with pytest.raises(SignalingError) as caught:
        await soon(http.create(sdp(), 5))
    assert retryable(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "says", "exit_code"),
    [
        (400, BadDescription, "cannot take", 6),
        (401, SignalingError, "does not take this token", 3),
        (403, SignalingError, "does not allow", 3),
        (404, NotHere, "nobody is at /whip/lab/desk", 5),
        (405, SignalingError, "takes no offers", 3),
        (406, BadDescription, "cannot take", 6),
        (409, Rejected, "does not take the call", 4),
        (410, NotHere, "nobody is", 5),
        (415, SignalingError, "takes no offers", 3),
        (418, SignalingError, "HTTP 418", 3),
        (422, BadDescription, "cannot take", 6),
        (429, SignalingError, "asked too much", 3),
        (500, Unreachable, "fails", 3),
        (501, SignalingError, "takes no offers", 3),
        (503, SignalingError, "no place", 3),
        (504, NoAnswer, "nobody answers", 5),
        (599, Unreachable, "fails", 3),
        (303, SignalingError, "HTTP 303", 3),
        (204, SignalingError, "HTTP 204", 3),
    ],
)
async def test_refusals(
    there: Endpoint, http: WhipHttp, status: int, kind: type[Error], says: str, exit_code: int
) -> None:
    body = '{"message": "Not\\u001b[31m today."}' if status not in (204,) else None
    there.will("POST", web.Response(status=status, text=body))
    with pytest.raises(kind, match=says) as caught:
        await soon(http.create(sdp(), 5))
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert "\x1b" not in str(caught.value)
    assert body is None or "today" in str(caught.value)


async def test_a_server_that_wants_a_token_says_so(there: Endpoint, session: aiohttp.ClientSession) -> None:
    there.will("POST", web.Response(status=401))
    with pytest.raises(SignalingError, match="wants a token; give a valid one with --token"):
        await soon(WhipHttp(session, there.url, None).create(sdp(), 5))


@pytest.mark.parametrize("text", ['{"title": "Full", "detail": "Come back."}', "[]", "{", "x" * 500, '{"detail": 7}'])
async def test_what_a_refusal_says_of_itself(there: Endpoint, http: WhipHttp, text: str) -> None:
    there.will("POST", web.Response(status=500, text=text))
    with pytest.raises(Unreachable) as caught:
        await soon(http.create(sdp(), 5))
    assert ("Come back" in str(caught.value)) is ("Come" in text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=201, text=sdp()),
        lambda: web.Response(status=201, text="hello", content_type="application/sdp"),
        lambda: web.Response(status=200, text="<html>", content_type="text/html"),
    ],
)
async def test_an_answer_that_is_none(there: Endpoint, http: WhipHttp, answer: type[web.Response]) -> None:
    there.will("POST", answer())
    with pytest.raises(BadDescription, match="no session description"):
        await soon(http.create(sdp(), 5))


async def test_an_endless_answer_is_not_read(there: Endpoint, http: WhipHttp) -> None:
    there.will("POST", created(body="v=0\r\n" + "a" * MAX_BODY))
    with pytest.raises(Unreachable, match="too much"):
        await soon(http.create(sdp(), 5))


async def test_a_session_without_an_address(there: Endpoint, http: WhipHttp, caplog: pytest.LogCaptureFixture) -> None:
    there.will("POST", created(None, None))
    made = await soon(http.create(sdp(), 5))
    assert (made.url, made.etag) == (None, None)
    assert "no address" in caplog.text
    there.will("POST", created("mailto:x"))
    with pytest.raises(SignalingError, match="no address"):
        await soon(http.create(sdp(), 5))


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    async with endpoint() as there:
        pass
    with pytest.raises(Unreachable, match="cannot be reached"):
        await soon(WhipHttp(session, there.url, None).create(sdp(), 5))


@pytest.mark.virtual_time
async def test_a_server_that_does_not_answer(there: Endpoint, http: WhipHttp) -> None:
    there.will("POST", there.silence)
    with pytest.raises(Unreachable, match="does not answer within 5 s"):
        await http.create(sdp(), 5)


# A session


async def test_a_patch(there: Endpoint, http: WhipHttp) -> None:
    there.will("PATCH", web.Response(status=204))
    there.will("PATCH", web.Response(text="x", content_type="application/trickle-ice-sdpfrag", headers={"ETag": '"2"'}))
    first = await soon(http.patch(f"{there.url}/session", "body", '"one"'))
    second = await soon(http.patch(f"{there.url}/session", "body", "*"))
    assert (first.fragment, first.etag, second.fragment, second.etag) == (None, None, "x", '"2"')
    asked = there.asked[0]
    assert (asked.headers["content-type"], asked.body) == ("application/trickle-ice-sdpfrag", "body")
    assert [each.headers["if-match"] for each in there.asked] == ['"one"', "*"]
    there.will("PATCH", web.Response(status=204))
    await soon(http.patch(f"{there.url}/session", "body", None))
    assert "if-match" not in there.asked[2].headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [(405, Unable), (415, Unable), (422, Unable), (501, Unable), (404, SessionOver), (410, SessionOver)],
)
async def test_a_patch_that_is_not_taken(there: Endpoint, http: WhipHttp, status: int, kind: type[Error]) -> None:
    there.will("PATCH", web.Response(status=status))
    with pytest.raises(kind):
        await soon(http.patch(f"{there.url}/session", "", "*"))


async def test_the_end(there: Endpoint, http: WhipHttp, caplog: pytest.LogCaptureFixture) -> None:
    for status in (200, 404, 410):
        there.will("DELETE", web.Response(status=status))
        await soon(http.delete(f"{there.url}/session", 5))
    assert caplog.records == []
    there.will("DELETE", web.Response(status=500))
    await soon(http.delete(f"{there.url}/session", 5))
    assert "HTTP 500" in caplog.text
