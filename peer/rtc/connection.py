"""`PeerConnection`: the W3C interface (webrtc-pc section 4.4) with aiortc's spelling, over our own engine.

What is to be said and done is decided in `peer.rtc.jsep`, which is pure; this carries it out, one operation after the
other. States, descriptions and events are in `peer.rtc.connectionstate`, tracks and channels in
`peer.rtc.connectionmedia`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCSessionDescription
from aiortc.exceptions import InvalidStateError

from peer.rtc import agreement, icecandidate, sdp
from peer.rtc.connectionmedia import ConnectionMedia
from peer.rtc.jsep import WrongState

if TYPE_CHECKING:
    from peer.rtc.configuration import Configuration
    from peer.rtc.effects import Effect
    from peer.rtc.path import Path

CLOSE_TIMEOUT = 2.0
"""Seconds for senders and data channels to end."""
TASKS_TIMEOUT = 1.0
"""Seconds for what was begun beside to end by itself, and after a cancellation."""


class PeerConnection(ConnectionMedia):
    """A drop-in for `aiortc.RTCPeerConnection`.

    Beyond that: `icecandidate`, `icecandidateerror` and `negotiationneeded` events, `restartIce()`, rollback,
    `removeTrack()`, `canTrickleIceCandidates`, current and pending descriptions, tracks that are muted on hold and
    come back, and candidate pairs in `getStats()`. A handler that raises is logged, and breaks nothing.
    """

    def __init__(self, configuration: RTCConfiguration | Configuration | None = None) -> None:
        super().__init__(configuration)
        self._closing: asyncio.Task[None] | None = None
        self._replaced = ""  # the user name fragment that `restartIce` asked to be replaced

    # Negotiation

    async def createOffer(self, *, iceRestart: bool = False) -> RTCSessionDescription:
        """An offer for what the transceivers and data channels are to be; `iceRestart`: over a new path.

        Raises:
            InvalidStateError: the connection is closed.
        """
        async with self._operating():
            return RTCSessionDescription(self._offer(restart=iceRestart), "offer")

    async def createAnswer(self) -> RTCSessionDescription:
        """The answer to the offer that was set. Raises InvalidStateError when there is none."""
        async with self._operating():
            return RTCSessionDescription(self._answer(), "answer")

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:
        """Take our own offer or answer (made here when none is given), or roll back; gathering begins.

        Raises:
            InvalidStateError: not in this signaling state.
            ValueError: it cannot be used.
        """
        async with self._operating():
            given = sessionDescription
            if given is not None and given.type == "rollback":
                self._roll_back()
                return
            kind = given.type if given is not None else self._due()
            self._check_state(kind, local=True)
            text = given.sdp if given is not None else self._offer() if kind == "offer" else self._answer()
            if kind == "offer":
                self._check_path(text)
            with self._describing_itself():
                await self._path.gather()  # first: what it raises leaves everything as it was
                self._assert_open()
                effects = self._changed_state(self._session.set_local, kind, text)
                self._carry_out(effects, agreed=kind == "answer")
                if not self._trickles():
                    await self._path.gathered(self._configuration.gather_timeout)

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Take the other side's offer or answer. An offer that crosses ours rolls ours back (webrtc-pc 4.4.1.5).

        Raises:
            InvalidStateError: not in this signaling state.
            ValueError: it cannot be used; what was agreed holds.
        """
        async with self._operating():
            kind, text = sessionDescription.type, sessionDescription.sdp
            if kind == "rollback":
                self._roll_back()
                return
            self._check_state(kind, local=False)
            sdp.parse(text)  # what cannot be read rolls nothing back
            if kind == "offer" and self.signalingState == "have-local-offer":
                self._roll_back()
            if kind == "offer" and self.signalingState == "stable":
                self._path.drop_restart()  # one that createOffer began, and no offer of ours carried out
            self._carry_out(self._changed_state(self._session.set_remote, kind, text), agreed=kind == "answer")
            for record in self._session.transceivers:  # those too that only receive: the answer may give them a track
                self.shell(record)

    async def addIceCandidate(self, candidate: Any = None) -> None:
        """Take a candidate of the other side (aiortc's, ours, or a browser's JSON as dict), None for "no more".

        Raises:
            ValueError: it is not a candidate.
        """
        found = None if candidate is None else icecandidate.given(candidate)
        async with self._operating():
            remote = self._session.pending_remote or self._session.current_remote
            agreed = remote is not None and self._session.pending_remote is None
            if found is None or found.candidate is None:
                self._path.add_candidate(None, agreed=agreed)
            elif remote is None or _stands_for_path(remote, found):
                self._path.add_candidate(found.candidate, agreed=agreed)
                if remote is not None:
                    self._note_candidate(remote, found.candidate)
            # Others are of an m-line that has no transport of its own any more: the bundle took it in.

    def restartIce(self) -> None:
        """Have the next negotiation, which becomes needed, bring new candidates (webrtc-pc section 4.4.3)."""
        if self._closed or (self._session.current_local or self._session.pending_local) is None:
            return  # the first negotiation brings new ones anyhow
        self._session.restart_wanted = True
        self._replaced = self._path.local.username_fragment
        self.check_negotiation()

    # Carrying out

    def _due(self) -> str:
        """What `setLocalDescription()` without a description makes."""
        return "answer" if self.signalingState == "have-remote-offer" else "offer"

    def _offer(self, *, restart: bool = False) -> str:
        if self._session.current_remote is not None:
            if restart or self._session.restart_wanted:
                # A restart that is on its way already may be what was asked to be replaced: its addresses are gone.
                self._path.restart(again=self._path.local.username_fragment == self._replaced)
            elif self.signalingState == "stable":
                self._path.drop_restart()  # of an offer that was made and never set
        try:
            return self._session.create_offer(self._path.local)
        except WrongState as error:
            raise InvalidStateError(str(error)) from error

    def _answer(self) -> str:
        try:
            return self._session.create_answer(self._path.local)
        except WrongState as error:
            raise InvalidStateError(str(error)) from error

    def _check_state(self, kind: str, *, local: bool) -> None:
        """Before anything is begun; an offer of the other side may come at any time."""
        if kind not in ("offer", "answer"):
            raise ValueError(f"a description of type {kind} is not supported; use offer, answer or rollback")
        ours, theirs = ("have-local-offer", "have-remote-offer") if local else ("have-remote-offer", "have-local-offer")
        allowed = (theirs,) if kind == "answer" else ("stable", ours) if local else ("stable", ours, theirs)
        if self.signalingState not in allowed:
            raise InvalidStateError(f"Cannot handle {kind} in signaling state {self.signalingState}")

    def _check_path(self, offer: str) -> None:
        """An offer made before another negotiation, or another offer, names a path that there is not any more."""
        fragment = self._path.local.username_fragment
        for section in sdp.parse(offer).media:
            if not section.rejected and section.credentials is not None and section.credentials[0] != fragment:
                raise ValueError("the offer is out of date; make another with createOffer()")

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
            if self._path.restarting and self._path.local.username_fragment != self._replaced:
                self._session.restart_wanted = False
            self._path.agree(controlling=self._session.offered_locally)
        self._transceivers = [each for each in self._transceivers if not each.record.stopped]

    def path_open(self, path: Path) -> None:
        if path is self._path and not self._closed:
            self._carrier.start_media()

    # The end

    async def close(self) -> None:
        """End it: idempotent, bounded, never raises; joins nothing on the event loop."""
        self._begin_close()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    def _begin_close(self) -> None:
        if self._closing is None:
            self._closed = True
            self._session.close()
            self.tell("signalingstatechange")
            self._update_states()
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="peer-connection-close")

    async def _close(self) -> None:
        await self._carrier.close(CLOSE_TIMEOUT)
        self.close_channels()
        await self._path.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TASKS_TIMEOUT)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TASKS_TIMEOUT)
        self.remove_all_listeners()


def _stands_for_path(remote: sdp.Description, given: icecandidate.GivenCandidate) -> bool:
    """Whether a candidate is of the m-line whose transport the bundle uses."""
    if agreement.all_rejected(remote):
        return False
    tag = agreement.tag(remote)
    return given.mid == tag.mid if given.mid is not None else remote.media[given.index or 0 :][:1] == [tag]
