"""The passive TCP candidates (RFC 6544) that the other side of a call offers, from the messages of the call. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.candidate import Candidate
from signaling.messages import CandidateFrom, DescriptionFrom, DescriptionTo

if TYPE_CHECKING:
    from signaling.messages import ClientMessage, ServerMessage

MAX_OFFERS: Final = 4
"""Candidates that are tried; others are passed over."""


@dataclass(frozen=True, slots=True)
class TcpOffer:
    """Where to connect, and what a check says there."""

    host: str
    port: int
    username: str
    password: str


class TcpOffers:
    """Reads the messages of one call as they pass. Every method gives the offers that are new."""

    def __init__(self) -> None:
        self._own = ""
        self._credentials: tuple[str, str] | None = None
        self._waiting: list[str] = []
        self._known: set[tuple[str, int]] = set()

    def sent(self, message: ClientMessage) -> list[TcpOffer]:
        if isinstance(message, DescriptionTo):
            self._own = _attribute(message.description.sdp, "ice-ufrag")
        return self._new()

    def received(self, message: ServerMessage) -> list[TcpOffer]:
        lines: list[str] = []
        if isinstance(message, DescriptionFrom):
            sdp = message.description.sdp
            fragment, password = _attribute(sdp, "ice-ufrag"), _attribute(sdp, "ice-pwd")
            self._credentials = (fragment, password) if fragment and password else None
            lines = [line[2:] for line in sdp.splitlines() if line.startswith("a=candidate:")]
        elif isinstance(message, CandidateFrom) and message.candidate is not None:
            lines = [message.candidate.candidate]
        self._waiting += [line for line in lines if "passive" in line]
        del self._waiting[MAX_OFFERS:]
        return self._new()

    def _new(self) -> list[TcpOffer]:
        if not self._own or self._credentials is None:
            return []
        lines, self._waiting = self._waiting, []
        found = []
        for line in lines:
            try:
                candidate = Candidate.parse(line)
            except ValueError:
                continue
            address = candidate.address, candidate.port
            usable = candidate.tcp_type == "passive" and candidate.is_ip and address not in self._known
            if usable and len(self._known) < MAX_OFFERS:
                self._known.add(address)
                fragment, password = self._credentials
                found.append(TcpOffer(*address, f"{fragment}:{self._own}", password))
        return found


def _attribute(sdp: str, name: str) -> str:
    found = re.search(rf"^a={name}:(\S{{1,256}})\s*$", sdp, re.MULTILINE)
    return found[1] if found else ""
