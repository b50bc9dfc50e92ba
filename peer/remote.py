"""The other side of a call, as its calls know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peer.link import Link
    from peer.rtc.receiver import RemoteTrack


class Remote:
    """The other side of a call."""

    def __init__(self, name: str, member: str) -> None:
        self.name = name
        """Its name in the room."""
        self.member = member
        """Its id in the room; changes when it comes back after the signaling server was away."""
        self.connection: Link | None = None
        self.recording = False
        """Whether it says that it records this call (RFC 7866)."""

    @property
    def tracks(self) -> list[RemoteTrack]:
        """What it sends at the moment: microphone, camera, screen shares; empty before the media flows."""
        return self.connection.tracks if self.connection else []
