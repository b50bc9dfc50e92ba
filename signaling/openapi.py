"""The description of all HTTP endpoints (OpenAPI 3.1.0), served at `/openapi.json`. No I/O, no clock.

The WebSocket is in docs/protocol.md; the pages and their files are for browsers only.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from signaling.codes import Code, effect
from signaling.messages import MAX_LABEL

Json: TypeAlias = dict[str, Any]

# No space at either end, and no control characters; a few more, that turn writing around, are refused as well.
_ENDS: Final = r"[^\s\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_INNER: Final = _ENDS.replace(r"\s", "")
_LABEL: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LABEL,
    "pattern": f"^{_ENDS}({_INNER}*{_ENDS})?$",
}


def operation(
    summary: str,
    answers: Json,
    refusals: tuple[Code, ...] = (),
    *,
    parameters: tuple[Json, ...] = (),
    body: Json | None = None,
    secured: bool = False,
) -> Json:
    """One operation: what it does, its answers by status, and the codes of its refusals."""
    found: Json = {"summary": summary, "responses": answers | _refused(refusals)}
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = body
    if secured:
        found["security"] = [{"bearer": []}]
    return found


def answer(text: str, schema: Json | None = None, content_type: str = "application/json") -> Json:
    """One answer, with the schema of its body where it has one."""
    content: Json = {"content": {content_type: {"schema": schema}}} if schema is not None else {}
    return {"description": text, **content}


def reference(name: str) -> Json:
    """A schema of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def in_path(name: str, text: str, example: str, schema: Json = _LABEL) -> Json:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema, "example": example}


def in_query(name: str, text: str, schema: Json) -> Json:
    """A field of the query."""
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _refused(codes: tuple[Code, ...]) -> Json:
    """The answers of these refusals: those of one status are one answer."""
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(effect(code).http_status, []).append(code)
    found: Json = {}
    for status, some in sorted(by_status.items()):
        text = "; ".join(f"`{code}`: {effect(code).meaning}" for code in some)
        found[str(status)] = answer(text, reference("Refusal"))
        if status in {429, 503}:
            seconds = {"description": "Seconds until the same may be tried again.", "schema": {"type": "integer"}}
            found[str(status)]["headers"] = {"Retry-After": seconds}
    return found


def _object(*required: str, **properties: Json) -> Json:
    return {"type": "object", "required": list(required or properties), "properties": properties}


def _integer(least: int = 0, most: int | None = None, **more: Any) -> Json:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most}), **more}


_TEXT: Final[Json] = {"type": "string"}
_SCHEMAS: Final[Json] = {
    "Refusal": {
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "enum": [code.value for code in Code]},
            "message": {"type": "string", "description": "One sentence that says what to do."},
            "reason": {"type": "string", "description": "Of a `rejected` offer: the participant's reason."},
            "text": {"type": "string", "description": "Of a `rejected` offer: the participant's words."},
        },
    },
    "Health": _object(
        "status", "version", "rooms", "participants",
        status={"type": "string", "description": "`ok` or `draining`; further ones may come."},
        version=_TEXT, rooms=_integer(), participants=_integer(),
    ),
    "Offer": _object(type={"const": "offer"}, sdp={"type": "string", "minLength": 1}),
    "Answer": _object(type={"const": "answer"}, sdp=_TEXT),
    "Rooms": _object(
        "rooms",
        rooms={"type": "array", "items": _object(name=_TEXT, participants=_integer(1))},
        next={"type": "string", "description": "There are more: ask again with `after` set to this."},
    ),
    "Room": _object(
        name=_TEXT,
        participants={"type": "array", "items": _object(id=_TEXT, name=_TEXT, polite={"type": "boolean"})},
    ),
}  # fmt: skip

