"""What a call needs of a connection: its own sound, pictures and text on one side, what the other sends on the other.

A thin layer over `peer.rtc.connection.PeerConnection`, which could be any W3C one: it says what is sent, follows what
the other side sends, holds the handshake to a deadline, and turns events into calls of an `Observer`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiortc import RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from peer.errors import BadDescription, CallLost, Error, IceFailed
from peer.linkstats import selected
from peer.rtc.awareness import with_recording_announced
from peer.rtc.configuration import Configuration
from peer.rtc.connection import PeerConnection
from peer.rtc.dtls import data_on_its_way
from peer.rtc.ice.servers import IceSettings
from peer.rtc.sender import OutboundPictures, OutboundSound
from peer.rtc.stats import ConnectionStats, PairStats, outbound_stats
from peer.rtc.textchannel import TextChannel
from peer.rtc.transceiver import RtpReceiver, RtpTransceiver
from signaling.messages import IceCandidate, SessionDescription
from signaling.sdpfrag import mux_only

if TYPE_CHECKING:
    from peer.rtc.dtmfsender import DtmfSender
    from peer.rtc.receiver import RemoteTrack
    from peer.rtc.textaccount import TextAccount

logger = logging.getLogger(__name__)

HANDSHAKE_GRACE = 1.0
"""Seconds that the DTLS handshake may take longer than the deadline for the path itself."""
OFFER_GRACE = 0.5
"""Seconds that an offer over WHIP or WHEP waits for candidates: not every server takes those that come later."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect."""

    ice: IceSettings = field(default_factory=IceSettings)
    direction: str = "sendrecv"
    """`sendonly` or `recvonly`: media one way, no texts, and nothing but ICE is ever negotiated again."""


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
    def negotiation_needed(self) -> None: ...
    def candidate_found(self, candidate: IceCandidate | None) -> None: ...
    def addresses_changed(self) -> None: ...


