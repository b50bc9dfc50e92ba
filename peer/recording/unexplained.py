"""Which holes in a file its manifest does not account for. Pure."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from peer.recording.gaps import SILENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from peer.recording.manifest import Kind, Manifest, Segment


class Hole(NamedTuple):
    """A stretch of a file without frames of one kind, in seconds from the start of the file."""

    kind: Kind
    start: float
    end: float


def unexplained(manifest: Manifest, segment: Segment, holes: Iterable[Hole]) -> Iterator[Hole]:
    """What of these holes is no gap in the manifest though its track was there, where it is `SILENCE` long."""
    for kind, start, end in holes:
        for track in manifest.tracks:
            if track.kind != kind or track.id not in segment.tracks or track.begins is None:
                continue
            left = max(start + segment.start, track.begins)
            right = min(end + segment.start, inf if track.removed is None else track.removed)
            for gap in manifest.gaps:  # in the order of their beginning
                if gap.track == track.id and gap.end > left and gap.start < right:
                    if gap.start - left > SILENCE:
                        yield Hole(kind, left - segment.start, gap.start - segment.start)
                    left = gap.end
            if right - left > SILENCE:
                yield Hole(kind, left - segment.start, right - segment.start)
