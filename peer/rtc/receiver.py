"""Inbound tracks as the application sees them: encoded frames, pictures and sound to any number of takers.

A hold or an RTCP BYE does not end a track, and its SSRC, codec and payload types may change (see `inbound`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import numpy as np
from av import AudioFrame, AudioResampler

from peer.errors import UsageError
from peer.media.picture import Picture
from peer.rtc.decode import Decoder, Sound
from peer.rtc.inbound import InboundRtp
from peer.taker import Taker

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
    from aiortc.rtp import RtpPacket

    from peer.rtc.clock import ParticipantClock
    from peer.rtc.frames import Codec, EncodedFrame, Kind
    from peer.rtc.stats import InboundStats
    from peer.rtc.stock import RtcpOut

logger = logging.getLogger(__name__)

T = TypeVar("T")

ENCODED_WAITING = 300
"""Encoded frames that may wait for one taker: ten seconds of video."""
RATES = (4_000, 384_000)
"""Samples per second that sound can be taken at."""
SOUND_WAITING = 500
"""Stretches of sound that may wait for one taker: ten seconds."""


class RemoteTrack:
    """One track that the other side sends, or may send: takers come and go, nothing is decoded or kept without one."""

    def __init__(self, kind: Kind, out: RtcpOut, clock: ParticipantClock, heard: Callable[[float], None]) -> None:
        self.kind = kind
        self.mid = ""
        self.active = False
        """Whether the other side says that it sends (False on hold, and after it took the track away)."""
        self.codec: Codec | None = None
        self.width = 0
        """Width of the newest keyframe in pixels, 0 before the first."""
        self.height = 0
        self._heard = heard
        self._takers: list[Callable[[EncodedFrame], None]] = []
        self._streams: WeakSet[Taker[EncodedFrame]] = WeakSet()
        self._pictures: WeakSet[Taker[Picture]] = WeakSet()
        self._sounds: WeakSet[Taker[Sound]] = WeakSet()
        self._decoder = Decoder(self._decoded, self.request_keyframe)
        self._inbound = InboundRtp(self, out, clock)
        self._over = False

    @property
    def id(self) -> str:
        """Stable for the life of the call: kind and mid."""
        return f"{self.kind}-{self.mid}"

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come again: it was stopped, or the call is over."""
        return self._over

    def subscribe(self, taker: Callable[[EncodedFrame], None]) -> Callable[[], None]:
        """Call `taker` with each encoded frame, on the event loop, in order; it must return at once.

        Returns what ends it.
        """
        self._takers.append(taker)

        def unsubscribe() -> None:
            if taker in self._takers:
                self._takers.remove(taker)

        return unsubscribe

    def encoded(self, size: int = ENCODED_WAITING) -> Taker[EncodedFrame]:
        """Iterate over the encoded frames from now on; at most `size` wait, then the oldest go. Asks for a keyframe."""
        return self._begin(Taker(size, self._streams))

    def pictures(self) -> Taker[Picture]:
        """Iterate over the decoded pictures; the newest wins. Asks for a keyframe.

        Raises UsageError for a track of sound.
        """
        if self.kind != "video":
            raise UsageError(f"{self.id} has no pictures; take its sound()")
        return self._begin(Taker(1, self._pictures))

    def sound(self, rate: int = 48000, channels: int = 1) -> Taker[Sound]:
        """Iterate over the decoded sound as int16 at `rate` Hz, `channels` 1 or 2.

        Raises UsageError for a rate or a number of channels that cannot be, and for a track of pictures.
        """
        if self.kind != "audio":
            raise UsageError(f"{self.id} has no sound; take its pictures()")
        if channels not in (1, 2) or not RATES[0] <= rate <= RATES[1]:
            text = f"sound of {channels} channels at {rate} Hz cannot be taken"
            raise UsageError(f"{text}; use 1 or 2 channels at {RATES[0]} to {RATES[1]} Hz")
        return self._begin(_SoundTaker(self._sounds, rate, channels))

    def request_keyframe(self) -> None:
        """Ask the other side for a keyframe (RTCP PLI), at most a few times a second. No effect on audio."""
        self._inbound.request_keyframe()

    def stats(self) -> InboundStats:
        return self._inbound.stats(self._decoder.frames, self._decoder.dropped)

    # The packet path (peer.rtc.stock.InboundStream)

    def configure(self, parameters: RTCRtpReceiveParameters) -> None:
        self._inbound.configure(parameters)

    def rtp(self, packet: RtpPacket, now: float) -> None:
        self._heard(now)
        self._inbound.rtp(packet, now)

    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None:
        self._inbound.sender_report(ssrc, ntp, rtp_timestamp, now)

    def close(self) -> None:
        self.end()

    # The end

    def end(self) -> None:
        """No more frames will come: every taker comes to its end. Idempotent."""
        if self._over:
            return
        self._over = True
        self._inbound.close()
        self._takers.clear()
        takers: list[Taker[Any]] = [*self._pictures, *self._streams, *self._sounds]
        for taker in takers:
            taker.end()

    async def finish(self) -> None:
        """Wait for the decoder to let go."""
        await self._decoder.close()

    # Frames out

    def emit(self, frame: EncodedFrame) -> None:
        """Hand one encoded frame to everybody who takes it."""
        self.codec = frame.codec
        if frame.width:
            self.width, self.height = frame.width, frame.height
        for taker in list(self._takers):
            try:
                taker(frame)
            except Exception:
                logger.exception("a taker of encoded frames failed; it gets no more")
                self._takers.remove(taker)
        for stream in list(self._streams):
            stream.put(frame)
        if self._pictures or self._sounds:
            self._decoder.push(frame)

    def _begin(self, taker: Taker[T]) -> Taker[T]:
        if self._over:
            taker.end()
        elif self.kind == "video":
            self.request_keyframe()
        return taker

    def _decoded(self, decoded: list[Any], frame: EncodedFrame) -> None:
        for item in decoded:
            if self.kind == "video":
                picture = Picture(item, frame.time)
                for taker in list(self._pictures):
                    taker.put(picture)
            else:
                for sound in list(self._sounds):
                    assert isinstance(sound, _SoundTaker)
                    sound.put_decoded(item, frame.time)


class _SoundTaker(Taker[Sound]):
    """Takes sound at a rate and layout of its own."""

    def __init__(self, registry: WeakSet[Taker[Sound]], rate: int, channels: int) -> None:
        super().__init__(SOUND_WAITING, registry)
        self._wanted = ("s16", "stereo" if channels == 2 else "mono", rate)
        self._resampler = AudioResampler(*self._wanted)
        self._given: tuple[str, str, int] | None = None

    def put_decoded(self, frame: AudioFrame, at: float) -> None:
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._given:  # another codec; a resampler only takes what it took first
            self._given, self._resampler = given, AudioResampler(*self._wanted)
        frame.pts = None  # the resampler would fill gaps of its own; times are ours
        for part in self._resampler.resample(frame):
            array = part.to_ndarray().reshape(-1, len(part.layout.channels)).astype(np.int16, copy=False)
            self.put(Sound(array, part.sample_rate, at))
