"""What a connection is at the moment: states, descriptions, the chain of its operations, and the events about them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any

from aiortc import RTCCertificate, RTCConfiguration, RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from peer.rtc import describe, icecandidate
from peer.rtc.configuration import Configuration
from peer.rtc.emitter import Emitter
from peer.rtc.jsep import Session
from peer.rtc.path import Path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from peer.rtc.ice.candidate import Candidate
    from peer.rtc.ice.servers import CandidateError
    from peer.rtc.ice.transport import IceTransport
    from peer.rtc.sdp import Description

logger = logging.getLogger(__name__)

TURNS = 4
"""Turns of the loop that candidates wait after their description was set: `asyncio.wait_for` and `gather` need some
before whoever set it goes on, and can send it."""

MAX_GIVEN = 100
"""Candidates of the other side that its description is shown with; beyond, the oldest go."""


class ConnectionState(Emitter):
    """The part of `PeerConnection` that says and tells; implements `peer.rtc.path.PathOwner`."""

    def __init__(self, configuration: RTCConfiguration | Configuration | None = None) -> None:
        super().__init__()
        self._configuration = Configuration.of(configuration)
        self._certificate = RTCCertificate.generateCertificate()
        self._session = Session(random.getrandbits(62))
        self._path = Path(self._configuration.ice, self._certificate, self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._operation = asyncio.Lock()
        self._negotiation_told = False
        self._describing = 0
        self._found: list[tuple[str, Candidate | None]] = []
        """Candidates not told yet, with their user name fragment; bounded as those of a generation are."""
        self._given: dict[tuple[str, str], None] = {}
        """Candidates of the other side that came after its description: user name fragment and line."""
        self._closed = False
        self._states = {"iceGathering": "new", "iceConnection": "new", "connection": "new"}

    # States

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
    def path(self) -> Path:
        """ICE and DTLS."""
        return self._path

    @property
    def ice(self) -> IceTransport:
        """Selected pair, silence, why it failed."""
        return self._path.ice

    # Descriptions

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
        return self._remote(self._session.current_remote, "answer" if self._session.offered_locally else "offer")

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        return self._remote(self._session.pending_remote, "offer")

    def _local(self, description: Description | None, kind: str) -> RTCSessionDescription | None:
        if description is None:
            return None
        ice = self._path.ice
        if _fragment(description) != ice.parameters.username_fragment:  # those found since are of a restart to come
            return RTCSessionDescription(str(description), kind)
        lines = [each.to_sdp() for each in ice.candidates]
        text = describe.with_candidates(description, lines, complete=ice.gathering_state == "complete")
        return RTCSessionDescription(text, kind)

    def _remote(self, description: Description | None, kind: str) -> RTCSessionDescription | None:
        if description is None:
            return None
        fragment = _fragment(description)
        lines = [line for said, line in self._given if said == fragment]
        return RTCSessionDescription(describe.with_candidates(description, lines, complete=False), kind)

    def _note_candidate(self, remote: Description, candidate: Candidate) -> None:
        """webrtc-pc section 4.4.1.5: `remoteDescription` has the candidates that were added."""
        key = (candidate.username_fragment or _fragment(remote), candidate.to_sdp())
        if key not in self._given and len(self._given) >= MAX_GIVEN:
            del self._given[next(iter(self._given))]
        self._given[key] = None

    # The chain of operations

    @contextlib.asynccontextmanager
    async def _operating(self) -> AsyncIterator[None]:
        """One operation at a time (webrtc-pc section 4.4.1.2), none on a closed connection."""
        self._assert_open()
        async with self._operation:
            self._assert_open()
            try:
                yield
            finally:
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

    def _assert_open(self) -> None:
        if self._closed:
            raise InvalidStateError("RTCPeerConnection is closed")

    # Candidates of ours: never before the description that they belong to

    @contextlib.contextmanager
    def _describing_itself(self) -> Iterator[None]:
        """While a local description is set, and until whoever sets it can have sent it."""
        self._describing += 1
        try:
            yield
        finally:
            self._described(TURNS)

    def _described(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._described, turns - 1)
            return
        self._describing -= 1
        self._tell_candidates()

    def _tell_candidates(self) -> None:
        local = self._session.pending_local or self._session.current_local
        if self._describing or self._closed or local is None:
            return
        said, newest = _fragment(local), self._path.local.username_fragment
        found, self._found = self._found, []
        # Those of neither are of a generation that was given up.
        self._found = [(fragment, each) for fragment, each in found if fragment == newest != said]
        for fragment, candidate in found:
            if fragment == said:
                self._tell_candidate(local, candidate)

    def _tell_candidate(self, local: Description, candidate: Candidate | None) -> None:
        if candidate is None:
            self._update_states()  # `complete` comes after the last candidate, before the null
            self.tell("icecandidate", None)
            return
        mids = [section.mid for section in local.media]
        tag = self._session.transport.tag
        index = mids.index(tag) if tag in mids else 0
        self.tell("icecandidate", icecandidate.from_transport(candidate, mids[index], index))

    def _trickles(self) -> bool:
        wanted = self._configuration.trickle
        return wanted if wanted is not None else bool(self.listeners("icecandidate"))

    # What the path tells (peer.rtc.path.PathOwner)

    def path_changed(self, path: Path) -> None:
        if path is not self._path:
            return
        if path.dtls.state == "closed" and not self._closed:
            self._begin_close()  # the other side said goodbye
        self._update_states()

    def path_candidate(self, path: Path, candidate: Candidate | None) -> None:
        if path is self._path:
            self._found.append((path.ice.parameters.username_fragment, candidate))
            self._tell_candidates()

    def path_candidate_error(self, path: Path, error: CandidateError) -> None:
        if path is self._path:
            self.tell("icecandidateerror", error)

    def path_gathering(self, path: Path) -> None:
        if path is self._path:
            self._update_states()

    def path_moved_address(self, path: Path) -> None:
        if path is self._path:
            self.tell("addresschange")

    def path_open(self, path: Path) -> None:
        raise NotImplementedError

    def _begin_close(self) -> None:
        raise NotImplementedError

    def heard(self, now: float) -> None:
        """Media arrived."""
        self._path.ice.heard(now)

    def _update_states(self) -> None:
        ice = self._path.ice
        gathering = ice.gathering_state
        if gathering == "complete" and self._found and self._trickles():
            gathering = "gathering"  # the last candidates are not told yet
        now = {
            "iceGathering": gathering,
            "iceConnection": "closed" if self._closed else ice.state,
            "connection": "closed" if self._closed else self._path.state,
        }
        for name, state in now.items():
            if state != self._states[name]:
                self._states[name] = state
                self.tell(f"{name.lower()}statechange")

    # For the parts

    def tell(self, event: str, *arguments: Any) -> None:
        self.emit(event, *arguments)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it beside; `close()` waits for it, but not for ever."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a task of the connection failed: %r", error)


def _fragment(description: Description) -> str:
    """The ICE user name fragment that it says; each m-line of a bundle says the same."""
    for section in description.media:
        if not section.rejected and section.credentials is not None:
            return section.credentials[0]
    return ""
