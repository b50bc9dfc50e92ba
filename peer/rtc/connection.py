"""`PeerConnection`: the W3C interface (webrtc-pc section 4.4) with aiortc's spelling, over our own engine.

What is to be said and done is decided in `peer.rtc.jsep`, which is pure; this carries it out, one operation after the
other, and tells in events. A handler that raises is logged, and breaks nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from typing import TYPE_CHECKING, Any

from aiortc import (
    MediaStreamTrack,
    RTCCertificate,
    RTCConfiguration,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCSctpTransport,
    RTCSessionDescription,
    RTCStatsReport,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError
from pyee.asyncio import AsyncIOEventEmitter

from peer.rtc import agreement, describe, icecandidate, report, sdp
from peer.rtc.carrying import Carrier
from peer.rtc.configuration import Configuration
from peer.rtc.effects import Transceiver
from peer.rtc.jsep import Session, WrongState
from peer.rtc.path import Path
from peer.rtc.transceiver import RtpReceiver, RtpSender, RtpTransceiver, random_ssrc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from peer.rtc.effects import Effect
    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.servers import CandidateError

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0


class PeerConnection(AsyncIOEventEmitter):
    """A drop-in for `aiortc.RTCPeerConnection`.

    Beyond that: `icecandidate`, `icecandidateerror` and `negotiationneeded` events, `restartIce()`, rollback,
    `removeTrack()`, `canTrickleIceCandidates`, current and pending descriptions, tracks that are muted on hold and
    come back, and candidate pairs in `getStats()`.
    """

    def __init__(self, configuration: RTCConfiguration | Configuration | None = None) -> None:
        super().__init__()
        self._configuration = Configuration.of(configuration)
        self._certificate = RTCCertificate.generateCertificate()
        self._session = Session(random.getrandbits(62))
        self._cname = uuid.uuid4().hex[:16]
        self._stream_id = str(uuid.uuid4())
        self._transceivers: list[RtpTransceiver] = []
        self._sctp: RTCSctpTransport | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._operation = asyncio.Lock()
        self._negotiation_told = False
        self._held: list[tuple[Any, ...]] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._states = {"connection": "new", "iceConnection": "new", "iceGathering": "new"}
        self._path = Path(self._configuration.ice, self._certificate, self)
        self._carrier = Carrier(self)

    # States and descriptions

    @property
    def connectionState(self) -> str:
        """`new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`; event `connectionstatechange`."""
        return self._states["connection"]

    @property
    def iceConnectionState(self) -> str:
        """`new`, `checking`, `connected`, `completed`, `disconnected`, `failed` or `closed`."""
        return self._states["iceConnection"]

    @property
    def iceGatheringState(self) -> str:
        """`new`, `gathering` or `complete`; event `icegatheringstatechange`."""
        return self._states["iceGathering"]

    @property
    def signalingState(self) -> str:
        """`stable`, `have-local-offer`, `have-remote-offer` or `closed`; event `signalingstatechange`."""
        return self._session.state

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the other side takes candidates after its description; None before there is one."""
        remote = self._session.pending_remote or self._session.current_remote
        if remote is None:
            return None
        lines = [*remote.session, *(line for section in remote.media for line in section.lines)]
        return any(line.startswith("a=ice-options:") and "trickle" in line for line in lines)

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """The pending one, else the current; with the candidates found so far."""
        return self.pendingLocalDescription or self.currentLocalDescription

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        return self.pendingRemoteDescription or self.currentRemoteDescription

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        return self._local(self._session.current_local, "offer" if self._session.offered_locally else "answer")

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        return self._local(self._session.pending_local, "offer")

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        return _wrapped(self._session.current_remote, "answer" if self._session.offered_locally else "offer")

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        return _wrapped(self._session.pending_remote, "offer")

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The transport of the data channels, None while there are none."""
        return self._sctp

    @property
    def ice(self) -> Any:
        """The `IceTransport`: selected pair, silence, why it failed."""
        return self._path.ice

    def getTransceivers(self) -> list[RtpTransceiver]:
        return [each for each in self._transceivers if not each.record.stopped]

    def getSenders(self) -> list[RtpSender]:
        return [each.sender for each in self.getTransceivers()]

    def getReceivers(self) -> list[RtpReceiver]:
        return [each.receiver for each in self.getTransceivers()]

    # Negotiation

    async def createOffer(self, *, iceRestart: bool = False) -> RTCSessionDescription:
        """An offer for what the transceivers and data channels are to be.

        Raises:
            InvalidStateError: the connection is closed.
        """
        async with self._operating():
            if iceRestart:
                self._session.restart_wanted = True
            return RTCSessionDescription(self._create("offer"), "offer")

    async def createAnswer(self) -> RTCSessionDescription:
        """The answer to the offer that was set. Raises InvalidStateError when there is none."""
        async with self._operating():
            return RTCSessionDescription(self._create("answer"), "answer")

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:
        """Take our own offer or answer (made here when none is given), or roll back; gathering begins.

        Raises:
            InvalidStateError: not in this signaling state.
            ValueError: it cannot be used.
        """
        async with self._operating():
            given = sessionDescription
            kind = given.type if given is not None else self._due()
            if kind == "rollback":
                self._roll_back()
                return
            text = given.sdp if given is not None else self._create(kind)
            self._held = [] if self._held is None else self._held
            try:
                effects = self._changed_state(self._session.set_local, kind, text)
                await self._path.gather()
                self._assert_open()  # it may have been closed meanwhile
                self._carry_out(effects, agreed=kind == "answer")
                if not self._trickles():
                    await self._path.gathered(self._configuration.gather_timeout)
            finally:
                self._release()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Take the other side's offer or answer. An offer that crosses ours rolls ours back (webrtc-pc 4.4.1.5).

        Raises:
            InvalidStateError: not in this signaling state.
            ValueError: it cannot be used; nothing has changed.
        """
        async with self._operating():
            kind, text = sessionDescription.type, sessionDescription.sdp
            if kind == "rollback" or (kind == "offer" and self.signalingState == "have-local-offer"):
                self._roll_back()
                if kind == "rollback":
                    return
            if kind == "offer" and self.signalingState == "stable":
                self._path.drop_restart()  # one that createOffer began, and no offer of ours carried out
            self._carry_out(self._changed_state(self._session.set_remote, kind, text), agreed=kind == "answer")

    async def addIceCandidate(self, candidate: Any = None) -> None:
        """Take a candidate of the other side (aiortc's, ours, or a browser's JSON as dict), None for "no more".

        Raises:
            ValueError: it is not a candidate.
        """
        found = None if candidate is None else icecandidate.given(candidate)
        async with self._operating():
            remote = self._session.pending_remote or self._session.current_remote
            if found is None or found.candidate is None:
                self._path.add_candidate(None, agreed=self._session.pending_remote is None)
            elif remote is None or _stands_for_path(remote, found):
                agreed = remote is not None and self._session.pending_remote is None
                self._path.add_candidate(found.candidate, agreed=agreed)
            # Others are of an m-line that has no transport of its own any more: the bundle took it in.

    def restartIce(self) -> None:
        """Have the next negotiation, which becomes needed, bring new candidates (webrtc-pc section 4.4.3)."""
        self._session.restart_wanted = True
        self.check_negotiation()

    # Tracks and channels

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
        """Stop sending, after the next negotiation also in the description (webrtc-pc section 5.1)."""
        self._assert_open()
        each = next((each for each in self._transceivers if each.sender is sender), None)
        if each is None:
            raise InvalidAccessError("this sender is not of this connection")
        sender.replaceTrack(None)
        receives = sdp.receives(each.record.direction)
        each.record.direction = sdp.direction_of(send=False, receive=receives)
        self.check_negotiation()

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
        channel = RTCDataChannel(self.make_sctp(), parameters)
        self._session.data.wanted, self._session.data.rejected = True, False
        self.check_negotiation()
        return channel

    async def getStats(self) -> RTCStatsReport:
        """Statistics with W3C names: streams of both directions, transport, candidates and their pairs."""
        merged = RTCStatsReport()
        for each in self.getTransceivers():
            merged.update(await each.sender.getStats())
            merged.update(await each.receiver.getStats())
        merged.update(self._path.dtls.statistics())
        merged.update(report.candidates(self._path.ice))
        return merged

    # The end

    async def close(self) -> None:
        """End it: idempotent, bounded, never raises; joins nothing on the event loop."""
        if self._closing is None:
            self._closed = True
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="peer-connection-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._session.close()
        self.tell("signalingstatechange")
        await self._carrier.close(CLOSE_TIMEOUT)
        await self._path.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        self._update_states()
        self.remove_all_listeners()

    # Carrying out

    def _create(self, kind: str) -> str:
        try:
            if kind == "answer":
                return self._session.create_answer(self._path.local)
            if self._session.restart_wanted and self._session.current_remote is not None:
                self._path.restart()
            return self._session.create_offer(self._path.local)
        except WrongState as error:
            raise InvalidStateError(str(error)) from error

    def _due(self) -> str:
        """What `setLocalDescription()` without a description makes."""
        return "answer" if self.signalingState == "have-remote-offer" else "offer"

    def _changed_state(self, change: Any, *arguments: str) -> list[Effect]:
        before = self.signalingState
        try:
            effects: list[Effect] = change(*arguments)
        except WrongState as error:
            raise InvalidStateError(str(error)) from error
        if self.signalingState == "stable":
            self._negotiation_told = False  # webrtc-pc section 4.4.1.5: asked anew whenever it is stable again
        if self.signalingState != before:
            self.tell("signalingstatechange")
        return effects

    def _roll_back(self) -> None:
        self._carry_out(self._changed_state(self._session.rollback), agreed=False)

    def _carry_out(self, effects: list[Effect], *, agreed: bool) -> None:
        self._carrier.carry_out(effects)
        if agreed:
            if self._path.restarting:
                self._session.restart_wanted = False
            self._path.agree(controlling=self._session.offered_locally)
        self._transceivers = [each for each in self._transceivers if not each.record.stopped]

    def _trickles(self) -> bool:
        wanted = self._configuration.trickle
        return wanted if wanted is not None else "icecandidate" in self.event_names()

    @contextlib.asynccontextmanager
    async def _operating(self) -> AsyncIterator[None]:
        """One operation at a time (webrtc-pc section 4.4.1.2), none on a closed connection."""
        self._assert_open()
        async with self._operation:
            self._assert_open()
            yield
        self.check_negotiation()

    def check_negotiation(self) -> None:
        """Tell `negotiationneeded`, once, when it is and nothing else is going on (webrtc-pc section 4.7.3)."""
        if not self._closed:
            asyncio.get_running_loop().call_soon(self._tell_negotiation)

    def _tell_negotiation(self) -> None:
        if self._closed or self._operation.locked() or self.signalingState != "stable":
            return  # asked again when the operation is over, and when the state is stable
        needed = self._session.negotiation_needed()
        if needed and not self._negotiation_told:
            self._negotiation_told = True
            self.tell("negotiationneeded")
        elif not needed:
            self._negotiation_told = False

    # Inside: tracks

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

    def shell(self, record: Transceiver) -> RtpTransceiver:
        """The application's side of a transceiver, made when it is needed first."""
        for each in self._transceivers:
            if each.record is record:
                return each
        record.cname = self._cname
        record.ssrc, record.rtx_ssrc = random_ssrc(), random_ssrc()
        made = self._carrier.make(record)
        self._transceivers.append(made)
        return made

    def make_sctp(self) -> RTCSctpTransport:
        if self._sctp is None:
            self._sctp = RTCSctpTransport(self._path.dtls)
            self._sctp.on("datachannel", lambda channel: self.tell("datachannel", channel))
        return self._sctp

    def drop_sctp(self) -> None:
        """The other side takes no data channels."""
        sctp, self._sctp = self._sctp, None
        if sctp is not None:
            self.spawn(sctp.stop())

    # What the path tells (peer.rtc.path.PathOwner)

    def path_changed(self, path: Path) -> None:
        if path is not self._path:
            return
        self._update_states()
        if path.dtls.state == "closed" and not self._closed:
            self.spawn(self.close())  # the other side said goodbye

    def path_open(self, path: Path) -> None:
        if path is self._path:
            self._carrier.start_media()

    def path_candidate(self, path: Path, candidate: Candidate | None) -> None:
        if path is not self._path:
            return
        if candidate is None:
            self._tell_later("icecandidate", None)
            return
        tag = self._session.transport.tag
        description = self._session.pending_local or self._session.current_local
        media = description.media if description is not None else []
        index = next((at for at, section in enumerate(media) if section.mid == tag), 0)
        mid = media[index].mid if media else ""
        self._tell_later("icecandidate", icecandidate.from_transport(candidate, mid, index))

    def path_candidate_error(self, path: Path, error: CandidateError) -> None:
        if path is self._path:
            self._tell_later("icecandidateerror", error)

    def path_gathering(self, path: Path) -> None:
        if path is self._path:
            self._update_states()

    def path_moved_address(self, path: Path) -> None:
        if path is self._path:
            self.tell("addresschange")

    def heard(self, now: float) -> None:
        """Media arrived."""
        self._path.ice.heard(now)

    def _tell_later(self, event: str, *arguments: Any) -> None:
        """Candidates never overtake the description that they belong to."""
        if self._held is not None:
            self._held.append((event, *arguments))
        else:
            self.tell(event, *arguments)

    def _release(self) -> None:
        def flush() -> None:
            held, self._held = self._held or [], None
            for each in held:
                self.tell(*each)

        asyncio.get_running_loop().call_soon(flush)

    def _update_states(self) -> None:
        ice = self._path.ice
        now = {
            "iceGathering": ice.gathering_state,
            "iceConnection": "closed" if self._closed else ice.state,
            "connection": "closed" if self._closed else self._path.state,
        }
        for name, state in now.items():
            if state != self._states[name]:
                self._states[name] = state
                self.tell(f"{name.lower()}statechange")

    # For the carrier

    @property
    def path(self) -> Path:
        return self._path

    @property
    def transceivers(self) -> list[RtpTransceiver]:
        return self._transceivers

    @property
    def session(self) -> Session:
        return self._session

    def new_path(self) -> Path:
        """Go on over another path; returns the one before."""
        before = self._path
        self._path = Path(self._configuration.ice, self._certificate, self)
        return before

    def use_path(self, path: Path) -> None:
        self._path = path

    def tell(self, event: str, *arguments: Any) -> None:
        try:
            self.emit(event, *arguments)
        except Exception:
            logger.exception("a handler of %s raised", event)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a task of the connection failed: %r", error)

    def _assert_open(self) -> None:
        if self._closed:
            raise InvalidStateError("RTCPeerConnection is closed")

    def _local(self, description: sdp.Description | None, kind: str) -> RTCSessionDescription | None:
        if description is None:
            return None
        ice = self._path.ice
        lines = [each.to_sdp() for each in ice.candidates]
        text = describe.with_candidates(description, lines, complete=ice.gathering_state == "complete")
        return RTCSessionDescription(text, kind)


def _stands_for_path(remote: sdp.Description, given: icecandidate.GivenCandidate) -> bool:
    """Whether a candidate is of the m-line whose transport the bundle uses."""
    tag = agreement.tag(remote)
    return given.mid == tag.mid if given.mid is not None else remote.media[given.index or 0 :][:1] == [tag]


def _wrapped(description: sdp.Description | None, kind: str) -> RTCSessionDescription | None:
    return RTCSessionDescription(str(description), kind) if description is not None else None
