"""Inbound tracks as the application sees them: encoded frames, pictures and sound to any number of takers.

A hold or an RTCP BYE does not end a track, and its SSRC, codec and payload types may change (see `inbound`). Of a
simulcast (RFC 8853) all layers are received, and the largest that flows is handed on (see `layers`).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from av import VideoFrame

from peer.errors import UsageError
from peer.media.picture import Picture
from peer.rtc.decode import Decoder
from peer.rtc.feedback import Bandwidth
from peer.rtc.inbound import InboundRtp, ReceiveParameters
from peer.rtc.layers import Layer, LayerChoice
from peer.rtc.stats import DecodeCounts, InboundCounts, inbound_stats
from peer.rtc.takers import Beginning, EncodedTaker, SoundTaker
from peer.taker import Taker, Takers

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer.rtc.clock import ParticipantClock
    from peer.rtc.decode import Sound
    from peer.rtc.decoders import DecodedFrame
    from peer.rtc.feedback import Feedback
    from peer.rtc.frames import Codec, EncodedFrame, Kind
    from peer.rtc.packet import RtpPacket
    from peer.rtc.stats import InboundStats

logger = logging.getLogger(__name__)

T = TypeVar("T")

ENCODED_WAITING = 300
"""Encoded frames that may wait for one taker: ten seconds of video."""
RATES = (4_000, 384_000)
"""Samples per second that sound can be taken at."""
DECODED_WAITING = {"video": 30, "audio": 500}
"""Decoded frames that may wait for one taker; pictures are large."""
SIGN_INTERVAL = 0.05
"""Seconds in which one packet is sign of life enough."""
MAX_LAYERS = 8
"""Simulcast layers of one track; packets of those beyond are dropped."""


class RemoteTrack:
    """One track that the other side sends, or may send: takers come and go, nothing is decoded or kept without one."""

    def __init__(
        self,
        kind: Kind,
        out: Feedback,
        clock: ParticipantClock,
        heard: Callable[[float], None],
        bandwidth: Bandwidth | None = None,
    ) -> None:
        """`heard`: called with the time of a packet now and then; `bandwidth`: of the path, shared by its tracks."""
        self.kind = kind
        self.mid = ""
        self._active = False
        self.codec: Codec | None = None
        self.width = 0
        """Width of the newest keyframe in pixels, 0 before the first."""
        self.height = 0
        self.on_media: Callable[[], None] = _nothing
        """Called with the first packet after the track began, or came back."""
        self.on_key: Callable[[str, float], None] = _no_key
        """Called with each key that the other side presses (RFC 4733), once it is released, and the seconds it took."""
        self._silent = True
        self._heard = heard
        self._sign_due = 0.0
        self._takers: list[Callable[[EncodedFrame], None]] = []
        self._streams: Takers[EncodedFrame] = Takers()
        self._pictures: Takers[Picture] = Takers()
        self._sounds: Takers[Sound] = Takers()
        self._frames: Takers[DecodedFrame] = Takers()
        self._decoder = Decoder(self._decoded, self.request_keyframe)
        self._out, self._clock = out, clock
        self._bandwidth = bandwidth or Bandwidth()
        self._parameters: ReceiveParameters | None = None
        self._streams_in: dict[str, InboundRtp] = {}
        """By restriction id; "" is the one stream of a track without layers."""
        self._choice = LayerChoice()
        self._beginning: Beginning | None = Beginning()
        self._over = False

    @property
    def active(self) -> bool:
        """Whether the other side says that it sends (False on hold, and after it took the track away)."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        self._active = active
        self._silent = True

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
        """Iterate over the encoded frames from now on; at most `size`, or 16 MiB, wait, then the oldest go.

        Asks for a keyframe.
        """
        return self._begin(EncodedTaker(size, self._streams))

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
        return self._begin(SoundTaker(self._sounds, rate, channels))

    def frames(self) -> Taker[DecodedFrame]:
        """Iterate over all decoded frames as PyAV gives them; beyond one second of video, ten of sound, the oldest go.

        Who asks right after the track began gets it from its beginning on.
        """
        beginning = [] if self._beginning is None or self._decoder.busy else self._beginning.frames
        self._beginning = None
        taker = self._begin(Taker(DECODED_WAITING[self.kind], self._frames))
        for frame in beginning:
            self._decoder.push(frame)
        return taker

    @property
    def layers(self) -> list[Layer]:
        """The simulcast layers that came so far; empty for a track without layers."""
        return list(self._choice.layers.values())

    @property
    def layer(self) -> str | None:
        """The restriction id of the layer that is handed on."""
        return self._choice.shown

    def request_keyframe(self) -> None:
        """Ask the other side for a keyframe (RTCP PLI), at most a few times a second. No effect on audio."""
        for stream in self._streams_in.values():
            stream.request_keyframe()

    def stats(self) -> InboundStats:
        """Of all layers together."""
        counts = self.counts()
        return inbound_stats(
            counts.values(),
            counts.get(self._choice.shown or "", InboundCounts()),
            self.decoding(),
            track=self.id,
            kind=self.kind,
            active=self.active,
            frame_width=self.width,
            frame_height=self.height,
        )

    def counts(self) -> dict[str, InboundCounts]:
        """What came, by restriction id of the layer."""
        return {rid: stream.counts() for rid, stream in self._streams_in.items()}

    def decoding(self) -> DecodeCounts:
        """What was decoded, of the layer that is handed on."""
        decoder, sound = self._decoder, self._decoder.sound
        return DecodeCounts(
            decoder.frames,
            decoder.keyframes,
            decoder.dropped,
            sound.total,
            sound.concealed,
            sound.silent,
            sound.events,
        )

    def sources(self) -> dict[int, float]:
        """The SSRCs that came, with the time of their newest packet on the monotonic clock."""
        return {ssrc: at for stream in self._streams_in.values() for ssrc, at in stream.sources().items()}

    # The packet path (peer.rtc.router.RtpStream)

    def configure(self, parameters: ReceiveParameters) -> None:
        """Codecs and SSRCs were negotiated, again maybe."""
        before, self._parameters = self._parameters, parameters
        if before is not None and bool(before.layers) != bool(parameters.layers):
            self._start_over()
        for stream in self._streams_in.values():
            stream.configure(parameters)

    def rtp(self, packets: list[RtpPacket], layer: str) -> None:
        now = packets[-1].arrival
        if now >= self._sign_due:
            self._sign_due = now + SIGN_INTERVAL
            self._heard(now)
        if self._silent and self.active:
            self._silent = False
            self.on_media()
        stream = self._streams_in.get(layer) or self._stream(layer)
        if stream is not None:
            stream.rtp(packets)

    def sender_report(self, ssrc: int, ntp: int, rtp_timestamp: int, now: float) -> None:
        for stream in self._streams_in.values():
            stream.sender_report(ssrc, ntp, rtp_timestamp, now)

    def _start_over(self) -> None:
        """What was one stream is a simulcast from now on, or the other way round."""
        for stream in self._streams_in.values():
            stream.close()
        self._streams_in, self._choice = {}, LayerChoice()

    def _stream(self, layer: str) -> InboundRtp | None:
        if self._over or self._parameters is None or len(self._streams_in) >= MAX_LAYERS:
            return None
        if not layer and self._choice.layers:
            return None  # of which layer it is was never said

        def emit(frame: EncodedFrame) -> None:
            self._emit_layer(layer, frame)

        if layer and (single := self._streams_in.pop("", None)) is not None:
            single.close()  # it began before its layer was known
        stream = InboundRtp(self.kind, self._out, self._clock, emit if layer else self.emit, self._bandwidth)
        stream.keys.on_key = lambda key, seconds: self.on_key(key, seconds)
        stream.configure(self._parameters)
        self._streams_in[layer] = stream
        return stream

    def _emit_layer(self, rid: str, frame: EncodedFrame) -> None:
        now = time.monotonic()
        if self._choice.take(rid, (frame.width, frame.height) if frame.keyframe else None, now):
            self.emit(frame)
        elif self._choice.wants_keyframe(rid, now):
            self._streams_in[rid].request_keyframe()

    # The end

    def end(self) -> None:
        """No more frames will come: every taker comes to its end. Idempotent."""
        if self._over:
            return
        self._over = True
        for stream in self._streams_in.values():
            stream.close()
        self._takers.clear()
        self._beginning = None
        takers: list[Taker[Any]] = [*self._pictures, *self._streams, *self._sounds, *self._frames]
        for taker in takers:
            taker.end()

    async def finish(self) -> None:
        """Wait for the decoder to let go."""
        await self._decoder.close()

    # Frames out

    def emit(self, frame: EncodedFrame) -> None:
        """Hand one encoded frame to everybody who takes it."""
        self.codec = frame.codec
        if self._beginning is not None and not self._beginning.keep(frame, time.monotonic()):
            self._beginning = None
        if frame.width:
            self.width, self.height = frame.width, frame.height
        for taker in list(self._takers):
            try:
                taker(frame)
            except Exception:
                logger.exception("a taker of encoded frames failed; it gets no more")
                self._takers.remove(taker)
        if self._streams.held:
            for stream in self._streams:
                stream.put(frame)
        if self._pictures.held or self._sounds.held or self._frames.held:
            self._decoder.push(frame)
        elif self._decoder.busy:
            self._decoder.rest()

    def _begin(self, taker: Taker[T]) -> Taker[T]:
        if self._over:
            taker.end()
        elif self.kind == "video":
            self.request_keyframe()
        return taker

    def _decoded(self, decoded: DecodedFrame) -> None:
        for frames in self._frames:
            frames.put(decoded)
        if isinstance(decoded.frame, VideoFrame):
            picture = Picture(decoded.frame, decoded.time)
            for taker in self._pictures:
                taker.put(picture)
        else:
            for sound in self._sounds:
                assert isinstance(sound, SoundTaker)
                sound.put_decoded(decoded)


def _nothing() -> None:
    pass


def _no_key(key: str, seconds: float) -> None:
    pass
