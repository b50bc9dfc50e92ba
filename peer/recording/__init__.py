"""Recordings: what a participant sends, as it was encoded, in Matroska files that survive a crash."""

from __future__ import annotations

from peer.recording.files import Gap, RecordedFile
from peer.recording.group import Recorder
from peer.recording.recorder import EncodedTrack, ParticipantRecorder
from peer.recording.writer import Options

__all__ = [
    "EncodedTrack",
    "Gap",
    "Options",
    "ParticipantRecorder",
    "RecordedFile",
    "Recorder",
]
