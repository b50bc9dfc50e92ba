"""One path to the other side: ICE, and DTLS over it. A connection has one, and another when its bundle moves."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, Protocol

from peer.rtc.dtls import DtlsTransport
from peer.rtc.effects import LocalTransport
from peer.rtc.ice.candidate import Candidate, IceParameters
from peer.rtc.ice.transport import IceTransport

if TYPE_CHECKING:
    from aiortc import RTCCertificate

    from peer.rtc.effects import RemoteTransport
    from peer.rtc.ice.datagrams import Datagram
    from peer.rtc.ice.servers import CandidateError, IceSettings

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 1.0
MOVE_TIME = 10.0
"""Seconds, after the m-line that stood for the path is gone, within which the other side may begin DTLS anew."""
GOODBYE_GRACE = 2.0
"""Seconds for ICE to find the other side where it is now; then another association is begun where it was."""
MAX_CANDIDATES = 100
"""Candidates of the other side that may wait for its description to be agreed; those beyond are dropped."""


class PathOwner(Protocol):
    """Who is told; plain calls on the loop."""

    def path_changed(self, path: Path) -> None: ...
    def path_open(self, path: Path) -> None: ...
    def path_candidate(self, path: Path, candidate: Candidate | None) -> None: ...
    def path_candidate_error(self, path: Path, error: CandidateError) -> None: ...
    def path_gathering(self, path: Path) -> None: ...
    def path_moved_address(self, path: Path) -> None: ...


class Path:
    """ICE and DTLS of one bundle; implements `peer.rtc.ice.transport.IceListener`."""

    def __init__(self, settings: IceSettings, certificate: RTCCertificate, owner: PathOwner) -> None:
        self._owner = owner
        self.ice = IceTransport(settings, self)
        self.dtls = DtlsTransport(self.ice, certificate)
        self.ice.data_received, self.ice.media_received = self.dtls.packet, self.dtls.media  # they take no way round
        self.dtls.on("statechange", self._dtls_changed)
        self.dtls.on_end = self._another_begins
        self._fingerprints = tuple(
            (each.algorithm, each.value)
            for each in self.dtls.getLocalParameters().fingerprints
            if each.algorithm == "sha-256"
        )
        self._remote: RemoteTransport | None = None
        self._role: str | None = None
        self._waiting: list[Candidate | None] = []
        self._handshake: asyncio.Task[None] | None = None
        self._gathered = asyncio.Event()
        self._moving_until = 0.0
        self._renewing: asyncio.TimerHandle | None = None
        self._known: set[tuple[str, int]] = set()
        """Addresses of the other side before the bundle moved."""
        self._agreed = False
        self._closed = False
        self.restarting = False
        """Whether our side has begun an ICE restart that is not agreed yet."""
        self.restarts = 0
        """How many were agreed, also by the other side's not taking part."""

    @property
    def local(self) -> LocalTransport:
        """What a description of ours says of it now."""
        parameters = self.ice.parameters
        return LocalTransport(parameters.username_fragment, parameters.password, self._fingerprints)

    @property
    def state(self) -> str:
        """`new`, `connecting`, `connected`, `disconnected`, `failed` or `closed` (webrtc-pc section 4.3.3)."""
        ice, dtls = self.ice.state, self.dtls.state
        if "failed" in (ice, dtls):
            return "failed"
        if ice == "closed" or dtls == "closed":
            return "closed"
        if ice == "disconnected":
            return "disconnected"
        if ice == "new":
            return "new"
        return "connected" if dtls == "connected" and ice != "checking" else "connecting"

    @property
    def round_trip_time(self) -> float | None:
        """Seconds to the other side and back, as its last answer over the pair in use took; None without a pair."""
        pair = self.ice.selected_pair
        return pair.round_trip_time if pair is not None else None

    # What is negotiated

    async def gather(self) -> None:
        await self.ice.gather()

    async def gathered(self, timeout: float) -> None:
        """Wait until there are no more candidates to come, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.ice.gathering_state != "complete" and not self._closed:
                    self._gathered.clear()
                    await self._gathered.wait()
        except TimeoutError:
            logger.debug("not all candidates within %g s", timeout)

    def restart(self, *, again: bool = False) -> None:
        """Begin an ICE restart: `local` has new credentials from now on. `again`: in the place of a pending one too."""
        if again or not self.restarting:
            self.restarting = True
            self.ice.restart()

    def drop_restart(self) -> None:
        """The restart is off; the path that there is goes on."""
        if self.restarting:
            self.restarting = False
            self.ice.rollback()

    def described(self, remote: RemoteTransport) -> None:
        """The other side's description says this of it; it holds when offer and answer are complete."""
        before, fragment = self._remote, remote.username_fragment
        if before is None or fragment != before.username_fragment:
            # Those that do not say whose they are came for the description before, if there was one.
            self._waiting = [
                each
                for each in self._waiting
                if each is not None and (each.username_fragment or (before is None and fragment)) == fragment
            ]
        self._remote = remote

    def agree(self, *, controlling: bool) -> None:
        """Offer and answer are complete: checks may begin."""
        remote = self._remote
        if remote is None:
            return
        self.restarts += self.restarting
        if self.restarting and not remote.restarted:
            self.drop_restart()  # the other side did not take part
        if not self._agreed:  # RFC 8445 section 6.1.1: roles are determined once, and kept in a restart
            self.ice.role = "controlling" if controlling or remote.lite else "controlled"
        if self._moving_until == math.inf:
            self._moving_until = asyncio.get_running_loop().time() + MOVE_TIME
        self._agreed = True
        self.restarting = False
        self.ice.start(IceParameters(remote.username_fragment, remote.password, remote.lite))
        waiting, self._waiting = self._waiting, []
        for candidate in waiting:
            self.ice.add_remote_candidate(candidate)

    def bundle_moves(self) -> None:
        """Another m-line is to stand for the path, as the one that did is gone or its place is used again.

        Browsers then begin ICE and DTLS anew on that one, mostly with the credentials that they have; so do two of them
        with one another. Others go on over the path that there is (RFC 9143). What is done here follows what happens.
        """
        self._known = {(each.address, each.port) for each in self.ice.remote_candidates}
        self._moving_until = math.inf

    def bundle_stays(self) -> None:
        """That was not agreed."""
        if self._moving_until == math.inf:
            self._moving_until = 0.0

    def role_agreed(self, role: str) -> None:
        self._role = role
        self._begin_handshake()

    def add_candidate(self, candidate: Candidate | None, *, agreed: bool) -> None:
        """A candidate of the other side; before its description is agreed it waits."""
        if agreed:
            self.ice.add_remote_candidate(candidate)
        elif len(self._waiting) < MAX_CANDIDATES:
            self._waiting.append(candidate)

    # What ICE and DTLS tell

    def ice_candidate(self, candidate: Candidate | None) -> None:
        self._owner.path_candidate(self, candidate)

    def ice_candidate_error(self, error: CandidateError) -> None:
        self._owner.path_candidate_error(self, error)

    def ice_gathering_changed(self) -> None:
        self._gathered.set()
        self._owner.path_gathering(self)

    def ice_state_changed(self) -> None:
        self._begin_handshake()
        self._owner.path_changed(self)

    def ice_pair_changed(self) -> None:
        pair = self.ice.selected_pair
        if self._moving and pair is not None and (pair.remote.address, pair.remote.port) not in self._known:
            self._renew()

    def ice_data(self, data: bytes) -> None:
        self.dtls.packet(data)

    def ice_media(self, datagrams: list[Datagram]) -> None:
        self.dtls.media(datagrams)

    def ice_addresses_changed(self) -> None:
        self._owner.path_moved_address(self)

    def _begin_handshake(self) -> None:
        ready = self.ice.state in ("connected", "completed") and self._role is not None and self._remote is not None
        if ready and self._handshake is None:
            assert self._role is not None and self._remote is not None
            work = self.dtls.handshake(self._remote.fingerprints, self._role)
            self._handshake = asyncio.get_running_loop().create_task(work, name="dtls-handshake")
            self._handshake.add_done_callback(_logged)

    @property
    def _moving(self) -> bool:
        return asyncio.get_running_loop().time() < self._moving_until

    def _another_begins(self) -> bool:
        """The association ended: whether another takes its place, which is begun where ICE finds the other side."""
        if not self._moving:
            return False
        if self._renewing is None:
            self.ice.left(self._known)
            self._renewing = asyncio.get_running_loop().call_later(GOODBYE_GRACE, self._renew)
        return True

    def _renew(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        if self._closed or self._handshake is None or not self._moving:
            return
        assert self._role is not None and self._remote is not None
        logger.debug("the bundle moved: another DTLS association")
        self._moving_until = 0.0
        self._handshake.cancel()
        work = self.dtls.renew(self._remote.fingerprints, self._role)
        self._handshake = asyncio.get_running_loop().create_task(work, name="dtls-handshake")
        self._handshake.add_done_callback(_logged)

    def _dtls_changed(self) -> None:
        if self.dtls.state == "connected":
            self._owner.path_open(self)
        self._owner.path_changed(self)

    # The end

    async def close(self) -> None:
        """Close DTLS with a goodbye, then the sockets. Bounded, never raises."""
        self._closed = True
        self._gathered.set()
        if self._renewing is not None:
            self._renewing.cancel()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.dtls.stop()
        except Exception:
            logger.debug("DTLS did not close well", exc_info=True)
        self.dtls.abandon()
        if self._handshake is not None and not self._handshake.done():
            self._handshake.cancel()
            await asyncio.wait([self._handshake], timeout=CLOSE_TIMEOUT)
        await self.ice.close()
        self.dtls.remove_all_listeners()


def _logged(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("the DTLS handshake broke: %s", error)
