"""The plain exchange: an offer in an HTTP request, the answer in its response, for one participant of a room.

Each request is a guest of the rooms. The participant sees an ordinary call whose description says `"trickle": false`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from signaling.asking import counted
from signaling.codes import Code, ProtocolError, effect
from signaling.messages import (
    ByeFrom,
    ByeReason,
    DescriptionFrom,
    Left,
    SessionDescription,
    check_label,
)
from signaling.permissions import check_media

if TYPE_CHECKING:
    from signaling.credentials import Grants
    from signaling.delivery import Delivery
    from signaling.hub import Hub

logger = logging.getLogger(__name__)

_GONE_CHECK: Final = 0.25  # seconds between two looks whether the HTTP client is still there; aiohttp tells nobody
_decoder: Final = msgspec.json.Decoder(SessionDescription)


class Rejection(ProtocolError):
    """The participant said bye instead of answering."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(Code.REJECTED, f"The participant did not take the call ({reason}); try later.")
        self.reason = reason
        self.text = text


class Guest:
    """A caller over HTTP: a recipient of the hub that waits for one answer."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(16)
        self.answer: asyncio.Future[SessionDescription] = asyncio.get_running_loop().create_future()

    def deliver(self, delivery: Delivery) -> None:
        """Takes the answer or the bye of this session; candidates are in the answer, so others are dropped."""
        match delivery.message:
            case DescriptionFrom(session=self.session, description=SessionDescription(type="answer") as answer):
                if not self.answer.done():
                    self.answer.set_result(answer)
            case ByeFrom(session=self.session, reason=reason, text=text):
                self.fail(Rejection(reason, text))
            case Left(reason=Code.SHUTTING_DOWN):
                text = "The server is going away, and the participant to another one; try again."
                self.fail(ProtocolError(Code.SHUTTING_DOWN, text, retry_after=1))
            case Left():
                text = "The participant left before it answered; check who is in the room, or try later."
                self.fail(ProtocolError(Code.UNKNOWN_TARGET, text))

    def drop(self, error: ProtocolError) -> None:
        """Ends the exchange with an error."""
        self.fail(error)

    def fail(self, error: ProtocolError) -> None:
        """There is no answer to come; whoever waits for it gets `error`."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # looked at: the request may be gone before it waits for the answer


async def serve_offer(request: web.Request, hub: Hub) -> web.Response:
    """Handles `POST /rooms/{room}/participants/{name}/offer`. Raises ProtocolError for every refusal."""
    grants = hub.gate.grants_of(request)
    room, caller = request.match_info["room"], caller_of(request, grants, "http")
    hub.admission.offer(counted(request, hub.settings).bearing(grants), room, asyncio.get_running_loop().time())
    hub.rooms.permissions.check_join(grants, room, caller)
    offer = await _read_offer(request, hub.settings.limits.join_timeout)
    check_media(grants, offer)
    guest = Guest()
    guest_id, host = await hub.admit_guest(guest, room, request.match_info["name"], grants)
    logger.info("%s calls %s over HTTP", guest_id, host.id)
    try:
        message = DescriptionFrom(guest_id, guest.session, offer, trickle=False, name=caller)
        answer = await call(request, hub, guest, message)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
    finally:
        hub.dismiss_guest(guest_id)


def caller_of(request: web.Request, grants: Grants | None, usual: str) -> str:
    """The name of the caller: what the request says, else that of its token, else `usual`.

    Raises ProtocolError (bad-message).
    """
    named = grants.name if grants is not None and "*" not in grants.name else usual
    caller = request.query.get("from", named)
    try:
        check_label("from", caller)
    except ValueError as error:
        raise ProtocolError(Code.BAD_MESSAGE, f"The name of the caller cannot be used: {error}.") from error
    return caller


async def call(request: web.Request, hub: Hub, guest: Guest, offer: DescriptionFrom) -> SessionDescription:
    """Passes the offer of a guest on and waits for the answer. Raises ProtocolError, ConnectionError.

    If none comes, for whatever reason, the participant learns that the call is off.
    """
    reason: ByeReason | None = "cancelled"
    try:
        hub.call_as_guest(offer.sender, offer)
        answer = await wait_for_answer(request, guest, hub.settings.limits.answer_timeout)
        reason = None
        return answer
    except ProtocolError as error:
        ended_by_host = error.code in {Code.REJECTED, Code.UNKNOWN_TARGET}
        reason = None if ended_by_host else "no-answer" if error.code is Code.NO_ANSWER else "cancelled"
        raise
    finally:
        if reason is not None:
            hub.call_as_guest(offer.sender, ByeFrom(offer.sender, guest.session, reason))


# RFC 6750, section 3.1: what an HTTP client is told of its token, and nothing where it sent none.
_CHALLENGES: Final = {
    Code.NO_ADMIN: "Bearer",
    Code.TOKEN_MISSING: "Bearer",
    Code.TOKEN_INVALID: 'Bearer error="invalid_token"',
    Code.TOKEN_EXPIRED: 'Bearer error="invalid_token", error_description="expired"',
    Code.FORBIDDEN: 'Bearer error="insufficient_scope"',
    Code.NOT_ALLOWED: 'Bearer error="insufficient_scope"',
}


def error_response(error: ProtocolError) -> web.Response:
    """The HTTP response of a refusal: its status, when to try again, and its code and sentence as JSON."""
    body = {"code": error.code.value, "message": error.message}
    if isinstance(error, Rejection):
        body |= {"reason": error.reason, "text": error.text}
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    if error.code in _CHALLENGES:
        headers["WWW-Authenticate"] = _CHALLENGES[error.code]
    return web.json_response(body, status=effect(error.code).http_status, headers=headers)


async def read_body(request: web.Request, content_type: str, timeout: float) -> bytes:
    """The body, which has to be of this type. Raises ProtocolError: bad-content-type, join-timeout, too-large."""
    if request.content_type != content_type:
        raise ProtocolError(Code.BAD_CONTENT_TYPE, f"The body has another type; send Content-Type: {content_type}.")
    try:
        async with asyncio.timeout(timeout):
            return await request.read()
    except TimeoutError:
        raise ProtocolError(
            Code.JOIN_TIMEOUT, f"The body did not come within {timeout:g} s; send it at once."
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise ProtocolError(Code.TOO_LARGE, "The body is over the limit; send one session description.") from None


async def _read_offer(request: web.Request, timeout: float) -> SessionDescription:
    body = await read_body(request, "application/json", timeout)
    try:
        offer = _decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`")[:200]
        raise ProtocolError(Code.BAD_MESSAGE, f"The body is no session description: {text}; correct it.") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(Code.BAD_JSON, "The body is not JSON; send one object.") from error
    if offer.type != "offer":
        raise ProtocolError(Code.BAD_MESSAGE, "The body is an answer; send an offer.")
    return offer


async def wait_for_answer(request: web.Request, guest: Guest, timeout: float) -> SessionDescription:
    """The answer to the offer under way.

    Raises ProtocolError: no-answer, or what ended the guest; ConnectionError: the client is gone.
    """
    try:
        async with asyncio.timeout(timeout):
            while not guest.answer.done():
                await asyncio.wait([guest.answer], timeout=_GONE_CHECK)
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError("the HTTP client is gone")
    except TimeoutError:
        text = f"The participant did not answer within {timeout:g} s; try later."
        raise ProtocolError(Code.NO_ANSWER, text) from None
    return guest.answer.result()
