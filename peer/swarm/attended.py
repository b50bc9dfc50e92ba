"""One call of a bot, looked at until it ends."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from peer.media.marks import age, read_mark
from peer.swarm.figures import CallTally

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer import events
    from peer.call import Call

LOOK: Final = 1.0
"""Seconds between two looks at the statistics."""
GLANCE: Final = 0.02
"""Seconds between two looks for the first frame."""
CREDIBLE: Final = 10.0
"""Seconds that a picture may have been on its way; what is older was stamped in another life, such as a file's."""


class Attended:
    """Counts what comes; `close()`, or the end of the call, ends it."""

    def __init__(self, call: Call, since: float | None, latency: Callable[[float], None] | None = None) -> None:
        """`since`: when it was dialled or answered (monotonic), None where nobody knows. `latency` gets the age of
        each picture in seconds; without, nothing is decoded."""
        self.call = call
        now = time.monotonic()
        self.tally = CallTally(now)
        self.connect = None if since is None else now - since
        self._since = since
        self._firsts: dict[str, float] = {}
        self._latency = latency

    @property
    def first_frame(self) -> float | None:
        """Seconds until the first whole frame of video came; of sound, where there is no video."""
        return self._firsts.get("video", self._firsts.get("audio"))

    async def run(self) -> events.Ended:
        """Until the call is over; how it ended."""
        ended = asyncio.ensure_future(self.call.ended())
        watching = [asyncio.create_task(self._first("audio")), asyncio.create_task(self._first("video"))]
        if self._latency is not None:
            watching.append(asyncio.create_task(self._decode(self._latency)))
        try:
            while not ended.done():
                await self.look()
                await asyncio.wait([ended], timeout=LOOK)
            await self.look()
            return ended.result()
        finally:
            for task in (ended, *watching):
                task.cancel()
            await asyncio.wait([ended, *watching])

    async def look(self) -> None:
        """Take the statistics of this moment."""
        stats = await self.call.stats()
        if stats.inbound or stats.outbound:  # of a call that was closed nothing is left
            self.tally.look(stats)

    async def _first(self, kind: str) -> None:
        # Looking is cheaper than taking frames, and whoever takes those asks for a keyframe: that is no honest load.
        if self._since is None or (track := await self.call.main_track(kind)) is None:
            return
        while not any(counts.frames for counts in track.counts().values()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(GLANCE)
        self._firsts[kind] = time.monotonic() - self._since

    async def _decode(self, latency: Callable[[float], None]) -> None:
        async for picture in self.call.pictures():
            mark = read_mark(picture.array)
            if mark is None or mark.milliseconds is None:
                continue
            seconds = age(mark.milliseconds, time.time())
            if -CREDIBLE < seconds < CREDIBLE:
                latency(max(0.0, seconds))
