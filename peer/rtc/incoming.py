"""A remote track as aiortc's programs see it: a `MediaStreamTrack` whose `recv()` gives decoded frames."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from peer.rtc.emitter import Emitter

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame

    from peer.rtc.decoders import DecodedFrame
    from peer.rtc.frames import EncodedFrame
    from peer.rtc.receiver import RemoteTrack
    from peer.taker import Taker

MAX_LEAP = 10.0
"""Seconds of RTP time between two frames that are believed; beyond, another stream with its own clock took over."""


class IncomingTrack(Emitter, MediaStreamTrack):
    """What `on("track")` gives. Nothing is decoded before `recv()` is called first; then the oldest frames go
    when they are not taken in time. Events: `mute`, `unmute`, `ended`.

    `remote` is the same track with encoded frames, pictures as numpy arrays and sound as PCM.
    """

    def __init__(self, remote: RemoteTrack) -> None:
        super().__init__()
        self.kind = remote.kind
        self.remote = remote
        self.muted = True
        """Whether nothing comes at the moment: before the first packet, and while the other side holds."""
        self._taker: Taker[DecodedFrame] | None = None
        self._stamps: _Stamps | None = None

    def named(self, track_id: str) -> IncomingTrack:
        """Give it the id that the other side's description says."""
        if track_id:
            self._id = track_id
        return self

    def set_muted(self, *, muted: bool) -> None:
        if muted != self.muted and self.readyState == "live":
            self.muted = muted
            self.emit("mute" if muted else "unmute")

    async def recv(self) -> VideoFrame | AudioFrame:
        """The next decoded frame: `av.VideoFrame`, or `av.AudioFrame` of signed 16-bit samples.

        Raises:
            MediaStreamError: the track ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if self._taker is None:
            self._taker = self.remote.frames()
        try:
            decoded = await anext(self._taker)
        except StopAsyncIteration:
            self.stop()
            raise MediaStreamError from None
        frame, encoded = decoded.frame, decoded.encoded
        if self._stamps is None:
            self._stamps = _Stamps(encoded.codec.clock_rate)
        frame.pts = self._stamps.stamp(encoded)
        frame.time_base = Fraction(1, self._stamps.rate)
        return frame

    def stop(self) -> None:
        if self._taker is not None:
            self._taker.close()
            self._taker = None
        super().stop()


class _Stamps:
    """Presentation times of one track, from 0, in units of the first codec's clock; they never run backwards."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._last: tuple[int, int, float, int] | None = None

    def stamp(self, frame: EncodedFrame) -> int:
        clock = frame.codec.clock_rate
        if self._last is None:
            pts = 0
        else:
            before, was_clock, at, pts = self._last
            elapsed = (frame.timestamp - before) / clock
            if clock != was_clock or not 0 <= elapsed <= MAX_LEAP:
                elapsed = max(0.0, frame.time - at)
            pts += round(elapsed * self.rate)
        self._last = (frame.timestamp, clock, frame.time, pts)
        return pts
