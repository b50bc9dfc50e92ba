"""The sound of one source, encoded once for all who take it, or sent as the file has it.

All sound that is encoded here is cut at the same moments, every 20 ms: whoever changes from one to another goes on in
step.
"""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from av import AudioFrame

from peer.errors import Error
from peer.media.base import SourceEnded
from peer.rtc.encoding import SoundEncoding, codec_parameters, sound_codec
from peer.rtc.feed import Feed
from peer.rtc.passing import Passing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peer.media.base import SoundSourceBase
    from peer.rtc.encoded import Encoded, Taker
    from peer.rtc.stats import SourceCounts

RATE: Final = 48_000
SAMPLES: Final = 960
"""Samples in one packet of sound: 20 ms at 48 kHz, Opus' default (RFC 7587 section 4.2)."""
TICK: Final = SAMPLES / RATE
GRID: Final = object()
"""The timeline of what is encoded here: its timestamps are those of the monotonic clock."""


class Ticks:
    """The moments at which sound is cut; those that were missed are left out, never made up for."""

    def __init__(self) -> None:
        self._tick = 0

    async def next(self) -> int:
        """Wait for the next; returns its number since the clock began."""
        now = time.monotonic() / TICK
        self._tick = max(self._tick + 1, int(now - 2))
        await asyncio.sleep(max(0.0, (self._tick - now) * TICK))
        return self._tick


class SoundEncoder:
    """Of 20 ms at a time, in one codec."""

    def __init__(self, name: str) -> None:
        """`name`: of the codec, in any case. Raises ValueError for one that is not sent."""
        self._encoding = SoundEncoding(codec_parameters(sound_codec(name)))

    async def encode(self, samples: NDArray[np.int16], tick: int) -> Encoded | None:
        """Of shape (960, 1 or 2). On a thread."""
        frame = _audio_frame(samples, tick * SAMPLES)
        return await asyncio.to_thread(self._encoding.encode_now, frame, GRID, tick * TICK)


class SoundSubscription:
    """One taker of a feed."""

    def __init__(self, feed: SoundFeed, taker: Taker) -> None:
        self.taker: Final = taker
        self.muted = False
        self._feed = feed

    def limit(self, bitrate: int, lasting: int) -> None:
        """Sound takes what it takes."""

    def request_keyframe(self) -> None:
        """Every packet of sound is one."""

    def mute(self, muted: bool) -> None:
        self.muted = muted

    def close(self) -> None:
        self._feed.leave(self)


class SoundFeed(Feed[SoundSubscription]):
    """Runs while anybody takes of it, muted or not: a source that is not read would pile up, or begin anew."""

    def __init__(self, source: SoundSourceBase) -> None:
        super().__init__()
        self._source = source
        self._encoders: dict[str, SoundEncoder] = {}
        self._passing: Passing | None = None
        if source.encoded is not None:
            self._passing = Passing(source, self._pass, self._ended, self)
        self._cutting: asyncio.Task[None] | None = None
        self._encoded_for: list[SoundSubscription] = []
        self._passed_to: list[SoundSubscription] = []

    def subscription(self, taker: Taker, counts: SourceCounts) -> SoundSubscription:
        return SoundSubscription(self, taker)

    def reconsider(self) -> None:
        passing = self._passing
        passed: list[SoundSubscription] = []
        encoded_for: list[SoundSubscription] = []
        for each in self.subscribers:
            (passed if passing is not None and each.taker.carries(passing.codec) else encoded_for).append(each)
        self._passed_to, self._encoded_for = passed, encoded_for
        wanted = {each.taker.preferred for each in self._encoded_for}
        self._encoders = {name: self._encoders.get(name) or SoundEncoder(name) for name in wanted}
        if self._encoded_for and self._cutting is None:
            self._cutting = self.spawn(self._encode_all())
        if self._passing is not None:
            self._passing.run(bool(passed), self.spawn)
        if not self._encoded_for and self._cutting is not None:  # last: a file that nobody reads begins anew
            self._cutting.cancel()
            self._cutting = None

    def _pass(self, frame: Encoded) -> None:
        for each in tuple(self._passed_to):
            if not each.muted:
                each.taker.take(frame)

    async def _encode_all(self) -> None:
        reader = self._source.open()
        ticks = Ticks()
        try:
            while not reader.ended:
                tick = await ticks.next()
                samples = reader.read(SAMPLES)
                listeners = [each for each in self._encoded_for if not each.muted]
                for name in {each.taker.preferred for each in listeners}:
                    encoded = await self._encoders[name].encode(samples, tick)
                    for each in listeners:
                        if encoded is not None and not each.muted and each.taker.preferred == name:
                            each.taker.take(encoded)
            await reader.finished()
            self._ended(SourceEnded("the source has ended; open a new one to go on"))
        except Error as error:
            self._ended(error)
        finally:
            reader.close()

    def _ended(self, error: Exception) -> None:
        self.end(None if isinstance(error, SourceEnded) else error)


def _audio_frame(samples: NDArray[np.int16], pts: int) -> AudioFrame:
    if samples.shape[1] == 1:  # always stereo: another layout than before would end aiortc's encoder
        samples = np.repeat(samples, 2, axis=1)
    frame = AudioFrame(format="s16", layout="stereo", samples=samples.shape[0])
    frame.planes[0].update(np.ascontiguousarray(samples).tobytes())
    frame.sample_rate = RATE
    frame.pts, frame.time_base = pts, Fraction(1, RATE)
    return frame