class Link:
    """One connection of a call. Its operations are run one after the other by the call."""

    def __init__(self, options: Options, observer: Observer, before: Link | None = None) -> None:
        """`before`: the call's connection that this one takes the place of; what it sends goes on here."""
        self._options = options
        self._one_way = options.direction != "sendrecv"
        self._observer = observer
        self._pc = PeerConnection(Configuration(options.ice, trickle=True))
        self._tracks: dict[int, RemoteTrack] = {}
        self._said: set[str] = set()
        self._deadline: asyncio.TimerHandle | None = None
        self._lost_at = 0.0
        self._closing = False
        self.pictures = OutboundPictures()
        self.sound = OutboundSound()
        self.silent: bool = before.silent if before else options.direction == "recvonly"
        """Whether no media is sent: our offers and answers say `recvonly`."""
        self.video_codecs: tuple[str, ...] = before.video_codecs if before else ()
        """By name, what a silent one wants, most wanted first; empty: whatever the other side wants."""
        self.recording: bool = before.recording if before else False
        """Whether our descriptions say that we record (RFC 7866)."""
        self.state = "new"
        """`new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`."""
        self._text = TextChannel(self._pc, observer.text_received, before.account if before else None)
        if before is not None:
            before.give_up()
            before.pictures.hand_over(self.pictures)
            before.sound.hand_over(self.sound)
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("negotiationneeded", observer.negotiation_needed)
        self._pc.on("icecandidate", self._on_candidate)
        self._pc.on("addresschange", observer.addresses_changed)

    # Negotiation

    def prepare(self) -> None:
        """Before the first offer of ours: one audio and one video m-line, both ways, and a data channel.

        So neither side ever has to offer again to begin to speak or to be seen. A silent one only receives. Where media
        goes one way, there are m-lines for what there is to send, and no channel.
        """
        if self.silent:
            for kind in ("audio", "video"):
                self._pc.addTransceiver(kind, direction="recvonly")
            self._prefer()
        elif self._one_way:
            tracks = self.sound, self.pictures
            for track in [each for each in tracks if each.showing] or tracks:
                self._pc.addTransceiver(track, direction="sendonly")
        else:
            self._pc.addTrack(self.sound)
            self._pc.addTrack(self.pictures)
        if not self._one_way:
            self._text.create()

    async def offer(self) -> SessionDescription | None:
        """An offer, None where there is nothing to negotiate any more."""
        if self._pc.signalingState != "stable":
            return None
        await self._pc.setLocalDescription()
        return await self.gathered(OFFER_GRACE) if self._one_way else self._described()

    def described(self) -> SessionDescription:
        """Our description as it is now, with the candidates found so far."""
        return self._described()

    async def take_back(self) -> None:
        """Roll an offer of ours back; nothing was agreed by it."""
        if self.crossing:
            await self._pc.setLocalDescription(RTCSessionDescription("", "rollback"))

    async def take(self, description: SessionDescription) -> SessionDescription | None:
        """Take a description of the other side; returns the answer to an offer. An offer of ours gives way.

        Raises:
            BadDescription: it cannot be used; what was agreed before goes on.
        """
        kind = description.type
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(description.sdp, kind))
            if kind == "offer":
                self._attach()
                self._prefer()
                await self._pc.setLocalDescription()
        except InvalidStateError as error:
            raise BadDescription(f"the other side's {kind} cannot be used now: {error}; call again") from error
        except ValueError as error:
            raise BadDescription(
                f"the other side's {kind} cannot be used: {error}; report it with the {kind}"
            ) from error
        self._follow()
        self._begin()
        return self._described() if kind == "offer" else None

    async def gathered(self, timeout: float = 1.0) -> SessionDescription:
        """The local description once all candidates are in it, or after `timeout` seconds with those found by then."""
        await self._pc.path.gathered(timeout)
        return self._described()

    async def add_candidate(self, candidate: IceCandidate | None) -> None:
        """Take a candidate of the other side; one that cannot be used is passed over."""
        try:
            if candidate is None or not candidate.candidate:
                await self._pc.addIceCandidate(None)
                return
            await self._pc.addIceCandidate(
                {
                    "candidate": candidate.candidate,
                    "sdpMid": candidate.sdp_mid,
                    "sdpMLineIndex": candidate.sdp_mline_index,
                    "usernameFragment": candidate.username_fragment,
                }
            )
        except (ValueError, InvalidStateError) as error:
            logger.debug("a candidate cannot be used: %s", error)

    @property
    def crossing(self) -> bool:
        """Whether an offer of ours is on its way."""
        return self._pc.signalingState == "have-local-offer"

    @property
    def restarts(self) -> int:
        """ICE restarts that both sides agreed on so far."""
        return self._pc.path.restarts

    def restart(self) -> None:
        """Look for another path; the next negotiation, which becomes needed, brings it."""
        self._pc.restartIce()

    # Tracks and messages

    def provide(self, kind: str) -> None:
        """See to it that pictures or sound of ours can be sent: adds an m-line where the call has none for them."""
        track = self.pictures if kind == "video" else self.sound
        negotiated = any(each.mid is not None for each in self._pc.getTransceivers())
        if self._one_way:
            return
        self.silent = False
        if negotiated and self._sending(track) is None and not self._closing:
            self._pc.addTrack(track)

    @property
    def tracks(self) -> list[RemoteTrack]:
        """What the other side sends at the moment, in the order of the m-lines."""
        return list(self._tracks.values())

    @property
    def account(self) -> TextAccount:
        """The texts of the call so far."""
        return self._text.account

    def resume_texts(self, heard: int) -> None:
        """The other side has heard so many texts of ours: send it those that came after, before anything new."""
        self._text.resume(heard)

    async def write(self, text: str | bytes, timeout: float = 10.0) -> None:
        """Send one message over the data channel; raises as `TextChannel.write`."""
        await self._text.write(text, timeout)

    def keypad(self) -> DtmfSender | None:
        """What presses keys among our sound; None where there is no m-line for it."""
        sending = self._sending(self.sound)
        return sending.sender.dtmf if sending is not None else None

    async def flush(self, timeout: float) -> None:
        """Wait until the other side has every text that was written, at most `timeout` seconds."""
        sctp = self._pc.sctp
        deadline = time.monotonic() + timeout
        # aiortc's SCTP tells nobody when it has nothing on its way any more.
        while sctp is not None and self.state == "connected" and data_on_its_way(sctp):
            if time.monotonic() > deadline:
                logger.debug("not every text was acknowledged")
                return
            await asyncio.sleep(0.005)

    def refresh(self) -> None:
        """After an outage: ask for keyframes, and send some."""
        for track in self.tracks:
            track.request_keyframe()
        for sender in self._pc.getSenders():
            sender.request_keyframe()

    async def stats(self) -> ConnectionStats:
        """Statistics at this moment."""
        inbound = tuple(each.receiver.remote.stats() for each in self._pc.getTransceivers() if each.mid is not None)
        outbound = [
            outbound_stats((await each.sender.getStats()).values())
            for track in (self.sound, self.pictures)
            if (each := self._sending(track)) is not None
        ]
        return ConnectionStats(time.monotonic(), self.state, inbound, tuple(outbound), self.pair())

    def pair(self) -> PairStats | None:
        """The selected candidate pair."""
        return selected(self._pc.ice)

    @property
    def silence(self) -> float:
        """Seconds since the other side was heard of last, 0 before the media flows."""
        silence: float = self._pc.ice.silence(time.monotonic()) if self.state in ("connected", "disconnected") else 0.0
        return silence

    # The end

    def give_up(self) -> None:
        """Nothing of it counts any more: it tells nothing, and takes no text. `close()` still has to be called."""
        self._closing = True
        self.state = "closed"
        if self._deadline is not None:
            self._deadline.cancel()
        self._text.close()

    async def close(self) -> None:
        """End it: idempotent, done within five seconds, never raises. Joins nothing on the event loop."""
        self.give_up()
        self.pictures.stop()
        self.sound.stop()
        await self._pc.close()

    # Inside

    def _described(self) -> SessionDescription:
        description = self._pc.localDescription
        assert description is not None
        self._said = {line[2:] for line in description.sdp.splitlines() if line.startswith("a=candidate:")}
        sdp = mux_only(description.sdp) if self._one_way else description.sdp
        if self.recording:
            sdp = with_recording_announced(sdp)
        return SessionDescription("offer" if description.type == "offer" else "answer", sdp)

    def _attach(self) -> None:
        """Send on the first m-line of each kind, and on another where that one is gone."""
        if self.silent:
            return
        for track in (self.sound, self.pictures):
            if self._sending(track) is None and any(_free(each, track.kind) for each in self._pc.getTransceivers()):
                self._pc.addTrack(track)

    def _prefer(self) -> None:
        """Where we send nothing, what comes may be chosen for the sake of whoever takes it."""
        capabilities = RtpReceiver.getCapabilities("video")
        if not self.silent or not self.video_codecs or capabilities is None:
            return
        names = [f"video/{name}" for name in self.video_codecs]
        wanted = sorted(capabilities.codecs, key=lambda each: [*names, each.mimeType].index(each.mimeType))
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video" and not transceiver.stopped:
                transceiver.setCodecPreferences(wanted)

    def _sending(self, track: OutboundPictures | OutboundSound) -> RtpTransceiver | None:
        return next((t for t in self._pc.getTransceivers() if t.sender.track is track and not t.stopped), None)

    def _follow(self) -> None:
        """Tell which tracks the other side began or ceased to send with this description."""
        now = {id(t): t.receiver.remote for t in self._pc.getTransceivers() if t.receiver.remote.active}
        before, self._tracks = self._tracks, now
        for key, track in before.items():
            if key not in now:
                self._observer.track_removed(track)
        for key, track in now.items():
            if key not in before:
                self._observer.track_added(track)

    def _begin(self) -> None:
        """Both descriptions are there: the path has its own deadline, this is one for the handshake too."""
        if self.state == "new":
            self.state = "connecting"
            seconds = self._options.ice.connect_timeout + HANDSHAKE_GRACE
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._too_late)
            self._on_state()

    def _too_late(self) -> None:
        if self.state == "connecting":
            self._fail(self._connect_error())

    def _on_candidate(self, found: Any) -> None:
        if found is None:
            self._observer.candidate_found(None)
        elif found.candidate not in self._said:
            named = IceCandidate(found.candidate, found.sdpMid, found.sdpMLineIndex, found.usernameFragment)
            self._observer.candidate_found(named)

    def _on_state(self) -> None:
        state = self._pc.connectionState
        logger.debug("connection state %s", state)
        if self._closing or self.state in ("closed", "failed", "new"):
            return
        if state == "connected":
            self._on_connected()
        elif state == "disconnected" and self.state == "connected":
            self.state, self._lost_at = "disconnected", time.monotonic() - self.silence
            self._observer.disconnected(self.silence)
        elif state == "failed":
            self._fail(self._connect_error() if self.state == "connecting" else self._lost_error())
        elif state == "closed":
            before, self.state = self.state, "closed"
            if before == "connecting":
                self._observer.failed(self._connect_error())
            else:
                self._observer.closed_by_remote()

    def _on_connected(self) -> None:
        before, self.state = self.state, "connected"
        if before == "connecting":
            if self._deadline is not None:
                self._deadline.cancel()
            self._observer.connected()
        elif before == "disconnected":
            self.refresh()
            self._observer.reconnected(time.monotonic() - self._lost_at)

    def _fail(self, error: Error) -> None:
        self.state = "failed"
        self._observer.failed(error)

    def _connect_error(self) -> IceFailed:
        ice = self._pc.ice
        if ice.state in ("connected", "completed"):
            return IceFailed("the path is open but the DTLS handshake did not succeed; call again", "dtls")
        return IceFailed(ice.explain(), "ice")

    def _lost_error(self) -> CallLost:
        return CallLost(f"nothing was heard of the other side for {time.monotonic() - self._lost_at:.0f} s; call again")


def _free(transceiver: RtpTransceiver, kind: str) -> bool:
    return transceiver.kind == kind and transceiver.sender.track is None and not transceiver.stopped
