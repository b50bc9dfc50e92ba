"""The account of one participant's recording, from which its manifest is made: tracks, what they were, what is missing.

Pure. Every time that comes in is on the recorder's monotonic clock, every time that goes out in seconds from `zero`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peer.recording.gaps import TrackGaps
from peer.recording.manifest import VERSION, CodecChange, Gap, LeftOut, Manifest, SizeChange, Track, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.recording.gaps import Stretch
    from peer.recording.manifest import Cause, Segment, State
    from peer.rtc.frames import Codec, EncodedFrame, Kind

MAX_GAPS: Final = 1000
"""Gaps that are listed; a network that bad is described well enough by the first thousand."""
MAX_TRACKS: Final = 200
MAX_CHANGES: Final = 1000
"""Changes of codec and size that are listed for one track."""


@dataclass(slots=True)
class _TrackAccount:
    """One track, from when it was added."""

    id: str
    kind: Kind
    added: float
    begins: float | None = None
    removed: float | None = None
    gaps: TrackGaps = field(default_factory=TrackGaps)
    codec: Codec | None = None
    size: tuple[int, int] = (0, 0)
    codecs: list[CodecChange] = field(default_factory=list)
    sizes: list[SizeChange] = field(default_factory=list)

    def told(self) -> Track:
        return Track(
            id=self.id,
            kind=self.kind,
            added=rounded(self.added),
            begins=None if self.begins is None else rounded(self.begins),
            removed=None if self.removed is None else rounded(self.removed),
            codecs=tuple(self.codecs),
            sizes=tuple(self.sizes),
        )


class Account:
    """Told what happens by the writer's thread; `gaps` may be read by others."""

    def __init__(self, room: str, participant: str, started: str, zero: float) -> None:
        """`started` is the wall-clock time of the moment `zero`."""
        self._room: Final = room
        self._participant: Final = participant
        self._started: Final = started
        self._zero: Final = zero
        self._shift: float | None = None
        self._tracks: dict[str, _TrackAccount] = {}
        self._places: dict[tuple[int, Kind], _TrackAccount] = {}
        self._disconnected: float | None = None
        self.gaps: list[Gap] = []
        self._left_out_gaps = self._left_out_changes = self._left_out_tracks = 0
        self.changes = 0
        """Grows with everything that a manifest should tell soon."""

    # Tracks

    def added(self, strand: int, kind: Kind, track_id: str, at: float) -> None:
        """A track is recorded from now on, or again: then it was held by its sender meanwhile."""
        at -= self._zero
        self.changes += 1
        track = self._tracks.get(track_id)
        if track is None:
            if len(self._tracks) >= MAX_TRACKS:
                self._left_out_tracks += 1
                self._places.pop((strand, kind), None)
                return
            track = self._tracks[track_id] = _TrackAccount(track_id, kind, at)
            if self._disconnected is not None:
                track.gaps.interrupted("disconnected", self._disconnected)
        track.removed = None
        track.gaps.resumed("paused", at)
        self._places[strand, kind] = track

    def removed(self, strand: int, kind: Kind, at: float) -> None:
        """The track there is gone: its description says that it is not sent, or its connection was given up."""
        track = self._places.get((strand, kind))
        if track is None:
            return
        self.changes += 1
        track.removed = at - self._zero
        if self._disconnected is None:
            track.gaps.interrupted("paused", track.removed)

    def disconnected(self, since: float) -> None:
        """Nothing is heard of the participant since then."""
        self._disconnected = since - self._zero
        self.changes += 1
        for track in self._tracks.values():
            if track.removed is None:
                track.gaps.interrupted("disconnected", self._disconnected)

    def connected(self, at: float) -> None:
        """The participant is heard again."""
        self._disconnected = None
        self.changes += 1
        for track in self._tracks.values():
            track.gaps.resumed("disconnected", at - self._zero)

    # Frames

    def first(self, time: float, now: float, far: float = 60.0) -> None:
        """Before any frame: `time` is that of the first, which came `now`.

        Frame times are on our monotonic clock; where they are that far from it they are on another one, and the first
        frame is taken to be of this moment.
        """
        if self._shift is None:
            self._shift = 0.0 if abs(now - time) < far else now - time

    def time(self, frame_time: float) -> float:
        """Where a frame's time lies in the recording."""
        return frame_time + (self._shift or 0.0) - self._zero

    def wrote(self, strand: int, kind: Kind, frame: EncodedFrame) -> None:
        """A frame went into a file."""
        track = self._places.get((strand, kind))
        if track is None:
            return
        time = self.time(frame.time)
        if track.begins is None:
            track.begins = time
            self.changes += 1
        for stretch in track.gaps.frame(time, complete_before=frame.complete_before):
            self._add_gap(track, stretch)
        if frame.codec is not track.codec:
            self._codec(track, frame.codec, time)
        if frame.width and (frame.width, frame.height) != track.size:
            track.size = (frame.width, frame.height)
            if self._room_for(track.sizes):
                track.sizes.append(SizeChange(start=rounded(time), width=frame.width, height=frame.height))

    def dropped(self, strand: int, kind: Kind) -> None:
        """A frame that had come was left out."""
        if (track := self._places.get((strand, kind))) is not None:
            track.gaps.dropped()

    def cut(self, strand: int, time: float) -> None:
        """What came after `time`, from `zero`, did not get as far as the disk."""
        for (owner, _), track in self._places.items():
            if owner == strand:
                track.gaps.cut(time)

    # What is told

    def end(self, at: float, *, failed: bool) -> None:
        """The recording is over: what is missing up to now stays missing."""
        end = at - self._zero
        for track in self._tracks.values():
            for stretch in _trailing(track, end, "disk" if failed else None):
                self._add_gap(track, stretch)

    def manifest(self, state: State, now: float, segments: Iterable[Segment], error: str | None) -> Manifest:
        """How it stands; while it is `recording`, what is missing now is told as if it were over."""
        end = now - self._zero
        told = tuple(segments)
        gaps = list(self.gaps)
        if state == "recording":
            for track in self._tracks.values():
                gaps += (_told(track, stretch) for stretch in _trailing(track, end, None))
        return Manifest(
            version=VERSION,
            room=self._room,
            participant=self._participant,
            started=self._started,
            # A sender's clock may run ahead of what has passed here.
            ended=max((rounded(end), *(segment.end for segment in told))),
            state=state,
            error=error,
            tracks=tuple(track.told() for track in self._tracks.values()),
            segments=told,
            gaps=tuple(sorted(gaps[:MAX_GAPS], key=lambda gap: gap.start)),
            left_out=LeftOut(
                gaps=self._left_out_gaps + max(0, len(gaps) - MAX_GAPS),
                changes=self._left_out_changes,
                tracks=self._left_out_tracks,
            ),
        )

    def _codec(self, track: _TrackAccount, codec: Codec, time: float) -> None:
        same = track.codec is not None and _named(track.codec) == _named(codec)
        track.codec = codec
        if not same and self._room_for(track.codecs):
            track.codecs.append(
                CodecChange(start=rounded(time), name=codec.name, clock_rate=codec.clock_rate, channels=codec.channels)
            )

    def _room_for(self, changes: Sequence[object]) -> bool:
        self.changes += 1
        self._left_out_changes += len(changes) >= MAX_CHANGES
        return len(changes) < MAX_CHANGES

    def _add_gap(self, track: _TrackAccount, stretch: Stretch) -> None:
        self.changes += 1
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(_told(track, stretch))
        else:
            self._left_out_gaps += 1


def _trailing(track: _TrackAccount, end: float, otherwise: Cause | None) -> Sequence[Stretch]:
    """What is missing after the latest frame of a track, which for one that was taken away ends there."""
    if track.removed is not None:
        return track.gaps.until(min(end, track.removed))
    return track.gaps.until(end, otherwise)


def _told(track: _TrackAccount, stretch: Stretch) -> Gap:
    start, end, cause = stretch
    return Gap(track=track.id, kind=track.kind, start=rounded(start), end=rounded(end), cause=cause)


def _named(codec: Codec) -> tuple[str, int, int]:
    return codec.name, codec.clock_rate, codec.channels
