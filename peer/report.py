"""What a call came to, in figures and in words: for the table, the JSON object and the log of the command. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from peer.errors import Error
    from peer.events import Ended
    from peer.recording.files import RecordedFile
    from peer.rtc.frames import Kind
    from peer.rtc.stats import ConnectionStats, PairStats

State = Literal["connected", "ended", "failed"]

FULL_NAMES = {"opus": "Opus"}
"""RTP payload names that people write otherwise."""


@dataclass(slots=True)
class CallReport:
    """One call as seen from here: filled in while it runs, complete when `state` is `ended` or `failed`."""

    name: str
    """The other participant."""
    outgoing: bool
    state: State = "connected"
    own: str = ""
    """The participant on this side, where a report holds more than one of ours."""
    ended: Ended | None = None
    error: Error | None = None
    """Why it did not come about, or broke."""
    seconds: float = 0.0
    """Seconds for which media could flow."""
    connect_seconds: float = 0.0
    stats: ConnectionStats | None = None
    """The last ones taken."""
    pair: PairStats | None = None
    """The candidate pair that was selected last."""
    files: list[RecordedFile] = field(default_factory=list)

    @property
    def who(self) -> str:
        """`alice`, or `bot - alice` where a report holds more than one of ours."""
        return f"{self.own} - {self.name}" if self.own else self.name

    @property
    def how(self) -> str:
        """How it is or ended, in a word or two."""
        if self.ended is not None:
            return self.ended.reason
        return "not reached" if self.state == "failed" else self.state

    def codecs(self) -> list[str]:
        """What is received, the video first; what is sent where nothing comes in."""
        return [name for kind in ("video", "audio") if (name := self._codec(kind))]

    def frames(self, kind: Kind) -> tuple[int, int, int]:
        """Encoded frames sent, received and lost."""
        if self.stats is None:
            return 0, 0, 0
        sent, received = self.stats.sent(kind), self.stats.received(kind)
        return (
            sent.frames_sent if sent else 0,
            received.frames_received if received else 0,
            received.frames_dropped if received else 0,
        )

    def bitrates(self) -> tuple[float, float]:
        """Average bits per second sent and received, payload only."""
        if self.stats is None or self.seconds <= 0:
            return 0.0, 0.0
        sent = sum(entry.bytes_sent for entry in self.stats.outbound)
        received = sum(entry.bytes_received for entry in self.stats.inbound)
        return sent * 8 / self.seconds, received * 8 / self.seconds

    def to_json(self) -> dict[str, Any]:
        """The report as the `--json` of the command has it, see docs/cli.md."""
        sent, received = self.bitrates()
        return {
            **({"own": self.own} if self.own else {}),
            "name": self.name,
            "outgoing": self.outgoing,
            "state": self.state,
            "ended": asdict(self.ended) if self.ended else None,
            "error": str(self.error) if self.error else None,
            "seconds": round(self.seconds, 3),
            "connectSeconds": round(self.connect_seconds, 3),
            "codecs": self.codecs(),
            "video": self._media("video"),
            "audio": self._media("audio"),
            "bitrateSent": round(sent),
            "bitrateReceived": round(received),
            "candidatePair": _pair_json(self.pair),
            "files": [file_json(file) for file in self.files],
        }

    def _codec(self, kind: Kind) -> str:
        if self.stats is None:
            return ""
        received, sent = self.stats.received(kind), self.stats.sent(kind)
        name = received.codec if received else ""
        if not name and sent is not None and sent.frames_sent:
            name = sent.codec
        return FULL_NAMES.get(name, name)

    def _media(self, kind: Kind) -> dict[str, Any]:
        sent, received, lost = self.frames(kind)
        entry = self.stats.received(kind) if self.stats else None
        found: dict[str, Any] = {"framesSent": sent, "framesReceived": received, "framesLost": lost}
        found["packetsLost"] = entry.packets_lost if entry else 0
        if kind == "video":
            found["width"], found["height"] = (entry.frame_width, entry.frame_height) if entry else (0, 0)
        return found


def path_words(pair: PairStats | None) -> str:
    """`direct UDP` or `relayed UDP`; the candidate pair itself is in the table."""
    if pair is None:
        return "path unknown"
    way = "relayed" if "relay" in (pair.local_type, pair.remote_type) else "direct"
    return f"{way} {pair.protocol.upper()}"


def connected_words(report: CallReport, fps: float) -> str:
    """`alice connected, VP8 640x480 at 30, direct UDP, 0.2 s`."""
    video = report.stats.received("video") if report.stats else None
    media = " and ".join(report.codecs()) or "no media yet"
    if video is not None and video.frame_width:
        media = f"{video.codec} {video.frame_width}x{video.frame_height} at {fps:.0f}"
    elif report.stats is not None and report.stats.received("audio") and not (video and video.codec):
        media = f"{report.codecs()[-1]} only" if report.codecs() else media
    return f"{report.who} connected, {media}, {path_words(report.pair)}, {report.connect_seconds:.1f} s"


def ended_words(report: CallReport) -> str:
    """Who hung up and why: `alice hung up after 31 s`."""
    ended = report.ended
    if ended is None:
        return f"{report.who}: {report.error}" if report.error else f"{report.who}: over"
    after = f" after {ended.seconds:.0f} s" if ended.seconds else ""
    text = f": {ended.text}" if ended.text else ""
    theirs = ended.by == report.name
    match ended.reason:
        case "hung up":
            words = f"{report.name} hung up" if theirs else f"hung up on {report.name}"
        case "left":
            words = f"{report.name} left" if theirs or not ended.by else f"left the call with {report.name}"
        case "lost":
            words = f"{report.name} was lost"
        case "error":
            whose = report.name if theirs else "we"
            words = f"{whose} ended the call{'' if theirs else f' with {report.name}'} on an error"
        case reason:
            words = f"the call with {report.name} is over ({reason})"
    return f"{report.own}: {words}{after}{text}" if report.own else f"{words}{after}{text}"


def file_json(file: RecordedFile) -> dict[str, Any]:
    """One file of a recording for `--json`."""
    return {
        "path": str(file.path),
        "participant": file.name,
        "seconds": round(file.seconds, 3),
        "bytes": file.bytes,
        "videoFrames": file.video_frames,
        "audioFrames": file.audio_frames,
        "videoCodec": file.video_codec,
        "audioCodec": file.audio_codec,
        "whole": file.whole,
        "gaps": [gap._asdict() for gap in file.gaps],
        "error": file.error,
    }


def _pair_json(pair: PairStats | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    return {
        "local": {"type": pair.local_type, "address": pair.local_address},
        "remote": {"type": pair.remote_type, "address": pair.remote_address},
        "protocol": pair.protocol,
        "roundTripTime": pair.round_trip_time,
    }
