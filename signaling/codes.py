"""The one table of error codes: code -> HTTP status -> WebSocket close code. No I/O, no clock.

`effect(code)` looks a code up. A code without a close code leaves the connection open.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """Why the server refused something; the text is what travels in `error` messages and HTTP bodies."""

    BAD_JSON = "bad-json"
    BAD_MESSAGE = "bad-message"
    NOT_JOINED = "not-joined"
    ALREADY_JOINED = "already-joined"
    UNSUPPORTED_VERSION = "unsupported-version"
    UNKNOWN_TARGET = "unknown-target"
    NAME_TAKEN = "name-taken"
    ROOM_FULL = "room-full"
    SERVER_FULL = "server-full"
    TOO_LARGE = "too-large"
    RATE_LIMITED = "rate-limited"
    TOO_MANY = "too-many"
    SLOW_CLIENT = "slow-client"
    JOIN_TIMEOUT = "join-timeout"
    NO_ANSWER = "no-answer"
    REJECTED = "rejected"
    REPLACED = "replaced"
    CANNOT_RESUME = "cannot-resume"
    TOKEN_MISSING = "token-missing"
    TOKEN_INVALID = "token-invalid"
    TOKEN_EXPIRED = "token-expired"
    FORBIDDEN = "forbidden"
    NOT_ALLOWED = "not-allowed"
    KICKED = "kicked"
    ROOM_CLOSED = "room-closed"
    NO_ADMIN = "no-admin"
    BAD_ORIGIN = "bad-origin"
    BAD_CONTENT_TYPE = "bad-content-type"
    BAD_METHOD = "bad-method"
    UNKNOWN_SESSION = "unknown-session"
    NOT_ACCEPTABLE = "not-acceptable"
    UNPROCESSABLE = "unprocessable"
    PRECONDITION_REQUIRED = "precondition-required"
    PRECONDITION_FAILED = "precondition-failed"
    SHUTTING_DOWN = "shutting-down"
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True)
class Effect:
    """What follows from a code: the status of an HTTP answer, the close code of a WebSocket (None: it stays open)."""

    http_status: int
    close_code: int | None
    meaning: str


# Close codes from 4400 on are HTTP statuses plus 4000; below 2000 they are those of RFC 6455, section 7.4.1,
# and of its IANA registry (1013: try again later).
EFFECTS: Final[dict[Code, Effect]] = {
    Code.BAD_JSON: Effect(400, None, "the text is not JSON"),
    Code.BAD_MESSAGE: Effect(400, None, "JSON, but not a message: no object, unknown type, missing or wrong field"),
    Code.NOT_JOINED: Effect(403, None, "the first message has to be join"),
    Code.ALREADY_JOINED: Effect(409, None, "a connection joins one room once"),
    Code.UNSUPPORTED_VERSION: Effect(400, 4400, "the server does not speak this version of the protocol"),
    Code.UNKNOWN_TARGET: Effect(404, None, "nobody of that id or name is in the room"),
    Code.NAME_TAKEN: Effect(409, 4409, "somebody of that name is in the room"),
    Code.ROOM_FULL: Effect(503, 4503, "the room has as many members as it may have"),
    Code.SERVER_FULL: Effect(503, None, "the server has as many connections or exchanges as it may have"),
    Code.TOO_LARGE: Effect(413, 1009, "the message is longer than the limit"),
    Code.RATE_LIMITED: Effect(429, 4429, "too many messages in a second; closes when it goes on"),
    Code.TOO_MANY: Effect(429, 4429, "one address or token has as many connections as it may have"),
    Code.SLOW_CLIENT: Effect(503, 1013, "the client does not read what is sent to it"),
    Code.JOIN_TIMEOUT: Effect(408, 4408, "no join in time"),
    Code.NO_ANSWER: Effect(504, None, "the participant did not answer in time"),
    Code.REPLACED: Effect(410, 4410, "the client joined again, over another connection"),
    Code.CANNOT_RESUME: Effect(410, None, "the place is gone, or more was missed than is kept; join"),
    Code.ROOM_CLOSED: Effect(410, 4410, "the administrator closed the room"),
    Code.NO_ADMIN: Effect(401, None, "the request has not the secret of the administrator"),
    Code.REJECTED: Effect(409, None, "the participant declined the call"),
    Code.TOKEN_MISSING: Effect(401, 4401, "the server wants an access token, and there is none"),
    Code.TOKEN_INVALID: Effect(401, 4401, "the access token is none, or none of this server's"),
    Code.TOKEN_EXPIRED: Effect(401, 4401, "the access token has expired"),
    Code.FORBIDDEN: Effect(403, 4403, "the access token is for another room or name"),
    Code.NOT_ALLOWED: Effect(403, None, "the access token does not allow this"),
    Code.KICKED: Effect(403, 4403, "a moderator sent the client away"),
    Code.BAD_ORIGIN: Effect(403, None, "a page of another origin may not connect"),
    Code.BAD_CONTENT_TYPE: Effect(415, None, "the body has another type than it has to have"),
    Code.BAD_METHOD: Effect(405, None, "HTTP: the resource has no such method"),
    Code.UNKNOWN_SESSION: Effect(404, None, "WHIP, WHEP: the session is over, or never was"),
    Code.NOT_ACCEPTABLE: Effect(406, None, "WHIP, WHEP: the participant cannot take what is offered"),
    Code.UNPROCESSABLE: Effect(422, None, "WHIP, WHEP: an offer or a change that these protocols do not allow"),
    Code.PRECONDITION_REQUIRED: Effect(428, None, "WHIP, WHEP: a PATCH needs If-Match"),
    Code.PRECONDITION_FAILED: Effect(412, None, "WHIP, WHEP: a PATCH for an earlier ICE session"),
    Code.SHUTTING_DOWN: Effect(503, 1001, "the server is going away"),
    Code.UNAVAILABLE: Effect(503, 1013, "the servers cannot reach what they share"),
    Code.INTERNAL_ERROR: Effect(500, 1011, "a mistake of the server"),
}


def effect(code: Code) -> Effect:
    """The HTTP status, the close code and the meaning of `code`."""
    return EFFECTS[code]


class ProtocolError(Exception):
    """A message that cannot be used, or a request the server refuses: `code` and one sentence.

    `to` and `session` say which message of the client is meant, where that is known; `retry_after`, in how many
    seconds the same may be tried again.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        to: str | None = None,
        session: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.to = to
        self.session = session
        self.retry_after = retry_after
