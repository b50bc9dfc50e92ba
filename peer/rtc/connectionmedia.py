"""What a connection carries: transceivers, tracks, data channels, and statistics about them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from weakref import WeakSet

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCSctpTransport,
    RTCStatsReport,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError

from peer.rtc import report, sdp
from peer.rtc.carrying import Carrier
from peer.rtc.connectionstate import ConnectionState
from peer.rtc.dtls import SctpTransport, close_channel
from peer.rtc.effects import Transceiver
from peer.rtc.emitter import log_error
from peer.rtc.transceiver import RtpReceiver, RtpSender, RtpTransceiver, random_ssrc

if TYPE_CHECKING:
    from peer.rtc.configuration import Configuration


class ConnectionMedia(ConnectionState):
    """The part of `PeerConnection` that has tracks and channels."""

    def __init__(self, configuration: RTCConfiguration | Configuration | None = None) -> None:
        super().__init__(configuration)
        self._cname = uuid.uuid4().hex[:16]
        self._stream_id = str(uuid.uuid4())
        self._transceivers: list[RtpTransceiver] = []
        self._senders: WeakSet[RtpSender] = WeakSet()
        """Of all transceivers that there ever were."""
        self._sctp: RTCSctpTransport | None = None
        self._channels: WeakSet[RTCDataChannel] = WeakSet()
        self._carrier = Carrier(self)
        if self._configuration.data_channels:
            self._session.data.wanted = self._session.data.first = True

    def getTransceivers(self) -> list[RtpTransceiver]:
        return [each for each in self._transceivers if not each.record.stopped]

    def getSenders(self) -> list[RtpSender]:
        return [each.sender for each in self.getTransceivers()]

    def getReceivers(self) -> list[RtpReceiver]:
        return [each.receiver for each in self.getTransceivers()]

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The transport of the data channels, None while there are none."""
        return self._sctp

    # Tracks

    def addTrack(self, track: MediaStreamTrack, *streams: str) -> RtpSender:
        """Send a track. `streams` are ids of media streams that it belongs to.

        Raises:
            InvalidStateError: the connection is closed.
            InvalidAccessError: it is sent already.
        """
        self._check_track(track)
        for each in self.getTransceivers():
            free = each.sender.track is None and not each.stopped and each.kind == track.kind
            if free and (each.record.adoptable or not each.record.track_id):
                self._give(each, track, streams)
                receives = sdp.receives(each.record.direction)
                each.record.direction = sdp.direction_of(send=True, receive=receives)
                self.check_negotiation()
                return each.sender
        return self._new(Transceiver(track.kind), track, streams).sender

    def addTransceiver(self, trackOrKind: MediaStreamTrack | str, direction: str = "sendrecv") -> RtpTransceiver:
        """A new m-line. Raises as `addTrack`, and InternalError for a kind or direction that there is not."""
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = track.kind if track is not None else str(trackOrKind)
        self._assert_open()
        if track is not None:
            self._check_track(track)
        if kind not in ("audio", "video"):
            raise InternalError(f'Invalid track kind "{kind}"')
        if direction not in sdp.DIRECTIONS:
            raise InternalError(f'Invalid direction "{direction}"')
        return self._new(Transceiver(kind, direction), track, ())

    def removeTrack(self, sender: RtpSender) -> None:
        """Stop sending, after the next negotiation also in the description (webrtc-pc section 5.1).

        Raises:
            InvalidStateError: the connection is closed.
            InvalidAccessError: the sender is of another connection.
        """
        self._assert_open()
        if sender not in self._senders:
            raise InvalidAccessError("this sender is not of this connection")
        each = next((each for each in self.getTransceivers() if each.sender is sender), None)
        if each is None or each.stopped or sender.track is None:
            return  # there is nothing to remove
        sender.replaceTrack(None)
        receives = sdp.receives(each.record.direction)
        each.record.direction = sdp.direction_of(send=False, receive=receives)
        self.check_negotiation()

    def _check_track(self, track: MediaStreamTrack) -> None:
        self._assert_open()
        if track.kind not in ("audio", "video"):
            raise InternalError(f'Invalid track kind "{track.kind}"')
        if any(each.sender.track is track for each in self._transceivers):
            raise InvalidAccessError("Track already has a sender")

    def _new(self, record: Transceiver, track: MediaStreamTrack | None, streams: tuple[str, ...]) -> RtpTransceiver:
        try:
            self._session.add(record)
        except sdp.SdpError as error:
            raise InvalidStateError(str(error)) from error
        made = self.shell(record)
        self._give(made, track, streams)
        self.check_negotiation()
        return made

    def _give(self, each: RtpTransceiver, track: MediaStreamTrack | None, streams: tuple[str, ...]) -> None:
        each.record.streams = streams or (self._stream_id,)
        each.record.track_id = track.id if track is not None else str(uuid.uuid4())
        if track is not None:
            each.sender.replaceTrack(track)

    # Data channels

    def createDataChannel(
        self,
        label: str,
        maxPacketLifeTime: int | None = None,
        maxRetransmits: int | None = None,
        ordered: bool = True,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,
    ) -> RTCDataChannel:
        """A data channel (RFC 8831). Raises ValueError for options that exclude each other."""
        self._assert_open()
        if maxPacketLifeTime is not None and maxRetransmits is not None:
            raise ValueError("Cannot specify both maxPacketLifeTime and maxRetransmits")
        parameters = RTCDataChannelParameters(
            label, maxPacketLifeTime, maxRetransmits, ordered, protocol, negotiated, id
        )
        channel = self._channel(RTCDataChannel(self.make_sctp(), parameters))
        self._session.data.wanted, self._session.data.rejected = True, False
        self.check_negotiation()
        return channel

    def _channel(self, channel: RTCDataChannel) -> RTCDataChannel:
        channel.on("error", log_error)  # else a handler of `message` that raises would lose the rest of the packet
        self._channels.add(channel)
        return channel

    def make_sctp(self) -> RTCSctpTransport:
        if self._sctp is None:
            self._sctp = SctpTransport(self._path.dtls)
            self._sctp.on("datachannel", lambda channel: self.tell("datachannel", self._channel(channel)))
        return self._sctp

    def drop_sctp(self) -> None:
        """The other side takes no data channels."""
        sctp, self._sctp = self._sctp, None
        if sctp is not None:
            self.spawn(sctp.stop())
        self.close_channels()

    def close_channels(self) -> None:
        """Those too that never were open (webrtc-pc section 6.2.4)."""
        for channel in list(self._channels):
            close_channel(channel)
        self._channels.clear()

    # Statistics

    async def getStats(self) -> RTCStatsReport:
        """Statistics with W3C names: streams of both directions, transport, candidates and their pairs."""
        merged = RTCStatsReport()
        for each in self.getTransceivers():
            merged.update(await each.sender.getStats())
            merged.update(await each.receiver.getStats())
        merged.update(report.transport(self._path))
        merged.update(report.candidates(self._path))
        return merged

    # For the carrier

    @property
    def transceivers(self) -> list[RtpTransceiver]:
        """With those that were stopped by the description that is carried out."""
        return self._transceivers

    def shell(self, record: Transceiver) -> RtpTransceiver:
        """The application's side of a transceiver, made when it is needed first."""
        for each in self._transceivers:
            if each.record is record:
                return each
        record.cname = self._cname
        record.ssrc, record.rtx_ssrc = random_ssrc(), random_ssrc()
        made = self._carrier.make(record)
        self._transceivers.append(made)
        self._senders.add(made.sender)
        return made
