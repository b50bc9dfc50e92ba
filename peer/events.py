"""What a call, a room and a bot report: frozen, in the past tense. `call.events()` and `room.events()` yield them, and
`peer bot` tells them.

Imports nothing of ours, so that everybody may import it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """Media can flow. `pair` says over which candidates, such as `host udp 192.0.2.2:41000 - prflx 192.0.2.7:5004`."""

    pair: str
    seconds: float
    """Seconds from the start of the call."""


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """Nothing has been heard of the other side for a few seconds; it may come back."""

    silence: float


@dataclass(frozen=True, slots=True)
class Reconnected(Event):
    """The other side is heard again."""

    outage: float


@dataclass(frozen=True, slots=True)
class TrackAdded(Event):
    """The other side began to send a track (also: resumed one that it had taken away)."""

    track: str
    kind: str


@dataclass(frozen=True, slots=True)
class TrackRemoved(Event):
    """The other side took a track away, or put it on hold."""

    track: str
    kind: str


@dataclass(frozen=True, slots=True)
class KeyPressed(Event):
    """The other side pressed a key, as on a telephone, and released it."""

    key: str
    """A digit, `*`, `#`, or a letter from `A` to `D`."""
    seconds: float
    """For how long; browsers may press for less than their page asked for: a sixth, down to 0.04 s."""


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """The call is over.

    `reason` is one of the protocol's: `hung up`, `declined`, `busy`, `cancelled`, `no answer`, `failed`, `lost`,
    `left`, `error`; `text` is what the one who ended it added, such as the exception of its script.
    """

    by: str
    """Name of the participant who ended it; "" when nobody did (the path broke)."""
    reason: str
    seconds: float
    """Seconds from the moment media could flow, 0 if it never could."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class MemberJoined(Event):
    """Somebody came into the room."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class MemberLeft(Event):
    """Somebody is gone: `left` by itself, `lost` when its connection broke, `silent` when nothing was heard of it any
    more, `replaced` when it took its own place over, after its network changed."""

    name: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemberAway(Event):
    """Somebody lost the connection to the signaling server, `lost` or `silent`; `MemberBack` or `MemberLeft` follows.
    Calls go on."""

    name: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class MemberBack(Event):
    """Somebody who was away is back in the same place."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class MemberMessage(Event):
    """An application message that a member sent over the signaling server, outside any call."""

    name: str
    data: object


@dataclass(frozen=True, slots=True)
class CallStarted(Event):
    """A call of this room began: ours, or one that we answered."""

    name: str
    outgoing: bool


@dataclass(frozen=True, slots=True)
class CallFinished(Event):
    """A call of this room is over, or did not come about."""

    name: str
    ended: Ended


@dataclass(frozen=True, slots=True)
class SignalingLost(Event):
    """The signaling server cannot be reached; calls that run go on, new ones raise `Unreachable` until it is back."""

    text: str


@dataclass(frozen=True, slots=True)
class SignalingRestored(Event):
    """Back in the room after the signaling server could not be reached."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ScriptStarted(Event):
    """A bot is in its room, and its script runs."""

    room: str
    name: str
    members: tuple[str, ...]
    """Who else is there."""


@dataclass(frozen=True, slots=True)
class ScriptFailed(Event):
    """The script raised something, or could not be read anew; `traceback` shows where, in its own lines."""

    error: str
    traceback: str
    call: str = ""
    """Who was in the call that ended so; "" when it was no call's fault."""


@dataclass(frozen=True, slots=True)
class ScriptReloaded(Event):
    """The script was edited, and what begins now is the new one."""


@dataclass(frozen=True, slots=True)
class ScriptRestarting(Event):
    """The script ended, and begins again after a pause, in the room anew."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ScriptEnded(Event):
    """The bot is done; always its last event."""

    exit_code: int
    error: str | None = None
    """Why, unless it ended well."""
