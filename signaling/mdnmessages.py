"""The messages of MDN's chat client: what it says, typed and bounded; what it is told, harmless in its page. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from signaling.codes import Code
from signaling.messages import IceCandidate, SessionDescription  # noqa: TC001 - msgspec reads the annotations

_MAX_NAME: Final = 56  # characters; leaves room for a number behind it


class Said(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of what the client says; who it is, is known without its `id`."""


class Username(Said, frozen=True, tag="username"):
    """Asks to be known by this name."""

    name: str


class Text(Said, frozen=True, tag="message"):
    """A line for everybody, or for one."""

    text: str
    target: str | None = None


class VideoOffer(Said, frozen=True, tag="video-offer"):
    """Calls somebody, or negotiates again."""

    target: str
    sdp: SessionDescription


class VideoAnswer(Said, frozen=True, tag="video-answer"):
    """Takes a call."""

    target: str
    sdp: SessionDescription


class NewIceCandidate(Said, frozen=True, tag="new-ice-candidate"):
    """A candidate of its own."""

    candidate: IceCandidate | None
    target: str | None = None


class HangUp(Said, frozen=True, tag="hang-up"):
    """Ends the call."""

    target: str | None = None  # the article's client forgets with whom it speaks before it says that it hung up


decoder: Final = msgspec.json.Decoder(Username | Text | VideoOffer | VideoAnswer | NewIceCandidate | HangUp)


def frame(kind: str, **fields: Any) -> str:
    """A message for the client."""
    return msgspec.json.encode({"type": kind, **fields}).decode()


def chat(name: str, text: str, now: float) -> str:
    """A line of the chat."""
    return frame("message", name=shown(name), text=shown(text), date=date(now))


def refusal(text: str, code: str = Code.UNKNOWN_TARGET.value) -> str:
    """What the server refused; the client shows what it does not know in its console."""
    return frame("error", code=code, message=text)


def date(now: float) -> int:
    """Unix time as browsers count it."""
    return int(now * 1000)


def shown(text: str) -> str:
    """What the client may write into its page: it begins no tag, whatever follows."""
    return text.replace("<", "\uff1c")


def text_of(data: Any) -> str:
    """What a message of a member says in words; what is no text is shown as the JSON that it is."""
    if isinstance(data, dict) and isinstance(data.get("text"), str):
        data = data["text"]
    return data if isinstance(data, str) else msgspec.json.encode(data).decode()


def usable(name: str) -> str:
    """The name that somebody gets who asks for this one."""
    return "".join(character for character in name if character.isprintable()).strip()[:_MAX_NAME].strip() or "guest"
