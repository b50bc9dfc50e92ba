"""What the pure negotiation (`peer.rtc.jsep`) knows of each m-line, and what it asks the connection to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peer.rtc.codecs import Codec
    from peer.rtc.sdp import Extension


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """What our descriptions say of the path: ICE credentials and certificate hashes."""

    username_fragment: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """What the other side said of the stream on one m-line."""

    streams: tuple[tuple[str, str], ...] = ()
    """Ids of media stream and track."""
    ssrcs: tuple[int, ...] = ()
    """Of media, without those of retransmissions."""
    repairs: tuple[tuple[int, int], ...] = ()
    """SSRC of retransmissions, SSRC of what they repair."""
    layers: tuple[str, ...] = ()
    """Restriction ids of simulcast layers."""


@dataclass(eq=False)
class Transceiver:
    """One m-line as the application sees it (webrtc-pc section 5.4)."""

    kind: str
    direction: str = "sendrecv"
    adoptable: bool = True
    """Whether an offered m-line of the same kind may become its own."""
    preferences: tuple[Codec, ...] = ()
    streams: tuple[str, ...] = ()
    """Ids of the media streams that its track belongs to."""
    track_id: str = ""
    cname: str = ""
    ssrc: int = 0
    rtx_ssrc: int = 0
    stopping: bool = False
    # What is agreed; a rollback restores it.
    mid: str | None = None
    current_direction: str | None = None
    stopped: bool = False
    receiving: bool = False
    """Whether the remote's description says that it sends (webrtc-pc: [[FiredDirection]])."""
    codecs: tuple[Codec, ...] = ()
    """What both can take, in the order of the answer; we send the first that we can send."""
    extensions: tuple[Extension, ...] = ()
    remote: RemoteMedia = field(default_factory=RemoteMedia)

    AGREED = ("mid", "current_direction", "stopped", "receiving", "codecs", "extensions", "remote")


@dataclass
class DataSection:
    """The m-line of the data channels."""

    wanted: bool = False
    """Whether a channel was created, or the other side offered the m-line."""
    mid: str | None = None
    remote_port: int | None = None
    """None until it is agreed."""
    max_message_size: int = 65536
    legacy: bool = False
    """Whether the other side writes it as before RFC 8841."""
    rejected: bool = False
    first: bool = False
    """Whether it is to come before the m-lines that are new with it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Base of what the connection has to carry out, in order."""


@dataclass(frozen=True, slots=True)
class RemoteTransport(Effect):
    """The path of the other side, from its description."""

    username_fragment: str
    password: str
    lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    restarted: bool
    """New credentials for a path that there is: an ICE restart (RFC 8839 section 4.4.3)."""
    moved: bool = False
    """Another m-line stands for the path: browsers begin ICE and DTLS anew on it, others go on."""


@dataclass(frozen=True, slots=True)
class RemoteCandidates(Effect):
    candidates: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class RoleAgreed(Effect):
    """Our DTLS role: `client` or `server`."""

    role: str


@dataclass(frozen=True, slots=True)
class TrackStarted(Effect):
    """The other side will send on this m-line: now, or again."""

    transceiver: Transceiver


@dataclass(frozen=True, slots=True)
class TrackHeld(Effect):
    """The other side no longer sends on this m-line; it may again."""

    transceiver: Transceiver


@dataclass(frozen=True, slots=True)
class Negotiated(Effect):
    """Direction, codecs and parameters of an m-line are agreed."""

    transceiver: Transceiver


@dataclass(frozen=True, slots=True)
class Stopped(Effect):
    """The m-line is over for good."""

    transceiver: Transceiver


@dataclass(frozen=True, slots=True)
class DataAgreed(Effect):
    port: int
    max_message_size: int


@dataclass(frozen=True, slots=True)
class DataRejected(Effect):
    pass


@dataclass(frozen=True, slots=True)
class Removed(Effect):
    """A transceiver that only the offer made, which was rolled back, is gone."""

    transceiver: Transceiver


@dataclass(frozen=True, slots=True)
class RestartDropped(Effect):
    """An ICE restart that was on its way is off: rolled back, or the other side did not take part."""
