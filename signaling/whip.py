"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): an HTTP gateway to one participant of a room.

`/whip/{room}/{name}` and `/whep/{room}/{name}` are endpoints; what they create, `/whip/{room}/{name}/{id}`, is a
session. To the rooms a session is a guest, as of the plain exchange, that stays; to the participant it is a call whose
descriptions say `"trickle": false`: over WHIP it is sent to, over WHEP it sends. docs/whip.md has all of it in words.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from signaling.asking import counted
from signaling.codes import Code, ProtocolError, effect
from signaling.exchange import Guest, Rejection, call, caller_of, error_response, read_body, wait_for_answer
from signaling.messages import ByeFrom, ByeReason, CandidateFrom, DescriptionFrom, IceCandidate, SessionDescription
from signaling.permissions import check_media
from signaling.rate import RateLimit, Verdict
from signaling.sdpfrag import (
    FRAGMENT,
    SDP,
    BadFragment,
    Fragment,
    fragment_of,
    links,
    media_of,
    mux_only,
    one_way,
    parse_fragment,
    restarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from signaling.credentials import Grants
    from signaling.hub import Hub

    Methods = Mapping[str, Callable[[web.Request], Coroutine[Any, Any, web.Response]]]

logger = logging.getLogger(__name__)

_MAX_RESTARTS: Final = 4  # that may wait for each other in one session; more are refused
_RETRY_AFTER: Final = {429: 1, 503: 5}  # seconds that a client is asked to wait; 409 if the participant is busy
_BUSY: Final = 5
_MAX_AGE: Final = 86400  # seconds that a browser may remember what OPTIONS said
_SEEN: Final = "Location, ETag, Link, Retry-After, WWW-Authenticate, Accept-Post, Accept-Patch"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two protocols: what a client offers, whatever it says, and what it may not."""

    name: str
    direction: str
    forbidden: frozenset[str]


KINDS: Final = {
    # RFC 9725 section 4.2: the client sends, and so we answer recvonly; draft-ietf-wish-whep the other way round.
    "whip": Kind("whip", "sendonly", frozenset({"recvonly", "inactive"})),
    "whep": Kind("whep", "recvonly", frozenset({"sendonly", "inactive"})),
}


class Session(Guest):
    """One session: a guest of the rooms from its POST until one side ends it."""

    def __init__(self, kind: Kind, offer: str, ended: Callable[[Session], None], rate: RateLimit) -> None:
        super().__init__()
        self.kind = kind
        self.offer = offer
        """The description as the participant has it, with the credentials of the present ICE session."""
        self.id = secrets.token_urlsafe(24)
        """In its URL, which is all that one needs to end it."""
        self.guest = self.caller = ""
        self.etag = ""
        """Of the present ICE session (RFC 9725 section 4.3.1)."""
        self.over: ProtocolError | None = None
        """Why the participant's side is over; it may be so before our response is written."""
        self.rate = rate
        self.restarting = asyncio.Lock()
        self.waiting = 0
        """Restarts that are under way or wait."""
        self.deadline: asyncio.TimerHandle | None = None
        self._ended = ended

    def renew_etag(self) -> None:
        """Another ICE session began: what was said of the one before no longer counts."""
        self.etag = f'"{secrets.token_hex(8)}"'

    def expect_answer(self) -> None:
        """Another offer goes out."""
        self.answer = asyncio.get_running_loop().create_future()

    def fail(self, error: ProtocolError) -> None:
        """The participant ended the call or left, or the server goes: the session is over."""
        super().fail(error)
        self.over = error
        if self.etag:  # before that it is its request that ends it
            self._ended(self)


class Gateway:
    """The endpoints and sessions of a server."""

    def __init__(self, hub: Hub, check_origin: Callable[[web.Request], None]) -> None:
        """`check_origin` raises ProtocolError for pages that may not connect."""
        self._hub = hub
        self._check_origin = check_origin
        self._sessions: dict[str, Session] = {}

    def add_routes(self, app: web.Application) -> None:
        """All methods come here: those that are not of the protocol are refused, and say which are."""
        endpoint = "/{kind:whip|whep}/{room}/{name}"
        app.router.add_route("*", endpoint, self._endpoint, name="whip")
        app.router.add_route("*", endpoint + "/{id}", self._session, name="whip-session")

    async def _endpoint(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, {"POST": self._create}, {"Accept-Post": SDP})

    async def _session(self, request: web.Request) -> web.StreamResponse:
        methods = {"PATCH": self._patch, "DELETE": self._delete}
        return await self._serve(request, methods, {"Accept-Patch": FRAGMENT})

    async def _serve(self, request: web.Request, methods: Methods, accepted: dict[str, str]) -> web.Response:
        """One request, its refusals, and what pages of other origins may know of it (CORS)."""
        allowed = {"Allow": ", ".join([*methods, "OPTIONS", "GET", "HEAD"])}
        cross_origin: dict[str, str] = {}
        try:
            self._check_origin(request)
            cross_origin = _cross_origin(request, allowed["Allow"])
            if request.method == "OPTIONS":
                response = self._options(request, accepted | allowed)
            else:
                response = await self._dispatch(request, methods)
        except ProtocolError as error:
            self._hub.counters.refused[error.code] += 1
            response = _refusal(error)
            if error.code is Code.BAD_METHOD:
                response.headers.update(allowed)
        response.headers.update(cross_origin)
        return response

    def _options(self, request: web.Request, headers: dict[str, str]) -> web.Response:
        """What is taken; and ICE servers, for clients that need them before they offer (RFC 9725 section 4.6).

        A preflight gets none, and is not asked for a token, which browsers do not send with it (section 4.7).
        """
        response = web.Response(headers=headers)
        if "Access-Control-Request-Method" not in request.headers and "id" not in request.match_info:
            self._hub.gate.grants_of(request)
            self._add_links(response, "http")
        return response

    def _add_links(self, response: web.Response, participant: str) -> None:
        for link in links(self._hub.servers_for(participant)):
            response.headers.add("Link", link)

    async def _dispatch(self, request: web.Request, methods: Methods) -> web.Response:
        if request.method in methods:
            return await methods[request.method](request)
        if request.method in {"GET", "HEAD"}:  # RFC 9725 section 4.1: success, and nothing to be seen
            if "id" in request.match_info:
                self._find(request)
            else:
                self._hub.gate.grants_of(request)
            return web.Response(status=204)
        raise ProtocolError(Code.BAD_METHOD, "The resource has no such method; see Allow.")

    # What the methods do

    async def _create(self, request: web.Request) -> web.Response:
        hub, limits = self._hub, self._hub.settings.limits
        kind, room = KINDS[request.match_info["kind"]], request.match_info["room"]
        grants = hub.gate.grants_of(request)
        caller = caller_of(request, grants, kind.name)
        hub.admission.offer(counted(request, hub.settings).bearing(grants), room, _now())
        hub.rooms.permissions.check_join(grants, room, caller)
        body = await read_body(request, SDP, limits.join_timeout)
        offer = _checked_offer(_text(body), kind)
        check_media(grants, SessionDescription("offer", offer))
        rate = RateLimit(limits.messages_per_second, limits.burst, _now())
        session = Session(kind, offer, self._forget, rate)
        session.caller = caller
        session.guest, host = await hub.admit_guest(session, room, request.match_info["name"], grants)
        logger.info("%s calls %s over %s", session.guest, host.id, kind.name.upper())
        try:
            answer = await call(request, hub, session, _described(session, caller))
            answer_sdp = self._checked_answer(session, answer)
            if session.over is not None:
                raise session.over
        except BaseException:
            hub.dismiss_guest(session.guest)
            raise
        self._sessions[session.id] = session
        session.renew_etag()
        self._heard(session, grants)
        headers = {"Location": f"{request.rel_url.raw_path}/{session.id}", "ETag": session.etag}
        response = web.Response(status=201, body=answer_sdp.encode(), content_type=SDP, headers=headers)
        self._add_links(response, session.guest)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        session, grants = self._find(request)
        self._check_rate(session)
        body = await read_body(request, FRAGMENT, self._hub.settings.limits.join_timeout)
        _check_etag(request, session)
        try:
            fragment = parse_fragment(_text(body))
        except BadFragment as error:
            raise ProtocolError(Code.BAD_MESSAGE, f"The body is no trickle fragment: {error}.") from error
        self._heard(session, grants)
        if fragment.ufrag and fragment.ufrag != fragment_of(session.offer).ufrag:
            return await self._restart(request, session, fragment)
        self._trickle(session, fragment)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        session, _ = self._find(request)
        self._end(session, "hung-up")
        return web.Response()

    def _trickle(self, session: Session, fragment: Fragment) -> None:
        own = fragment_of(session.offer)
        mid = fragment.mid if fragment.mid is not None else own.mid
        for text in fragment.candidates:
            candidate = IceCandidate(text, mid, None if mid is not None else 0, own.ufrag)
            self._check_rate(session)
            self._hub.call_as_guest(session.guest, CandidateFrom(session.guest, session.session, candidate))
        if fragment.ended:
            self._hub.call_as_guest(session.guest, CandidateFrom(session.guest, session.session, None))

    async def _restart(self, request: web.Request, session: Session, fragment: Fragment) -> web.Response:
        """To the participant it is an offer like the first, with other credentials and candidates."""
        if session.waiting >= _MAX_RESTARTS:
            raise ProtocolError(Code.RATE_LIMITED, "Too many ICE restarts wait; wait for their responses.")
        session.waiting += 1
        try:
            async with session.restarting:
                self._find(request)  # it may have ended while we waited
                offer = restarted(session.offer, fragment)
                session.expect_answer()
                before, session.offer = session.offer, offer
                try:
                    self._hub.call_as_guest(session.guest, _described(session))
                    timeout = self._hub.settings.limits.answer_timeout
                    answer = fragment_of((await wait_for_answer(request, session, timeout)).sdp)
                except BaseException:  # RFC 9725 section 4.3.3: the ICE session before goes on
                    session.offer = before
                    raise
        except BadFragment as error:
            text = f"The participant's answer to the ICE restart cannot be used: {error}."
            raise ProtocolError(Code.NOT_ACCEPTABLE, text) from error
        finally:
            session.waiting -= 1
        session.renew_etag()
        return web.Response(body=str(answer).encode(), content_type=FRAGMENT, headers={"ETag": session.etag})

    # Inside

    def _checked_answer(self, session: Session, answer: SessionDescription) -> str:
        """The text of the answer; one that would leave a part of the offer out ends the call (RFC 9725 4.4.3)."""
        try:
            refused = any(medium.rejected for medium in media_of(answer.sdp))
            fragment_of(answer.sdp)
        except BadFragment:
            refused = True
        if refused:
            self._hub.call_as_guest(session.guest, ByeFrom(session.guest, session.session, "failed"))
            text = "The participant takes not all of what is offered; offer codecs that it has, such as VP8 and Opus."
            raise ProtocolError(Code.NOT_ACCEPTABLE, text)
        return mux_only(answer.sdp) if "a=rtcp-mux-only" in session.offer else answer.sdp

    def _find(self, request: web.Request) -> tuple[Session, Grants | None]:
        """The session of a request that has a token as good as that of its POST."""
        grants = self._hub.gate.grants_of(request)
        info = request.match_info
        session = self._sessions.get(info["id"])
        if session is None or session.kind.name != info["kind"]:
            raise ProtocolError(Code.UNKNOWN_SESSION, "There is no such session, or it is over; POST another offer.")
        self._hub.rooms.permissions.check_join(grants, info["room"], session.caller)
        return session, grants

    def _heard(self, session: Session, grants: Grants | None) -> None:
        """Of a session of which nothing is ever heard again, not even its end, no more is kept at last.

        One whose token expires ends then, unless a fresh one came meanwhile.
        """
        if session.deadline is not None:
            session.deadline.cancel()
        loop, timeout = asyncio.get_running_loop(), self._hub.settings.limits.session_timeout
        left = grants.expires - self._hub.gate.now() if grants is not None else timeout
        if left < timeout:
            session.deadline = loop.call_later(max(left, 0.0), self._end, session, "left")
        else:
            session.deadline = loop.call_later(timeout, self._forget, session)

    def _end(self, session: Session, reason: ByeReason) -> None:
        """From the client's side."""
        self._hub.call_as_guest(session.guest, ByeFrom(session.guest, session.session, reason))
        logger.info("%s gone: %s", session.guest, reason)
        self._forget(session)

    def _forget(self, session: Session) -> None:
        """It is over. Twice is harmless."""
        self._sessions.pop(session.id, None)
        if session.deadline is not None:
            session.deadline.cancel()
        self._hub.dismiss_guest(session.guest)

    def _check_rate(self, session: Session) -> None:
        if session.rate.judge(_now()) is not Verdict.TAKE:
            raise ProtocolError(Code.RATE_LIMITED, "Too many requests or candidates in a second; send fewer.")


def _checked_offer(sdp: str, kind: Kind) -> str:
    """The offer as it is passed on: of one direction. Raises ProtocolError: bad-message, unprocessable."""
    try:
        media = media_of(sdp)
        fragment_of(sdp)
    except BadFragment as error:
        raise ProtocolError(Code.BAD_MESSAGE, f"The body is no offer: {error}.") from error
    tracks = [medium for medium in media if medium.kind in {"audio", "video"} and not medium.rejected]
    if any(medium.direction in kind.forbidden for medium in tracks):
        text = f"{kind.name.upper()} has media one way only; offer {kind.direction}."
        raise ProtocolError(Code.UNPROCESSABLE, text)
    kinds = [medium.kind for medium in tracks]
    if not kinds or len(set(kinds)) < len(kinds):  # RFC 9725 section 4.4.2
        text = "An offer has one audio, one video, or one of each; send each other one in a session of its own."
        raise ProtocolError(Code.UNPROCESSABLE, text)
    return one_way(sdp, kind.direction)


def _described(session: Session, caller: str | None = None) -> DescriptionFrom:
    offer = SessionDescription("offer", session.offer)
    return DescriptionFrom(session.guest, session.session, offer, trickle=False, name=caller)


def _check_etag(request: web.Request, session: Session) -> None:
    """RFC 9725 section 4.3.1, RFC 9110 section 13.1.1, RFC 6585 section 3. The drafts' examples quote the star."""
    given = request.headers.getall("If-Match", [])
    if not given:
        raise ProtocolError(Code.PRECONDITION_REQUIRED, "A PATCH needs If-Match: the last ETag, or * to restart ICE.")
    tags = {tag.strip() for value in given for tag in value.split(",")}
    if not tags & {"*", '"*"', session.etag}:
        text = "Another ICE session began since; send If-Match with its ETag, or * to restart ICE."
        raise ProtocolError(Code.PRECONDITION_FAILED, text)


def _refusal(error: ProtocolError) -> web.Response:
    response = error_response(error)
    status = effect(error.code).http_status
    if isinstance(error, Rejection) and error.reason == "failed":  # it could make no answer
        response.set_status(effect(Code.NOT_ACCEPTABLE).http_status)
    wait = _BUSY if isinstance(error, Rejection) and error.reason == "busy" else _RETRY_AFTER.get(status)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _cross_origin(request: web.Request, methods: str) -> dict[str, str]:
    """The headers of CORS for a page that may connect."""
    origin = request.headers.get("Origin")
    headers = {"Vary": "Origin"}
    if origin is not None:
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _SEEN}
        if request.method == "OPTIONS":
            headers |= {
                "Access-Control-Allow-Methods": methods,
                "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
                "Access-Control-Max-Age": str(_MAX_AGE),
            }
    return headers


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(Code.BAD_MESSAGE, "The body is not UTF-8; send text.") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
