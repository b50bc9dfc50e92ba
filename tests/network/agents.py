"""What a party runs: one side of a connection, by our engine, by stock aiortc, or by our ICE transport alone.

Both sides send a small steady stream: a datagram every 20 ms (over a data channel, where there is one) and sound. What
arrives is noted by the clock of the machine, which is the same for all processes.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from aiortc.sdp import candidate_from_sdp

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from peer.rtc.ice.datagrams import Datagram

PING_SECONDS = 0.02
PING = b"\x40ping"
"""Neither STUN nor DTLS nor RTP by its first byte (RFC 7983)."""
MOST_ARRIVALS = 20_000
"""Notes kept of one stream; what comes later is not noted. Six minutes of a stream."""


@dataclass(frozen=True)
class Options:
    """How a party takes part. `media`: the streams besides the datagrams, of "audio" and "video"."""

    engine: str = "peer"
    offers: bool = False
    servers: tuple[dict[str, Any], ...] = ()
    media: tuple[str, ...] = ("audio",)
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of IceSettings."""
    room: str = ""
    """Of a whole call: where the two meet."""


class Agent(ABC):
    """One side. `report` takes what happens; `signal` in it is for the other side."""

    def __init__(self, options: Options, report: Callable[[dict[str, Any]], None]) -> None:
        self.options = options
        self.report = report
        self.arrivals: defaultdict[str, list[float]] = defaultdict(list)
        self.texts: list[int] = []
        """The numbers of the texts that came, where numbered texts are sent."""
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def signal(self, message: dict[str, Any]) -> None: ...

    @abstractmethod
    async def restart(self) -> None: ...

    @abstractmethod
    async def pair(self) -> dict[str, Any] | None:
        """Type, protocol and relay protocol of both ends of the selected pair."""

    @abstractmethod
    async def close(self) -> None: ...

    def state(self, name: str, value: str, **more: Any) -> None:
        self.report({"event": "state", "name": name, "value": value, "at": time.monotonic(), **more})

    def arrived(self, stream: str) -> None:
        notes = self.arrivals[stream]
        if not notes:
            self.report({"event": "first", "name": stream, "at": time.monotonic()})
        if len(notes) < MOST_ARRIVALS:
            notes.append(time.monotonic())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send_pings(self, send: Callable[[bytes], None]) -> None:
        due = time.monotonic()
        while True:
            send(PING)
            due += PING_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class ConnectionAgent(Agent):
    """A PeerConnection: ours, or the one of aiortc, which has the same face."""

    def __init__(self, options: Options, report: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(options, report)
        self.connection = _stock(options) if options.engine == "stock" else _ours(options)
        on = self.connection.on
        on("connectionstatechange", self._connection_state)
        on("iceconnectionstatechange", lambda: self.state("ice", self.connection.iceConnectionState))
        on("icegatheringstatechange", lambda: self.state("gathering", self.connection.iceGatheringState))
        on("track", lambda track: self.spawn(self._take(track)))
        on("datachannel", self._adopt)
        self._offering = False
        if options.engine != "stock":
            on("negotiationneeded", lambda: self.spawn(self._renegotiate()))
            on("addresschange", self._addresses_changed)
            on("icecandidate", self._candidate)
            on("icecandidateerror", self._candidate_error)

    async def start(self) -> None:
        if self.options.offers:
            self._add_tracks()
            self._adopt(self.connection.createDataChannel("ping", ordered=False, maxRetransmits=0))
            await self._describe(await self.connection.createOffer())

    def _add_tracks(self) -> None:
        kinds = {"audio": AudioStreamTrack, "video": VideoStreamTrack}
        for kind in self.options.media:
            self.connection.addTrack(kinds[kind]())

    async def _describe(self, description: Any) -> None:
        await self.connection.setLocalDescription(description)
        local = self.connection.localDescription
        self.report({"signal": {"description": {"type": local.type, "sdp": local.sdp}}})

    async def _renegotiate(self) -> None:
        """The engine asks for an offer: after a restart of its own. The first one is made by `start`."""
        if self.connection.remoteDescription is None or self._offering:
            return
        self._offering = True
        try:
            self.report({"event": "negotiationneeded", "at": time.monotonic()})
            await self._describe(await self.connection.createOffer())
        finally:
            self._offering = False

    async def signal(self, message: dict[str, Any]) -> None:
        if "candidate" in message:
            await self._add_candidate(message["candidate"])
            return
        description = RTCSessionDescription(**message["description"])
        if description.type == "offer" and (self._offering or self.connection.signalingState != "stable"):
            # W3C webrtc-pc, perfect negotiation: who offered first is impolite.
            if self.options.offers:
                return
            await self.connection.setLocalDescription(RTCSessionDescription(type="rollback", sdp=""))
        await self.connection.setRemoteDescription(description)
        if description.type == "offer":
            if all(sender.track is None for sender in self.connection.getSenders()):
                self._add_tracks()
            await self._describe(await self.connection.createAnswer())

    async def _add_candidate(self, message: dict[str, Any] | None) -> None:
        if message is None or not message["candidate"]:
            await self.connection.addIceCandidate(None)
            return
        candidate: Any = candidate_from_sdp(message["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = message["sdpMid"], message["sdpMLineIndex"]
        candidate.usernameFragment = message.get("usernameFragment")
        await self.connection.addIceCandidate(candidate)

    def _candidate(self, candidate: Any) -> None:
        found = candidate and {
            "candidate": candidate.candidate,
            "sdpMid": candidate.sdpMid,
            "sdpMLineIndex": candidate.sdpMLineIndex,
            "usernameFragment": candidate.usernameFragment,
        }
        self.report({"event": "candidate", "at": time.monotonic(), "candidate": found and found["candidate"]})
        self.report({"signal": {"candidate": found}})

    def _candidate_error(self, error: Any) -> None:
        names = ("url", "error_code", "error_text", "errorCode", "errorText")
        shown = {name: getattr(error, name) for name in names if hasattr(error, name)}
        self.report({"event": "candidate error", "at": time.monotonic(), **shown})

    def _addresses_changed(self) -> None:
        self.report({"event": "addresses", "at": time.monotonic()})
        self.connection.restartIce()

    def _connection_state(self) -> None:
        more = {}
        if self.connection.connectionState == "failed":
            more["sentence"] = self.connection.ice.explain() if self.options.engine == "peer" else ""
        self.state("connection", self.connection.connectionState, **more)
        if self.connection.connectionState == "disconnected" and self.options.engine == "peer" and self.options.offers:
            self.connection.restartIce()  # as a call does, sooner or later

    def _adopt(self, channel: Any) -> None:
        channel.on("message", lambda message: self.arrived("ping"))

        def send(data: bytes) -> None:
            if channel.readyState == "open" and channel.bufferedAmount < 10_000:
                channel.send(data)

        self.spawn(self.send_pings(send))

    async def _take(self, track: Any) -> None:
        try:
            while True:
                await track.recv()
                self.arrived(track.kind)
        except MediaStreamError:
            self.report({"event": "track ended", "kind": track.kind, "at": time.monotonic()})

    async def restart(self) -> None:
        self.connection.restartIce()  # which asks for an offer

    async def pair(self) -> dict[str, Any] | None:
        if self.options.engine == "stock":
            return None
        return selected_pair(await self.connection.getStats())

    async def close(self) -> None:
        await self.end_tasks()
        await self.connection.close()


class IceAgent(Agent):
    """Our ICE transport alone: credentials and candidates are all the signaling, datagrams all the media."""

    def __init__(self, options: Options, report: Callable[[dict[str, Any]], None]) -> None:
        from peer.rtc.ice.transport import IceTransport

        super().__init__(options, report)
        self.transport = IceTransport(ice_settings(options), self)
        self.transport.role = "controlling" if options.offers else "controlled"
        self._restarting = False
        self._shown = ""

    async def start(self) -> None:
        await self._describe()
        self.spawn(self.send_pings(self.transport.send))

    async def _describe(self) -> None:
        parameters = self.transport.parameters
        own = {"ufrag": parameters.username_fragment, "pwd": parameters.password, "restart": self._restarting}
        self.report({"signal": {"parameters": own}})
        await self.transport.gather()

    async def signal(self, message: dict[str, Any]) -> None:
        from peer.rtc.ice.candidate import Candidate, IceParameters

        if "candidate" in message:
            text = message["candidate"]
            self.transport.add_remote_candidate(Candidate.parse(text) if text else None)
            return
        remote = message["parameters"]
        if remote["restart"] and not self._restarting:
            self._restarting = True
            self.transport.restart()
            await self._describe()
        self._restarting = False
        self.transport.start(IceParameters(remote["ufrag"], remote["pwd"]))

    async def restart(self) -> None:
        self._restarting = True
        self.transport.restart()
        await self._describe()

    def ice_candidate(self, candidate: Any) -> None:
        text = candidate and candidate.to_sdp()
        self.report({"event": "candidate", "at": time.monotonic(), "candidate": text})
        self.report({"signal": {"candidate": text}})

    def ice_candidate_error(self, error: Any) -> None:
        shown = {"url": error.url, "error_code": error.error_code, "error_text": error.error_text}
        self.report({"event": "candidate error", "at": time.monotonic(), **shown})

    def ice_gathering_changed(self) -> None:
        self.state("gathering", self.transport.gathering_state)

    def ice_state_changed(self) -> None:
        state = self.transport.state
        more = {"sentence": self.transport.explain()} if state == "failed" else {}
        self.state("ice", state, **more)
        if state in ("connected", "completed", "disconnected", "failed"):
            shown = "connected" if state == "completed" else state
            if shown != self._shown:
                self._shown = shown
                self.state("connection", shown, **more)
                if shown == "disconnected" and self.options.offers:
                    self.spawn(self.restart())  # as a connection above it does

    def ice_pair_changed(self) -> None:
        self.report({"event": "pair", "at": time.monotonic(), "pair": self._pair()})

    def ice_data(self, data: bytes) -> None:
        self.transport.heard(time.monotonic())
        self.arrived("ping")

    def ice_media(self, datagrams: list[Datagram]) -> None:
        for data, _, _ in datagrams:
            self.ice_data(data)

    def ice_addresses_changed(self) -> None:
        self.report({"event": "addresses", "at": time.monotonic()})
        self.spawn(self.restart())

    def _pair(self) -> dict[str, Any] | None:
        pair = self.transport.selected_pair
        if pair is None:
            return None
        ends = {
            name: {"type": end.type, "protocol": end.protocol, "relay": end.relay_protocol, "address": end.address}
            for name, end in (("local", pair.local), ("remote", pair.remote))
        }
        return {**ends, "reason": pair.reason}

    async def pair(self) -> dict[str, Any] | None:
        return self._pair()

    async def close(self) -> None:
        await self.end_tasks()
        await self.transport.close()


def load(engine: str) -> None:
    """Imports what the engine needs, so that it counts for no measurement."""
    if engine == "ice":
        importlib.import_module("peer.rtc.ice.transport")
    elif engine == "call":
        importlib.import_module("peer.link")
        importlib.import_module("tests.network.calls")
    elif engine == "peer":
        importlib.import_module("peer.rtc.connection")


def agent(options: Options, report: Callable[[dict[str, Any]], None]) -> Agent:
    if options.engine == "call":
        from tests.network.calls import CallAgent

        return CallAgent(options, report)
    kind = IceAgent if options.engine == "ice" else ConnectionAgent
    return kind(options, report)


def selected_pair(reports: Any) -> dict[str, Any] | None:
    """The selected pair in a W3C statistics report, whose entries are dictionaries or objects."""
    entries = {key: value if isinstance(value, dict) else vars(value) for key, value in dict(reports).items()}
    pairs = [entry for entry in entries.values() if entry.get("type") == "candidate-pair"]
    pair = next((entry for entry in pairs if entry.get("selected")), None)
    if pair is None:
        return None
    ends = {name: entries.get(pair[f"{name}CandidateId"], {}) for name in ("local", "remote")}
    shown = {
        name: {
            "type": end.get("candidateType"),
            "protocol": end.get("protocol"),
            "relay": end.get("relayProtocol"),
            "address": end.get("address") or end.get("ip"),
        }
        for name, end in ends.items()
    }
    return {**shown, "reason": pair.get("reason", "")}


def _stock(options: Options) -> Any:
    return RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer(**server) for server in options.servers]))


def _ours(options: Options) -> Any:
    from peer.rtc.configuration import Configuration
    from peer.rtc.connection import PeerConnection

    return PeerConnection(Configuration(ice=ice_settings(options)))


def ice_settings(options: Options) -> Any:
    from peer.rtc.ice.servers import IceSettings
    from signaling.messages import IceServer

    servers = tuple(IceServer(**server) for server in options.servers)
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.settings.items()
    }
    return IceSettings(servers=servers, **settings)
