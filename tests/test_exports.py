"""What `import peer` offers, pinned: a name that comes or goes is a decision."""

from __future__ import annotations

import importlib
import inspect

import pytest

import peer
from peer import errors

PUBLIC = {
    *("Configuration", "IceSettings", "PeerConnection"),
    *("Call", "Codec", "EncodedFrame", "MemoryHub", "PictureSource", "Playback", "RecordedFile", "Recorder"),
    *(
        "Ring",
        "Room",
        "SoundSource",
        "Verification",
        "events",
        "join",
        "publish",
        "pull",
        "retryable",
        "run",
        "run_until_complete",
        "verify",
    ),
    *("BadDescription", "CallEnded", "CallError", "CallLost", "DeviceError", "Error", "IceFailed", "NoAnswer"),
    *("NotHere", "Rejected", "SignalingError", "TimedOut", "Unreachable", "UsageError"),
    *("Speech", "Utterance", "voices"),
}

MEMBERS = {
    "Call": {
        *("carry", "play", "press", "record", "say", "show", "write"),
        *("events", "keys", "messages", "pictures", "sound", "speech", "stats", "utterances"),
        *("flowing", "picture", "silent", "speaking"),
        *("ended", "hang_up", "name", "open", "over"),
    },
    "Room": {
        *("call", "calls", "empty", "events", "ice_servers", "leave", "members", "message", "record", "rings"),
        *("start", "wait_for"),
    },
    "Ring": {"accept", "caller", "over", "reject"},
    "Playback": {"done", "position", "stop"},
}
"""What scripts use of each class; more may be there for the package itself."""


def test_the_public_names_are_pinned() -> None:
    assert set(peer.__all__) == PUBLIC
    assert dir(peer) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_had_and_is_explained(name: str) -> None:
    value = getattr(peer, name)
    assert inspect.getdoc(value)
    if not inspect.ismodule(value):
        assert value is getattr(importlib.import_module(value.__module__), name)


def test_every_error_is_public() -> None:
    found = {name for name, one in vars(errors).items() if inspect.isclass(one)}
    assert found <= PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Session'"):
        _ = peer.Session  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_what_scripts_use_is_there_and_explained(name: str) -> None:
    one = getattr(peer, name)
    for member in MEMBERS[name]:
        assert inspect.getdoc(inspect.getattr_static(one, member)), f"{name}.{member}"


def test_names_that_confuse_are_not_used() -> None:
    avoided = {"Frame", "Stream", "Track", "Session", "Transport", "Agent", "Handler", "Pipeline", "Peer", "Relay"}
    assert not avoided & PUBLIC
    words = {"recv", "emit", "receive", "send", "shutdown", "drain", "aclose", "disconnect", "cancel", "on"}
    for name in ("Call", "Ring", "Playback"):
        assert not words & {member for member in dir(getattr(peer, name)) if not member.startswith("_")}
