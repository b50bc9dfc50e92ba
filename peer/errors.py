"""Everything that `peer` raises on purpose, one tree:

Error
├── UsageError            the caller asked for something that cannot be: a bad source, option or argument
├── Unreachable           the signaling server does not answer, or went away
│   └── SignalingError    the signaling server answered with a refusal (name taken, room full, ...)
├── CallError             a call did not come about
│   ├── NotHere           nobody of that name in the room
│   ├── Rejected          the other side declined or is busy
│   ├── NoAnswer          the other side did not answer in time
│   ├── IceFailed         answered, but no media path could be opened in time
│   └── BadDescription    the other side sent a session description that cannot be used
├── CallEnded             an operation on a call that is over (carries how it ended)
│   └── CallLost          ... and it ended because the other side vanished or the path broke
├── TimedOut              what a script waited for with a `timeout` did not come (a TimeoutError, too)
└── DeviceError           a camera, microphone, display or file cannot be opened, read or written

Every message is one sentence that ends in what to do. `retryable(error)` says whether trying the same again may help.
"""

from __future__ import annotations


class Error(Exception):
    """Base of every error that `peer` raises on purpose."""

    exit_code = 1


class UsageError(Error, ValueError):
    """The caller asked for something that cannot be."""

    exit_code = 2


class Unreachable(Error):
    """The signaling server does not answer, or went away."""

    exit_code = 3


class SignalingError(Unreachable):
    """The signaling server refused; `code` is the protocol's error code (docs/protocol.md).

    `lasting`: it would refuse again, such as with a token that has expired, or after a moderator sent us away.
    """

    def __init__(self, message: str, code: str = "", *, lasting: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.lasting = lasting


class CallError(Error):
    """A call did not come about."""

    exit_code = 6


class NotHere(CallError):
    """Nobody of that name is in the room."""

    exit_code = 5


class Rejected(CallError):
    """The other side declined the call; `reason` is `declined`, `busy` or `not allowed`, `text` its own words."""

    exit_code = 4

    def __init__(self, message: str, reason: str = "declined", text: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.text = text


class NoAnswer(CallError):
    """The other side did not answer in time."""

    exit_code = 5


class IceFailed(CallError):
    """The call was answered, but no media path could be opened in time; `stage` says how far it came."""

    def __init__(self, message: str, stage: str = "ice") -> None:
        super().__init__(message)
        self.stage = stage


class BadDescription(CallError):
    """The other side sent a session description that cannot be used."""


class CallEnded(Error):
    """An operation on a call that is over."""

    exit_code = 6


class CallLost(CallEnded):
    """The call ended because the other side vanished or the path to it broke."""


class TimedOut(Error, TimeoutError):
    """What was waited for, media or speech, did not come in time."""

    exit_code = 8


class DeviceError(Error):
    """A camera, microphone, display or file cannot be opened, read or written."""

    exit_code = 7


def retryable(error: BaseException) -> bool:
    """Whether trying the same again, a little later, may succeed.

    True for a server or peer that could not be reached, a busy or silent callee, a lost call and what did
    not come in time; False for mistakes
    of the caller, refusals for good, and devices.
    """
    if isinstance(error, Rejected):
        return error.reason == "busy"
    if isinstance(error, SignalingError):
        return error.code in {"rate-limited", "room-full", "shutting-down"}
    return isinstance(error, (Unreachable, NotHere, NoAnswer, IceFailed, CallLost, TimedOut))
