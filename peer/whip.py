"""Media one way over HTTP: `publish` to a WHIP endpoint (RFC 9725), `pull` from a WHEP endpoint.

    async with peer.publish("https://example.org/whip/studio", video="camera", audio="microphone") as call: ...
    async with peer.pull("https://example.org/whep/studio") as call: ...

To a call an endpoint is a room with one member, which answers: `WhipConnect` makes such a channel. An offer becomes a
POST, candidates a PATCH, an offer with other ICE credentials an ICE restart, a goodbye a DELETE.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import aiohttp

from peer.errors import BadDescription, Error, SignalingError, Unreachable
from peer.goodbye import legible
from peer.tokens import token_of
from peer.whiphttp import SessionOver, Unable, WhipHttp, checked_url
from signaling.messages import (
    MAX_LABEL,
    VERSION,
    ByeFrom,
    ByeTo,
    CandidateTo,
    DescriptionFrom,
    DescriptionTo,
    IceCandidate,
    Leave,
    Member,
    SessionDescription,
    Welcome,
)
from signaling.sdpfrag import BadFragment, Fragment, fragment_of, parse_fragment, restarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from peer.call import Call
    from peer.channel import SignalingChannel
    from peer.media.base import PictureSourceBase, SoundSourceBase
    from peer.rtc.ice.servers import IceSettings
    from peer.tokens import TokenSource
    from signaling.messages import ClientMessage, IceServer, ServerMessage

logger = logging.getLogger(__name__)

ENDPOINT: Final = "endpoint"
"""The id of the one member of the room that an endpoint is."""
MAX_CANDIDATES: Final = 100
"""That wait for one PATCH; beyond, the rest is dropped."""
GATHER: Final = 0.05
"""Seconds in which candidates are collected for one PATCH (RFC 9725 section 4.3.2: a single aggregated one)."""
CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a server may take for the last DELETE."""


@dataclass(slots=True)
class _Session:
    """A session at the server: its address and ICE session, both descriptions, and the candidates to be told."""

    url: str | None
    etag: str | None
    offer: str
    answer: str
    found: list[str] = field(default_factory=list)
    ended: bool = False
    trickle: asyncio.Task[None] | None = None
    deaf: bool = False
    """Whether the server takes no candidates."""


class WhipConnect:
    """A `Connect` to a WHIP endpoint (`direction` `sendonly`) or a WHEP endpoint (`recvonly`)."""

    def __init__(self, url: str, *, direction: str, token: TokenSource | None = None, timeout: float = 20.0) -> None:
        """`timeout`: seconds that the server may take to answer an offer. Raises UsageError for a bad URL."""
        self.url = checked_url(url)
        self.endpoint = endpoint_name(self.url)
        """What the one member is called."""
        self._direction = direction
        self._token = token
        self._timeout = timeout

    async def __call__(self, room: str, name: str, before: SignalingChannel | None = None) -> SignalingChannel:
        session = aiohttp.ClientSession()
        try:
            http = WhipHttp(session, self.url, await token_of(self._token))
            servers = await http.ice_servers(min(self._timeout, 10.0))
        except BaseException:
            await session.close()
            raise
        welcome = Welcome(VERSION, "client", room, name, [Member(ENDPOINT, self.endpoint)], servers)
        return WhipChannel(session, http, welcome, self._direction, self._timeout)


