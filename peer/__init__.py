"""A headless WebRTC peer: call a browser, be called by one, keep a recording.

Everything public is here; `import peer` itself loads next to nothing, each name its module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peer import events, voices
    from peer.call import Call
    from peer.channel import MemoryHub
    from peer.errors import (
        BadDescription,
        CallEnded,
        CallError,
        CallLost,
        DeviceError,
        Error,
        IceFailed,
        NoAnswer,
        NotHere,
        Rejected,
        SignalingError,
        TimedOut,
        Unreachable,
        UsageError,
        retryable,
    )
    from peer.joining import join
    from peer.listening import Speech
    from peer.media import PictureSource, SoundSource
    from peer.playback import Playback
    from peer.recording.files import RecordedFile
    from peer.recording.group import Recorder
    from peer.recording.verify import Verification, verify
    from peer.ring import Ring
    from peer.room import Room
    from peer.rtc.configuration import Configuration
    from peer.rtc.connection import PeerConnection
    from peer.rtc.frames import Codec, EncodedFrame
    from peer.rtc.ice.servers import IceSettings
    from peer.running import run, run_until_complete
    from peer.segments import Utterance
    from peer.whip import publish, pull

__all__ = [
    "BadDescription",
    "Call",
    "CallEnded",
    "CallError",
    "CallLost",
    "Codec",
    "Configuration",
    "DeviceError",
    "EncodedFrame",
    "Error",
    "IceFailed",
    "IceSettings",
    "MemoryHub",
    "NoAnswer",
    "NotHere",
    "PeerConnection",
    "PictureSource",
    "Playback",
    "RecordedFile",
    "Recorder",
    "Rejected",
    "Ring",
    "Room",
    "SignalingError",
    "SoundSource",
    "Speech",
    "TimedOut",
    "Unreachable",
    "UsageError",
    "Utterance",
    "Verification",
    "events",
    "join",
    "publish",
    "pull",
    "retryable",
    "run",
    "run_until_complete",
    "verify",
    "voices",
]

_HOMES = {
    "peer.call": ["Call"],
    "peer.channel": ["MemoryHub"],
    "peer.errors": [
        "BadDescription",
        "CallEnded",
        "CallError",
        "CallLost",
        "DeviceError",
        "Error",
        "IceFailed",
        "NoAnswer",
        "NotHere",
        "Rejected",
        "SignalingError",
        "TimedOut",
        "Unreachable",
        "UsageError",
        "retryable",
    ],
    "peer.joining": ["join"],
    "peer.listening": ["Speech"],
    "peer.media": ["PictureSource", "SoundSource"],
    "peer.playback": ["Playback"],
    "peer.recording.files": ["RecordedFile"],
    "peer.recording.group": ["Recorder"],
    "peer.recording.verify": ["Verification", "verify"],
    "peer.ring": ["Ring"],
    "peer.room": ["Room"],
    "peer.rtc.configuration": ["Configuration"],
    "peer.rtc.connection": ["PeerConnection"],
    "peer.rtc.frames": ["Codec", "EncodedFrame"],
    "peer.rtc.ice.servers": ["IceSettings"],
    "peer.running": ["run", "run_until_complete"],
    "peer.segments": ["Utterance"],
    "peer.whip": ["publish", "pull"],
}
_MODULES = ("events", "voices")
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"peer.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'peer' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
