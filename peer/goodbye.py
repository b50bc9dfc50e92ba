"""How the end of a call is said: on the wire, to people, and as the error of whoever waits for the call. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peer.errors import CallEnded, CallError, Error, IceFailed, NoAnswer, Rejected

if TYPE_CHECKING:
    from signaling.messages import ByeFrom

_REASONS = ("hung-up", "declined", "busy", "cancelled", "no-answer", "failed", "lost", "left", "error")


def meaning(name: str, bye: ByeFrom, *, answered: bool, connected: bool) -> Error:
    """What a goodbye of `name` is for somebody who waits for the call, which was answered, and connected, or not."""
    words = legible(bye.text)
    text = f": {words}" if words else ""
    match bye.reason:
        case "busy" if not answered:
            return Rejected(f"{name} is busy{text}; try again later", "busy", words)
        case "declined" if not answered:
            return Rejected(f"{name} declined the call{text}; ask them first", "declined", words)
        case "no-answer" if not answered:
            return NoAnswer(f"nobody answered at {name}; try again later")
        case "failed" if not answered:
            return CallError(f"{name} could not take the call{text}; see the log there")
        case "failed" if not connected:
            return IceFailed(f"{name} found no path to us{text}; see the log there")
    return CallEnded(f"{name} ended the call{text}; call again")


def legible(text: str) -> str:
    """What the other side wrote, without what would steer a terminal or begin a line of its own."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def told(error: BaseException) -> str:
    """An exception in one line, as the other side is shown it."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def spoken(reason: str) -> str:
    """A reason of the wire in words: `hung-up` is `hung up`."""
    return reason.replace("-", " ")


def wire(reason: str) -> Any:
    """A reason in words as it is written on the wire; what is not known there is a hang-up."""
    written = reason.replace(" ", "-")
    return written if written in _REASONS else "hung-up"
