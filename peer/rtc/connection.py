"""One connection to one other side: stock `aiortc.RTCPeerConnection` behind the interface that a call needs.

What it adds to stock: one bundle, explicit ICE servers, descriptions that survive rejected and unknown m-lines,
receivers of our own (encoded frames, no thread), a deadline to connect, a watch over the other side's liveness, and a
close that is bounded. Offer and answer carry all candidates, since aiortc gathers before it speaks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError
from aiortc.exceptions import OperationError as AiortcOperationError
from aiortc.sdp import candidate_from_sdp

from peer.errors import BadDescription, CallLost, Error, IceFailed
from peer.rtc import sdp, stock
from peer.rtc.clock import ParticipantClock
from peer.rtc.liveness import Liveness, Turn
from peer.rtc.receiver import RemoteTrack
from peer.rtc.sender import OutboundPictures, OutboundSound
from peer.rtc.stats import ConnectionStats, OutboundStats, PairStats
from peer.rtc.textchannel import TextChannel
from signaling.messages import SessionDescription

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from aiortc import RTCIceTransport, RTCRtpTransceiver

    from peer.rtc.frames import Kind
    from signaling.messages import IceCandidate, IceServer

logger = logging.getLogger(__name__)

CODECS = {"audio": {"opus", "pcmu", "pcma", "g722"}, "video": {"vp8", "h264"}}
WATCH_INTERVAL = 0.25
CLOSE_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect."""

    ice_servers: Sequence[IceServer] = ()
    connect_timeout: float = 15.0
    """Seconds from having both descriptions to flowing media."""
    disconnected_after: float = 4.0
    """Seconds of silence after which the other side counts as disconnected."""
    lost_after: float = 14.0
    """Seconds of silence after which the call is over."""


class Observer(Protocol):
    """Who is told what happens; plain calls on the event loop, which must not raise."""

    def connected(self) -> None: ...
    def disconnected(self, silence: float) -> None: ...
    def reconnected(self, outage: float) -> None: ...
    def failed(self, error: Error) -> None: ...
    def closed_by_remote(self) -> None: ...
    def track_added(self, track: RemoteTrack) -> None: ...
    def track_removed(self, track: RemoteTrack) -> None: ...
    def text_received(self, text: str | bytes) -> None: ...