_ROOM: Final = in_path("room", "The room, percent-encoded.", "lab")
_NAME: Final = in_path("name", "The participant's name, percent-encoded.", "bot")
_KEY_TEXT: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 256}
_KEY: Final = in_path("key", "Any; PeerJS has `peerjs`.", "peerjs", _KEY_TEXT)
_NO_KEY: Final[Json] = {"404": answer("The key is too long.")}
_SESSION: Final = in_path("id", "The session, as in its `Location`.", "x" * 32, {"type": "string", "minLength": 1})
_FRAGMENT: Final = "application/trickle-ice-sdpfrag"
_EMPTY: Final[Json] = {"204": answer("Done.")}
_SECONDS: Final = in_query("seconds", "How long.", _integer(0, 86400, default=60))
_TOKEN: Final = (Code.TOKEN_MISSING, Code.TOKEN_INVALID, Code.TOKEN_EXPIRED, Code.FORBIDDEN, Code.NOT_ALLOWED)
_ADMIN: Final = (Code.NO_ADMIN, *_TOKEN, Code.BAD_ORIGIN)


def _gateway(kind: str) -> Json:
    """The paths of WHIP or WHEP."""
    return {
        f"/{kind}/{{room}}/{{name}}": {
            "parameters": [_ROOM, _NAME],
            "post": operation(
                "Calls a participant by WHIP or WHEP, and begins a session: docs/whip.md.",
                {"201": answer("The answer; its session is at `Location`.", _TEXT, "application/sdp")},
                (
                    *(Code.BAD_MESSAGE, *_TOKEN, Code.BAD_ORIGIN, Code.UNKNOWN_TARGET, Code.NOT_ACCEPTABLE),
                    *(Code.JOIN_TIMEOUT, Code.REJECTED, Code.TOO_LARGE, Code.BAD_CONTENT_TYPE, Code.UNPROCESSABLE),
                    *(Code.RATE_LIMITED, Code.SERVER_FULL, Code.SHUTTING_DOWN, Code.NO_ANSWER),
                ),
                body={"required": True, "content": {"application/sdp": {"schema": _TEXT}}},
            ),
            "get": operation("Nothing to be seen (RFC 9725, 4.1).", _EMPTY, (*_TOKEN, Code.BAD_ORIGIN)),
            "options": operation(
                "What is taken, and ICE servers for who needs them before the offer.",
                {"200": answer("`Accept-Post`, `Link`.")},
                (*_TOKEN, Code.BAD_ORIGIN),
            ),
        },
        f"/{kind}/{{room}}/{{name}}/{{id}}": {
            "parameters": [_ROOM, _NAME, _SESSION],
            "patch": operation(
                "A candidate, or an ICE restart (RFC 8840).",
                {"200": answer("The answer to a restart.", _TEXT, _FRAGMENT), **_EMPTY},
                (
                    *(Code.BAD_MESSAGE, *_TOKEN, Code.BAD_ORIGIN, Code.UNKNOWN_SESSION, Code.NOT_ACCEPTABLE),
                    *(Code.JOIN_TIMEOUT, Code.REJECTED, Code.PRECONDITION_FAILED, Code.TOO_LARGE),
                    *(Code.BAD_CONTENT_TYPE, Code.UNPROCESSABLE, Code.PRECONDITION_REQUIRED, Code.RATE_LIMITED),
                    *(Code.SHUTTING_DOWN, Code.NO_ANSWER),
                ),
                body={"required": True, "content": {_FRAGMENT: {"schema": _TEXT}}},
            ),
            "delete": operation(
                "Ends the session.", {"200": answer("It is over.")}, (*_TOKEN, Code.BAD_ORIGIN, Code.UNKNOWN_SESSION)
            ),
            "get": operation("Nothing to be seen.", _EMPTY, (*_TOKEN, Code.BAD_ORIGIN, Code.UNKNOWN_SESSION)),
            "options": operation("What is taken.", {"200": answer("`Accept-Patch`.")}, (Code.BAD_ORIGIN,)),
        },
    }