class WhipChannel:
    """A channel to an endpoint; its sessions are over with it."""

    def __init__(
        self, client: aiohttp.ClientSession, http: WhipHttp, welcome: Welcome, direction: str, timeout: float
    ) -> None:
        self.welcome = welcome
        self.direction = direction
        self._client = client
        self._http = http
        self._timeout = timeout
        self._sessions: dict[str, _Session] = {}
        self._inbox: asyncio.Queue[ServerMessage | None] = asyncio.Queue()  # what we put there: few
        self._closed = False

    async def send(self, message: ClientMessage) -> None:
        """Raises as `WhipHttp.create` for a first offer; what becomes of candidates is only logged."""
        if self._closed:
            raise Unreachable("the WHIP channel is closed; call again")
        match message:
            case DescriptionTo(session=session, description=SessionDescription(type="offer", sdp=offer)):
                if message.replaces is not None:
                    await self._end(message.replaces)
                await self._offer(session, offer)
            case CandidateTo():
                self._found(message.session, message.candidate)
            case ByeTo():
                await self._end(message.session)
            case Leave():
                await self.close()
            case _:
                raise SignalingError(f"a {type(message).__name__} cannot be sent over WHIP or WHEP; call in a room")

    async def receive(self) -> ServerMessage:
        message = await self._inbox.get() if not self._closed or not self._inbox.empty() else None
        if message is None:
            raise Unreachable("the WHIP channel is closed; call again")
        return message

    def abort(self) -> None:
        """There is no connection that could have died: each request makes its own."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(self._end(session) for session in list(self._sessions)), return_exceptions=True)
        for session in self._sessions.values():
            _cancel(session)
        self._inbox.put_nowait(None)
        await self._client.close()

    # Inside

    async def _offer(self, name: str, offer: str) -> None:
        session = self._sessions.get(name)
        if session is None:
            created = await self._http.create(offer, self._timeout)
            known = self.welcome.ice_servers
            known += [server for server in created.ice_servers if server not in known]  # for the next connection
            session = self._sessions[name] = _Session(created.url, created.etag, offer, created.answer)
        elif _fragment(offer).ufrag != _fragment(session.offer).ufrag:
            await self._restart(name, session, offer)
        # Anything else is not negotiated again (RFC 9725 section 4.2): what was answered holds.
        self._deliver(DescriptionFrom(ENDPOINT, name, SessionDescription("answer", session.answer)))

    async def _restart(self, name: str, session: _Session, offer: str) -> None:
        _cancel(session)  # RFC 9725 section 4.3.3: whatever belongs to the ICE session before is discarded
        session.found.clear()
        session.ended = False
        if session.url is None:
            raise Unable("the server gave the session no address, so ICE cannot restart; call again")
        try:
            patched = await self._http.patch(session.url, str(_fragment(offer)), "*")
            if patched.fragment is None:
                raise Unable("the server did not restart ICE; call again")
            found = parse_fragment(patched.fragment)
            if not found.candidates:  # it may name none (RFC 9725 section 4.3.3): it is where it was
                found = replace(found, candidates=fragment_of(session.answer).candidates)
            session.answer = restarted(session.answer, found)
        except SessionOver:
            self._over(name)
            raise
        except BadFragment as error:
            raise BadDescription(f"the server's answer to the ICE restart cannot be used: {error}") from error
        session.offer, session.etag = offer, patched.etag or session.etag

    def _found(self, name: str, candidate: IceCandidate | None) -> None:
        session = self._sessions.get(name)
        if session is None or session.deaf or session.url is None:
            return
        if candidate is None or not candidate.candidate:
            if "a=end-of-candidates" in session.offer:
                return  # all that there are went with the offer
            session.ended = True
        elif len(session.found) < MAX_CANDIDATES:
            session.found.append(candidate.candidate)
        if session.trickle is None or session.trickle.done():
            session.trickle = asyncio.get_running_loop().create_task(self._trickle(session), name="trickle ICE")

    async def _trickle(self, session: _Session) -> None:
        while (session.found or session.ended) and session.url is not None and not session.deaf:
            await asyncio.sleep(GATHER)
            own = _fragment(session.offer)
            told, ended = tuple(session.found), session.ended
            session.found.clear()
            session.ended = False
            fragment = Fragment(own.ufrag, own.pwd, told, ended, own.mid, own.kind, own.options, own.lite)
            try:
                await self._http.patch(session.url, str(fragment), session.etag)
            except (Unable, SessionOver) as error:
                logger.debug("candidates are not told any more: %s", error)
                session.deaf = True
            except Error as error:
                logger.debug("candidates could not be told: %s", error)

    async def _end(self, name: str) -> None:
        session = self._sessions.get(name)
        if session is None:
            return
        _cancel(session)
        if session.url is not None:
            await self._http.delete(session.url, CLOSE_TIMEOUT)
        self._sessions.pop(name, None)

    def _over(self, name: str) -> None:
        self._sessions.pop(name, None)
        self._deliver(ByeFrom(ENDPOINT, name, "hung-up", "the server ended the session"))

    def _deliver(self, message: ServerMessage) -> None:
        self._inbox.put_nowait(message)


@asynccontextmanager
async def publish(
    url: str,
    *,
    video: str | PictureSourceBase | None = None,
    audio: str | SoundSourceBase | None = None,
    token: TokenSource | None = None,
    ice_servers: Sequence[str | IceServer] = (),
    network: IceSettings | None = None,
    timeout: float = 20.0,
) -> AsyncIterator[Call]:
    """Send to a WHIP endpoint: `async with peer.publish(url, video="camera", audio="microphone") as call`.

    What has no source at the beginning is not offered; `call.show` and `call.carry` change the sources that there are.

    Args:
        url: of the endpoint, such as `http://localhost:8080/whip/lab/desk`.
        video, audio, ice_servers, network: as of `peer.join`.
        token: a bearer token, sent in the `Authorization` header.
        timeout: seconds until the endpoint has answered, with the waiting that it asks for.

    Raises:
        Unreachable, SignalingError, NotHere, NoAnswer, Rejected, BadDescription: it takes no call.
        IceFailed: no media path.
        UsageError, DeviceError: a bad URL, or a source that cannot be opened.
    """
    from peer.joining import join

    connect = WhipConnect(url, direction="sendonly", token=token, timeout=timeout)
    joining = join(
        connect, room="whip", name="publisher", video=video, audio=audio, ice_servers=ice_servers, network=network
    )
    async with joining as room, room.call(connect.endpoint, timeout=timeout) as call:
        yield call


@asynccontextmanager
async def pull(
    url: str,
    *,
    token: TokenSource | None = None,
    ice_servers: Sequence[str | IceServer] = (),
    network: IceSettings | None = None,
    timeout: float = 20.0,
) -> AsyncIterator[Call]:
    """Receive from a WHEP endpoint: `async with peer.pull(url) as call`. Arguments and errors are as of `publish`."""
    from peer.joining import join

    connect = WhipConnect(url, direction="recvonly", token=token, timeout=timeout)
    joining = join(connect, room="whep", name="player", ice_servers=ice_servers, network=network)
    async with joining as room, room.call(connect.endpoint, timeout=timeout) as call:
        yield call


def endpoint_name(url: str) -> str:
    """What an endpoint is called: the last part of its path, else its host."""
    parts = urlsplit(url)
    last = legible(unquote(parts.path.rstrip("/").rpartition("/")[2]))
    return (last or parts.hostname or ENDPOINT)[:MAX_LABEL].strip()


def direction_of(url: str) -> str | None:
    """Whether a URL is of WHIP (`sendonly`), WHEP (`recvonly`) or neither (None), by a part of its path."""
    parts = urlsplit(url).path.lower().split("/")
    return "sendonly" if "whip" in parts else "recvonly" if "whep" in parts else None


def _fragment(sdp: str) -> Fragment:
    """Raises BadDescription."""
    try:
        return fragment_of(sdp)
    except BadFragment as error:
        raise BadDescription(f"a description cannot be used: {error}") from error


def _cancel(session: _Session) -> None:
    if session.trickle is not None:
        session.trickle.cancel()
