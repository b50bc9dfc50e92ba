"""A candidate as the W3C interface has it (webrtc-pc section 4.8.1), on top of aiortc's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aiortc import RTCIceCandidate

from peer.rtc.ice.candidate import Candidate


@dataclass
class IceCandidate(RTCIceCandidate):
    """What `icecandidate` gives: aiortc's fields, and those of a browser."""

    usernameFragment: str | None = None
    url: str | None = None
    """Of the server that it came from."""
    relayProtocol: str | None = None
    candidate: str = ""
    """The candidate line."""

    @property
    def address(self) -> str:
        return self.ip

    def toJSON(self) -> dict[str, Any]:
        """As a browser passes it to `addIceCandidate`."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }


def from_transport(found: Candidate, mid: str, index: int) -> IceCandidate:
    return IceCandidate(
        component=found.component,
        foundation=found.foundation,
        ip=found.address,
        port=found.port,
        priority=found.priority,
        protocol=found.protocol,
        type=found.type,
        relatedAddress=found.related_address,
        relatedPort=found.related_port,
        sdpMid=mid,
        sdpMLineIndex=index,
        tcpType=found.tcp_type,
        usernameFragment=found.username_fragment,
        url=found.url,
        relayProtocol=found.relay_protocol,
        candidate=found.to_sdp(),
    )


@dataclass(frozen=True, slots=True)
class GivenCandidate:
    """What `addIceCandidate` was given; `candidate` None: there are no more."""

    candidate: Candidate | None
    mid: str | None
    index: int | None


def given(candidate: Any) -> GivenCandidate:
    """Read what `addIceCandidate` takes: aiortc's candidate, ours, or a browser's JSON as a dict.

    Raises:
        ValueError: it is none of these, or not a candidate.
    """
    if isinstance(candidate, dict):
        text, ufrag = candidate.get("candidate"), candidate.get("usernameFragment")
        mid, index = candidate.get("sdpMid"), candidate.get("sdpMLineIndex")
    elif isinstance(candidate, IceCandidate):
        text, ufrag = candidate.candidate, candidate.usernameFragment
        mid, index = candidate.sdpMid, candidate.sdpMLineIndex
    elif isinstance(candidate, RTCIceCandidate):
        if candidate.sdpMid is None and candidate.sdpMLineIndex is None:
            raise ValueError("Candidate must have either sdpMid or sdpMLineIndex")
        return GivenCandidate(_from_aiortc(candidate), candidate.sdpMid, candidate.sdpMLineIndex)
    else:
        raise ValueError(f"{type(candidate).__name__} is no candidate")
    if mid is None and index is None:
        raise ValueError("Candidate must have either sdpMid or sdpMLineIndex")
    if not isinstance(mid, str | None) or not isinstance(index, int | None) or (index is not None and index < 0):
        raise ValueError("sdpMid is a text and sdpMLineIndex a number from 0")
    if not text:
        return GivenCandidate(None, mid, index)
    parsed = Candidate.parse(str(text))
    if ufrag and parsed.username_fragment is None:
        parsed = replace(parsed, username_fragment=str(ufrag))
    return GivenCandidate(parsed, mid, index)


def _from_aiortc(given: RTCIceCandidate) -> Candidate:
    return Candidate(
        foundation=given.foundation,
        component=given.component,
        protocol=given.protocol.lower(),
        priority=given.priority,
        address=given.ip,
        port=given.port,
        type=given.type,
        related_address=given.relatedAddress,
        related_port=given.relatedPort,
        tcp_type=given.tcpType,
    )