_PATHS: Final[Json] = {
    "/healthz": {
        "get": operation(
            "Whether the server takes clients: 503 while it sends them elsewhere.",
            {"200": answer("It does.", reference("Health")), "503": answer("It does not.", reference("Health"))},
        )
    },
    "/openapi.json": {"get": operation("This description.", {"200": answer("OpenAPI.", {"type": "object"})})},
    "/rooms/{room}/participants/{name}/offer": {
        "post": operation(
            "Calls a participant without a WebSocket; the answer comes with all candidates.",
            {"200": answer("The participant takes the call.", reference("Answer"))},
            (
                *(Code.BAD_JSON, Code.BAD_MESSAGE, *_TOKEN, Code.BAD_ORIGIN, Code.UNKNOWN_TARGET, Code.JOIN_TIMEOUT),
                *(Code.REJECTED, Code.TOO_LARGE, Code.BAD_CONTENT_TYPE, Code.RATE_LIMITED),
                *(Code.SERVER_FULL, Code.SHUTTING_DOWN, Code.NO_ANSWER),
            ),
            parameters=(_ROOM, _NAME, in_query("from", "What the caller is called; else `http`.", _LABEL)),
            body={"required": True, "content": {"application/json": {"schema": reference("Offer")}}},
        )
    },
    "/admin/v1/rooms": {
        "get": operation(
            "The rooms with somebody in them, by name.",
            {"200": answer("Some or all of them.", reference("Rooms"))},
            (Code.BAD_MESSAGE, *_ADMIN, Code.UNAVAILABLE),
            parameters=(
                in_query("limit", "How many at most.", _integer(1, 1000, default=100)),
                in_query("after", "Only those whose names sort after this one.", _TEXT),
            ),
            secured=True,
        )
    },
    "/admin/v1/rooms/{room}": {
        "get": operation(
            "Who is in a room.",
            {"200": answer("Its members.", reference("Room"))},
            (*_ADMIN, Code.UNKNOWN_TARGET, Code.UNAVAILABLE),
            parameters=(_ROOM,),
            secured=True,
        ),
        "delete": operation(
            "Closes a room for a while: sends all its members away. Calls that run go on.",
            {"204": answer("They are told.")},
            (Code.BAD_MESSAGE, *_ADMIN, Code.UNKNOWN_TARGET, Code.UNAVAILABLE),
            parameters=(_ROOM, _SECONDS),
            secured=True,
        ),
    },
    "/admin/v1/rooms/{room}/participants/{name}": {
        "delete": operation(
            "Sends a participant away, and keeps its name out of the room for a while.",
            {"204": answer("It is told.")},
            (Code.BAD_MESSAGE, *_ADMIN, Code.UNKNOWN_TARGET, Code.UNAVAILABLE),
            parameters=(_ROOM, _NAME, _SECONDS),
            secured=True,
        )
    },
    **_gateway("whip"),
    **_gateway("whep"),
    "/{key}/id": {
        "get": operation(
            "An id for a page written with PeerJS; below --peerjs-path.",
            {"200": answer("The id.", {"type": "string", "format": "uuid"}, "text/plain"), **_NO_KEY},
            (Code.BAD_ORIGIN,),
            parameters=(_KEY,),
        )
    },
    "/{key}/peers": {
        "get": operation(
            "Who is connected; not told.",
            {"401": answer("Lists of peers are off.", _TEXT, "text/plain"), **_NO_KEY},
            (Code.BAD_ORIGIN,),
            parameters=(_KEY,),
        )
    },
    "/metrics": {
        "servers": [{"url": "http://127.0.0.1:9464", "description": "The listener of --metrics-port."}],
        "get": operation("Figures for Prometheus.", {"200": answer("All of them.", _TEXT, "text/plain")}),
    },
}

DESCRIPTION: Final[Json] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Signaling server of webrtc-peer",
        "version": "1",
        "description": "The HTTP endpoints. The WebSocket at /ws is described in docs/protocol.md.",
        "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
    },
    "servers": [{"url": "/"}],
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The administrator's secret, or an access token with the right `admin`.",
            }
        },
    },
}
