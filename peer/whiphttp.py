"""The HTTP of a WHIP (RFC 9725) or WHEP client: requests, redirects, waiting when asked to, refusals as errors of ours.

Everything that the server says is bounded and checked; the token goes out in the `Authorization` header only, and never
over plain HTTP once it went over HTTPS.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from peer.errors import BadDescription, Error, NoAnswer, NotHere, Rejected, SignalingError, Unreachable, UsageError
from peer.goodbye import legible
from signaling.sdpfrag import FRAGMENT, SDP, ice_servers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signaling.messages import IceServer

logger = logging.getLogger(__name__)

MAX_BODY: Final = 256 * 1024
"""Bytes of a response that are read; a longer one is no session description."""
MAX_REDIRECTS: Final = 5
PATCH_TIMEOUT: Final = 10.0
"""Seconds that a server may take for one PATCH."""
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
"""Those after which the offer is sent again, as it is; RFC 9725 section 4.5 wants 307 and 308."""
_WAITING: Final = frozenset({409, 429, 503})
"""Those after which `Retry-After` says when to try again."""
_UNABLE: Final = frozenset({400, 405, 406, 415, 422, 501})
"""Answers to a PATCH of a server that will take no other one either."""


@dataclass(frozen=True, slots=True)
class Created:
    """What a POST made: the session's URL (None: the server gave none), its ETag, the answer, and ICE servers."""

    url: str | None
    etag: str | None
    answer: str
    ice_servers: list[IceServer]


@dataclass(frozen=True, slots=True)
class Patched:
    """What a PATCH came to: a fragment with another ETag after an ICE restart, else nothing."""

    fragment: str | None
    etag: str | None


class Unable(SignalingError):
    """The server does not do this (trickle ICE, ICE restarts), and will not."""


class SessionOver(SignalingError):
    """The server no longer knows the session."""


@dataclass(frozen=True, slots=True)
class _Reply:
    url: str
    status: int
    headers: Mapping[str, str]
    links: list[str]
    """Its Link headers, of which there may be several."""
    text: str


class _Problem(msgspec.Struct):
    """What a refusal may say of itself: as our server does, or as RFC 9457 has it."""

    message: str = ""
    title: str = ""
    detail: str = ""
    code: str = ""


