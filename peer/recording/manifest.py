"""What stands in a recording's manifest, the JSON file beside its media: docs/recording-manifest.md in code. Pure.

Times are seconds from `Manifest.started`, on a clock that nobody sets. A frame was sent a moment before it came, so the
first ones may have a time slightly below zero.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import DecodeError, Meta, Struct, ValidationError, field, json

VERSION: Final = 1
SUFFIX: Final = ".json"

Kind = Literal["audio", "video"]
State = Literal["recording", "finished", "failed"]
"""`recording` until it is closed, for ever where the process was killed; `failed`: an error ended it early."""
Cause = Literal["lost", "muted", "paused", "disconnected", "disk"]

FileName = Annotated[str, Meta(pattern=r"^(?!\.{1,2}$)[^/\\\x00]+$", max_length=255)]
"""The name of a file in the manifest's own directory."""
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Started = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
Count = Annotated[int, Meta(ge=0)]


class CodecChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """From then on a track is encoded so; RTP name, clock rate and channels."""

    start: float = field(name="from")
    name: str
    clock_rate: Count
    channels: Count


class SizeChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """From then on the pictures of a track have this size in pixels."""

    start: float = field(name="from")
    width: Count
    height: Count


class Track(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a participant sent as one track."""

    id: str
    kind: Kind
    added: float
    """When it was there for us to record."""
    begins: float | None
    """Time of its first frame in a file; what is missing before is no gap. None: there was none."""
    removed: float | None
    """When it was taken away for good; None: never."""
    codecs: tuple[CodecChange, ...]
    sizes: tuple[SizeChange, ...]


class Segment(Struct, frozen=True, kw_only=True, rename="camel"):
    """One media file."""

    file: FileName
    tracks: tuple[str, ...]
    """Ids of the tracks in it."""
    start: float = field(name="from")
    """When its own time is zero."""
    end: float = field(name="to")
    """Time of the latest frame in it."""
    bytes: Count
    video_frames: Count
    audio_frames: Count
    whole: bool
    """Closed properly, and nothing that arrived was left out since its first frame."""
    sha256: Digest | None
    """Of the finished file; None where it is not finished, or was too large to be read in time."""


class Gap(Struct, frozen=True, kw_only=True, rename="camel"):
    """A stretch where media of a track is missing: between two of its frames, or from the last one to the end."""

    track: str
    kind: Kind
    start: float = field(name="from")
    end: float = field(name="to")
    cause: Cause


class LeftOut(Struct, frozen=True, kw_only=True, rename="camel"):
    """How much is not listed because a manifest is bounded."""

    gaps: Count = 0
    changes: Count = 0
    """Of codec and size."""
    tracks: Count = 0


class Manifest(Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole of it."""

    version: Literal[1]
    room: str
    participant: str
    started: Started
    """Wall-clock time (UTC) at which every other time in here is zero."""
    ended: float | None
    """When the recording ended; while it goes on, how far this manifest knows of it."""
    state: State
    repaired: bool = False
    """Whether `peer repair` wrote it."""
    error: str | None
    """Why it failed, in one sentence."""
    tracks: tuple[Track, ...]
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...]
    left_out: LeftOut = LeftOut()


class BadManifest(ValueError):
    """A file that is no manifest, or one of another version; the message says what is wrong."""


def encode(manifest: Manifest) -> bytes:
    """The manifest as the bytes of its file: indented JSON in UTF-8."""
    return json.format(json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes) -> Manifest:
    """The manifest in these bytes. Raises BadManifest."""
    try:
        return json.decode(data, type=Manifest)
    except (ValidationError, DecodeError, RecursionError, ValueError) as error:
        raise BadManifest(str(error)) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    return json.schema(Manifest)


def rounded(seconds: float) -> float:
    """A time as it stands in a manifest: nobody needs more than a tenth of a millisecond."""
    return round(seconds, 4)
