"""Sender, receiver and transceiver as the application sees them (webrtc-pc section 5), with aiortc's interface."""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aiortc import (
    RTCRtpCodecCapability,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpSynchronizationSource,
)

from peer.rtc import sdp
from peer.rtc.codecs import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    CAPABILITIES,
    MID,
    RECEIVABLE,
    TRANSPORT_FEEDBACK,
    TRANSPORT_WIDE,
    Codec,
    event_for,
    preferred,
    sendable,
)
from peer.rtc.dtmfsender import DtmfSender
from peer.rtc.encoding import codec_parameters
from peer.rtc.header import Format
from peer.rtc.sending import MediaSender, SendParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from aiortc import MediaStreamTrack, RTCRtpCapabilities, RTCStatsReport

    from peer.rtc import effects
    from peer.rtc.dtls import DtlsTransport
    from peer.rtc.incoming import IncomingTrack
    from peer.rtc.receiver import RemoteTrack

logger = logging.getLogger(__name__)

SOURCE_AGE = 10.0
"""Seconds for which a stream counts as one that is heard (webrtc-pc section 5.3)."""


def random_ssrc() -> int:
    """RFC 3550 section 8: chosen at random; 0 is taken for "none" here and there."""
    return random.randrange(1, 1 << 32)


class RtpSender:
    """Sends one track, as one stream for good."""

    def __init__(self, record: effects.Transceiver, transport: DtlsTransport) -> None:
        self._record = record
        self._transport = transport
        self._track: MediaStreamTrack | None = None
        self._parameters: SendParameters | None = None
        self._stopped = False
        self.media = MediaSender(record.kind, transport, record.ssrc, record.rtx_ssrc)
        """Frames to packets; what is counted of them."""
        self.dtmf = DtmfSender(self.media) if record.kind == "audio" else None
        """Presses keys among the sound (webrtc-pc section 7); None of pictures."""

    @property
    def kind(self) -> str:
        return self._record.kind

    @property
    def track(self) -> MediaStreamTrack | None:
        return self._track

    @property
    def transport(self) -> DtlsTransport:
        return self._transport

    @property
    def codec(self) -> str:
        """Name of the codec that is sent, "" before one is agreed."""
        return str(self._parameters.codec.name) if self._parameters else ""

    @classmethod
    def getCapabilities(cls, kind: str) -> RTCRtpCapabilities:
        return RTCRtpSender.getCapabilities(kind)

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:
        """Send another track from now on, or none (None), without negotiating again.

        Raises:
            ValueError: it is a track of the other kind.
        """
        if track is not None and track.kind != self.kind:
            raise ValueError(f"a track of {track.kind} cannot be sent in the place of {self.kind}")
        if self._stopped:
            return
        self._track = track
        self.media.replace_track(track)

    async def getStats(self) -> RTCStatsReport:
        from peer.rtc.report import outbound

        return outbound(self)

    # For the connection

    def configure(self, codecs: Sequence[Codec], extensions: Sequence[sdp.Extension], mid: str) -> None:
        """The m-line was negotiated and the transport is there: send from now on what was agreed, or nothing."""
        if self._stopped:
            return
        encoded = sendable(codecs)  # the others we only receive, or send as a file has them
        self.media.enable(sdp.sends(self._record.current_direction or "inactive") and bool(encoded))
        if self.dtmf is not None:
            self.dtmf.agreed(sending=self.media.enabled)
        if not self.media.enabled:
            return
        ordered = [encoded[0], *(each for each in codecs if each.is_main and each != encoded[0])]
        formats = tuple((each, _format(each, codecs, extensions, mid)) for each in ordered)
        parameters = SendParameters(codec_parameters(encoded[0]), formats[0][1], self._record.cname, formats)
        changed, self._parameters = parameters != self._parameters, parameters
        if changed:
            self.media.configure(parameters)
            if self.media.track is None:  # it ended, or could not be encoded before
                self.media.replace_track(self._track)

    def request_keyframe(self) -> None:
        """Let the next picture be a keyframe."""
        self.media.request_keyframe()

    async def stop(self) -> None:
        """For good: RTCP BYE, the track is not asked for frames any more."""
        self._stopped = True
        if self.dtmf is not None:
            await self.dtmf.stop()
        await self.media.stop()

    def detach(self) -> None:
        """Let go of the track for good; it may be sent on another m-line."""
        self._stopped, self._track = True, None
        self.media.replace_track(None)