class WhipHttp:
    """An endpoint and the sessions made there."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None) -> None:
        """Raises UsageError for a URL that is none, or a token that no header can hold."""
        self.url = checked_url(url)
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise UsageError("the token has characters that no header can hold; copy it again")
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        if token is not None and urlsplit(self.url).scheme == "http" and not _here(self.url):
            logger.warning("the token goes to %s unencrypted; use https", urlsplit(self.url).hostname)

    async def ice_servers(self, timeout: float) -> list[IceServer]:
        """What OPTIONS names, where it does (RFC 9725 section 4.6); nothing else is concluded from it.

        Raises Unreachable.
        """
        reply = await self._request("OPTIONS", self.url, {}, None, timeout)
        return ice_servers_of(reply.links) if reply.status < 300 else []

    async def create(self, offer: str, timeout: float) -> Created:
        """POST the offer, where the server redirects it and when it wants it.

        Raises:
            Unreachable, SignalingError, NotHere, NoAnswer, Rejected, BadDescription: there is no session.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        url, redirects = self.url, 0
        while True:
            left = deadline - asyncio.get_running_loop().time()
            reply = await self._request("POST", url, {"Content-Type": SDP, "Accept": SDP}, offer, max(left, 0.1))
            if reply.status in _REDIRECTS and redirects < MAX_REDIRECTS:
                url, redirects = self._redirected(reply), redirects + 1
            elif (wait := _wait(reply, deadline)) is not None:
                logger.info("%s asks to wait %.0f s", legible(urlsplit(url).hostname or ""), wait)
                await asyncio.sleep(wait)
                url, redirects = self.url, 0
            else:
                return self._created(reply)

    async def patch(self, url: str, fragment: str, etag: str | None) -> Patched:
        """PATCH a session; `etag` `*` restarts ICE.

        Raises:
            Unable, SessionOver, SignalingError, Unreachable: it was not taken.
        """
        headers = {"Content-Type": FRAGMENT, **({"If-Match": etag} if etag is not None else {})}
        reply = await self._request("PATCH", url, headers, fragment, PATCH_TIMEOUT)
        if reply.status < 300:
            body = reply.text if _type_of(reply) == FRAGMENT else None
            return Patched(body, reply.headers.get("ETag"))
        if reply.status in _UNABLE:
            raise Unable(f"the server takes no such change of a session (HTTP {reply.status}{_words(reply)})")
        if reply.status in (404, 410):
            raise SessionOver(f"the server no longer knows the session (HTTP {reply.status}); call again")
        raise refusal(reply.url, reply.status, _problem(reply), token=bool(self._headers))

    async def delete(self, url: str, timeout: float) -> None:
        """DELETE a session; one that is gone already is as good. Raises Unreachable."""
        reply = await self._request("DELETE", url, {}, None, timeout)
        if reply.status >= 300 and reply.status not in (404, 410):
            logger.warning("the session was not ended by the server: HTTP %d%s", reply.status, _words(reply))

    # Inside

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None, timeout: float
    ) -> _Reply:
        """Raises Unreachable."""
        where = legible(urlsplit(url).netloc.rpartition("@")[2])
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.request(
                    method,
                    url,
                    headers={**self._headers, **headers},
                    data=body.encode() if body is not None else None,
                    allow_redirects=False,
                ) as response,
            ):
                text = await _read(response)
                logger.debug("%s %s: %d", method, where, response.status)
                return _Reply(url, response.status, response.headers, response.headers.getall("Link", []), text)
        except TimeoutError as error:
            raise Unreachable(f"{where} does not answer within {timeout:.0f} s; try again later") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = getattr(getattr(error, "os_error", None), "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(f"{where} cannot be reached ({legible(cause)[:200]}); check the URL") from error

    def _redirected(self, reply: _Reply) -> str:
        return _target(reply, reply.headers.get("Location", ""), "redirects")

    def _created(self, reply: _Reply) -> Created:
        if reply.status not in (200, 201):
            raise refusal(reply.url, reply.status, _problem(reply), token=bool(self._headers))
        if _type_of(reply) != SDP or not reply.text.startswith("v=0"):
            where = legible(urlsplit(reply.url).path)
            raise BadDescription(f"{where} answered with no session description; is it a WHIP or WHEP endpoint?")
        location = reply.headers.get("Location")
        url = None
        if location is None:
            logger.warning("the server gave the session no address, so it cannot be told of its end")
        else:
            url = _target(reply, location, "moved the session")
        return Created(url, reply.headers.get("ETag"), reply.text, ice_servers_of(reply.links))


def checked_url(url: str) -> str:
    """The URL, with `http://` where it says no scheme. Raises UsageError for what is no URL of an endpoint."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{url!r} is no URL of WHIP or WHEP; write one like http://localhost:8080/whip/lab/desk")
    return parts.geturl()


def refusal(url: str, status: int, problem: _Problem, *, token: bool) -> Error:
    """The error that a status is; the server's own words are quoted, and nothing is concluded from them."""
    words = legible(problem.detail or problem.message or problem.title)[:200]
    said = f" ({words.rstrip('.')})" if words else ""
    where = legible(urlsplit(url).path) or "/"
    match status:
        case 401:
            text = "does not take this token" if token else "wants a token"
            return SignalingError(f"the server {text}{said}; give a valid one with --token", "token-invalid")
        case 403:
            return SignalingError(f"the server does not allow this{said}; ask for the right", "not-allowed")
        case 404 | 410:
            return NotHere(f"nobody is at {where}{said}; check the URL, or wait for them")
        case 405 | 415 | 501:
            return SignalingError(f"{where} takes no offers (HTTP {status}){said}; check the URL", "bad-method")
        case 400 | 406 | 422:
            return BadDescription(f"the server cannot take what we offer (HTTP {status}){said}; offer other media")
        case 409:
            return Rejected(f"{where} does not take the call{said}; try again later", "busy", words)
        case 429:
            return SignalingError(f"the server is asked too much{said}; try again later", "rate-limited")
        case 503:
            return SignalingError(f"the server has no place{said}; try again later", "shutting-down")
        case 504:
            return NoAnswer(f"nobody answers at {where}{said}; try again later")
        case _ if status >= 500:
            return Unreachable(f"the server fails (HTTP {status}){said}; try again later")
    return SignalingError(f"the server answers HTTP {status}{said}, which makes no session; check the URL")


async def _read(response: aiohttp.ClientResponse) -> str:
    data = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        data += chunk
        if len(data) > MAX_BODY:
            raise ValueError("it sends too much")
    return data.decode(errors="replace")


def _target(reply: _Reply, location: str, did: str) -> str:
    """Where a reply points to. Raises SignalingError for what is no address, or less safe than where it came from."""
    try:
        url = checked_url(urljoin(reply.url, location))
    except ValueError as error:
        raise SignalingError(f"the server {did} to what is no address; it is no WHIP or WHEP endpoint") from error
    if urlsplit(reply.url).scheme == "https" and urlsplit(url).scheme == "http":
        raise SignalingError(f"the server {did} from https to http, which is not followed; use another URL")
    return url


def _wait(reply: _Reply, deadline: float) -> float | None:
    """Seconds after which the server wants the offer again; None: not at all, or not before the deadline."""
    value = reply.headers.get("Retry-After", "").strip()
    if reply.status not in _WAITING or not value:
        return None
    try:
        if value.isascii() and value.isdecimal() and len(value) < 10:
            seconds = float(value)
        else:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    seconds = max(seconds, 0.5)
    return seconds if asyncio.get_running_loop().time() + seconds < deadline else None


def _type_of(reply: _Reply) -> str:
    return reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _problem(reply: _Reply) -> _Problem:
    try:
        return msgspec.json.decode(reply.text, type=_Problem)
    except (ValueError, RecursionError):
        return _Problem()


def _words(reply: _Reply) -> str:
    problem = _problem(reply)
    words = legible(problem.detail or problem.message or problem.title)[:200]
    return f": {words}" if words else ""


def _here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
