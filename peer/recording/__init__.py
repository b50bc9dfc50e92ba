"""Recordings: what a participant sends, as it was encoded, in files that survive a crash."""

from __future__ import annotations

from peer.recording.files import Gap, RecordedFile
from peer.recording.formats import Format
from peer.recording.group import Recorder
from peer.recording.recorder import EncodedTrack, ParticipantRecorder
from peer.recording.writer import Options

__all__ = [
    "EncodedTrack",
    "Format",
    "Gap",
    "Options",
    "ParticipantRecorder",
    "RecordedFile",
    "Recorder",
]
