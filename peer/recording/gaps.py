"""Where media of one track is missing, and why: told by its frames' times and flags, and what interrupts it. Pure.

Sound with DTX (a packet every 400 ms) and a still screen (a picture a second) miss nothing: what was lost is known by
the sequence numbers, and only silence of `SILENCE` seconds means that the sender switched the source off.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peer.recording.manifest import Cause

SILENCE: Final = 3.0
"""Seconds without a frame, and without a loss, from which on a track counts as muted."""
EDGE: Final = 1.0
"""Seconds that media may cease before and come back after an interruption, and be missing because of it still."""
LEAST: Final = 0.2
"""Seconds that frames have to be apart for an interruption to count."""
MAX_INTERRUPTIONS: Final = 100
"""Interruptions between two frames; of those beyond, the newest are passed over."""


class Stretch(NamedTuple):
    """From when to when, in seconds, media is missing, and why."""

    start: float
    end: float
    cause: Cause


class TrackGaps:
    """Sees the frames of one track that go into files, and what interrupts it; times are on one clock."""

    def __init__(self) -> None:
        self.last: float | None = None
        """Time of the latest frame."""
        self._interruptions: list[Stretch] = []
        self._dropped = False

    def frame(self, time: float, *, complete_before: bool) -> Sequence[Stretch]:
        """A frame was written; returns what is missing before it."""
        last = self.last
        self.last = time if last is None or time > last else last
        if complete_before and not self._dropped and last is not None and time - last < LEAST:
            return ()
        found: Sequence[Stretch] = ()
        if last is not None and time > last:
            otherwise: Cause | None = "disk" if self._dropped else None
            found = explained(last, time, self._interruptions, otherwise if complete_before else "lost")
        self._dropped = False
        self._interruptions = [each for each in self._interruptions if each.end > time]
        return found

    def dropped(self) -> None:
        """A frame that had come was left out."""
        self._dropped = True

    def cut(self, time: float) -> None:
        """Frames after `time` did not get as far as the disk."""
        if self.last is not None:
            self.last = min(self.last, time)

    def interrupted(self, cause: Cause, since: float) -> None:
        """Nothing comes, for this reason, until `resumed`."""
        if len(self._interruptions) < MAX_INTERRUPTIONS and not any(
            each.cause == cause and each.end == math.inf for each in self._interruptions
        ):
            self._interruptions.append(Stretch(since, math.inf, cause))

    def resumed(self, cause: Cause, at: float) -> None:
        """This reason is gone."""
        self._interruptions = [
            each._replace(end=max(at, each.start)) if each.cause == cause and each.end == math.inf else each
            for each in self._interruptions
        ]

    def until(self, end: float, otherwise: Cause | None = None) -> Sequence[Stretch]:
        """What is missing from the latest frame to `end`; of no other reason because of `otherwise`."""
        if self.last is None or end <= self.last:
            return ()
        return explained(self.last, end, self._interruptions, otherwise or ("disk" if self._dropped else None))


def explained(
    start: float, end: float, interruptions: Iterable[Stretch], otherwise: Cause | None = None
) -> list[Stretch]:
    """Why nothing came from `start` to `end`: each interruption accounts for its time, and for the `EDGE` beside it.

    The rest is because of `otherwise`; where there is no such reason, it counts when it lasts `SILENCE`: muted.
    """
    found: list[Stretch] = []
    at = start

    def rest(until: float) -> None:
        if otherwise is not None or until - at > SILENCE:
            found.append(Stretch(at, until, otherwise or "muted"))

    for each in sorted(interruptions):
        begin, over = max(each.start, at), min(each.end, end)
        if over - begin < LEAST:
            continue
        if begin - at > EDGE:
            rest(begin)
            at = begin
        found.append(Stretch(at, over, each.cause))
        at = over
    if found and end - at <= EDGE:
        found[-1] = found[-1]._replace(end=end)
    else:
        rest(end)
    return found
