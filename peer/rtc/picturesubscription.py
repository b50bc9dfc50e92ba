"""One taker of the pictures of a source: where among the encodings of it it is, and what was counted for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from peer.media.encoder import START_BITRATE

if TYPE_CHECKING:
    from peer.rtc.encoded import Taker
    from peer.rtc.picturefeed import PictureFeed
    from peer.rtc.rungs import EncoderRung, Rung
    from peer.rtc.stats import SourceCounts


class PictureSubscription:
    """One taker of a feed."""

    def __init__(self, feed: PictureFeed, taker: Taker, counts: SourceCounts) -> None:
        self.taker: Final = taker
        self.counts: Final = counts
        self.bitrate = START_BITRATE
        """Bits per second that may be sent to it now ..."""
        self.lasting = START_BITRATE
        """... and that its path takes: more, while a queue before or on it is emptied."""
        self.since: Final = time.monotonic()
        self.muted = False
        self.home: Rung | None = None
        """Where it belongs."""
        self.on: Rung | None = None
        """Where it is, and gets what it can decode."""
        self.via: EncoderRung | None = None
        """Where it is to be until there is a keyframe at home."""
        self.narrow: float | None = None
        """Since when its path takes less than the file that it is sent."""
        self.restarted = float("-inf")
        """When it was sent a group of pictures of a file once more."""
        self._feed = feed

    def limit(self, bitrate: int, lasting: int) -> None:
        self.bitrate, self.lasting = bitrate, lasting
        self._feed.reconsider_soon()

    def request_keyframe(self) -> None:
        self._feed.restart(self)

    def mute(self, muted: bool) -> None:
        if muted != self.muted:
            self.muted = muted
            if muted:
                self.nowhere()
            self._feed.changed()

    def close(self) -> None:
        self._feed.leave(self)
        self.nowhere()  # a frame may be on its way here

    # For the feed and its rungs

    def nowhere(self) -> None:
        """It gets nothing, until it is placed again."""
        self.home = self.on = self.via = None

    def came(self, dropped: int) -> None:
        """A picture to be encoded came, and so many before it were left out."""
        rung = self.on or self.via or self.home
        if rung is not None and rung.encodes:
            self.counts.frames += 1 + dropped
            self.counts.dropped += dropped

    def arrives(self, rung: Rung, *, keyframe: bool) -> bool:
        """Whether it takes the frame that comes there."""
        if keyframe and rung is self.home and rung is not self.on:
            self.on, self.via = rung, None
            self._feed.changed()  # it gets nothing from elsewhere any more
        elif keyframe and rung is self.via and self.on is None:
            self.on = rung
        if rung is not self.on:
            return False
        if rung.encodes:
            self.counts.encoded += 1
        else:
            self.counts.frames += 1
        return True
