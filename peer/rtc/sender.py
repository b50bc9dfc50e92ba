"""Outbound tracks: one of each kind per call, what they carry may change at any time without negotiating again.

The sender (`peer.rtc.sending`) asks `recv()` for the next frame and encodes it on a thread. A track that has nothing to
carry simply does not answer, so nothing is encoded and nothing sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from peer.errors import Error
from peer.media.base import SourceEnded

if TYPE_CHECKING:
    from av import VideoFrame
    from numpy.typing import NDArray

    from peer.media.base import PictureReader
    from peer.media.picture import Picture

logger = logging.getLogger(__name__)

VIDEO_CLOCK = Fraction(1, 90000)
AUDIO_RATE = 48000
SAMPLES = 960
"""Samples in one packet of sound: 20 ms at 48 kHz, Opus' default (RFC 7587 section 4.2)."""
TICK = SAMPLES / AUDIO_RATE
REPEAT = 1.2
"""Seconds after which a picture that no other follows is sent again: who joins or lost it gets to see it so."""


class PcmReader(Protocol):
    """Where an outbound sound comes from; asked every 20 ms, must not block."""

    def read(self, samples: int) -> NDArray[np.int16]: ...
    def close(self) -> None: ...


class OutboundPictures(MediaStreamTrack):
    """The video of a call: the newest picture of whichever reader is shown, none while there is none."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._reader: PictureReader | None = None
        self._last: Picture | None = None
        self._changed = asyncio.Event()
        self._epoch = time.monotonic()
        self._last_pts = -1
        self.frames = 0

    @property
    def showing(self) -> bool:
        return self._reader is not None

    def show(self, reader: PictureReader | None) -> None:
        """Carry another source from the next picture on, None to stop; the reader shown before is closed."""
        previous, self._reader = self._reader, reader
        self._last = None
        self._changed.set()
        if previous is not None:
            previous.close()

    def hand_over(self, other: OutboundPictures) -> None:
        """What is shown goes on in another track."""
        reader, self._reader = self._reader, None
        other.show(reader)

    async def recv(self) -> VideoFrame:
        while self.readyState == "live":
            reader = self._reader
            if reader is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                picture, at = await self._next(reader)
            except Error as error:
                if not isinstance(error, SourceEnded):
                    logger.warning("the video stops: %s", error)  # an exception would have it dropped for good
                if self._reader is reader:
                    self.show(None)
                continue
            frame = picture.frame()
            # RTP timestamps must grow; two sources may disagree about the time when one takes over from the other.
            self._last_pts = max(self._last_pts + 1, round((at - self._epoch) * VIDEO_CLOCK.denominator))
            frame.pts, frame.time_base = self._last_pts, VIDEO_CLOCK
            self.frames += 1
            return frame
        raise MediaStreamError

    async def _next(self, reader: PictureReader) -> tuple[Picture, float]:
        """The next picture and when it was taken; the last one again, now, when none has come for a while."""
        last = self._last
        try:
            async with asyncio.timeout(REPEAT if last is not None else None):
                picture = await reader.next()
        except TimeoutError:
            assert last is not None
            return last, time.monotonic()
        if reader is self._reader:
            self._last = picture
        return picture, picture.time

    def stop(self) -> None:
        super().stop()
        self.show(None)


class OutboundSound(MediaStreamTrack):
    """The audio of a call: 20 ms at a time from a playback, if one is on, else from the call's source, else nothing."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._source: PcmReader | None = None
        self._playback: PcmReader | None = None
        self._changed = asyncio.Event()
        self._epoch = time.monotonic()
        self._tick = 0
        self.frames = 0

    def carry(self, source: PcmReader | None) -> None:
        """The call's own sound from now on; the source before is closed."""
        previous, self._source = self._source, source
        self._changed.set()
        if previous is not None:
            previous.close()

    def play(self, playback: PcmReader | None) -> None:
        """Put a playback in front of the source; it takes effect with the next 20 ms."""
        previous, self._playback = self._playback, playback
        self._changed.set()
        if previous is not None and previous is not playback:
            previous.close()

    def hand_over(self, other: OutboundSound) -> None:
        """The source goes on in another track."""
        source, self._source = self._source, None
        other.carry(source)

    def stop_playing(self, playback: PcmReader) -> None:
        """Take a playback off, unless another has taken its place already."""
        if self._playback is playback:
            self._playback = None

    async def recv(self) -> AudioFrame:
        while self.readyState == "live":
            if self._playback is None and self._source is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            await self._next_tick()
            reader = self._playback or self._source
            if reader is None:
                continue
            if self._playback is not None and self._source is not None:
                self._source.read(SAMPLES)  # the source goes on behind a playback, it does not pile up
            self.frames += 1
            return _audio_frame(reader.read(SAMPLES), self._tick * SAMPLES)
        raise MediaStreamError

    async def _next_tick(self) -> None:
        """Wait for the next whole 20 ms since the track began; ticks that were missed are skipped, never caught up."""
        now = (time.monotonic() - self._epoch) / TICK
        self._tick = max(self._tick + 1, int(now - 2))
        delay = (self._tick - now) * TICK
        if delay > 0:
            await asyncio.sleep(delay)

    def stop(self) -> None:
        super().stop()
        self.play(None)
        self.carry(None)


def _audio_frame(samples: NDArray[np.int16], pts: int) -> AudioFrame:
    if samples.shape[1] == 1:  # always stereo: another layout than before would end aiortc's encoder
        samples = np.repeat(samples, 2, axis=1)
    frame = AudioFrame(format="s16", layout="stereo", samples=samples.shape[0])
    frame.planes[0].update(np.ascontiguousarray(samples).tobytes())
    frame.sample_rate = AUDIO_RATE
    frame.pts, frame.time_base = pts, Fraction(1, AUDIO_RATE)
    return frame