class PeerConnection:
    """A connection: made by `offer()` and `apply_answer()`, or by `answer()`; ended by `close()`.

    Operations must not overlap; the call runs them in one chain.
    """

    def __init__(self, options: Options, observer: Observer) -> None:
        self._options = options
        self._observer = observer
        self._pc = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[RTCIceServer(s.urls, s.username, s.credential) for s in options.ice_servers],
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        self._liveness = Liveness(
            connect_timeout=options.connect_timeout,
            disconnected_after=options.disconnected_after,
            lost_after=options.lost_after,
        )
        self._clock = ParticipantClock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tracks: dict[int, RemoteTrack] = {}
        self._sending: dict[OutboundPictures | OutboundSound, RTCRtpTransceiver] = {}
        self._sent_offer: str | None = None
        self._closing: asyncio.Task[None] | None = None
        self.state = "new"
        self.pictures = OutboundPictures()
        self.sound = OutboundSound()
        self._text = TextChannel(self._pc, observer.text_received)
        self._pc.on("connectionstatechange", self._on_state)

    # Negotiation

    async def offer(self) -> SessionDescription:
        """The first offer: one audio and one video m-line, both ways, and a data channel.

        So neither side ever has to offer again to begin to speak or to be seen.
        """
        for track in (self.sound, self.pictures):
            transceiver = self._pc.addTransceiver(track, direction="sendrecv")
            self._sending[track] = transceiver
            self._adopt(transceiver)
        self._text.create()
        self._tune_ice()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self._sent_offer = self._pc.localDescription.sdp
        return SessionDescription("offer", self._sent_offer)

    async def apply_answer(self, answer: SessionDescription) -> None:
        """Take the answer to our offer.

        Raises:
            BadDescription: it cannot be used.
        """
        text, _ = self._understood(answer.sdp, self._sent_offer)
        await self._set_remote("answer", text)
        self._follow(text)
        self._start_watch()

    async def answer(self, offer: SessionDescription) -> SessionDescription:
        """Take an offer, the first or a later one, and answer it.

        Raises:
            BadDescription: it cannot be used.
        """
        text, standins = self._understood(offer.sdp, None)
        mids = set(sdp.directions(text))
        for transceiver in self._pc.getTransceivers():
            if transceiver.mid is not None and transceiver.mid not in mids:
                stock.retire(transceiver)
        await self._set_remote("offer", text)
        for transceiver in self._pc.getTransceivers():
            if transceiver.mid not in standins:
                self._adopt(transceiver)
        self._attach_senders(standins, sdp.directions(text))
        self._tune_ice()
        try:
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except (ValueError, InvalidStateError, AiortcOperationError) as error:
            raise BadDescription(f"the offer cannot be answered ({error}); report it with the offer") from error
        self._follow(text)
        self._end_stopped(offer.sdp)
        self._start_watch()
        return SessionDescription("answer", sdp.for_remote(self._pc.localDescription.sdp, standins))

    async def add_candidate(self, candidate: IceCandidate | None) -> None:
        """Take a candidate of the other side; one that cannot be used is passed over.

        The end of candidates (None) is not passed on: aioice gives up for good when nothing usable came until then,
        while a browser behind an mDNS name still sends checks of its own. Our deadline decides instead.
        """
        transport = self._ice_transport()
        if candidate is None or transport is None or not sdp.usable_candidate(candidate.candidate):
            return
        if len(transport.getRemoteCandidates()) >= sdp.MAX_CANDIDATES:
            return  # each is paired with each of ours
        try:
            parsed = candidate_from_sdp(candidate.candidate.removeprefix("candidate:"))
            parsed.sdpMid = candidate.sdp_mid
            await transport.addRemoteCandidate(parsed)
        except (ValueError, AssertionError, IndexError) as error:
            logger.debug("a candidate cannot be used: %s", error)

    # Tracks and messages

    @property
    def tracks(self) -> list[RemoteTrack]:
        """What the other side sends at the moment, in the order of the m-lines."""
        return [track for track in self._tracks.values() if track.active]

    async def write(self, text: str, timeout: float = 10.0) -> None:
        """Send one message over the data channel; raises as `TextChannel.write`."""
        await self._text.write(text, timeout)

    async def stats(self) -> ConnectionStats:
        """Statistics at this moment."""
        inbound = tuple(track.stats() for track in self._tracks.values())
        outbound = [await self._outbound(transceiver, track.frames) for track, transceiver in self._sending.items()]
        return ConnectionStats(time.monotonic(), self.state, inbound, tuple(outbound), self.pair())

    def pair(self) -> PairStats | None:
        """The selected candidate pair."""
        transport = self._ice_transport()
        chosen = stock.selected_pair(transport) if transport else None
        if chosen is None:
            return None
        local, remote = chosen
        return PairStats(
            local.type,
            f"{local.host}:{local.port}",
            remote.type,
            f"{remote.host}:{remote.port}",
            local.transport,
            self._liveness.round_trip_time,
        )

    @property
    def silence(self) -> float:
        """Seconds since the other side was heard of last, 0 before the media flows."""
        return self._liveness.silence(time.monotonic())

    # The end

    async def close(self) -> None:
        """End it: idempotent, done within five seconds, never raises. Joins nothing on the event loop."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="peer-connection-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.state = "closed"
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        for track in self._tracks.values():
            track.end()
        self.pictures.stop()
        self.sound.stop()
        self._text.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pc.close()
        except TimeoutError:
            logger.warning("the connection did not close within %g s", CLOSE_TIMEOUT)
        except Exception:
            logger.debug("closing the connection failed", exc_info=True)
        await asyncio.gather(*(track.finish() for track in self._tracks.values()))

    # Inside

    def _understood(self, text: str, offer: str | None) -> tuple[str, dict[str, str]]:
        try:
            return sdp.for_engine(text, CODECS, offer)
        except sdp.SdpError as error:
            raise BadDescription(f"the other side's session description cannot be used: {error}") from error

    async def _set_remote(self, kind: str, text: str) -> None:
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(text, kind))
        except (ValueError, AssertionError, LookupError, RuntimeError) as error:  # a StopIteration, too
            raise BadDescription(
                f"the other side's {kind} cannot be used: {error}; report it with the {kind}"
            ) from error
        except (InvalidStateError, InvalidAccessError, AiortcOperationError) as error:
            raise BadDescription(f"the other side's {kind} cannot be used now: {error}; call again") from error

    def _adopt(self, transceiver: RTCRtpTransceiver) -> None:
        """Put a receiver of ours in the place of aiortc's, before it starts."""
        if id(transceiver) in self._tracks:
            return
        kind: Kind = "video" if transceiver.kind == "video" else "audio"
        track = RemoteTrack(kind, stock.RtcpOut(transceiver, self._spawn), self._clock, self._liveness.heard)
        self._tracks[id(transceiver)] = track
        stock.take_over(transceiver.receiver, track)

    def _attach_senders(self, standins: dict[str, str], directions: dict[str, str]) -> None:
        """Send on the first usable m-line of each kind; on another that is listened to, where that one is gone."""
        for track in (self.sound, self.pictures):
            present = self._sending.get(track)
            if present is not None and present.mid not in standins and not stock.retired(present):
                continue
            for transceiver in self._pc.getTransceivers():
                fits = transceiver.kind == track.kind and transceiver.mid not in standins
                if not fits or stock.retired(transceiver):
                    continue
                if present is None or directions.get(transceiver.mid or "") in ("sendrecv", "recvonly"):
                    if present is not None:
                        present.sender.replaceTrack(None)
                    transceiver.sender.replaceTrack(track)
                    transceiver.direction = "sendrecv"
                    self._sending[track] = transceiver
                    break

    def _follow(self, remote: str) -> None:
        """Tell which tracks the other side began or ceased to send with this description."""
        directions = sdp.directions(remote)
        for transceiver in self._pc.getTransceivers():
            track = self._tracks.get(id(transceiver))
            if track is None:
                continue
            track.mid = transceiver.mid or ""
            sends = directions.get(track.mid, "stopped") in ("sendrecv", "sendonly")
            if sends and not track.active:
                track.active = True
                self._observer.track_added(track)
            elif track.active and not sends:
                track.active = False
                self._observer.track_removed(track)

    def _end_stopped(self, offer: str) -> None:
        """Tracks whose m-line was rejected for good, or given to another mid, come to their end."""
        directions = sdp.directions(offer)
        for transceiver in self._pc.getTransceivers():
            track = self._tracks.get(id(transceiver))
            stopped = directions.get(transceiver.mid or "") == "stopped" or stock.retired(transceiver)
            if track is not None and stopped:
                track.end()

    def _ice_transport(self) -> RTCIceTransport | None:
        for transceiver in self._pc.getTransceivers():
            return transceiver.receiver.transport.transport
        return self._pc.sctp.transport.transport if self._pc.sctp else None

    def _tune_ice(self) -> None:
        transport = self._ice_transport()
        if transport is not None:
            stock.tune_ice(transport, self._liveness)

    def _on_state(self) -> None:
        state = self._pc.connectionState
        logger.debug("connection state %s", state)
        if self._closing is not None or self.state == "closed":
            return
        if state == "connected" and self.state in ("new", "connecting"):
            self.state = "connected"
            self._liveness.connected(time.monotonic())
            self._observer.connected()
        elif state == "failed" and self.state == "connecting":  # the handshake: no use in waiting for the deadline
            self.state = "failed"
            self._liveness.give_up()
            self._observer.failed(self._connect_error())
        elif state in ("closed", "failed") and self.state in ("connected", "disconnected"):
            self.state = "closed"
            self._observer.closed_by_remote()

    def _start_watch(self) -> None:
        if self.state == "new":
            self.state = "connecting"
            self._liveness.start(time.monotonic())
            self._spawn(self._watch_over())
            if self._pc.connectionState == "connected":
                self._on_state()

    async def _watch_over(self) -> None:
        """Hold the connection to its deadlines: to connect, and to be heard of."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            match self._liveness.look(time.monotonic()):
                case Turn.TOO_LATE:
                    self.state = "failed"
                    self._observer.failed(self._connect_error())
                case Turn.LOST:
                    self.state = "failed"
                    self._observer.failed(
                        CallLost(f"nothing was heard of the other side for {self.silence:.0f} s; call again")
                    )
                case Turn.DISCONNECTED:
                    self.state = "disconnected"
                    self._observer.disconnected(self.silence)
                case Turn.RECONNECTED:
                    self.state = "connected"
                    self._observer.reconnected(self._liveness.outage)

    def _connect_error(self) -> IceFailed:
        transport = self._ice_transport()
        seconds = self._options.connect_timeout
        if transport is not None and transport.state == "completed":
            return IceFailed("the path is open but the DTLS handshake did not succeed; call again", "dtls")
        local = {c.type for c in transport.iceGatherer.getLocalCandidates()} if transport else set()
        remote = len(transport.getRemoteCandidates()) if transport else 0
        return IceFailed(
            f"no path to the other side within {seconds:g} s (own candidates: {', '.join(sorted(local)) or 'none'}; "
            f"{remote} of the other side); if one of you is behind a strict NAT or firewall, "
            "add a TURN server with --ice-server turn:USER:PASSWORD@HOST",
            "ice",
        )

    async def _outbound(self, transceiver: RTCRtpTransceiver, frames: int) -> OutboundStats:
        packets = size = lost = 0
        round_trip = None
        for entry in (await transceiver.sender.getStats()).values():
            if entry.type == "outbound-rtp":
                packets, size = entry.packetsSent, entry.bytesSent
            elif entry.type == "remote-inbound-rtp":
                lost, round_trip = entry.packetsLost, entry.roundTripTime
        return OutboundStats(
            transceiver.kind, stock.sending_codec(transceiver), packets, size, frames, lost, round_trip
        )

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._closing is not None:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
