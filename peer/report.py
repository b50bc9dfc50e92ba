"""What a call came to, in figures and in words: for the table, the JSON object and the log of the command. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from peer.errors import Rejected
from peer.goodbye import legible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peer.errors import Error
    from peer.events import Ended
    from peer.recording.files import RecordedFile
    from peer.rtc.frames import Kind
    from peer.rtc.stats import ConnectionStats, PairStats

State = Literal["connected", "ended", "failed"]

FULL_NAMES = {"opus": "Opus"}
"""RTP payload names that people write otherwise."""
MAX_TEXT: Final = 200
"""Characters of a text message that are shown."""
MAX_REPORTS: Final = 1000
"""Calls that are reported one by one; of those beyond, the oldest finished ones are forgotten."""


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
    """What was recorded of it, as far as it came."""
    trouble: str = ""
    """Why a recording of it ended before the call, in one sentence."""

    @property
    def who(self) -> str:
        """`alice`, or `bot - alice` where a report holds more than one of ours."""
        return f"{self.own} - {self.name}" if self.own else self.name

    @property
    def how(self) -> str:
        """How it is or ended, in a few words: `connected`, `alice hung up`, `we left`, `busy`."""
        if self.ended is not None:
            return self._how_it_ended(self.ended)
        if isinstance(self.error, Rejected):
            return f"{self.error.reason}: {legible(self.error.text)}" if self.error.text else self.error.reason
        return "not reached" if self.state == "failed" else self.state

    @property
    def recorded(self) -> str:
        """How its recording is or ended, in a few words: `recording`, `no media yet`, `alice left`, `not recorded`."""
        if self.trouble:
            return "recording failed"
        if self.state != "connected":
            return self.how
        if self.stats is not None and self.stats.state == "disconnected":
            return "not heard"
        return "recording" if self.size else "no media yet"

    @property
    def size(self) -> int:
        """Bytes in its files."""
        return sum(file.bytes for file in self.files)

    @property
    def packets_lost(self) -> int:
        """Packets that never came, of all its tracks."""
        return sum(entry.packets_lost for entry in self.stats.inbound) if self.stats else 0

    @property
    def frozen(self) -> float:
        """Seconds for which its main picture stood for much longer than usual."""
        video = self.stats.received("video") if self.stats else None
        return video.total_freezes_duration if video else 0.0

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
            "recordingError": self.trouble or None,
        }

    def received(self) -> list[str]:
        """The codecs of which frames came in, the video first."""
        return self._flowing(incoming=True)

    def sent(self) -> list[str]:
        """The codecs of which frames went out, the video first."""
        return self._flowing(incoming=False)

    def _flowing(self, *, incoming: bool) -> list[str]:
        kinds: tuple[Kind, ...] = ("video", "audio")
        names = []
        for kind in kinds:
            sent, received, _ = self.frames(kind)
            if self.stats is not None and (received if incoming else sent):
                entry = self.stats.received(kind) if incoming else self.stats.sent(kind)
                names.append(entry.codec if entry else "")
        return [FULL_NAMES.get(name, name) for name in names if name]

    def _how_it_ended(self, ended: Ended) -> str:
        if ended.reason not in ("hung up", "left"):
            return ended.reason
        theirs = ended.by == self.name or (ended.reason == "left" and not ended.by)
        return f"{self.name if theirs else self.own or 'we'} {ended.reason}"

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
            found["freezeCount"] = entry.freeze_count if entry else 0
            found["totalFreezesDuration"] = round(entry.total_freezes_duration, 3) if entry else 0.0
        return found


def keep(reports: list[CallReport], report: CallReport) -> None:
    """Add a report to those that are kept, `MAX_REPORTS` and no more."""
    reports.append(report)
    if len(reports) > MAX_REPORTS:
        finished = next((one for one in reports if one.state != "connected"), None)
        if finished is not None:
            reports.remove(finished)


def file_words(files: Iterable[RecordedFile]) -> list[str]:
    """For each file a line: `recorded recordings/alice.mkv, 31.2 s, not whole`."""
    return [f"recorded {file.path}, {file.seconds:.1f} s{'' if file.whole else ', not whole'}" for file in files]


def path_words(pair: PairStats | None) -> str:
    """`direct UDP` or `relayed UDP`; the candidate pair itself is in the table."""
    if pair is None:
        return "path unknown"
    way = "relayed" if "relay" in (pair.local_type, pair.remote_type) else "direct"
    return f"{way} {pair.protocol.upper()}"


def connected_words(report: CallReport, fps: float) -> str:
    """`alice connected, VP8 640x480 at 30, direct UDP, 0.2 s`."""
    media = _media_words(report, fps)
    return f"{report.who} connected, {media}, {path_words(report.pair)}, {report.connect_seconds:.1f} s"


def text_words(text: str) -> str:
    """A text message of the other side as it is shown: one legible line of at most `MAX_TEXT` characters."""
    words = legible(text)
    return words if len(words) <= MAX_TEXT else words[: MAX_TEXT - 1] + "…"


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


def _media_words(report: CallReport, fps: float) -> str:
    """What comes in; where nothing does, what goes out."""
    video = report.stats.received("video") if report.stats else None
    if video is not None and video.frame_width:
        return f"{video.codec} {video.frame_width}x{video.frame_height} at {fps:.0f}"
    if received := report.received():
        without_video = not report.frames("video")[1]
        return f"{received[-1]} only" if without_video else " and ".join(received)
    return f"sending {' and '.join(sent)}" if (sent := report.sent()) else "no media yet"


def _pair_json(pair: PairStats | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    return {
        "local": {"type": pair.local_type, "address": pair.local_address},
        "remote": {"type": pair.remote_type, "address": pair.remote_address},
        "protocol": pair.protocol,
        "roundTripTime": pair.round_trip_time,
    }
