"""The STUN messages of connectivity checks (RFC 8445 section 7), written and answered. Pure."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from peer.rtc.ice.candidate import candidate_priority
from peer.rtc.ice.stun import Attribute, Class, Message, Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.stun import Address

ROLE_CONFLICT: Final = 487
UNKNOWN_ATTRIBUTE: Final = 420

ROLES: Final = {"controlling": Attribute.ICE_CONTROLLING, "controlled": Attribute.ICE_CONTROLLED}


def other(role: str) -> str:
    return "controlled" if role == "controlling" else "controlling"


def check_priority(base: Candidate) -> int:
    """The PRIORITY of a check: what a peer-reflexive candidate found by it would have (RFC 8445 section 7.1.1).

    Out of a relay nothing peer-reflexive is found: its own priority tells the other side that the path is relayed.
    """
    if base.type == "relay":
        return base.priority
    return candidate_priority("prflx", protocol=base.protocol, local_preference=base.priority >> 8 & 0xFFFF)


class Checks:
    """Writes the checks of one generation, from the credentials of both sides."""

    def __init__(self, local: IceParameters, remote: IceParameters) -> None:
        self._username = f"{remote.username_fragment}:{local.username_fragment}"
        self.key = remote.password.encode()

    def request(
        self, transaction_id: bytes, priority: int, role: str, tie_breaker: int, *, use_candidate: bool
    ) -> bytes:
        message = Message(Method.BINDING, Class.REQUEST, transaction_id)
        message.add(Attribute.USERNAME, self._username)
        message.add(Attribute.PRIORITY, priority)
        message.add(ROLES[role], tie_breaker)
        if use_candidate:
            message.add(Attribute.USE_CANDIDATE)
        return message.encode(self.key, fingerprint=True)


def success(request: Message, address: Address, key: bytes) -> bytes:
    """The answer that tells where the request came from (RFC 8445 section 7.3.1.2)."""
    message = Message(Method.BINDING, Class.RESPONSE, request.transaction_id)
    return message.add(Attribute.XOR_MAPPED_ADDRESS, address).encode(key, fingerprint=True)


def refusal(request: Message, code: int, reason: str, key: bytes, unknown: Sequence[int] = ()) -> bytes:
    message = Message(Method.BINDING, Class.ERROR, request.transaction_id)
    message.add(Attribute.ERROR_CODE, (code, reason))
    if unknown:
        message.add(Attribute.UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown))
    return message.encode(key, fingerprint=True)