class RtpReceiver:
    """Receives one track, for as long as the transceiver lives: a hold or a BYE does not end it."""

    def __init__(self, remote: RemoteTrack, track: IncomingTrack, transport: DtlsTransport) -> None:
        self.remote = remote
        """Encoded frames, pictures, sound, layers."""
        self.track = track
        self.transport = transport

    @classmethod
    def getCapabilities(cls, kind: str) -> RTCRtpCapabilities | None:
        """What can be received: more than what can be sent."""
        found = RTCRtpReceiver.getCapabilities(kind)
        if found is not None:
            found.codecs += [
                _capability(each) for each in RECEIVABLE[kind][len(CAPABILITIES[kind]) :] if not each.is_rtx
            ]
        return found

    async def getStats(self) -> RTCStatsReport:
        from peer.rtc.report import inbound

        return inbound(self)

    def getSynchronizationSources(self) -> list[RTCRtpSynchronizationSource]:
        """The SSRCs that were heard within the last ten seconds."""
        now, wall = time.monotonic(), datetime.now(UTC)
        return [
            RTCRtpSynchronizationSource(source=ssrc, timestamp=wall - timedelta(seconds=now - at))
            for ssrc, at in self.remote.sources().items()
            if now - at <= SOURCE_AGE
        ]


class _Done:
    """What `stop()` returns: aiortc's programs await it."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class RtpTransceiver:
    """A sender and a receiver that share an m-line."""

    def __init__(
        self,
        record: effects.Transceiver,
        sender: RtpSender,
        receiver: RtpReceiver,
        changed: Callable[[], None],
        ended: Callable[[RtpTransceiver], None],
    ) -> None:
        """`changed`: negotiation may be needed; `ended`: nothing is to be sent or received any more."""
        self.record = record
        self.sender = sender
        self.receiver = receiver
        self._changed = changed
        self._ended = ended

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def mid(self) -> str | None:
        return self.record.mid

    @property
    def direction(self) -> str:
        """What the application wants: `sendrecv`, `sendonly`, `recvonly`, `inactive`; `stopped` when it was stopped."""
        return "stopped" if self.record.stopping or self.record.stopped else self.record.direction

    @direction.setter
    def direction(self, direction: str) -> None:
        if direction not in sdp.DIRECTIONS:
            raise ValueError(f"{direction!r} is no direction; use one of {', '.join(sdp.DIRECTIONS)}")
        if direction != self.record.direction:
            self.record.direction = direction
            self._changed()

    @property
    def currentDirection(self) -> str | None:
        return self.record.current_direction

    @property
    def stopped(self) -> bool:
        return self.record.stopping or self.record.stopped

    def setCodecPreferences(self, codecs: Sequence[RTCRtpCodecCapability]) -> None:
        """Which codecs are negotiated, most wanted first; an empty list restores the default.

        Raises:
            ValueError: one of them is not in the capabilities.
        """
        known = RtpReceiver.getCapabilities(self.kind)
        if known is None or any(each not in known.codecs for each in codecs):
            raise ValueError("Codec is not in capabilities")
        wanted = [_wanted(self.kind, each) for each in codecs]
        self.record.preferences = tuple(preferred(RECEIVABLE[self.kind], wanted)) if codecs else ()

    def stop(self) -> _Done:
        """Stop it for good, at once (webrtc-pc section 5.4.2); the other side learns it with the next negotiation."""
        if not self.record.stopping and not self.record.stopped:
            self.record.stopping = True
            if self.record.mid is None:
                self.record.stopped = True
            self._ended(self)
            self._changed()
        return _Done()


def _capability(each: Codec) -> RTCRtpCodecCapability:
    return RTCRtpCodecCapability(f"{each.kind}/{each.name}", each.clock_rate, parameters=dict(each.parameters))


def _wanted(kind: str, given: RTCRtpCodecCapability) -> Codec:
    return Codec(
        kind,
        given.name,
        given.clockRate,
        given.channels or 1,
        0,
        tuple((name.lower(), str(value)) for name, value in given.parameters.items()),
    )


def _format(each: Codec, codecs: Sequence[Codec], extensions: Sequence[sdp.Extension], mid: str) -> Format:
    """What one of the agreed codecs is sent as."""
    ids = {each.uri: each.id for each in extensions}
    again = next((rtx.payload_type for rtx in codecs if rtx.is_rtx and rtx.apt == each.payload_type), None)
    event = event_for(codecs, each)
    return Format(
        each.payload_type,
        each.clock_rate,
        again,
        event_payload_type=event.payload_type if event is not None else None,
        mid=mid,
        mid_id=ids.get(MID, 0),
        abs_send_time_id=ids.get(ABS_SEND_TIME, 0),
        audio_level_id=ids.get(AUDIO_LEVEL, 0),
        transport_wide_id=ids.get(TRANSPORT_WIDE, 0) if TRANSPORT_FEEDBACK in each.feedback else 0,
    )
