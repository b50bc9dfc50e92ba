"""What a negotiation decided, carried out: paths, receivers, senders and data channels of one connection."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiortc import RTCSctpCapabilities

from peer.rtc import codecs, effects, sdp
from peer.rtc.clock import ParticipantClock
from peer.rtc.feedback import Bandwidth, Feedback
from peer.rtc.ice.candidate import Candidate
from peer.rtc.inbound import ReceiveParameters
from peer.rtc.incoming import IncomingTrack
from peer.rtc.receiver import RemoteTrack
from peer.rtc.transceiver import RtpReceiver, RtpSender, RtpTransceiver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peer.rtc.connectionmedia import ConnectionMedia
    from peer.rtc.effects import Effect, Transceiver
    from peer.rtc.frames import Kind

logger = logging.getLogger(__name__)


class Carrier:
    """Carries effects out, in their order; plain calls."""

    def __init__(self, connection: ConnectionMedia) -> None:
        self._connection = connection
        self._clock = ParticipantClock()
        self._bandwidth = Bandwidth()
        self._data: effects.DataAgreed | None = None
        self._data_started = False
        self._made: list[RtpTransceiver] = []

    def make(self, record: Transceiver) -> RtpTransceiver:
        """The application's side of a transceiver."""
        connection = self._connection
        feedback = Feedback(
            record.ssrc, lambda data: connection.path.dtls.send_rtcp(data), lambda: connection.path.round_trip_time
        )
        kind: Kind = "video" if record.kind == "video" else "audio"
        remote = RemoteTrack(kind, feedback, self._clock, connection.heard, self._bandwidth)
        track = IncomingTrack(remote)
        remote.on_media = lambda: track.set_muted(muted=False)
        made = RtpTransceiver(
            record,
            RtpSender(record, connection.path.dtls),
            RtpReceiver(remote, track, connection.path.dtls),
            connection.check_negotiation,
            self._stop,
        )
        self._made.append(made)
        return made

    def carry_out(self, found: Iterable[Effect]) -> None:
        for effect in found:
            match effect:
                case effects.RemoteTransport():
                    self._take_transport(effect)
                case effects.RemoteCandidates():
                    self._take_candidates(effect)
                case effects.RestartDropped():
                    self._drop_restart()
                case effects.RoleAgreed():
                    self._connection.path.role_agreed(effect.role)
                case effects.DataAgreed():
                    self._data = effect
                    self._start_data()
                case effects.DataRejected():
                    self._connection.drop_sctp()
                    self._data, self._data_started = None, False
                case (
                    effects.TrackStarted()
                    | effects.TrackHeld()
                    | effects.Negotiated()
                    | effects.Stopped()
                    | effects.Removed()
                ):
                    self._change(effect)

    def start_media(self) -> None:
        """The path is open: send what was agreed."""
        for each in self._connection.transceivers:
            if each.record.current_direction is not None and each.mid is not None and not each.stopped:
                each.sender.configure(each.record.codecs, each.record.extensions, each.mid)
        self._start_data()

    async def close(self, timeout: float) -> None:
        """Senders say BYE, data channels and tracks end."""
        connection = self._connection
        for each in self._made:
            each.receiver.remote.end()
        ending = [each.sender.stop() for each in self._made]
        if connection.sctp is not None:
            ending.append(connection.sctp.stop())
        try:
            async with asyncio.timeout(timeout):
                for result in await asyncio.gather(*ending, return_exceptions=True):
                    if isinstance(result, Exception):
                        logger.debug("closing: %r", result)
        except TimeoutError:
            logger.warning("the connection did not close within %g s", timeout)
        for each in self._made:
            each.receiver.track.stop()
        await asyncio.gather(*(each.receiver.remote.finish() for each in self._made))
        self._bandwidth.close()

    # Paths

    def _take_transport(self, remote: effects.RemoteTransport) -> None:
        connection = self._connection
        if remote.restarted and connection.signalingState == "have-remote-offer":
            connection.path.restart()
        if remote.moved:
            connection.path.bundle_moves()
        connection.path.described(remote)

    def _take_candidates(self, found: effects.RemoteCandidates) -> None:
        for text in found.candidates:
            try:
                candidate = Candidate.parse(text)
            except ValueError as error:
                logger.debug("a candidate cannot be used: %s", error)
                continue
            self._connection.path.add_candidate(candidate, agreed=False)
        if found.complete:
            self._connection.path.add_candidate(None, agreed=False)

    def _drop_restart(self) -> None:
        self._connection.path.drop_restart()
        self._connection.path.bundle_stays()

    # Media

    def _change(self, effect: Any) -> None:
        each = self._connection.shell(effect.transceiver)
        if each not in self._made:
            return  # the application has stopped it already
        remote, track = each.receiver.remote, each.receiver.track
        match effect:
            case effects.TrackStarted():
                stream = effect.transceiver.remote.streams
                remote.active, remote.mid = True, each.mid or ""
                track.named(stream[0][1] if stream else "")
                self._connection.tell("track", track)
            case effects.TrackHeld():
                remote.active = False
                track.set_muted(muted=True)
            case effects.Negotiated():
                self._configure(each)
            case effects.Stopped():
                self._stop(each)

    def _configure(self, each: RtpTransceiver) -> None:
        record, remote, dtls = each.record, each.receiver.remote, self._connection.path.dtls
        mid = record.mid or ""
        remote.mid = mid
        ids = {extension.uri: extension.id for extension in record.extensions}
        repairs = dict(record.remote.repairs)
        transport_wide = any(codecs.TRANSPORT_FEEDBACK in codec.feedback for codec in record.codecs)
        remote.configure(
            ReceiveParameters(
                record.codecs,
                repairs,
                abs_send_time=ids.get(codecs.ABS_SEND_TIME, 0),
                transport_wide=ids.get(codecs.TRANSPORT_WIDE, 0) if transport_wide else 0,
                layers=record.remote.layers,
            )
        )
        if sdp.receives(record.current_direction or "inactive"):
            ssrcs = (*record.remote.ssrcs, *repairs) if not record.remote.layers else ()
            dtls.router.add(mid, remote, (codec.payload_type for codec in record.codecs), ssrcs)
        else:
            dtls.router.hold(mid)
        known = dtls.extension_ids | ids
        dtls.extension_ids = known
        dtls.router.extensions(known.get(codecs.MID, 0), known.get(codecs.RID, 0), known.get(codecs.REPAIRED_RID, 0))
        if dtls.state == "connected":
            each.sender.configure(record.codecs, record.extensions, mid)

    def _stop(self, each: RtpTransceiver) -> None:
        """Nothing is sent or received any more (webrtc-pc section 5.4.2, "stop sending and receiving")."""
        if each not in self._made:
            return
        self._made.remove(each)
        if each.mid is not None:
            self._connection.path.dtls.router.remove(each.mid)
        each.receiver.remote.active = False
        each.receiver.remote.end()
        each.receiver.track.stop()
        each.sender.detach()
        self._connection.spawn(each.sender.stop())
        self._connection.spawn(each.receiver.remote.finish())

    # Data channels

    def _start_data(self) -> None:
        connection = self._connection
        if self._data is None or self._data_started or connection.path.dtls.state != "connected":
            return
        self._data_started = True
        capabilities = RTCSctpCapabilities(maxMessageSize=self._data.max_message_size)
        connection.spawn(connection.make_sctp().start(capabilities, self._data.port))
