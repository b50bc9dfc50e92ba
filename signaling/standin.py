"""An answer in the place of clients that can be offered nothing in mid-call, where there is nothing to decide. Pure.

Whoever begins to record says so with another offer (RFC 7866), which is otherwise like what was agreed. Such clients
would take it for another call; nothing in it concerns them. Offers that change more get no answer from here.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from signaling.messages import SessionDescription

_DIRECTION: Final = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)(?=\r?$)", re.MULTILINE)
_MID: Final = re.compile(r"^a=mid:(\S*)", re.MULTILINE)
_UFRAG: Final = re.compile(r"^a=ice-ufrag:(\S*)", re.MULTILINE)
_SETUP: Final = re.compile(r"^a=setup:(\w+)", re.MULTILINE)
_SECTION: Final = re.compile(r"^(?=m=)", re.MULTILINE)
_MIRRORED: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_ROLES: Final = {"active": "passive", "passive": "active"}  # RFC 4145: what the other side is then

_MAX_SECTIONS: Final = 64  # m-lines; who has more gets no answer from here

_Media: TypeAlias = tuple[str, bool, str, str, str]


class StandIn:
    """The descriptions of one call, as a client and the other side gave them last."""

    def __init__(self) -> None:
        self.client: SessionDescription | None = None
        self.other: SessionDescription | None = None

    def answer(self, offer: SessionDescription) -> SessionDescription | None:
        """What the client would answer; None: it has to decide itself, or nothing is agreed yet."""
        media = _media(offer.sdp)
        if self.client is None or self.other is None or not media or media != _media(self.other.sdp):
            return None
        before, self.other = self.other, offer
        if self.client.type == "offer":
            self.client = _turned(self.client, before)
        return self.client


def _media(sdp: str) -> list[_Media]:
    """What matters of each m-line: kind, whether it is rejected, name, direction, and the generation of its path."""
    if sdp.count("m=") > _MAX_SECTIONS:
        return []
    head, *sections = _SECTION.split(sdp)
    whole = _UFRAG.search(head)
    found = []
    for section in sections:
        kind, port = (*section.split("\n", 1)[0].split(" ", 2), "")[:2]
        ufrag = _UFRAG.search(section) or whole
        mid = _MID.search(section)
        found.append((kind, port == "0", mid[1] if mid else "", _direction(section), ufrag[1] if ufrag else ""))
    return found


def _direction(section: str) -> str:
    found = _DIRECTION.search(section)
    return found[1] if found else "sendrecv"


def _turned(offer: SessionDescription, answer: SessionDescription) -> SessionDescription:
    """The offer that got this answer, as an answer: in the role that the answer left it, sending what that takes."""
    setup = _SETUP.search(answer.sdp)
    role = _ROLES.get(setup[1] if setup else "", "passive")
    head, *sections = _SECTION.split(_SETUP.sub(f"a=setup:{role}", offer.sdp))
    theirs = _SECTION.split(answer.sdp)[1:]
    turned = [
        _DIRECTION.sub(f"a={_MIRRORED[_direction(their)]}", section, count=1)
        for section, their in zip(sections, theirs, strict=False)
    ]
    return SessionDescription("answer", head + "".join(turned))
